//! A press: compresses the frames of one load, and sends them when their turn has come.
//!
//! A press whose turn has not come goes on compressing what is next of its load, and gathers what it made, [`GATHERED_BYTES`] at most; then it waits. One whose
//! turn has come sends what is long from where it lies. What a load took is told to who chooses how the next one is compressed.

use super::pressed::{Body, Found, Recipe, User};
use super::turns::{Over, Turn};
use crate::formats::codec::{Compression, Compressor};
use crate::formats::frame::{self, Codec, FrameHeader, Kind};
use crate::os::clock;
use crate::os::net::{self, Line};
use crate::stages::ship::Outgoing;
use crate::stages::ship::choice::Chooser;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes of short frames that are gathered for one write.
const WRITE_BYTES: usize = 256 * 1024;
/// A body from this length on is not copied behind its header, if it can be sent at once.
pub(super) const LONG: usize = 16 * 1024;
/// Bytes of frames that one whose turn has not come gathers before it waits for that: a few that were compressed from as much as a frame may have.
const GATHERED_BYTES: usize = 1 << 20;

/// Frames that are sent one behind the other.
pub(super) struct Load {
    pub(super) frames: Vec<Outgoing>,
    pub(super) is_compressed: bool,
}

/// Why a load was not sent.
pub(super) enum Unsent {
    /// One in front of it was not.
    AfterOthers,
    /// The line failed, or there is no memory to compress with.
    Failed(io::Error),
}

impl Unsent {
    pub(super) fn into_error(self) -> io::Error {
        match self {
            Self::AfterOthers => io::ErrorKind::BrokenPipe.into(),
            Self::Failed(error) => error,
        }
    }
}

impl From<Over> for Unsent {
    fn from(Over: Over) -> Self {
        Self::AfterOthers
    }
}

impl From<io::Error> for Unsent {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Compresses, seals and sends.
pub(super) struct Press {
    line: Arc<dyn Line>,
    chooser: Arc<Mutex<Chooser>>,
    compression: Compression,
    compressor: Compressor,
    pressed: Arc<User>,
    /// How many of them there are.
    presses: u32,
    /// Frames that are to be sent with those behind them.
    out: Vec<u8>,
}

impl Press {
    pub(super) fn new(
        line: Arc<dyn Line>,
        chooser: &Arc<Mutex<Chooser>>,
        pressed: &Arc<User>,
        presses: u32,
    ) -> io::Result<Self> {
        let compression = lock(chooser).next();
        Ok(Self {
            line,
            chooser: Arc::clone(chooser),
            compression,
            compressor: Compressor::new(compression)?,
            pressed: Arc::clone(pressed),
            presses,
            out: Vec::new(),
        })
    }

    pub(super) fn send(&mut self, load: &Load, turn: Turn<'_>) -> Result<(), Unsent> {
        let compression = lock(&self.chooser).next();
        if self.compression != compression {
            self.compressor = Compressor::new(compression)?;
            self.compression = compression;
        }
        let began = clock::moment();
        let line = Arc::clone(&self.line);
        let mut exit = Exit::new(line.as_ref(), std::mem::take(&mut self.out), turn);
        for frame in &load.frames {
            if load.is_compressed {
                self.press(frame, &mut exit)?;
            } else {
                exit.put(&frame.header, &frame.raw)?;
            }
        }
        let left = exit.end()?;
        self.out = left.out;
        let raw_bytes = load.frames.iter().map(|frame| frame.raw.len() as u64).sum();
        // What they do side by side takes its share of the time, what one does at a time all of it.
        let working = clock::since(began).saturating_sub(left.waited) / self.presses;
        lock(&self.chooser).took(compression, raw_bytes, working.max(left.sending));
        Ok(())
    }

