//! One `.log` file: made whole before it has a name, added to in commits, gone on with after a kill.
//!
//! What is written, and in which order, is decided in [`formats::fregion`](crate::formats::fregion); here it is done. A [`Door`] stands between, so that tests can look at the
//! file after each single write.

use crate::formats::fregion::commit::{Commit, Finished, reveal};
use crate::formats::fregion::fresh::{Contents, Fresh, OWN_PAGE_BYTES, OwnPage};
use crate::formats::fregion::geometry::{DATA_ENTRY, HEADER, PAGE_BYTES, PAGES_MAX, Write, entry_at, in_memory};
use crate::formats::fregion::heap::FileFull;
use crate::formats::fregion::state::{COPIES, HEAD_BYTES, Head, STATE_AT, State, candidates, head_at, is_synced};
use crate::os::disk::{DiskError, UpdateFile};
use thiserror::Error;
use uuid::Uuid;

/// What a file is written through.
pub(in crate::modes) trait Door {
    fn extend(&self, length: u64) -> Result<(), DiskError>;
    fn write_at(&self, bytes: &[u8], at: u64) -> Result<(), DiskError>;
    fn read_at(&self, out: &mut [u8], at: u64) -> Result<usize, DiskError>;
    fn sync(&self) -> Result<(), DiskError>;
}

impl Door for UpdateFile {
    fn extend(&self, length: u64) -> Result<(), DiskError> {
        self.extend(length)
    }
    fn write_at(&self, bytes: &[u8], at: u64) -> Result<(), DiskError> {
        self.write_at(bytes, at)
    }
    fn read_at(&self, out: &mut [u8], at: u64) -> Result<usize, DiskError> {
        self.read_at(out, at)
    }
    fn sync(&self) -> Result<(), DiskError> {
        self.sync()
    }
}

/// Why a file was not written or gone on with.
#[derive(Debug, Error)]
pub(in crate::modes) enum FileError {
    /// The disk did not do what it should.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is no room in the file.
    #[error(transparent)]
    Full(#[from] FileFull),
    /// It was not written by hog.
    #[error("it was not written by hog: name another file")]
    Foreign,
    /// It was, and what says how far is damaged.
    #[error("what it says of how far it was written is damaged: move it away, and it is made anew")]
    Damaged,
}

/// What a commit consists of.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// What readers do not find yet.
    Unseen,
    /// What says that it counts.
    State,
    /// What lets readers find it.
    Seen,
}

/// An open file.
#[derive(Debug)]
pub(in crate::modes) struct LogFile<D> {
    door: D,
    contents: Contents,
    state: State,
    boot: Uuid,
    /// The copies that are overwritten next: of those of each commit, and of those that were synced.
    next: [usize; 2],
}

impl<D: Door> LogFile<D> {
    /// Writes a new file whole, and syncs it. It has no name that readers know yet.
    pub(super) fn make(door: D, fresh: Fresh, boot: Uuid) -> Result<Self, FileError> {
        let Fresh {
            contents,
            state,
            writes,
        } = fresh;
        door.extend(state.pages * PAGE_BYTES)?;
        let mut file = Self {
            door,
            contents,
            state,
            boot,
            next: [0, COPIES / 2],
        };
        file.write_all(&writes)?;
        file.store_state(0)?;
        file.sync()?;
        Ok(file)
    }

    /// Goes on with a file: what its last commit added is shown to readers, if it was not yet, and what was written behind it does not count.
    pub(super) fn open(door: D, boot: Uuid) -> Result<Self, FileError> {
        let (header, page) = (read::<8>(&door, 0)?, read::<OWN_PAGE_BYTES>(&door, STATE_AT)?);
        if header != Some(HEADER) {
            return Err(FileError::Foreign);
        }
        let page = page.and_then(|page| OwnPage::decode(&page)).ok_or(FileError::Foreign)?;
        let definitions = read_many(&door, page.definitions_at, page.definitions_bytes)?;
        let contents = page.contents(&definitions).ok_or(FileError::Damaged)?;
        let heads = heads(&door)?;
        let (copy, state) = newest_state(&door, heads, boot)?.ok_or(FileError::Damaged)?;
        if !state.is_of(&contents) {
            return Err(FileError::Damaged);
        }
        // Of each pair the copy that counts is not the one to be overwritten.
        let number = |copy: usize| heads[copy].map_or(0, |head| head.number);
        let older_synced = (COPIES / 2..COPIES).min_by_key(|copy| number(*copy));
        let plain = if is_synced(copy) { 0 } else { copy ^ 1 };
        let mut file = Self {
            door,
            contents,
            state,
            boot,
            next: [plain, older_synced.unwrap_or(COPIES / 2)],
        };
        file.take_in_growth()?;
        file.write_all(&reveal(&file.contents, None, &file.state))?;
        Ok(file)
    }

