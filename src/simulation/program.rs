//! Programs that log: runs of them, one after the other, each of which may be killed in the middle of a call.
//!
//! A *named* program goes on where its ring says that the last run stopped: its state is the number of its next record. Each run of any other program has a
//! ring of its own.

use super::history::History;
use super::process::Process;
use crate::os::clock;
use hog_ring::{Error, Group, GroupOptions, Resume, Statement, Writer, statement};
use std::path::Path;

static RECORD: Statement<(u32, u64, &[u8])> = statement!("record", "$program $number $filler", program, number, filler);

/// Of the smallest ring, so that some records take many fragments, and rings fill up.
const RING_BYTES: u64 = 64 << 10;

/// What a call logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// One record with so many bytes besides its number.
    Record(usize),
    /// So many records that appear together.
    Transaction(u64),
    /// A transaction that is taken back.
    Rollback,
}

/// A program, and its present run, if there is one.
pub(super) struct Program {
    number: u32,
    is_named: bool,
    run: Option<Run>,
    pub(super) history: History,
}

struct Run {
    process: Process,
    // The writer goes before the group.
    writer: Writer,
    _group: Group,
}

impl Program {
    pub(super) fn new(number: u32, is_named: bool) -> Self {
        Self {
            number,
            is_named,
            run: None,
            history: History::default(),
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.run.is_some()
    }

    /// Begins a run as `process`.
    ///
    /// # Errors
    /// When its ring contradicts what was logged.
    pub(super) fn start(&mut self, shm: &Path, process: Process, kill: Option<u64>) -> Result<(), String> {
        let (is_named, name, began) = (self.is_named, format!("program{}", self.number), clock::moment());
        let opened = process.run(kill, || -> Result<_, Error> {
            let group = GroupOptions::new(super::GROUP)
                .shm_dir(shm)
                .ring_size(RING_BYTES)
                .open()?;
            let writer = if is_named {
                group.named_writer(&name, Resume::Auto)?
            } else {
                group.writer()?
            };
            Ok((writer, group))
        });
        let Some(opened) = opened else { return Ok(()) };
        let (writer, group) = opened.map_err(|error| format!("program {} cannot log: {error}", self.number))?;
        if self.is_named {
            let state = writer.recovered().map(|recovered| recovered.state.clone());
            // Without a ring it has what it keeps elsewhere: as an engine, a file.
            let forgotten = self.history.excused();
            let next = state.as_deref().map_or(Ok(forgotten), |state| {
                let bytes = state
                    .try_into()
                    .map_err(|_| format!("a state of {} bytes", state.len()));
                bytes.map(u64::from_le_bytes)
            })?;
            self.history.resumed(next)?;
        }
        self.history.runs_since(began);
        self.run = Some(Run {
            process,
            writer,
            _group: group,
        });
        Ok(())
    }

    /// Logs, if there is a run and room.
    ///
    /// # Errors
    /// When a call fails that must not.
    pub(super) fn log(&mut self, call: Call, kill: Option<u64>) -> Result<(), String> {
        let Some(run) = &mut self.run else { return Ok(()) };
        let count = match call {
            Call::Record(_) => 1,
            Call::Transaction(count) => count,
            Call::Rollback => 0,
        };
        let (number, is_named) = (self.number, self.is_named);
        let numbers = self.history.begins(count);
        let writer = &mut run.writer;
        let logged = run.process.run(kill, || {
            let first = numbers.start;
            let state = is_named.then(|| (first + count).to_le_bytes());
            match call {
                Call::Record(bytes) => {
                    if let Some(state) = state {
                        writer.set_state(&state)?;
                    }
                    writer.log(&RECORD, (number, first, &filler(first, bytes)))
                }
                Call::Transaction(_) => {
                    let mut transaction = writer.transaction();
                    for record in numbers.clone() {
                        transaction.log(&RECORD, (number, record, &filler(record, 40)))?;
                    }
                    if let Some(state) = state {
                        transaction.set_state(&state)?;
                    }
                    transaction.commit()
                }
                Call::Rollback => {
                    let mut transaction = writer.transaction();
                    transaction.log(&RECORD, (number, u64::MAX, &filler(0, 40)))?;
                    transaction.rollback();
                    Ok(())
                }
            }
        });
        match logged {
            Some(Ok(())) => self.history.returned(numbers),
            // There was no room, and it did not wait.
            Some(Err(Error::Stopped)) => self.history.declined(&numbers),
            Some(Err(error)) => return Err(format!("program {number} cannot log: {error}")),
            None => {
                self.run = None;
                self.history.run_ended(clock::moment());
            }
        }
        Ok(())
    }

    /// Ends the run: closes its ring, unless it is killed before that.
    pub(super) fn close(&mut self, kill: Option<u64>) {
        if let Some(Run {
            process,
            writer,
            _group,
        }) = self.run.take()
        {
            process.run(kill, || drop(writer));
            self.history.run_ended(clock::moment());
        }
    }

    /// Kills the run.
    pub(super) fn kill(&mut self) {
        if let Some(run) = self.run.take() {
            run.process.kill();
            self.history.run_ended(clock::moment());
        }
    }
}

/// Bytes that tell whether a record is whole.
fn filler(number: u64, len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(number);
    (0..len).map(|_| random.u8(..)).collect()
}

/// The program and the number of a record, and whether it is whole.
pub(super) fn understand(payload: &[u8]) -> Option<(u32, u64)> {
    let program = u32::from_le_bytes(*payload.first_chunk()?);
    let number = u64::from_le_bytes(*payload.get(4..)?.first_chunk()?);
    let len = usize::try_from(u64::from_le_bytes(*payload.get(12..)?.first_chunk()?)).ok()?;
    let rest = payload.get(20..)?;
    (rest.len() == len && rest == filler(number, len)).then_some((program, number))
}