    fn press(&mut self, frame: &Outgoing, exit: &mut Exit<'_>) -> Result<(), Unsent> {
        let mut claim = None;
        // What is short is compressed sooner than looked for.
        if frame.header.kind == Kind::Data && frame.raw.len() >= LONG && self.compression != Compression::None {
            match self.pressed.find(recipe(&frame.header, self.compression)) {
                Found::Made(body) => {
                    let bytes = body.bytes.as_ref().unwrap_or(&frame.raw);
                    return exit.put(&stored(&frame.header, body.codec, body.crc, bytes), bytes);
                }
                Found::Claimed(claimed) => claim = Some(claimed),
                Found::Alone => {}
            }
        }
        let (codec, bytes) = self.compressor.squeeze(&frame.raw).unzip();
        let codec = codec.unwrap_or(Codec::None);
        let crc = bytes.map_or(frame.header.body_crc, frame::body_crc);
        if let Some(claim) = claim {
            let bytes = bytes.map(<[u8]>::to_vec);
            claim.made(Body { codec, crc, bytes });
        }
        let bytes = bytes.unwrap_or(&frame.raw);
        exit.put(&stored(&frame.header, codec, crc, bytes), bytes)
    }
}

/// Where the frames of one load leave, once its turn has come.
struct Exit<'a> {
    line: &'a dyn Line,
    /// Frames that are to be sent with those behind them.
    out: Vec<u8>,
    turn: Turn<'a>,
    /// For its turn.
    waited: Duration,
    /// On the line.
    sending: Duration,
}

/// A load has left.
struct Left {
    /// Empty; for the next one.
    out: Vec<u8>,
    waited: Duration,
    sending: Duration,
}

impl<'a> Exit<'a> {
    fn new(line: &'a dyn Line, out: Vec<u8>, turn: Turn<'a>) -> Self {
        Self {
            line,
            out,
            turn,
            waited: Duration::ZERO,
            sending: Duration::ZERO,
        }
    }

    /// Sends a frame behind those before it, or leaves it with them.
    fn put(&mut self, header: &FrameHeader, body: &[u8]) -> Result<(), Unsent> {
        let has_come = self.turn.has_come();
        if !has_come && self.out.len() + body.len() > GATHERED_BYTES {
            self.wait()?;
        } else if !has_come || body.len() < LONG {
            net::put_frame(&mut self.out, header, body);
            return match has_come && self.out.len() >= WRITE_BYTES {
                true => self.send(&[]),
                false => Ok(()),
            };
        }
        net::put_frame(&mut self.out, header, &[]);
        self.send(body)
    }

    fn wait(&mut self) -> Result<(), Over> {
        let began = clock::moment();
        self.turn.wait()?;
        self.waited += clock::since(began);
        Ok(())
    }

    fn send(&mut self, body: &[u8]) -> Result<(), Unsent> {
        let began = clock::moment();
        self.line.send_both(&self.out, body)?;
        self.sending += clock::since(began);
        self.out.clear();
        Ok(())
    }

    /// Waits until all has left.
    fn end(mut self) -> Result<Left, Unsent> {
        self.wait()?;
        if !self.out.is_empty() {
            self.send(&[])?;
        }
        self.turn.pass()?;
        Ok(Left {
            out: self.out,
            waited: self.waited,
            sending: self.sending,
        })
    }
}

fn lock(chooser: &Mutex<Chooser>) -> MutexGuard<'_, Chooser> {
    // What it holds are estimates, none of which is wrong beside the others.
    chooser.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn recipe(header: &FrameHeader, compression: Compression) -> Recipe {
    Recipe {
        stream: header.stream,
        start: header.start,
        end: header.end,
        raw_crc: header.body_crc,
        compression,
    }
}

/// `header`, for `bytes` as they are stored.
fn stored(header: &FrameHeader, codec: Codec, body_crc: u32, bytes: &[u8]) -> FrameHeader {
    FrameHeader {
        codec,
        body_len: frame::body_len(bytes),
        body_crc,
        ..*header
    }
}