    pub(super) fn contents(&self) -> &Contents {
        &self.contents
    }

    /// How far it is written.
    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// Additions to it.
    pub(super) fn additions(&self) -> Commit<'_> {
        Commit::new(&self.contents, self.state.clone())
    }

    /// Does what a commit wants done. When that fails, the file is to be opened anew before anything else is done with it.
    pub(super) fn commit(&mut self, finished: Finished) -> Result<(), FileError> {
        self.commit_in(finished, [Part::Unseen, Part::State, Part::Seen])
    }

    /// The same, in any order: tests see that every other one is noticed.
    fn commit_in(&mut self, finished: Finished, parts: [Part; 3]) -> Result<(), FileError> {
        let Finished { length, unseen, state } = finished;
        self.door.extend(length)?;
        let seen = reveal(&self.contents, Some(&self.state), &state);
        self.state = state;
        for part in parts {
            match part {
                Part::Unseen => self.write_all(&unseen)?,
                Part::State => self.store_state(0)?,
                Part::Seen => self.write_all(&seen)?,
            }
        }
        // As the original does: who watches the file is told.
        Ok(self.door.write_at(&HEADER[..1], 0)?)
    }

    /// Has the disk hold what was committed, and notes that.
    pub(super) fn sync(&mut self) -> Result<(), FileError> {
        self.door.sync()?;
        self.store_state(1)?;
        Ok(self.door.sync()?)
    }

    /// Stores the state in the first pair of copies or the second.
    fn store_state(&mut self, pair: usize) -> Result<(), FileError> {
        let copy = self.next[pair];
        self.write_all(&self.state.copy(copy, self.boot))?;
        self.next[pair] = copy ^ 1;
        Ok(())
    }

    fn write_all(&self, writes: &[Write]) -> Result<(), FileError> {
        for Write { at, bytes } in writes.iter().filter(|write| !write.bytes.is_empty()) {
            self.door.write_at(bytes, *at)?;
        }
        Ok(())
    }

    /// The table may name more pages than the state knows: they are pages like others, but after a loss of power the file may be shorter.
    fn take_in_growth(&mut self) -> Result<(), FileError> {
        let mut pages = self.state.pages.min(PAGES_MAX);
        while pages < PAGES_MAX && read::<2>(&self.door, entry_at(pages))? == Some(DATA_ENTRY.to_le_bytes()) {
            pages += 1;
        }
        self.state.pages = pages;
        Ok(self.door.extend(pages * PAGE_BYTES)?)
    }
}

/// The heads of all copies.
fn heads(door: &impl Door) -> Result<[Option<Head>; COPIES], DiskError> {
    let mut heads = [None; COPIES];
    for (copy, head) in heads.iter_mut().enumerate() {
        *head = read::<HEAD_BYTES>(door, head_at(copy))?.and_then(|bytes| Head::decode(&bytes));
    }
    Ok(heads)
}

/// The newest state that counts, and its place.
fn newest_state(
    door: &impl Door,
    heads: [Option<Head>; COPIES],
    boot: Uuid,
) -> Result<Option<(usize, State)>, DiskError> {
    for (copy, head) in candidates(heads, boot) {
        let body = read_many(door, head.body_at, head.body_bytes)?;
        if let Some(state) = State::decode(&head, &body) {
            return Ok(Some((copy, state)));
        }
    }
    Ok(None)
}

/// So many bytes; `None` if the file ends before.
fn read<const N: usize>(door: &impl Door, at: u64) -> Result<Option<[u8; N]>, DiskError> {
    let mut bytes = [0; N];
    Ok((door.read_at(&mut bytes, at)? == N).then_some(bytes))
}

/// As many of `length` bytes, which is bounded, as the file has.
fn read_many(door: &impl Door, at: u64, length: u64) -> Result<Vec<u8>, DiskError> {
    let mut bytes = vec![0; in_memory(length)];
    let read = door.read_at(&mut bytes, at)?;
    bytes.truncate(read);
    Ok(bytes)
}

#[cfg(test)]
mod tests;
