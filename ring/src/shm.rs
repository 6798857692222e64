//! Shared memory: mappings of ring files, of the doorbell and of the original's queues, and every access to them.
//!
//! Invariants of a [`Mapping`], on which all unsafe code below rests:
//! 1. `base` is the start of `header + 2 * capacity` mapped bytes, which stay mapped until it is dropped (a doorbell's is one
//!    page: `header` is 4096 and `capacity` 0). The file was at least that long when it was mapped.
//! 2. The data is mapped twice in a row: for every position, `capacity` bytes follow it without a wrap.
//! 3. Words of the header are only ever accessed as atomics, by every process.
//! 4. Bytes at and above the published tail belong to the ring's one writer, the process that holds its lock and its
//!    owner word; bytes between head and tail are not written by anyone. A process that breaks this spoils its
//!    own ring's records; readers copy them out word by word and judge the copy, so nothing worse follows.
//! 5. A writer's mapping does not exist in a forked child. Its handles know that by the generation and never get here.
//!
//! A [`QueueMapping`] is the whole file of a queue of version 2, once. All of it, control words and pages alike, is accessed by atomics alone, since its
//! producer is a program of somebody else's that writes while we read.
#![allow(unsafe_code)]

use crate::layout::{DOORBELL_LEN, HEADER_AREA, STATE_COPIES};
use crate::limits::{POPULATE_MAX, index, is_capacity};
use crate::{fork, sys};
use rustix::mm::{Advice, MapFlags, ProtFlags};
use std::ffi::c_void;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The control words of every kind of file lie below this offset.
const WORDS_END: usize = 4096;

/// Bytes that a processor fetches from memory at once.
const LINE: usize = 64;
/// So far ahead of what is copied memory is asked for what comes next. Processors do that by themselves, but not across the end of a page.
const FETCHED_AHEAD: usize = 4096;

const _: () = assert!(WORDS_END <= DOORBELL_LEN && WORDS_END <= HEADER_AREA && WORDS_END <= STATE_COPIES[0]);

/// A file's header, and a ring's data twice in a row, in memory.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    header: usize,
    capacity: usize,
    guard: Option<sys::Guard>,
    /// Set for a writer's mapping: the generation in which it exists.
    generation: Option<u64>,
}

// SAFETY: the mapping belongs to the process, not to a thread, and nothing in it depends on which one uses it.
unsafe impl Send for Mapping {}
// SAFETY: a shared Mapping gives out atomics and copies made by atomic loads. Plain writes need `&mut RingMemory`.
unsafe impl Sync for Mapping {}

/// Who maps a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Party {
    Reader,
    Writer,
}

impl Mapping {
    /// Maps a ring to read its data. The mapping survives a file that shrinks, see [`Self::is_shrunk`].
    pub(crate) fn of_reader(file: impl AsFd, capacity: u64) -> io::Result<Mapping> {
        sys::install_sigbus_handler()?;
        let mut mapping = Mapping::of_ring(file, capacity, Party::Reader)?;
        let guard = sys::Guard::new(mapping.base.as_ptr() as usize, mapping.len());
        mapping.guard = Some(guard.ok_or_else(|| io::Error::other("too many rings are open for reading"))?);
        Ok(mapping)
    }

