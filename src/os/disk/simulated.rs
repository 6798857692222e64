//! A disk that is meaner than any real one, for harnesses that replay a run from a seed.
//!
//! It tells what processes see from what would survive a loss of power. A write is seen at once, and survives in any subset of its 512-byte sectors until
//! the file is synced; what a directory says of its names survives, in any prefix for each group of names that were renamed into each other, until the
//! directory is synced. To sync a file says nothing of its name. After a sync that failed, what it should have covered is lost, whatever a later sync
//! says. Faults are switched on and off by whoever simulates ([`Disk::set_faults`]); all chance comes from the seed.
//!
//! Every call passes points at which the calling process may be killed ([`hog_ring::simulation::point`]); a killed process gets nothing done any more.

mod file;
mod inode;
mod names;

pub(super) use file::File;

use super::kernel::Mode;
use hog_ring::simulation;
use inode::Inode;
use names::{Change, Node};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

thread_local! {
    static CURRENT: RefCell<Option<Disk>> = const { RefCell::new(None) };
}

/// Has this thread use `disk` for everything that goes through the door, or the kernel's again.
pub fn use_disk(disk: Option<Disk>) {
    CURRENT.set(disk);
}

/// The disk that this thread simulates.
pub(super) fn current() -> Option<Disk> {
    CURRENT.with_borrow(Clone::clone)
}

/// How often calls fail, each as one in so many; 0 is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Writes that fail, after some of their bytes.
    pub write: u32,
    /// Reads that fail.
    pub read: u32,
    /// Syncs of files that fail. What they should have covered is lost.
    pub sync: u32,
    /// Syncs of directories that fail.
    pub sync_directory: u32,
    /// Renames that fail.
    pub rename: u32,
    /// Bytes that the disk holds at most.
    pub capacity: Option<u64>,
}

/// A simulated disk; clones are the same one.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    random: fastrand::Rng,
    faults: Faults,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    /// Names as processes see them.
    names: BTreeMap<PathBuf, Node>,
    /// Names as they survive a loss of power.
    durable_names: BTreeMap<PathBuf, Node>,
    /// Changes of names since their directories were synced, oldest first.
    changes: Vec<Change>,
    /// Writes that hang: inode, offset, bytes.
    late: Vec<(u64, u64, Vec<u8>)>,
    syncs: u64,
    /// The sync at which the power fails, counted from 0, and whether what it covers is on disk by then.
    cut_at: Option<(u64, bool)>,
    is_cut: bool,
}

fn refused() -> io::Error {
    io::Error::other("the process was killed")
}

fn broken() -> io::Error {
    io::Error::from_raw_os_error(libc_eio())
}

fn libc_eio() -> i32 {
    rustix::io::Errno::IO.raw_os_error()
}

fn full() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error())
}

