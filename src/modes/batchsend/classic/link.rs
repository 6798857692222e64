//! A connection to an original receiver: it begins with a group and an init, and carries one segment at a time, each of which waits for
//! its answer. Where the receiver may be one of ours, the gzip header of its init asks for our protocol.
//!
//! The peer is not trusted. Every wait is bounded, of what it says one byte is read at a time, and whatever is not the byte 0x01
//! is the end of the connection.

use super::announce::Announced;
use crate::formats::classic::inflate::SPEAKS_OURS;
use crate::limits::CLASSIC_ANSWER_MAX;
use crate::modes::batchsend::peer::{self, Peer};
use crate::modes::stop::Stop;
use crate::os::disk::DiskError;
use crate::os::net::{self, Line, LineUntil, NetError};
use crate::seglog::reader::SegmentError;
use flate2::{Compression, GzBuilder};
use hog_ring::statement::Definition;
use hog_ring::types::Type;
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;

/// What the receiver says when it has taken something.
const TAKEN: u8 = 1;

/// What a receiver of ours says that was asked for our protocol.
const LET_US: u8 = 2;

/// The level at which the original compresses.
const LEVEL: u32 = 6;

/// So long an answer is still waited for when it is time to end: what stays unanswered is sent again.
const GRACE: Duration = Duration::from_secs(2);

