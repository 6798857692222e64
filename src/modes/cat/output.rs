//! The output of a `cat` that follows: it never waits for its reader without looking whether it is time to end, and
//! notices a reader that is gone while there is nothing to print.

use crate::modes::stop::Stop;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// What a pipe with any room takes at once: PIPE_BUF. A longer write could wait in the kernel.
const WRITE_BYTES: usize = 4096;
/// How often it is looked whether it is time to end.
const LOOK: Duration = Duration::from_millis(100);
/// What a reader may take, when it is time to end, to take the lines that were begun.
const GRACE: Duration = Duration::from_secs(1);

/// An output that ends when it is time to.
pub(super) struct PatientOutput {
    file: File,
    stop: Stop,
    /// When to give the reader up, once it is time to end.
    deadline: Option<Instant>,
}

impl PatientOutput {
    pub(super) fn new(file: File, stop: &Stop) -> Self {
        Self {
            file,
            stop: stop.clone(),
            deadline: None,
        }
    }

    /// Waits until `time` has passed, it is time to end, or the reader is gone. Says whether to go on.
    ///
    /// # Errors
    /// When the kernel cannot wait.
    pub(super) fn wait(&self, time: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + time;
        while !self.stop.is_set() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(true);
            }
            let events = self.poll(PollFlags::empty(), left.min(LOOK))?;
            if events.intersects(PollFlags::ERR | PollFlags::HUP) {
                return Ok(false);
            }
        }
        Ok(false)
    }

    fn poll(&self, flags: PollFlags, time: Duration) -> io::Result<PollFlags> {
        let timeout = Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(time.subsec_nanos()),
        };
        let mut fds = [PollFd::new(&self.file, flags)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) => Ok(fds[0].revents()),
            Err(rustix::io::Errno::INTR) => Ok(PollFlags::empty()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Write for PatientOutput {
    /// Fails as if the reader were gone when it is time to end and the reader takes nothing.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            if self.stop.is_set() {
                let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + GRACE);
                if Instant::now() >= deadline {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
            }
            if !self.poll(PollFlags::OUT, LOOK)?.is_empty() {
                return self.file.write(&bytes[..bytes.len().min(WRITE_BYTES)]);
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