impl Disk {
    /// An empty disk whose chances follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let names = BTreeMap::from([(PathBuf::from("/"), Node::Directory)]);
        Self(Arc::new(Mutex::new(State {
            random: fastrand::Rng::with_seed(seed),
            faults: Faults::default(),
            inodes: BTreeMap::new(),
            next_inode: 1,
            durable_names: names.clone(),
            names,
            changes: Vec::new(),
            late: Vec::new(),
            syncs: 0,
            cut_at: None,
            is_cut: false,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call of a process that lives, which may be killed before it.
    fn enter(&self) -> io::Result<MutexGuard<'_, State>> {
        simulation::point();
        if simulation::is_killed() {
            return Err(refused());
        }
        let mut state = self.lock();
        if !state.late.is_empty() && state.random.u8(..8) == 0 {
            let (inode, offset, bytes) = state.late.remove(0);
            state.inode(inode)?.write(&bytes, offset);
        }
        Ok(state)
    }

    /// Writes that hang end: with all of their bytes, or, since their process is killed, some of the first.
    pub fn end_hanging_writes(&self) {
        let mut state = self.lock();
        for (inode, offset, bytes) in std::mem::take(&mut state.late) {
            let some = state.random.usize(0..=bytes.len());
            let written = if state.random.bool() { bytes.len() } else { some };
            if let Ok(inode) = state.inode(inode) {
                inode.write(&bytes[..written], offset);
            }
        }
    }

    /// How often calls fail from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// Has the disk room for so many bytes more from now on, or, `None`, for all.
    pub fn fill(&self, room: Option<u64>) {
        let mut state = self.lock();
        state.faults.capacity = room.map(|room| state.taken() + room);
    }

    /// Syncs of files and directories that were asked for.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// Has the power fail at a sync, counted from 0, of a file or a directory: before it, or once what it covers is on disk and before anybody knows. The process
    /// that calls it is killed; whoever simulates then asks [`Disk::was_cut`], and cuts the host's power.
    pub fn cut_power_at(&self, sync: u64, is_done: bool) {
        self.lock().cut_at = Some((sync, is_done));
    }

    /// Whether the power failed since this was last asked.
    pub fn was_cut(&self) -> bool {
        std::mem::take(&mut self.lock().is_cut)
    }

    /// A sync begins, or has been done: the power may fail.
    fn may_be_cut(&self, is_done: bool) {
        let mut state = self.lock();
        let number = state.syncs - u64::from(is_done);
        if state.cut_at != Some((number, is_done)) {
            return;
        }
        (state.cut_at, state.is_cut) = (None, true);
        drop(state);
        simulation::kill_here();
    }

    /// Flips one bit of a file, as rot does: processes see it, and it survives. Says whether there was such a byte.
    pub fn rot(&self, path: &Path, byte: usize, bit: u8) -> bool {
        let mut state = self.lock();
        let Some(Node::File(number)) = state.names.get(path).copied() else {
            return false;
        };
        let Some(inode) = state.inodes.get_mut(&number) else {
            return false;
        };
        let flip = |bytes: &mut Vec<u8>| bytes.get_mut(byte).map(|byte| *byte ^= 1 << (bit & 7)).is_some();
        let is_seen = flip(&mut inode.seen);
        flip(&mut inode.durable);
        is_seen
    }

    /// The files, by name, and how long each is.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let state = self.lock();
        let files = state.names.iter().filter_map(|(path, node)| match node {
            Node::File(inode) => Some((path.clone(), state.inodes.get(inode)?.seen.len() as u64)),
            Node::Directory => None,
        });
        files.collect()
    }

    /// A checksum of all names and files, as processes see them.
    #[must_use]
    pub fn digest(&self) -> u32 {
        let state = self.lock();
        let bytes = |node: &Node| match node {
            Node::File(inode) => state.inodes.get(inode).map_or(&[][..], |inode| &inode.seen),
            Node::Directory => &[],
        };
        state.names.iter().fold(0, |digest, (path, node)| {
            let digest = crc32c::crc32c_append(digest, path.as_os_str().as_encoded_bytes());
            crc32c::crc32c_append(digest, bytes(node))
        })
    }

    /// Writes the files, as processes see them, below the real directory `to`.
    ///
    /// # Errors
    /// When that cannot be done.
    pub fn dump(&self, to: &Path) -> io::Result<()> {
        let state = self.lock();
        for (path, node) in &state.names {
            let place = to.join(path.strip_prefix("/").unwrap_or(path));
            match node {
                Node::Directory => std::fs::create_dir_all(place)?,
                Node::File(inode) => {
                    let bytes = state.inodes.get(inode).map_or(&[][..], |inode| &inode.seen);
                    std::fs::write(place, bytes)?;
                }
            }
        }
        Ok(())
    }

    /// The power fails: of what was not synced any part may be there afterwards.
    pub fn cut_power(&self) {
        self.end_hanging_writes();
        let mut state = self.lock();
        state.cut_names();
        let State { random, inodes, .. } = &mut *state;
        for inode in inodes.values_mut() {
            inode.cut(random);
        }
        let named: BTreeSet<u64> = state.names.values().filter_map(Node::inode).collect();
        state.inodes.retain(|number, _| named.contains(number));
    }

    pub(super) fn open(&self, path: &Path, mode: Mode) -> io::Result<File> {
        let mut state = self.enter()?;
        let inode = match state.names.get(path).copied() {
            Some(Node::File(_)) if mode == Mode::New => return Err(ErrorKind::AlreadyExists.into()),
            Some(Node::File(inode)) => inode,
            Some(Node::Directory) => return Err(ErrorKind::IsADirectory.into()),
            None if mode == Mode::Read => return Err(ErrorKind::NotFound.into()),
            None => {
                state.require_parent(path)?;
                let inode = state.next_inode;
                state.next_inode += 1;
                state.inodes.insert(inode, Inode::default());
                state.change(Change::Set(path.to_owned(), Node::File(inode)));
                inode
            }
        };
        drop(state);
        Ok(File {
            disk: self.clone(),
            inode,
        })
    }

    pub(super) fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.may_be_cut(false);
        let mut state = self.enter()?;
        if state.names.get(path) != Some(&Node::Directory) {
            return Err(ErrorKind::NotFound.into());
        }
        state.syncs += 1;
        let one_in = state.faults.sync_directory;
        if state.chance(one_in) {
            return Err(broken());
        }
        let (synced, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut state.changes)
            .into_iter()
            .partition(|change| change.is_in(path));
        state.changes = rest;
        for change in synced {
            change.apply(&mut state.durable_names);
        }
        drop(state);
        self.may_be_cut(true);
        simulation::point();
        Ok(())
    }

    pub(super) fn make_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.enter()?;
        if state.names.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        state.require_parent(path)?;
        state.change(Change::Set(path.to_owned(), Node::Directory));
        Ok(())
    }

