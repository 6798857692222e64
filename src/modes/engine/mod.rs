//! `hog engine`: makes each line of its inputs a record.
//!
//! Inputs are read one after the other, as `cat` would, each into a ring of its own that is closed before the next is opened: so their lines
//! arrive in that order. A file's ring is named after it and keeps, as its resume state, up to where the file was logged;
//! state and records are committed by one store. Whenever the engine is killed, the next one goes on exactly there.

pub mod input;
pub mod lines;

use crate::exit::{ExitStatus, Failure, chain};
use crate::modes::service::Service;
use crate::modes::stop::Stop;
use hog_ring::{Error as RingError, Group, GroupOptions, Resume, ShmGroup, Writer};
use input::{FileInput, FileState, Source};
use lines::{Fed, feed};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing::{info, warn};

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// The group to log to.
    pub group: String,
    /// Inputs in order; `-` is stdin. None: stdin.
    pub inputs: Vec<PathBuf>,
    /// The ring's name instead of the one made of the input's path.
    pub name: Option<String>,
    /// Capacity of new rings.
    pub ring_size: u64,
    /// Drop lines instead of waiting when a ring is full.
    pub unreliable: bool,
    /// Whether to go on where an earlier run stopped.
    pub resume: Resume,
    /// Where rings are.
    pub shm_dir: PathBuf,
    /// With whom they are shared.
    pub shm_group: Option<ShmGroup>,
}

/// Logs all inputs.
///
/// # Errors
/// When an input cannot be read or a ring cannot be had.
pub fn run(options: &EngineOptions) -> Result<ExitStatus, Failure> {
    let stop = Stop::on_signals().map_err(|error| Failure::of(&error))?;
    let service = Service::start(&stop).map_err(|error| Failure::of(&error))?;
    let looks = Arc::<AtomicU64>::default();
    let stop = stop.counting(&looks);
    let stdin = [PathBuf::from("-")];
    let inputs: &[PathBuf] = if options.inputs.is_empty() {
        &stdin
    } else {
        &options.inputs
    };
    if options.name.is_some() && inputs.len() > 1 {
        return Err(Failure::new(
            ExitStatus::Usage,
            "--name is for one input: each file has a ring of its own",
        ));
    }
    // All of them are looked at before any of them is logged.
    let sources = inputs
        .iter()
        .map(|path| Source::open(path))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Failure::of(&error))?;
    let mut group = GroupOptions::new(&options.group)
        .shm_dir(&options.shm_dir)
        .ring_size(options.ring_size)
        .timestamps(false) // one reading of the clock serves all lines of a read
        .stop_flag(stop.flag())
        .wait_count(Arc::clone(&looks));
    if options.unreliable {
        group = group.unreliable();
    }
    if let Some(shm_group) = options.shm_group {
        group = group.shm_group(shm_group);
    }
    let group = group.open().map_err(|error| ring_failure(&error))?;
    service
        .hearts()
        .watch("the reading of inputs", move || looks.load(Ordering::Relaxed));
    service.is_ready();
    let mut status = ExitStatus::Done;
    for (path, source) in inputs.iter().zip(sources) {
        if stop.is_set() {
            break;
        }
        if log_input(options, &group, path, source, &stop)? == Fed::Degraded {
            status = ExitStatus::Degraded;
        }
    }
    Ok(status)
}

fn log_input(options: &EngineOptions, group: &Group, path: &Path, source: Source, stop: &Stop) -> Result<Fed, Failure> {
    let fed = match source {
        Source::File(file) => log_file(options, group, file, stop),
        Source::Pipe(pipe) => {
            let mut writer = match &options.name {
                // A pipe has no place to go on at, so a named ring of it is never resumed.
                Some(name) => group.named_writer(name, Resume::Off),
                None => group.writer(),
            }
            .map_err(|error| ring_failure(&error))?;
            feed(&mut writer, pipe, b"-", None, stop).map(|fed| degraded_by_drops(fed, &writer, 0))
        }
    };
    match fed {
        Err(lines::FeedError::Ring(RingError::Stopped)) => Ok(Fed::Whole),
        Err(lines::FeedError::Ring(error)) => Err(ring_failure(&error)),
        Err(lines::FeedError::Read(source)) => Err(Failure::new(
            ExitStatus::Failed,
            format!("cannot read {}: {source}", path.display()),
        )),
        Ok(fed) => Ok(fed),
    }
}

/// Logs a file from where an earlier run stopped, or from its beginning.
fn log_file(options: &EngineOptions, group: &Group, file: FileInput, stop: &Stop) -> Result<Fed, lines::FeedError> {
    let name = options.name.clone().unwrap_or_else(|| file.ring_name());
    let mut writer = group.named_writer(&name, options.resume)?;
    if writer.adopted_size_differs() {
        info!("ring {name} keeps its size of {} bytes", writer.capacity());
    }
    let (dropped_before, _) = writer.drops();
    let mut fed = Fed::Whole;
    let recovered = writer
        .recovered()
        .map(|recovered| (FileState::decode(&recovered.state), recovered.tail));
    let label = file.label();
    let start = match recovered {
        None => 0,
        Some((Some(state), _)) if file.is_where(&state)? => state.offset,
        Some((Some(state), _)) => {
            if let Some(earlier) = file.find_replaced(&state)? {
                info!(
                    "{} was replaced: finishing {} first",
                    file.path().display(),
                    earlier.path().display()
                );
                fed = fed.and(feed_file(&mut writer, earlier, &label, state.offset, stop)?);
            } else {
                warn!(
                    "{} is not the file that was logged up to byte {}, and that one is not in its directory: \
                     what it had beyond is not logged, and this one is logged from its beginning",
                    file.path().display(),
                    state.offset
                );
                fed = Fed::Degraded;
            }
            0
        }
        Some((None, tail)) => {
            warn!(
                "ring {name} has a state at position {tail} that is not an engine's: logging {} from its beginning",
                file.path().display()
            );
            fed = Fed::Degraded;
            0
        }
    };
    if stop.is_set() {
        return Ok(fed); // perhaps within the earlier file: the next run finishes it
    }
    fed = fed.and(feed_file(&mut writer, file, &label, start, stop)?);
    writer.commit();
    Ok(degraded_by_drops(fed, &writer, dropped_before))
}

fn feed_file(
    writer: &mut Writer,
    mut file: FileInput,
    label: &[u8],
    start: u64,
    stop: &Stop,
) -> Result<Fed, lines::FeedError> {
    let place = file.seek(start)?;
    feed(writer, file.into_file(), label, Some(place), stop)
}

/// Worse than `fed` if the ring dropped lines in this run.
fn degraded_by_drops(fed: Fed, writer: &Writer, dropped_before: u64) -> Fed {
    let dropped = writer.drops().0.saturating_sub(dropped_before);
    if dropped > 0 {
        warn!("{dropped} lines were dropped because the ring was full");
        return Fed::Degraded;
    }
    fed
}

fn ring_failure(error: &RingError) -> Failure {
    let status = match error {
        RingError::Held { .. } => ExitStatus::Locked,
        RingError::NotTmpfs { .. } => ExitStatus::Unsafe,
        RingError::NothingToResume { .. } => ExitStatus::Integrity,
        RingError::BadGroupName { .. } | RingError::BadRingName { .. } | RingError::BadRingSize { .. } => {
            ExitStatus::Usage
        }
        _ => ExitStatus::Failed,
    };
    Failure::new(status, chain(error))
}
