//! A producer: logs numbers until it is killed, and notes how many calls have returned.

use anyhow::{Context, Result, bail};
use hog_ring::{GroupOptions, Resume, Statement, Writer, statement};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The group of all sources.
pub(crate) const GROUP: &str = "soak";

static RECORD: Statement<(&str, u64, u64)> = statement!("record", "$source $run $number", source, run, number);

/// Records between two pauses, and how long a pause is: some thousands a second.
const BURST: u64 = 100;
const PAUSE: Duration = Duration::from_millis(40);

/// How a producer logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// A named ring; each record with the state that the next run goes on from.
    State,
    /// The same, by transactions of several records.
    Transactions,
    /// A new ring for each run.
    Runs,
}

impl Manner {
    /// All of them, with the names of their sources.
    pub(crate) const ALL: [(Manner, &str); 3] = [
        (Manner::State, "state"),
        (Manner::Transactions, "transactions"),
        (Manner::Runs, "runs"),
    ];
}

/// Where a source notes how many records it has logged in a run.
pub(crate) fn note_path(directory: &Path, source: &str, run: u64) -> PathBuf {
    directory.join(format!("{source}.{run}"))
}

/// Plays the producer that `role` describes: source, run, rings, notes.
pub(crate) fn play(role: &[String]) -> Result<()> {
    let [source, run, shm_dir, notes] = role else {
        bail!("a producer is told four things")
    };
    let run: u64 = run.parse()?;
    let (manner, source) = Manner::ALL
        .into_iter()
        .find(|(_, name)| name == source)
        .context("no such producer")?;
    let group = GroupOptions::new(GROUP).shm_dir(shm_dir).ring_size(256 << 10).open()?;
    match manner {
        Manner::Runs => log_run(group.writer()?, source, run, &note_path(Path::new(notes), source, run)),
        _ => log_on(
            group.named_writer(source, Resume::Auto)?,
            manner,
            source,
            &note_path(Path::new(notes), source, 0),
        ),
    }
}

fn note(file: &File, count: u64) -> Result<()> {
    Ok(file.write_all_at(&count.to_le_bytes(), 0)?)
}

fn log_run(mut writer: Writer, source: &str, run: u64, notes: &Path) -> Result<()> {
    let file = File::create_new(notes)?;
    for number in 0.. {
        writer.log(&RECORD, (source, run, number))?;
        note(&file, number + 1)?;
        if number % BURST == 0 {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}

fn log_on(mut writer: Writer, manner: Manner, source: &str, notes: &Path) -> Result<()> {
    let file = File::options().create(true).truncate(false).write(true).open(notes)?;
    let mut next = match writer.recovered() {
        Some(recovered) => u64::from_le_bytes(recovered.state.as_slice().try_into()?),
        None => 0,
    };
    loop {
        let end = next + BURST;
        while next < end {
            if manner == Manner::State {
                writer.set_state(&(next + 1).to_le_bytes())?;
                writer.log(&RECORD, (source, 0, next))?;
                next += 1;
            } else {
                // Every hundredth is too long for one piece.
                let len = if next.is_multiple_of(100) { 700 } else { 1 + next % 7 };
                let mut transaction = writer.transaction();
                for number in next..next + len {
                    transaction.log(&RECORD, (source, 0, number))?;
                }
                transaction.set_state(&(next + len).to_le_bytes())?;
                transaction.commit()?;
                next += len;
            }
            note(&file, next)?;
        }
        std::thread::sleep(PAUSE);
    }
}
