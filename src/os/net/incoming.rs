//! Bytes as they come from a socket, with bounded waits.

use super::{NetError, is_passing};
use crate::limits::{FRAME_BODY_MAX, HANDSHAKE_MAX, HELLO_MAX, SILENCE_MAX};
use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// What a body grows by ahead of what has come of it.
pub(super) const READ_BYTES: usize = 256 * 1024;
/// Bytes of short frames that are taken from the kernel at once. There is such a buffer for each connection, so it is small; long bodies pass it by.
const BUFFER_BYTES: usize = 16 * 1024;
/// The same of a peer that has not said who it is.
pub(super) const BUFFER_BYTES_FIRST: usize = 4 * 1024;

/// The receiving end of a prepared socket, whose reads look up now and then.
pub struct Incoming {
    stream: TcpStream,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
}

impl Incoming {
    /// Over a prepared socket.
    #[must_use]
    pub fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: vec![0; BUFFER_BYTES_FIRST],
            from: 0,
            to: 0,
        }
    }

    /// Takes more from the kernel at once from now on.
    pub fn grow(&mut self) {
        if self.buffer.len() < BUFFER_BYTES {
            self.buffer.resize(BUFFER_BYTES, 0);
        }
    }

    /// Waits until `length` bytes are there, which stay; there are fewer only if the peer closed the connection.
    ///
    /// # Errors
    /// When the peer is silent or slow beyond `patience`, `stop` says so, or the socket fails.
    pub fn peek(&mut self, length: usize, patience: Patience, stop: &dyn Fn() -> bool) -> Result<&[u8], NetError> {
        let mut wait = Wait::new(patience, stop);
        self.buffer.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        while self.to < length.min(self.buffer.len()) {
            wait.check()?;
            match self.stream.read(&mut self.buffer[self.to..]) {
                Ok(0) => break,
                Ok(read) => {
                    self.to += read;
                    wait.something_came();
                }
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(&self.buffer[..self.to.min(length)])
    }

    /// Fills `out`.
    ///
    /// # Errors
    /// As [`Self::peek`]; and when the peer closes the connection before that, or within `out`.
    pub fn take(&mut self, out: &mut [u8], patience: Patience, stop: &dyn Fn() -> bool) -> Result<(), NetError> {
        self.fill(out, &mut Wait::new(patience, stop), NetError::Closed)
    }

    pub(super) fn fill(&mut self, mut out: &mut [u8], wait: &mut Wait, mut at_end: NetError) -> Result<(), NetError> {
        while !out.is_empty() {
            let buffered = &self.buffer[self.from..self.to];
            if !buffered.is_empty() {
                let taken = buffered.len().min(out.len());
                out[..taken].copy_from_slice(&buffered[..taken]);
                self.from += taken;
                out = &mut out[taken..];
                at_end = NetError::Torn;
                wait.something_came();
                continue;
            }
            wait.check()?;
            // A long rest goes straight to its place, a short one through the buffer.
            let straight = out.len() >= self.buffer.len();
            let read = if straight {
                self.stream.read(out)
            } else {
                self.stream.read(&mut self.buffer)
            };
            match read {
                Ok(0) => return Err(at_end),
                Ok(read) if straight => {
                    out = &mut out[read..];
                    at_end = NetError::Torn;
                    wait.something_came();
                }
                Ok(read) => (self.from, self.to) = (0, read),
                // Interrupted, or nothing came within LOOK.
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// How long a peer may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the next byte.
    pub silence: Duration,
    /// For a whole frame, from its first byte on.
    pub frame: Duration,
    /// How long its body may be.
    pub body_bytes: usize,
}

impl Patience {
    /// For HELLO: whoever is slow there keeps a place from others.
    #[must_use]
    pub fn of_hello() -> Self {
        Self {
            silence: HANDSHAKE_MAX,
            frame: HANDSHAKE_MAX,
            body_bytes: HELLO_MAX,
        }
    }

    /// For each frame of WELCOME.
    #[must_use]
    pub fn of_welcome() -> Self {
        Self {
            silence: HANDSHAKE_MAX,
            frame: HANDSHAKE_MAX,
            body_bytes: FRAME_BODY_MAX,
        }
    }

    /// For what an original sender says before its first segment: it may have to find that yet.
    #[must_use]
    pub fn of_classic_init() -> Self {
        Self {
            silence: SILENCE_MAX,
            frame: SILENCE_MAX,
            body_bytes: HELLO_MAX,
        }
    }

    /// For the next segment of an original sender: it has no way to say that it is still there. That its host is, the kernel asks.
    #[must_use]
    pub fn of_classic_idle() -> Self {
        Self {
            silence: Duration::MAX,
            ..Self::of_shipping()
        }
    }

    /// For everything after that: a slow link is no reason to begin again, as long as something comes.
    #[must_use]
    pub fn of_shipping() -> Self {
        Self {
            silence: SILENCE_MAX,
            frame: 20 * SILENCE_MAX,
            body_bytes: FRAME_BODY_MAX,
        }
    }
}

/// A wait for a frame.
pub(super) struct Wait<'a> {
    patience: Patience,
    stop: &'a dyn Fn() -> bool,
    silent_since: Instant,
    began: Option<Instant>,
}

impl<'a> Wait<'a> {
    pub(super) fn new(patience: Patience, stop: &'a dyn Fn() -> bool) -> Self {
        Self {
            patience,
            stop,
            silent_since: Instant::now(),
            began: None,
        }
    }

    /// The same, of which the first byte is counted as come.
    pub(super) fn begun(self) -> Self {
        Self {
            began: Some(self.silent_since),
            ..self
        }
    }

    pub(super) fn something_came(&mut self) {
        self.silent_since = Instant::now();
        self.began.get_or_insert(self.silent_since);
    }

    pub(super) fn check(&self) -> Result<(), NetError> {
        if (self.stop)() {
            return Err(NetError::Stopped);
        }
        if self.silent_since.elapsed() >= self.patience.silence {
            return Err(NetError::Silent(self.patience.silence));
        }
        match self.began {
            Some(began) if began.elapsed() >= self.patience.frame => Err(NetError::Slow(self.patience.frame)),
            _ => Ok(()),
        }
    }
}
