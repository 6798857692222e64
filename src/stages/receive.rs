//! Receive: what to do with what a sender says. Decisions only, no IO.
//!
//! A sender is known by uuid, a run of it by epoch and start id, a connection of that run by its count. Streams are known by uuid, whoever
//! sends them; positions decide what is new.

use crate::formats::table::{Applied, ApplyError, Sender};
use crate::formats::wire::{Hello, Refuse, RefuseCode};
use hog_ring::mutant;
use hog_ring::record::{BadRecord, Walk};
use thiserror::Error;

/// The connection of a sender that is served now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveConnection {
    /// Its run.
    pub epoch: u64,
    /// Its count.
    pub count: u64,
    /// The receiver's own number of the connection.
    pub token: u64,
}

/// Whether a sender is served.
///
/// # Errors
/// What to answer instead.
pub fn judge_hello(hello: &Hello, known: Option<&Sender>, live: Option<&LiveConnection>) -> Result<(), Refuse> {
    let refuse = |code, words: String| Err(Refuse { code, words });
    let Some(known) = known else { return Ok(()) };
    if known.refused {
        return refuse(
            RefuseCode::Sender,
            format!("sender {} was unseen for long and is forgotten", hello.sender),
        );
    }
    if hello.epoch < known.epoch {
        return refuse(
            RefuseCode::Epoch,
            format!(
                "sender {} has been here as run {}, this is run {}",
                hello.sender, known.epoch, hello.epoch
            ),
        );
    }
    if hello.epoch == known.epoch && hello.start_id != known.start_id {
        return refuse(
            RefuseCode::StartId,
            format!(
                "run {} of sender {} has been here with another start id",
                hello.epoch, hello.sender
            ),
        );
    }
    match live {
        Some(live) if (hello.epoch, hello.count) <= (live.epoch, live.count) => refuse(
            RefuseCode::Busy,
            "a newer connection of this sender is being served".to_owned(),
        ),
        _ => Ok(()),
    }
}

/// What to do with a frame that takes positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The archive has it: acknowledge what it has.
    Drop,
    /// Store it as it came.
    Store,
    /// Store it from this position on.
    StoreFrom(u64),
}

/// What the table's judgement means for the connection.
///
/// # Errors
/// When the sender is ahead of us or sends what it never attached: it has to start again at WELCOME.
pub fn judge_frame(applied: Result<Applied, ApplyError>) -> Result<Verdict, ApplyError> {
    Ok(match applied? {
        Applied::Known if mutant::on("receiver-without-dedup") => Verdict::Store,
        Applied::Known => Verdict::Drop,
        Applied::New => Verdict::Store,
        Applied::Overlap(from) => Verdict::StoreFrom(from),
    })
}

/// Why the records of a DATA frame are not stored.
#[derive(Debug, Error)]
pub enum RecordsError {
    /// One of them is bad.
    #[error("its records are bad: {0}")]
    Bad(#[from] BadRecord),
    /// It ends within a transaction.
    #[error("its last record says that more follows")]
    More,
    /// We have it up to the middle of a record.
    #[error("no record of it begins at byte {0}")]
    NoBoundary(usize),
    /// It has none.
    #[error("it holds no record")]
    Empty,
}

/// Checks the records of a raw DATA body, and that one begins at `from`.
///
/// # Errors
/// What is wrong with them.
pub fn check_records(raw: &[u8], from: usize) -> Result<(), RecordsError> {
    let (mut boundary, mut more) = (false, None);
    for item in Walk::new(raw) {
        let (at, header, _) = item?;
        boundary |= at == from;
        more = Some(header.more);
    }
    match more {
        None => Err(RecordsError::Empty),
        Some(true) => Err(RecordsError::More),
        Some(false) if !boundary => Err(RecordsError::NoBoundary(from)),
        Some(false) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::OwnerId;

    fn hello(epoch: u64, start_id: u64, count: u64) -> Hello {
        Hello {
            sender: OwnerId::NIL,
            epoch,
            start_id,
            count,
            group: "g".into(),
        }
    }

    fn refused(hello: &Hello, live: Option<(u64, u64)>) -> Option<RefuseCode> {
        let known = Sender {
            epoch: 5,
            start_id: 50,
            last_seen: 0,
            refused: false,
        };
        let live = live.map(|(epoch, count)| LiveConnection { epoch, count, token: 0 });
        judge_hello(hello, Some(&known), live.as_ref())
            .err()
            .map(|refuse| refuse.code)
    }

    #[test]
    fn a_sender_is_served_by_its_newest_run_and_connection() {
        assert_eq!(refused(&hello(5, 50, 2), Some((5, 1))), None, "a newer connection");
        assert_eq!(refused(&hello(6, 1, 1), Some((5, 9))), None, "a newer run");
        assert_eq!(refused(&hello(5, 50, 1), None), None, "the receiver restarted");
        assert_eq!(
            refused(&hello(5, 50, 1), Some((5, 2))),
            Some(RefuseCode::Busy),
            "an older connection"
        );
        assert_eq!(
            refused(&hello(4, 40, 9), None),
            Some(RefuseCode::Epoch),
            "a restored spool"
        );
        assert_eq!(
            refused(&hello(5, 51, 1), None),
            Some(RefuseCode::StartId),
            "a copied spool"
        );
        assert_eq!(judge_hello(&hello(1, 1, 1), None, None), Ok(()), "an unknown sender");
    }

    #[test]
    fn records_are_checked_whole() {
        assert!(check_records(&[], 0).is_err());
        assert!(check_records(&[0; 16], 0).is_err());
        assert!(check_records(&[255; 16], 0).is_err());
    }
}