    /// Maps a doorbell, a file of one page. It may be shared with forked children.
    pub(crate) fn of_doorbell(file: impl AsFd) -> io::Result<Mapping> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let base = unsafe { rustix::mm::mmap(ptr::null_mut(), DOORBELL_LEN, protection, MapFlags::SHARED, file, 0) }?;
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        // A doorbell that shrinks only stops ringing, in a process that handles SIGBUS. No guard is no reason to fail.
        let guard = sys::Guard::new(base.as_ptr() as usize, DOORBELL_LEN);
        Ok(Mapping {
            base,
            header: DOORBELL_LEN,
            capacity: 0,
            guard,
            generation: None,
        })
    }

    fn of_ring(file: impl AsFd, capacity: u64, party: Party) -> io::Result<Mapping> {
        if !is_capacity(capacity) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let data = index(capacity);
        let whole = HEADER_AREA + 2 * data;
        // SAFETY: reserves fresh addresses of the kernel's choice; nothing that exists is touched.
        let base =
            unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), whole, ProtFlags::empty(), MapFlags::PRIVATE) }?;
        let base = NonNull::new(base.cast::<u8>()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        let generation = (party == Party::Writer).then(fork::generation);
        // From here on, dropping it gives the reservation back.
        let mapping = Mapping {
            base,
            header: HEADER_AREA,
            capacity: data,
            guard: None,
            generation,
        };
        let read_write = ProtFlags::READ | ProtFlags::WRITE;
        let (of_data, populate) = match party {
            Party::Reader => (ProtFlags::READ, MapFlags::empty()),
            Party::Writer if capacity <= POPULATE_MAX => (read_write, MapFlags::POPULATE),
            Party::Writer => (read_write, MapFlags::empty()),
        };
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        mapping.lay(&file, 0, HEADER_AREA, 0, read_write, flags)?;
        mapping.lay(&file, HEADER_AREA, data, HEADER_AREA as u64, of_data, flags | populate)?;
        mapping.lay(
            &file,
            HEADER_AREA + data,
            data,
            HEADER_AREA as u64,
            of_data,
            flags | populate,
        )?;
        if party == Party::Writer {
            // SAFETY: exactly the mapping made above; it changes nothing in this process.
            unsafe { rustix::mm::madvise(mapping.base.as_ptr().cast(), whole, Advice::LinuxDontFork) }?;
        }
        Ok(mapping)
    }

    /// Lays `len` bytes of the file from offset `from` over the reservation at offset `at`.
    fn lay(
        &self,
        file: impl AsFd,
        at: usize,
        len: usize,
        from: u64,
        protection: ProtFlags,
        flags: MapFlags,
    ) -> io::Result<()> {
        assert!(at + len <= self.len());
        // SAFETY: by the assertion [at, at + len) lies within this mapping's own reservation, to which nobody has a
        // reference yet, since the Mapping is still being made.
        unsafe {
            let place: *mut c_void = self.base.as_ptr().add(at).cast();
            rustix::mm::mmap(place, len, protection, flags, file, from)?;
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.header + 2 * self.capacity
    }

    /// Bytes of data, 0 for a doorbell.
    #[inline]
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity as u64
    }

    /// Whether the file was found shorter than its mapping. Every value read since may be zeros instead.
    #[inline]
    pub(crate) fn is_shrunk(&self) -> bool {
        self.guard.as_ref().is_some_and(sys::Guard::is_hit)
    }

    /// The control word at an offset that `layout.rs` names.
    #[inline]
    pub(crate) fn word32(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset <= WORDS_END - 4);
        // SAFETY: in bounds and aligned by the assertion and invariant 1, atomic for everyone by invariant 3, and the
        // reference cannot outlive the mapping.
        unsafe { AtomicU32::from_ptr(self.base.as_ptr().add(offset).cast()) }
    }

    /// As [`Self::word32`], for words of 8 bytes.
    #[inline]
    pub(crate) fn word64(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset <= WORDS_END - 8);
        // SAFETY: as in word32.
        unsafe { AtomicU64::from_ptr(self.base.as_ptr().add(offset).cast()) }
    }

    /// Copies header bytes out, beginning at a multiple of 8.
    pub(crate) fn copy_header(&self, offset: usize, out: &mut [u8]) {
        assert!(offset.is_multiple_of(8) && offset + out.len().next_multiple_of(8) <= self.header);
        self.copy_words(offset, out);
    }

    /// Copies `out.len()` bytes of data out, beginning at `position`. `false`: the position is not a multiple of 8, or the
    /// ring is not that large.
    #[must_use]
    pub(crate) fn copy_data(&self, position: u64, out: &mut [u8]) -> bool {
        let place = self.place_of(position, out.len());
        if let Some(offset) = place {
            self.copy_words(offset, out);
        }
        place.is_some()
    }

    /// The same for `len` bytes, a multiple of 8, which come to the end of `out`; the `more` bytes behind them are fetched meanwhile.
    #[must_use]
    pub(crate) fn copy_data_onto(&self, position: u64, len: usize, more: usize, out: &mut Vec<u8>) -> bool {
        let Some(offset) = self.place_of(position, len).filter(|_| len.is_multiple_of(8)) else {
            return false;
        };
        out.reserve(len);
        let fetched_to = offset.saturating_add(len).saturating_add(more);
        let room = out.spare_capacity_mut()[..len].as_chunks_mut().0;
        for (line, words) in room.chunks_mut(LINE / 8).enumerate() {
            let at = offset + line * LINE;
            if at + FETCHED_AHEAD < fetched_to {
                self.fetch(at + FETCHED_AHEAD);
            }
            for (number, word) in words.iter_mut().enumerate() {
                *word = self.load(at, number).to_le_bytes().map(MaybeUninit::new);
            }
        }
        // SAFETY: the loop wrote all `len` bytes behind those that there were, since `len` is a multiple of 8.
        unsafe { out.set_len(out.len() + len) };
        true
    }

    /// Has the processor fetch the line at an offset into its cache while it does other things. Where it cannot be told to, it does not.
    #[inline]
    fn fetch(&self, offset: usize) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint, which reads nothing that a program could see and fails at no address, mapped or not.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(self.base.as_ptr().wrapping_add(offset).cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = offset;
    }

    /// Where in the mapping the `len` bytes at `position` begin, if they may be there.
    fn place_of(&self, position: u64, len: usize) -> Option<usize> {
        let is_within = position.is_multiple_of(8) && self.capacity > 0 && len <= self.capacity;
        is_within.then(|| self.header + (index(position) & (self.capacity - 1)))
    }

    /// `offset` is a multiple of 8, and `out.len()` bytes follow it in the mapping.
    fn copy_words(&self, offset: usize, out: &mut [u8]) {
        debug_assert!(offset.is_multiple_of(8) && offset + out.len() <= self.len());
        let words = out.len() / 8;
        let (whole, rest) = out.split_at_mut(words * 8);
        for (at, chunk) in whole.as_chunks_mut().0.iter_mut().enumerate() {
            *chunk = self.load(offset, at).to_le_bytes();
        }
        if !rest.is_empty() {
            rest.copy_from_slice(&self.load(offset, words).to_le_bytes()[..rest.len()]);
        }
    }

    /// The word of 8 bytes that is number `at` from `offset` on, a multiple of 8. The callers keep both within the mapping.
    #[inline]
    fn load(&self, offset: usize, at: usize) -> u64 {
        debug_assert!(offset.is_multiple_of(8) && offset + 8 * at + 8 <= self.len());
        // SAFETY: the callers keep the range within the mapping (invariants 1 and 2), whose length is a multiple of 8;
        // base and offset are too, so the word is aligned and in bounds. Atomic, so that a process which writes
        // here against the rules makes the copy wrong and not this program. Relaxed: the caller's acquire of `tail`
        // orders it.
        unsafe { AtomicU64::from_ptr(self.base.as_ptr().add(offset).cast::<u64>().add(at)).load(Ordering::Relaxed) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.generation.is_some_and(|made| made != fork::generation()) {
            return; // In this forked child it never existed; by now something else may lie there.
        }
        self.guard = None; // First: the handler must not patch what is no longer ours.
        // SAFETY: by invariant 1 exactly what was mapped; every reference into it was bound to `self`. It fails only for
        // bad arguments, and then the memory stays mapped.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len()) };
    }
}