    pub(super) fn is_directory(&self, path: &Path) -> bool {
        self.lock().names.get(path) == Some(&Node::Directory)
    }

    pub(super) fn exists(&self, path: &Path) -> bool {
        self.lock().names.contains_key(path)
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.enter()?;
        let node = state.names.get(from).copied().ok_or(ErrorKind::NotFound)?;
        state.require_parent(to)?;
        let one_in = state.faults.rename;
        if state.chance(one_in) {
            return Err(broken());
        }
        state.change(Change::Rename(from.to_owned(), to.to_owned(), node));
        drop(state);
        simulation::point();
        Ok(())
    }

    pub(super) fn link(&self, path: &Path, second: &Path) -> io::Result<()> {
        let mut state = self.enter()?;
        let node = match state.names.get(path).copied() {
            Some(node @ Node::File(_)) => node,
            Some(Node::Directory) => return Err(ErrorKind::IsADirectory.into()),
            None => return Err(ErrorKind::NotFound.into()),
        };
        if state.names.contains_key(second) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        state.require_parent(second)?;
        state.change(Change::Set(second.to_owned(), node));
        drop(state);
        simulation::point();
        Ok(())
    }

    pub(super) fn is_same_file(&self, one: &Path, other: &Path) -> bool {
        let state = self.lock();
        state
            .names
            .get(one)
            .is_some_and(|one| state.names.get(other) == Some(one))
    }

    pub(super) fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut state = self.enter()?;
        match state.names.get(path) {
            Some(Node::File(_)) => state.change(Change::Remove(path.to_owned())),
            Some(Node::Directory) => return Err(ErrorKind::IsADirectory.into()),
            None => return Err(ErrorKind::NotFound.into()),
        }
        drop(state);
        simulation::point();
        Ok(())
    }

    pub(super) fn entries(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.enter()?;
        if state.names.get(path) != Some(&Node::Directory) {
            return Err(ErrorKind::NotFound.into());
        }
        let inside = |name: &&PathBuf| name.parent() == Some(path);
        Ok(state.names.keys().filter(inside).cloned().collect())
    }

    #[allow(clippy::unnecessary_wraps)] // as the kernel's
    pub(super) fn file_system_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(self.lock().faults.capacity.unwrap_or(1 << 40))
    }
}

impl State {
    fn chance(&mut self, one_in: u32) -> bool {
        one_in > 0 && self.random.u32(0..one_in) == 0
    }

    fn require_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent().and_then(|parent| self.names.get(parent)) {
            Some(Node::Directory) => Ok(()),
            Some(Node::File(_)) => Err(ErrorKind::NotADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn cut_names(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        names::cut(changes, &mut self.durable_names, &mut self.random);
        self.names = self.durable_names.clone();
    }

    fn taken(&self) -> u64 {
        let named: BTreeSet<u64> = self.names.values().filter_map(Node::inode).collect();
        let bytes = |number: &u64| {
            self.inodes
                .get(number)
                .map_or(0, |inode| (inode.seen.len() as u64).max(inode.allocated))
        };
        named.iter().map(bytes).sum()
    }

    /// How many of `more` further bytes there is room for.
    fn room_for(&self, more: u64) -> u64 {
        match self.faults.capacity {
            Some(capacity) => capacity.saturating_sub(self.taken()).min(more),
            None => more,
        }
    }
}

impl State {
    fn inode(&mut self, number: u64) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&number).ok_or_else(broken)
    }
}
