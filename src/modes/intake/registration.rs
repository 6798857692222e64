//! What a producer says on the registration socket: a version once, then 17 bytes for each of its queues. Nobody answers.
//!
//! A function of bytes, in whatever pieces they come. It keeps at most one record that is not whole.

use super::names::{Claimed, is_pid};
use hog_ring::v2::WaitPolicy;
use thiserror::Error;

/// The version of the original, and the only one.
const VERSION: u32 = 0x0002_0000;
const VERSION_LEN: usize = 4;
const RECORD_LEN: usize = 17;

/// Bits of the command.
const RECONNECT: u8 = 1;
const SPIN: u8 = 2;

/// A producer has a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Registration {
    pub(super) claimed: Claimed,
    pub(super) policy: WaitPolicy,
    /// It says this again, to whoever listens now. The queue may be gone since.
    pub(super) is_again: bool,
}

/// Why what came is no registration.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum BadRegistration {
    #[error("a producer of version {found:#x}; {VERSION:#x} is the only one that is known")]
    Version { found: u32 },
    #[error("command {found:#04x} of a producer, which has no meaning")]
    Command { found: u8 },
    #[error("process {pid} and thread {tid} of a producer, which cannot be")]
    Id { pid: u64, tid: u64 },
}

/// Reads one connection.
#[derive(Debug, Default)]
pub(super) struct Registrations {
    has_version: bool,
    /// What is not whole yet.
    held: Vec<u8>,
}

impl Registrations {
    /// Takes what came. After an error nothing more is to be read.
    pub(super) fn take(&mut self, bytes: &[u8], found: &mut Vec<Registration>) -> Result<(), BadRegistration> {
        self.held.extend_from_slice(bytes);
        let mut rest = &self.held[..];
        if !self.has_version {
            let Some((version, behind)) = rest.split_first_chunk::<VERSION_LEN>() else {
                return Ok(());
            };
            let version = u32::from_le_bytes(*version);
            if version != VERSION {
                return Err(BadRegistration::Version { found: version });
            }
            self.has_version = true;
            rest = behind;
        }
        while let Some((record, behind)) = rest.split_first_chunk::<RECORD_LEN>() {
            found.push(parse(record)?);
            rest = behind;
        }
        let left = rest.len();
        self.held.drain(..self.held.len() - left);
        Ok(())
    }
}

fn parse(record: &[u8; RECORD_LEN]) -> Result<Registration, BadRegistration> {
    let [command, ids @ ..] = record;
    if command & !(RECONNECT | SPIN) != 0 {
        return Err(BadRegistration::Command { found: *command });
    }
    let (ids, _) = ids.as_chunks::<8>();
    let [pid, tid] = [0, 1].map(|at| ids.get(at).map_or(0, |id| u64::from_le_bytes(*id)));
    let id = |number: u64| u32::try_from(number).ok().filter(|_| is_pid(number));
    let (Some(claimed_pid), Some(claimed_tid)) = (id(pid), id(tid)) else {
        return Err(BadRegistration::Id { pid, tid });
    };
    Ok(Registration {
        claimed: Claimed {
            pid: claimed_pid,
            tid: claimed_tid,
        },
        policy: if command & SPIN == 0 {
            WaitPolicy::Futex
        } else {
            WaitPolicy::Spin
        },
        is_again: command & RECONNECT != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(command: u8, pid: u64, tid: u64) -> Vec<u8> {
        [&[command][..], &pid.to_le_bytes(), &tid.to_le_bytes()].concat()
    }

    fn read(pieces: &[&[u8]]) -> Result<Vec<Registration>, BadRegistration> {
        let (mut registrations, mut found) = (Registrations::default(), Vec::new());
        for piece in pieces {
            registrations.take(piece, &mut found)?;
        }
        Ok(found)
    }

    #[test]
    fn registrations_come_in_whatever_pieces() {
        let captured = [
            &[0, 0, 2, 0][..],
            &record(0, 13_480, 13_480),
            &record(3, 13_480, 13_481),
            &[0; 5],
        ]
        .concat();
        let expected =
            [(13_480, WaitPolicy::Futex, false), (13_481, WaitPolicy::Spin, true)].map(|(tid, policy, is_again)| {
                Registration {
                    claimed: Claimed { pid: 13_480, tid },
                    policy,
                    is_again,
                }
            });
        assert_eq!(read(&[&captured]).unwrap(), expected);
        let bytes: Vec<_> = captured.chunks(1).collect();
        assert_eq!(read(&bytes).unwrap(), expected);
        for cut in 0..captured.len() {
            let (one, other) = captured.split_at(cut);
            assert_eq!(read(&[one, other]).unwrap(), expected);
        }
    }

    #[test]
    fn what_no_producer_says_is_refused() {
        assert_eq!(read(&[b"GET "]), Err(BadRegistration::Version { found: 0x2054_4547 }));
        let with = |record: Vec<u8>| read(&[&[0, 0, 2, 0], &record]);
        assert_eq!(with(record(4, 1, 1)), Err(BadRegistration::Command { found: 4 }));
        for (pid, tid) in [(0, 1), (1, 0), (4_194_305, 1), (1, u64::MAX), (1 << 32 | 1, 1)] {
            assert_eq!(with(record(0, pid, tid)), Err(BadRegistration::Id { pid, tid }));
        }
    }
}