/// A writer's view of its ring: the mapping, and the right to write what is not published (invariant 4).
#[derive(Debug)]
pub(crate) struct RingMemory {
    mapping: Mapping,
}

impl RingMemory {
    /// Maps a ring to write it. The caller holds the ring's lock.
    pub(crate) fn new(file: impl AsFd, capacity: u64) -> io::Result<RingMemory> {
        Ok(RingMemory {
            mapping: Mapping::of_ring(file, capacity, Party::Writer)?,
        })
    }

    /// The `len` bytes at `position`, which are above the published tail and below head + capacity.
    #[inline]
    pub(crate) fn span(&mut self, position: u64, len: usize) -> &mut [u8] {
        let capacity = self.mapping.capacity;
        assert!(len <= capacity);
        let offset = index(position) & (capacity - 1);
        // SAFETY: offset < capacity and len <= capacity, so it ends within the second mapping of the data (invariants 1
        // and 2) and no byte of the file appears twice in it. Nobody else reads or writes it (invariant 4), and in this
        // process `&mut self` makes it the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.mapping.base.as_ptr().add(self.mapping.header + offset), len) }
    }

    /// Overwrites header bytes that no control word lies in: a copy of the resume state.
    pub(crate) fn write_header(&mut self, offset: usize, bytes: &[u8]) {
        assert!(offset >= STATE_COPIES[0] && offset + bytes.len() <= self.mapping.header);
        // SAFETY: in bounds by the assertion; only the writer touches these bytes while it lives, and an heir or a
        // reader that looks at them all the same copies them by atomic loads and checks their CRC.
        unsafe {
            let place = self.mapping.base.as_ptr().add(offset);
            ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len());
        }
    }
}

