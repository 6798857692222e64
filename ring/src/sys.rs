//! What the kernel and the C library offer only through raw calls: locks of open file descriptions, what a socket has not been
//! acknowledged, the fork hook, and the handler for SIGBUS; and the processor's counter of ticks.
//!
//! Together with `shm.rs` the only place with `unsafe`. Each function is safe to call; what it must hold for the raw call
//! inside is argued there.
//!
//! **SIGBUS.** Touching a mapped page past the end of its file raises SIGBUS. A reader must survive a ring that someone
//! shrinks, so it registers its mapping here before it reads. The handler lays an anonymous page of zeros over the
//! faulting one and marks the mapping as hit; the reader looks at the mark after each access and gives that ring up. A
//! fault anywhere else goes to whoever handled SIGBUS before.
#![allow(unsafe_code)]

use crate::limits::GUARDS_MAX;
use std::ffi::{c_int, c_short, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// A lock over a whole file, as `fcntl` wants it. `l_pid` must be 0 for locks of open file descriptions.
fn whole_file(kind: c_int) -> libc::flock {
    // SAFETY: `flock` is a C struct of integers, for which all zeros is a value.
    let mut lock: libc::flock = unsafe { MaybeUninit::zeroed().assume_init() };
    lock.l_type = c_short::try_from(kind).unwrap_or(c_short::MAX);
    lock.l_whence = c_short::try_from(libc::SEEK_SET).unwrap_or(0);
    lock
}

fn fcntl_lock(file: impl AsFd, command: c_int, lock: &mut libc::flock) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and these commands read or write one `flock`.
    match unsafe { libc::fcntl(file.as_fd().as_raw_fd(), command, ptr::from_mut(lock)) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Takes the exclusive lock of `file`'s open file description. `false`: another description has it.
pub(crate) fn try_lock(file: impl AsFd) -> io::Result<bool> {
    match fcntl_lock(file, libc::F_OFD_SETLK, &mut whole_file(libc::F_WRLCK)) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives the lock up, for every descriptor that shares the open file description, in forked children too.
pub(crate) fn unlock(file: impl AsFd) -> io::Result<()> {
    fcntl_lock(file, libc::F_OFD_SETLK, &mut whole_file(libc::F_UNLCK))
}

/// Whether another open file description has the lock.
pub(crate) fn is_locked_elsewhere(file: impl AsFd) -> io::Result<bool> {
    let mut lock = whole_file(libc::F_WRLCK);
    fcntl_lock(file, libc::F_OFD_GETLK, &mut lock)?;
    Ok(c_int::from(lock.l_type) != libc::F_UNLCK)
}

/// Which signal a broken lease sends. Not every C library's header has it; it is the same on all that Linux runs on but MIPS, PA-RISC and Alpha.
const F_SETSIG: c_int = 10;

/// Whether anybody else has `file` open or mapped, through an open file description other than this one. Only for its owner, or who may lease files of others.
///
/// The kernel gives a lease for writing only to who is alone with a file. It is given back at once. Who opens the file in between has us sent a signal, by default
/// SIGIO, which would end this process: so it is one that nobody heeds.
pub(crate) fn is_open_elsewhere(file: impl AsFd) -> io::Result<bool> {
    let descriptor = file.as_fd().as_raw_fd();
    let fcntl = |command: c_int, argument: c_int| {
        // SAFETY: the descriptor is open for as long as `file` is borrowed, and these commands take an integer.
        match unsafe { libc::fcntl(descriptor, command, argument) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    fcntl(F_SETSIG, libc::SIGURG)?;
    match fcntl(libc::F_SETLEASE, libc::F_WRLCK) {
        Ok(()) => fcntl(libc::F_SETLEASE, libc::F_UNLCK).map(|()| false),
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Process and user at the other end of a socket of this host, as they were when it was connected. The process is 0 if it is not in this pid namespace:
/// a value that rustix's type for it does not have.
pub(crate) fn peer_of(socket: impl AsFd) -> io::Result<(u32, u32)> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = libc::socklen_t::try_from(size_of::<libc::ucred>()).unwrap_or(0);
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and the kernel writes at most `len` bytes to `peer`, a C struct of integers.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            ptr::from_mut(&mut peer).cast(),
            &raw mut len,
        )
    };
    match answer {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok((u32::try_from(peer.pid).unwrap_or(0), peer.uid)),
    }
}

/// How many bytes were written to a TCP socket that its peer's kernel has not acknowledged, which the kernel knows also once the
/// connection is over.
///
/// # Errors
/// When it is no socket that could tell.
#[doc(hidden)]
pub fn unacknowledged(socket: impl AsFd) -> io::Result<u32> {
    let mut bytes: c_int = 0;
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and this request writes one `int`. (SIOCOUTQ is another name for it.)
    match unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, ptr::from_mut(&mut bytes)) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(bytes.unsigned_abs()),
    }
}

/// Closes a descriptor by its number. Only for the child of a fork, whose handles to it will never close it themselves.
pub(crate) fn close_in_child(descriptor: RawFd) {
    // SAFETY: the fork handler takes each number out of its table before it calls this, and the table holds only
    // descriptors whose owners know, by the fork's generation, that they must not close them.
    unsafe {
        libc::close(descriptor);
    }
}

/// Has `handler` called in each child of a fork of this process, before `fork` returns there. The handler may only do
/// what a signal handler may.
pub(crate) fn call_in_forked_child(handler: extern "C" fn()) -> io::Result<()> {
    // SAFETY: the handler is a function of the program's text, so it is there at every later fork.
    match unsafe { libc::pthread_atfork(None, None, Some(as_unsafe(handler))) } {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// The same function, as the C library's declaration wants it.
fn as_unsafe(handler: extern "C" fn()) -> unsafe extern "C" fn() {
    handler
}

/// A mapping that the handler protects.
struct Guarded {
    /// First byte; 0 while the place in the table is free, 1 while it is being filled.
    start: AtomicUsize,
    len: AtomicUsize,
    hit: AtomicBool,
}

const FREE: usize = 0;
const FILLING: usize = 1;

static GUARDED: [Guarded; GUARDS_MAX] = [const {
    Guarded {
        start: AtomicUsize::new(FREE),
        len: AtomicUsize::new(0),
        hit: AtomicBool::new(false),
    }
}; GUARDS_MAX];
/// Places in the table that were ever used, so that the handler need not look at all of them.
static GUARDED_USED: AtomicUsize = AtomicUsize::new(0);
static PAGE: AtomicUsize = AtomicUsize::new(0);
/// What handled SIGBUS before; never freed, since the handler may be reading it.
static FORMER: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());

/// A registration in the table; given up on drop, which must come before the mapping's end.
#[derive(Debug)]
pub(crate) struct Guard {
    place: usize,
}

impl Guard {
    /// Registers `len` bytes at `start`. `None`: the table is full.
    pub(crate) fn new(start: usize, len: usize) -> Option<Guard> {
        for (place, entry) in GUARDED.iter().enumerate() {
            // Relaxed: whoever fills a place touches nothing that its former user still could.
            if entry
                .start
                .compare_exchange(FREE, FILLING, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
            {
                entry.hit.store(false, Ordering::Relaxed);
                entry.len.store(len, Ordering::Relaxed);
                // Release: pairs with the handler's Acquire load, which then sees this length.
                entry.start.store(start, Ordering::Release);
                GUARDED_USED.fetch_max(place + 1, Ordering::Release);
                return Some(Guard { place });
            }
        }
        None
    }

    /// Whether a page of the mapping was replaced because the file had lost it.
    #[inline]
    pub(crate) fn is_hit(&self) -> bool {
        // Relaxed: the handler ran on this thread, between its faulting access and this load.
        GUARDED[self.place].hit.load(Ordering::Relaxed)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        GUARDED[self.place].start.store(FREE, Ordering::Release);
    }
}

/// Installs the handler, once for the process.
pub(crate) fn install_sigbus_handler() -> io::Result<()> {
    static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();
    let outcome = INSTALLED.get_or_init(|| install().map_err(|error| error.raw_os_error().unwrap_or(libc::EINVAL)));
    outcome.map_err(io::Error::from_raw_os_error)
}

fn install() -> io::Result<()> {
    PAGE.store(rustix::param::page_size(), Ordering::Relaxed);
    // SAFETY: `sigaction` is a C struct for which all zeros is a value: no flags, empty mask, default action.
    let mut former: Box<libc::sigaction> = Box::new(unsafe { MaybeUninit::zeroed().assume_init() });
    // SAFETY: a null new action only asks for the present one, which is written to `former`.
    if unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), ptr::from_mut(former.as_mut())) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // Release: pairs with the handler's Acquire load. Leaked on purpose, see FORMER.
    FORMER.store(Box::into_raw(former), Ordering::Release);
    // SAFETY: as above.
    let mut ours: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    ours.sa_sigaction = on_sigbus as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as usize;
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: `ours` is a whole sigaction, whose handler does only what a signal handler may.
    match unsafe { libc::sigaction(libc::SIGBUS, ptr::from_ref(&ours), ptr::null_mut()) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

extern "C" fn on_sigbus(_signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel passes a whole siginfo to a handler with SA_SIGINFO; for SIGBUS it holds the faulting address.
    let address = unsafe { (*info).si_addr() } as usize;
    if !patch(address) {
        let former = FORMER.load(Ordering::Acquire);
        // SAFETY: FORMER was set before this handler was installed, and is never freed. Its action then gets the fault
        // that the same access raises again on return.
        unsafe {
            libc::sigaction(libc::SIGBUS, former, ptr::null_mut());
        }
    }
}

/// Lays a page of zeros over the one at `address` if it belongs to a guarded mapping.
fn patch(address: usize) -> bool {
    let used = GUARDED_USED.load(Ordering::Acquire);
    for entry in GUARDED.iter().take(used) {
        let start = entry.start.load(Ordering::Acquire);
        if start <= FILLING || address < start || address - start >= entry.len.load(Ordering::Relaxed) {
            continue;
        }
        let page = PAGE.load(Ordering::Relaxed);
        let address = address & !(page - 1);
        // SAFETY: this thread just touched that page inside a mapping which its owner registered and has not dropped,
        // so nothing else can lie there. `errno` is the interrupted code's and is put back.
        let patched = unsafe {
            let errno = libc::__errno_location();
            let saved = *errno;
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
            let mapped = libc::mmap(address as *mut c_void, page, protection, flags, -1, 0);
            *errno = saved;
            mapped != libc::MAP_FAILED
        };
        if patched {
            entry.hit.store(true, Ordering::Relaxed);
        }
        return patched;
    }
    false
}

/// The processor's counter of ticks; 0 where [`has_even_ticks`] says no for good.
#[inline]
pub(crate) fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction. A process that may not use it cannot ask the kernel for the time either, which reads the
    // same counter in this process.
    return unsafe { std::arch::x86_64::_rdtsc() };
    #[cfg(not(target_arch = "x86_64"))]
    0
}

/// Whether [`ticks`] runs at one rate, in sleep and on every processor alike: the processor says so, and the kernel has not found otherwise, since it keeps time
/// by it.
pub(crate) fn has_even_ticks() -> bool {
    is_counter_invariant() && is_clock_source("tsc")
}

#[cfg(target_arch = "x86_64")]
fn is_counter_invariant() -> bool {
    use std::arch::x86_64::__cpuid;
    const HIGHEST: u32 = 0x8000_0000;
    const POWER: u32 = 0x8000_0007;
    const INVARIANT_TSC: u32 = 1 << 8;
    __cpuid(HIGHEST).eax >= POWER && __cpuid(POWER).edx & INVARIANT_TSC != 0
}

#[cfg(not(target_arch = "x86_64"))]
fn is_counter_invariant() -> bool {
    false
}

/// Whether the kernel keeps time by the counter of that name. Where it does not say (no sysfs), it might be another.
fn is_clock_source(name: &str) -> bool {
    let source = std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    source.is_ok_and(|source| source.trim() == name)
}

/// Waits until `word` is no longer `seen`, someone wakes it, or `timeout` passed. Waits less rather than more: callers
/// look at what they wait for again, whatever ended the wait.
pub(crate) fn futex_wait(word: &AtomicU32, seen: u32, timeout: std::time::Duration) {
    let timeout = rustix::thread::futex::Timespec::try_from(timeout).ok();
    // Not private: the other side is another process. Any error (EAGAIN, EINTR, ETIMEDOUT) ends the wait.
    let _ = rustix::thread::futex::wait(word, rustix::thread::futex::Flags::empty(), seen, timeout.as_ref());
}

/// Wakes everyone who waits on `word`.
pub(crate) fn futex_wake(word: &AtomicU32) {
    // It fails only for a bad address, and then nobody can be waiting there.
    let _ = rustix::thread::futex::wake(word, rustix::thread::futex::Flags::empty(), i32::MAX as u32);
}
