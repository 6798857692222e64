//! `hog engine`: makes each line of its inputs a record.
//!
//! Inputs are read one after the other, as `cat` would, each into a ring of its own that is closed before the next is opened: so their lines
//! arrive in that order. A file's ring is named after it and keeps, as its resume state, up to where the file was logged;
//! state and records are committed by one store. Whenever the engine is killed, the next one goes on exactly there. With `--follow` files
//! are read side by side, and for ever: [`follow`].

pub mod follow;
pub mod input;
pub mod lines;
pub mod listing;
pub mod notes;
pub mod place_file;
pub mod ring;
pub mod state;

use crate::exit::{ExitStatus, Failure};
use crate::modes::service::Service;
use crate::modes::stop::Stop;
use hog_ring::{Error as RingError, Group, GroupOptions, Resume, ShmGroup, Writer};
use input::{FileInput, Source, ring_name};
use lines::{Fed, feed};
use listing::Listings;
use notes::{Keeper, Notes};
use state::{Progress, Slot, State};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// The group to log to.
    pub group: String,
    /// Inputs in order; `-` is stdin. None: stdin. To be followed, they may be patterns.
    pub inputs: Vec<PathBuf>,
    /// Whether to go on at the end of a file, until it is time to end.
    pub follow: bool,
    /// The ring's name instead of the one made of the input's path.
    pub name: Option<String>,
    /// Capacity of new rings.
    pub ring_size: u64,
    /// Drop lines instead of waiting when a ring is full.
    pub unreliable: bool,
    /// Whether to go on where an earlier run stopped.
    pub resume: Resume,
    /// Where places are kept against reboots.
    pub store: PathBuf,
    /// That store was named on the command line, so it must be usable.
    pub store_is_asked: bool,
    /// Where rings are.
    pub shm_dir: PathBuf,
    /// With whom they are shared.
    pub shm_group: Option<ShmGroup>,
}

impl EngineOptions {
    /// Opens the group, and the keeper of places if any input `has_place`. Nothing is made before both are known to be possible.
    fn open(&self, stop: &Stop, looks: &Arc<AtomicU64>, has_place: bool) -> Result<(Group, Arc<Keeper>), Failure> {
        let mut group = GroupOptions::new(&self.group)
            .shm_dir(&self.shm_dir)
            .ring_size(self.ring_size)
            .timestamps(false) // one reading of the clock serves all lines of a read
            .stop_flag(stop.flag())
            .wait_count(Arc::clone(looks));
        if self.unreliable {
            group = group.unreliable();
        }
        if let Some(shm_group) = self.shm_group {
            group = group.shm_group(shm_group);
        }
        let keeper = if has_place && hog_ring::require_tmpfs(&self.shm_dir).is_ok() {
            Keeper::new(&self.store, self.store_is_asked, &self.group).map_err(|error| Failure::of(&error))?
        } else {
            Keeper::none()
        };
        let group = group.open().map_err(|error| ring::failure(&error))?;
        Ok((group, Arc::new(keeper)))
    }
}

/// From now on the engine reads: each of its `looks` whether it is time to end shows that it is well.
fn serve(service: &Service, looks: Arc<AtomicU64>) {
    let moves = move || looks.load(Ordering::Relaxed);
    service.hearts().watch("the reading of inputs", moves);
    service.is_ready();
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
    if options.follow {
        return follow::run(options, &stop, &looks, &service);
    }
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
    let has_place = sources.iter().any(|source| matches!(source, Source::File(_)));
    let (group, keeper) = options.open(&stop, &looks, has_place)?;
    serve(&service, looks);
    let mut status = ExitStatus::Done;
    for (path, source) in inputs.iter().zip(sources) {
        if stop.is_set() {
            break;
        }
        if log_input(options, &group, path, source, &keeper, &stop)? == Fed::Degraded {
            status = ExitStatus::Degraded;
        }
    }
    keeper.finish();
    Ok(status)
}