impl std::ops::Deref for RingMemory {
    type Target = Mapping;

    #[inline]
    fn deref(&self) -> &Mapping {
        &self.mapping
    }
}

/// The file of a queue of version 2 in memory, whole. It survives a file that shrinks, as a reader's [`Mapping`] does.
#[derive(Debug)]
pub(crate) struct QueueMapping {
    base: NonNull<u8>,
    /// A multiple of 8, as mapped.
    len: usize,
    guard: Option<sys::Guard>,
}

// SAFETY: as for Mapping: nothing in it depends on the thread that uses it.
unsafe impl Send for QueueMapping {}
// SAFETY: it gives out atomics, and copies made by atomic loads and stores, nothing else.
unsafe impl Sync for QueueMapping {}

impl QueueMapping {
    /// Maps the first `len` bytes of `file`, which are there.
    pub(crate) fn new(file: impl AsFd, len: usize) -> io::Result<QueueMapping> {
        if len == 0 || !len.is_multiple_of(8) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        sys::install_sigbus_handler()?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let base = unsafe { rustix::mm::mmap(ptr::null_mut(), len, protection, MapFlags::SHARED, file, 0) }?;
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        let mut mapping = QueueMapping { base, len, guard: None };
        let guard = sys::Guard::new(mapping.base.as_ptr() as usize, len);
        mapping.guard = Some(guard.ok_or_else(|| io::Error::other("too many rings are open for reading"))?);
        Ok(mapping)
    }

    /// As [`Mapping::is_shrunk`].
    #[inline]
    pub(crate) fn is_shrunk(&self) -> bool {
        self.guard.as_ref().is_some_and(sys::Guard::is_hit)
    }

    /// The word of 4 bytes at `offset`.
    #[inline]
    pub(crate) fn word32(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset <= self.len - 4);
        // SAFETY: in bounds and aligned by the assertion, since the base is a page's; every access of this process is atomic,
        // and the reference cannot outlive the mapping.
        unsafe { AtomicU32::from_ptr(self.base.as_ptr().add(offset).cast()) }
    }

    /// Copies bytes out. `offset` is a multiple of 8, and the length, rounded up to one, is within the file.
    pub(crate) fn copy(&self, offset: usize, out: &mut [u8]) {
        for (at, chunk) in out.chunks_mut(8).enumerate() {
            // Relaxed: the caller's acquire of `wi` orders it.
            let word = self.word64(offset + 8 * at).load(Ordering::Relaxed).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }

    /// The same for `len` bytes, which come to the end of `out`.
    pub(crate) fn copy_onto(&self, offset: usize, len: usize, out: &mut Vec<u8>) {
        let whole = len.next_multiple_of(8);
        assert!(offset.is_multiple_of(8) && offset <= self.len && whole <= self.len - offset);
        out.reserve(whole);
        let room = out.spare_capacity_mut()[..whole].as_chunks_mut::<8>().0;
        for (at, chunk) in room.iter_mut().enumerate() {
            // SAFETY: `whole` bytes from `offset` on are within the file, as was asserted, and the word is one of them, aligned as both are to 8; atomic as in
            // word32. Relaxed: as in `copy`.
            let word = unsafe { AtomicU64::from_ptr(self.base.as_ptr().add(offset).cast::<u64>().add(at)) };
            *chunk = word.load(Ordering::Relaxed).to_le_bytes().map(MaybeUninit::new);
        }
        // SAFETY: the loop wrote at least `len` bytes behind those that there were.
        unsafe { out.set_len(out.len() + len) };
    }

    /// Writes bytes, as a producer does before it publishes them; bounds as of [`Self::copy`].
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        for (at, chunk) in bytes.chunks(8).enumerate() {
            let word = self.word64(offset + 8 * at);
            // Of a word that is written in part the rest stays what it is: this process is the only one that writes there.
            let mut whole = word.load(Ordering::Relaxed).to_le_bytes();
            whole[..chunk.len()].copy_from_slice(chunk);
            word.store(u64::from_le_bytes(whole), Ordering::Relaxed);
        }
    }

    #[inline]
    fn word64(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset <= self.len - 8);
        // SAFETY: as in word32.
        unsafe { AtomicU64::from_ptr(self.base.as_ptr().add(offset).cast()) }
    }
}

impl Drop for QueueMapping {
    fn drop(&mut self) {
        self.guard = None; // First: the handler must not patch what is no longer ours.
        // SAFETY: exactly what was mapped, and every reference into it was bound to `self`.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}
