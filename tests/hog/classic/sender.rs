//! An original sender: what it says, byte by byte, and how it hears the answers.

use crate::scene::wait_until;
use flate2::Compression;
use flate2::write::GzEncoder;
use hog::formats::classic::segment::put_transaction;
use hog::formats::classic::statements::{Commit, Declaration, Quality, Statements};
use hog_ring::statement::Definition;
use hog_ring::types::Type;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A connection of one.
pub(crate) struct Classic {
    pub(crate) stream: TcpStream,
}

/// What became of something that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The byte that says that it is stored.
    Stored,
    /// The end of the connection, as something that went wrong.
    Reset,
    /// The end of the connection, in order: an original sender would wait on.
    Closed,
}

impl Classic {
    /// Connects, says what it sends, and hears that it may.
    pub(crate) fn start(address: &str, group: &str, declaration: &Declaration) -> Self {
        let mut classic = Self::connect(address);
        classic.say(group.as_bytes());
        classic.say(&gzip(&init_of(declaration)));
        assert_eq!(classic.answer(), Answer::Stored);
        classic
    }

    /// Connects and says nothing.
    pub(crate) fn connect(address: &str) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    /// The same, over a connection that there is.
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        Self { stream }
    }

    /// Sends bytes with their length in front.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.send(&[&(bytes.len() as u64).to_le_bytes()[..], bytes].concat());
    }

    /// Sends bytes, as far as they are taken.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes); // it may have been refused by then
    }

    /// Waits for the answer.
    pub(crate) fn answer(&mut self) -> Answer {
        let (mut byte, mut answer) = ([0], None);
        wait_until("the receiver answers", || {
            answer = match self.stream.read(&mut byte) {
                Ok(0) => Some(Answer::Closed),
                Ok(_) => {
                    assert_eq!(byte, [1]);
                    Some(Answer::Stored)
                }
                Err(error) => match error.kind() {
                    ErrorKind::ConnectionReset => Some(Answer::Reset),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => None,
                    _ => panic!("{error}"),
                },
            };
            answer.is_some()
        });
        answer.unwrap()
    }

    /// Sends a segment of these transactions, and waits until it is stored.
    pub(crate) fn ship(&mut self, transactions: &[Vec<u8>]) {
        self.say(&gzip(&segment_of(transactions)));
        assert_eq!(self.answer(), Answer::Stored);
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn init_of(declaration: &Declaration) -> Vec<u8> {
    let mut init = Vec::new();
    declaration.encode_init(&mut init);
    init
}

pub(crate) fn segment_of(transactions: &[Vec<u8>]) -> Vec<u8> {
    let mut segment = Vec::new();
    transactions
        .iter()
        .for_each(|transaction| put_transaction(&mut segment, transaction));
    segment
}

/// A program that logs numbers, and says how in transactions.
pub(crate) fn counting() -> Declaration {
    declared([definition(3, "counted", "number $0", Type::long())])
}

/// Transactions of one number each.
pub(crate) fn counted(numbers: impl IntoIterator<Item = u64>) -> Vec<Vec<u8>> {
    numbers.into_iter().map(|number| counted_together([number])).collect()
}

/// A transaction of all of these numbers.
pub(crate) fn counted_together(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let one = |number: u64| record(3, &number.to_le_bytes());
    numbers.into_iter().flat_map(one).collect()
}

pub(crate) fn declared(list: impl IntoIterator<Item = Definition>) -> Declaration {
    Declaration {
        quality: Quality::Reliable,
        commit: Commit::Manual,
        statements: Statements::new(list.into_iter().collect()).unwrap(),
    }
}

pub(crate) fn definition(id: u32, name: &str, format: &str, payload_type: Type) -> Definition {
    Definition {
        id,
        name: name.to_owned(),
        flags: 1,
        format: format.to_owned(),
        file: "prod.cpp".to_owned(),
        line: 18,
        payload_type,
    }
}

pub(crate) fn record(id: u32, payload: &[u8]) -> Vec<u8> {
    [&id.to_le_bytes()[..], payload].concat()
}