fn log_input(
    options: &EngineOptions,
    group: &Group,
    path: &Path,
    source: Source,
    keeper: &Arc<Keeper>,
    stop: &Stop,
) -> Result<Fed, Failure> {
    let fed = match source {
        Source::File(file) => log_file(options, group, file, keeper, stop),
        Source::Pipe(pipe) => {
            let mut writer = match &options.name {
                // A pipe has no place to go on at, so a named ring of it is never resumed.
                Some(name) => group.named_writer(name, Resume::Off),
                None => group.writer(),
            }
            .map_err(|error| ring::failure(&error))?;
            feed(&mut writer, pipe, b"-", None, stop).map(|fed| degraded_by_drops(fed, &writer, 0))
        }
    };
    match fed {
        Err(lines::FeedError::Ring(RingError::Stopped)) => Ok(Fed::Whole),
        Err(lines::FeedError::Ring(error)) => Err(ring::failure(&error)),
        Err(lines::FeedError::Read(source)) => Err(Failure::new(
            ExitStatus::Failed,
            format!("cannot read {}: {source}", path.display()),
        )),
        Ok(fed) => Ok(fed),
    }
}

/// A file that is logged to its end, once.
struct OneFile<'a> {
    writer: Writer,
    notes: Notes,
    state: State,
    label: Vec<u8>,
    stop: &'a Stop,
}

/// Logs a file from where an earlier run stopped, or from its beginning.
fn log_file(
    options: &EngineOptions,
    group: &Group,
    file: FileInput,
    keeper: &Arc<Keeper>,
    stop: &Stop,
) -> Result<Fed, lines::FeedError> {
    let name = options.name.clone().unwrap_or_else(|| ring_name(&file.path));
    let ring = ring::take(group, &name, &file.path, options.resume, keeper)?;
    let mut fed = if ring.is_foreign { Fed::Degraded } else { Fed::Whole };
    let mut one = OneFile {
        writer: ring.writer,
        notes: ring.notes,
        state: ring.state.unwrap_or_default(),
        label: file.label(),
        stop,
    };
    let mut start = 0;
    if let Some(mark) = one.state.current {
        if file.is_where(&mark)? {
            start = mark.offset;
        } else if let Some(earlier) = earlier_file(&file, &mark)? {
            info!(
                "{} was replaced: finishing {} first",
                file.path.display(),
                earlier.path.display()
            );
            fed = fed.and(one.feed(earlier, mark.offset)?);
            if stop.is_set() {
                return Ok(fed); // perhaps within the earlier file: the next run finishes it
            }
            one.state.finish(one.state.current.unwrap_or(mark));
        } else {
            warn!(
                "{} is not the file that was logged up to byte {}, and that one is not in its directory: \
                 what it had beyond is not logged, and this one is logged from its beginning",
                file.path.display(),
                mark.offset
            );
            fed = Fed::Degraded;
            one.state.done_with(&mark.file);
        }
    }
    fed = fed.and(one.feed(file, start)?);
    if options.unreliable {
        one.mark_drops(ring.dropped_before)?;
    }
    one.writer.commit();
    one.notes.publish_now(one.writer.synced());
    Ok(degraded_by_drops(fed, &one.writer, ring.dropped_before))
}

/// The file that was logged up to `mark`, in the directory of the one that has its name now.
fn earlier_file(file: &FileInput, mark: &state::Mark) -> std::io::Result<Option<FileInput>> {
    file.path.parent().map_or(Ok(None), |directory| {
        Listings::default().find(directory, mark, Instant::now())
    })
}

/// How long a run that dropped lines tries to say so in the stream.
const LAST_GAP: Duration = Duration::from_secs(2);

impl OneFile<'_> {
    fn feed(&mut self, file: FileInput, start: u64) -> Result<Fed, lines::FeedError> {
        let mut place = file.place(start)?;
        self.state.current = Some(place.mark());
        let progress = Progress {
            place: &mut place,
            state: &mut self.state,
            slot: Slot::Current,
        };
        let file = file.into_file_at(start)?;
        feed(
            &mut self.writer,
            file,
            &self.label,
            Some((progress, &mut self.notes)),
            self.stop,
        )
    }

    /// Puts what was dropped behind the last line that found room into the stream, and with it the place behind it.
    fn mark_drops(&mut self, dropped_before: u64) -> Result<(), RingError> {
        if self.writer.drops().0 == dropped_before {
            return Ok(());
        }
        let deadline = Instant::now() + LAST_GAP;
        while !self.writer.commit_state(&self.state.encode())? {
            if Instant::now() >= deadline || self.stop.wait(Duration::from_millis(5)) {
                warn!(
                    "the last lines that were dropped are not marked as such: the ring is full, and nobody drains it"
                );
                break;
            }
        }
        Ok(())
    }
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