/// Why nothing more can be sent for now.
#[derive(Debug, Error)]
pub(in crate::modes::batchsend) enum Broken {
    /// There is no connection.
    #[error("{0}")]
    Connect(std::io::Error),
    /// The connection failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The receiver went away, or says nothing.
    #[error("{0}")]
    Net(#[from] NetError),
    /// It was asked, and is one of ours.
    #[error("it speaks our protocol")]
    SpeaksOurs,
    /// It says what no original says.
    #[error("it answered with byte {0:#04x} where an original receiver answers with 0x01")]
    Answer(u8),
    /// The spool cannot be read.
    #[error("{0}")]
    Spool(#[from] SegmentError),
    /// What is on its way cannot be noted.
    #[error("what is on its way cannot be noted: {}", crate::exit::chain(.0))]
    Note(#[from] DiskError),
}

/// One connection.
pub(super) struct Link {
    stream: TcpStream,
    /// With what it began.
    init: Arc<[u8]>,
}

impl Link {
    /// Connects to `destination` and says whose records come, and of which statements.
    ///
    /// # Errors
    /// When the receiver cannot be reached, does not take that, or speaks our protocol and was asked.
    pub(super) fn connect(destination: &str, group: &str, init: &Arc<[u8]>, stop: &Stop) -> Result<Self, Broken> {
        let stream = net::connect(peer::address_of(destination)).map_err(Broken::Connect)?;
        net::prepare(&stream)?;
        let link = Self {
            stream,
            init: Arc::clone(init),
        };
        let asks = peer::of(destination) == Peer::Either;
        match introduce(&link.stream, (group, init), asks, stop)? {
            Peer::Original => Ok(link),
            _ => Err(Broken::SpeaksOurs),
        }
    }

    /// Whether it can carry what needs `init`: it began with the same, and the receiver has not hung up since.
    pub(super) fn is_good_for(&self, init: &Arc<[u8]>) -> bool {
        self.init == *init && !net::has_spoken_or_left(&self.stream)
    }

    /// Sends a segment, and waits until the receiver has taken it. Calls `meanwhile` now and then as long as it waits.
    ///
    /// # Errors
    /// When it did not say so: it may have taken it all the same.
    pub(super) fn deliver(&self, raw: &[u8], stop: &Stop, meanwhile: impl FnMut()) -> Result<(), Broken> {
        match say(&self.stream, &sized(&gzip(raw, None)?), stop, meanwhile)? {
            TAKEN => Ok(()),
            other => Err(Broken::Answer(other)),
        }
    }
}

/// Asks who is at the other end of `stream`, as a program that logged nothing to `group`.
///
/// # Errors
/// When nobody answers, or in another way than any receiver does.
pub(in crate::modes::batchsend) fn ask(stream: &TcpStream, group: &str, stop: &Stop) -> Result<Peer, Broken> {
    // An original is not known to bear an init of nothing.
    let mut announced = Announced::default();
    let _ = announced.add(&Definition {
        id: 0,
        name: "hog".to_owned(),
        flags: 0,
        format: "hog asked who is here: $0".to_owned(),
        file: String::new(),
        line: 0,
        payload_type: Type::int(),
    }); // it takes numbers
    let init = announced.init().unwrap_or_default();
    introduce(stream, (group, &init), true, stop)
}

/// Says whose records come, and of which statements, and whether our protocol may be spoken. Says who is there.
fn introduce(stream: &TcpStream, (group, init): (&str, &[u8]), asks: bool, stop: &Stop) -> Result<Peer, Broken> {
    let mut bytes = sized(group.as_bytes());
    bytes.extend(sized(&gzip(init, asks.then_some(SPEAKS_OURS))?));
    match say(stream, &bytes, stop, || ())? {
        TAKEN => Ok(Peer::Original),
        LET_US if asks => Ok(Peer::Ours),
        other => Err(Broken::Answer(other)),
    }
}

/// Sends `bytes`, and waits for the answer. Calls `meanwhile` now and then as long as it waits.
fn say(stream: &TcpStream, bytes: &[u8], stop: &Stop, meanwhile: impl FnMut()) -> Result<u8, Broken> {
    let (asked, meanwhile) = (Cell::new(None), RefCell::new(meanwhile));
    let is_over = || {
        (meanwhile.borrow_mut())();
        let since = asked.get().or_else(|| stop.is_set().then(Instant::now));
        asked.set(since);
        since.is_some_and(|since| since.elapsed() > GRACE)
    };
    let line = LineUntil {
        stream: stream.try_clone()?,
        stop: {
            let stop = stop.clone();
            move || stop.is_set()
        },
    };
    // While it is about to answer it is not reset, which could end it by a signal.
    net::end_by_reset(stream, false)?;
    line.send(bytes)?;
    let answer = net::read_byte(stream, CLASSIC_ANSWER_MAX, &is_over)?;
    // An original that reads takes an end in order for progress, and spins for ever. One of ours goes on with this connection.
    net::end_by_reset(stream, answer == TAKEN)?;
    Ok(answer)
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    let mut sized = Vec::with_capacity(8 + bytes.len());
    sized.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    sized.extend_from_slice(bytes);
    sized
}

/// One gzip member without a name or a time: the same for the same bytes.
fn gzip(raw: &[u8], comment: Option<&[u8]>) -> std::io::Result<Vec<u8>> {
    let header = match comment {
        Some(comment) => GzBuilder::new().comment(comment),
        None => GzBuilder::new(),
    };
    let mut member = header.write(Vec::new(), Compression::new(LEVEL));
    member.write_all(raw)?;
    member.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read};
    use std::net::TcpListener;

    #[test]
    fn a_receiver_that_has_answered_hears_of_the_end_as_a_failure_and_not_as_an_end_in_order() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let destination = format!("hobbes://{}", listener.local_addr().unwrap());
        let init: Arc<[u8]> = Arc::from(&b"init"[..]);
        std::thread::scope(|threads| {
            let original = threads.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let sized = |stream: &mut TcpStream| {
                    let mut len = [0; 8];
                    stream.read_exact(&mut len).unwrap();
                    let mut bytes = vec![0; usize::try_from(u64::from_le_bytes(len)).unwrap()];
                    stream.read_exact(&mut bytes).unwrap();
                };
                sized(&mut stream);
                sized(&mut stream);
                stream.write_all(&[TAKEN]).unwrap();
                stream.read(&mut [0]).map_err(|error| error.kind())
            });
            drop(Link::connect(&destination, "g", &init, &Stop::default()).unwrap());
            assert_eq!(original.join().unwrap(), Err(ErrorKind::ConnectionReset));
        });
    }
}
