//! A connection to an original receiver: it begins with a group and an init, and carries one segment at a time, each of which waits for
//! its answer.
//!
//! The peer is not trusted. Every wait is bounded, of what it says one byte is read at a time, and whatever is not the byte 0x01
//! is the end of the connection.

use crate::limits::CLASSIC_ANSWER_MAX;
use crate::modes::stop::Stop;
use crate::os::disk::DiskError;
use crate::os::net::{self, Line, LineUntil, NetError};
use crate::seglog::reader::SegmentError;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;

/// What the receiver says when it has taken something.
const TAKEN: u8 = 1;

/// The level at which the original compresses.
const LEVEL: u32 = 6;

/// So long an answer is still waited for when it is time to end: what stays unanswered is sent again.
const GRACE: Duration = Duration::from_secs(2);

/// Why nothing more can be sent for now.
#[derive(Debug, Error)]
pub(super) enum Broken {
    /// There is no connection.
    #[error("{0}")]
    Connect(std::io::Error),
    /// The connection failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The receiver went away, or says nothing.
    #[error("{0}")]
    Net(#[from] NetError),
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
    /// Connects to `address` and says whose records come, and of which statements.
    ///
    /// # Errors
    /// When the receiver cannot be reached, or does not take that.
    pub(super) fn connect(address: &str, group: &str, init: &Arc<[u8]>, stop: &Stop) -> Result<Self, Broken> {
        let stream = net::connect(address).map_err(Broken::Connect)?;
        net::prepare(&stream)?;
        let link = Self {
            stream,
            init: Arc::clone(init),
        };
        let mut bytes = sized(group.as_bytes());
        bytes.extend(sized(&gzip(init)?));
        link.say(&bytes, stop, || ())?;
        Ok(link)
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
        self.say(&sized(&gzip(raw)?), stop, meanwhile)
    }

    fn say(&self, bytes: &[u8], stop: &Stop, meanwhile: impl FnMut()) -> Result<(), Broken> {
        let (asked, meanwhile) = (Cell::new(None), RefCell::new(meanwhile));
        let is_over = || {
            (meanwhile.borrow_mut())();
            let since = asked.get().or_else(|| stop.is_set().then(Instant::now));
            asked.set(since);
            since.is_some_and(|since| since.elapsed() > GRACE)
        };
        let line = LineUntil {
            stream: self.stream.try_clone()?,
            stop: {
                let stop = stop.clone();
                move || stop.is_set()
            },
        };
        line.send(bytes)?;
        match net::read_byte(&self.stream, CLASSIC_ANSWER_MAX, &is_over)? {
            TAKEN => Ok(()),
            other => Err(Broken::Answer(other)),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stream.hang_up();
    }
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    let mut sized = Vec::with_capacity(8 + bytes.len());
    sized.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    sized.extend_from_slice(bytes);
    sized
}

/// One gzip member without a name or a time: the same for the same bytes.
fn gzip(raw: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut member = GzEncoder::new(Vec::new(), Compression::new(LEVEL));
    member.write_all(raw)?;
    member.finish()
}
