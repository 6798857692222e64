//! Groups: where a C program's rings lie, and how they behave when they are full.

use crate::outcome::{Outcome, argument, call};
use crate::pointer::{self, Place};
use hog_ring::{Group, GroupOptions, ShmGroup};
use std::ffi::{c_char, c_int};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// For hog_options.flags: drop and count when a ring is full, instead of waiting.
pub const HOG_UNRELIABLE: u32 = 1;
/// For hog_options.flags: do not stamp records with the time, which costs as much as the rest of a call.
pub const HOG_NO_TIMESTAMPS: u32 = 2;
/// For hog_options.flags: ask the kernel for the time of each record, instead of once a millisecond and the processor's counter in
/// between: slower, but exact, and a clock that is set is followed at once.
pub const HOG_KERNEL_CLOCK: u32 = 4;

const KNOWN_FLAGS: u32 = HOG_UNRELIABLE | HOG_NO_TIMESTAMPS | HOG_KERNEL_CLOCK;

/// What a program wants of its rings. All zeros are the defaults.
#[repr(C)]
pub struct hog_options {
    /// The directory on tmpfs below which rings lie. NULL: /dev/shm.
    pub shm_dir: *const c_char,
    /// Bytes of data in a new ring, a power of two from 64 KiB to 1 GiB. 0: 1 MiB.
    pub ring_size: u64,
    /// Name or number of the Unix group that may use the rings as well. NULL: none.
    pub shm_group: *const c_char,
    /// Any of HOG_UNRELIABLE, HOG_NO_TIMESTAMPS and HOG_KERNEL_CLOCK, or none.
    pub flags: u32,
    /// Zeros.
    pub reserved: [u32; 7],
}

/// A log that this process writes to. Any number of threads may use one at the same time.
pub struct hog_group {
    pub(crate) group: Group,
    stop: Arc<AtomicBool>,
}

/// Opens the group `name`: 1 to 64 of A-Z a-z 0-9 . _ -, not beginning with a dot. `options` may be NULL.
/// If the call fails, `*out` is NULL.
///
/// # Safety
/// All texts end with NUL; `options` is NULL or points at options; `out` is where the group's pointer goes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hog_group_open(
    name: *const c_char,
    options: *const hog_options,
    out: *mut *mut hog_group,
) -> c_int {
    call(|| {
        // SAFETY: the function's own contract.
        let place = unsafe { Place::at(out) }?;
        // SAFETY: as before.
        let name = unsafe { pointer::text(name, "name") }?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut wanted = GroupOptions::new(name).stop_flag(Arc::clone(&stop));
        // SAFETY: as before.
        if let Some(options) = unsafe { options.as_ref() } {
            // SAFETY: as before.
            wanted = unsafe { with_options(wanted, options) }?;
        }
        let group = wanted.open()?;
        place.give(hog_group { group, stop });
        Ok(())
    })
}

/// # Safety
/// The texts of `options` are null or end with NUL.
unsafe fn with_options(mut wanted: GroupOptions, options: &hog_options) -> Outcome<GroupOptions> {
    if options.reserved.iter().any(|&word| word != 0) || options.flags & !KNOWN_FLAGS != 0 {
        return Err(argument(
            "options that this version does not know: set the whole of hog_options to zero first",
        ));
    }
    // SAFETY: the caller's word.
    if let Some(shm_dir) = unsafe { pointer::text_or_null(options.shm_dir, "shm_dir") }? {
        wanted = wanted.shm_dir(shm_dir);
    }
    // SAFETY: the caller's word.
    if let Some(group) = unsafe { pointer::text_or_null(options.shm_group, "shm_group") }? {
        let group: ShmGroup = group.parse().map_err(|error| argument(format!("{error}")))?;
        wanted = wanted.shm_group(group);
    }
    if options.ring_size != 0 {
        wanted = wanted.ring_size(options.ring_size);
    }
    if options.flags & HOG_UNRELIABLE != 0 {
        wanted = wanted.unreliable();
    }
    Ok(wanted
        .timestamps(options.flags & HOG_NO_TIMESTAMPS == 0)
        .kernel_clock(options.flags & HOG_KERNEL_CLOCK != 0))
}

/// Ends every wait for room in this group's rings with HOG_ERR_STOPPED, within 100 ms, now and from now on. A signal
/// handler may call it.
///
/// # Safety
/// `group` is NULL or came from hog_group_open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hog_group_stop(group: *const hog_group) {
    // Neither allocates nor locks nor panics, so it needs no net.
    // SAFETY: the function's own contract.
    if let Some(group) = unsafe { group.as_ref() } {
        group.stop.store(true, Ordering::Relaxed);
    }
}

/// Closes a group. Writers that were opened in it go on. NULL is nothing.
///
/// # Safety
/// `group` is NULL or came from hog_group_open, and is used no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hog_group_close(group: *mut hog_group) {
    call(|| -> Outcome {
        // SAFETY: the function's own contract.
        unsafe { pointer::take(group) };
        Ok(())
    });
}
