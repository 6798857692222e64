"""32-bit words that processes share: atomic exchanges, and the kernel's futexes.

Written from section 2.5 of the facts: an exchange is a full barrier; FUTEX_WAIT is 0, FUTEX_WAKE is 1, both without the
private flag. Python has no atomic exchange, so this brings the five instructions for it in a page of memory that may be
executed, for x86-64 alone. Where that cannot be had, `Unsupported` says why.
"""

import ctypes
import errno
import mmap
import platform

# mov eax, esi; xchg [rdi], eax; ret. An exchange with memory is locked without a prefix.
EXCHANGE = bytes.fromhex("89f0 8707 c3")
SYS_FUTEX = 202
FUTEX_WAIT, FUTEX_WAKE = 0, 1


class Unsupported(Exception):
    """This machine cannot play a producer or consumer of queues."""


class Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


def _exchange():
    if platform.machine() != "x86_64":
        raise Unsupported(f"no code for {platform.machine()}")
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError as error:
        raise Unsupported(f"no memory that may be executed: {error}") from error
    page.write(EXCHANGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return page, ctypes.PYFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32)(start)


_PAGE, _EXCHANGE = None, None
_LIBC = ctypes.CDLL(None, use_errno=True)


def prepare():
    """To be called before any other. Raises `Unsupported`."""
    global _PAGE, _EXCHANGE
    if _EXCHANGE is None:
        _PAGE, _EXCHANGE = _exchange()


def exchange(address, value):
    """Stores `value`, and gives what was there."""
    return _EXCHANGE(address, value)


def load(address):
    """An aligned load, which on this machine is one that acquires."""
    return ctypes.c_uint32.from_address(address).value


def wait(address, value, seconds):
    """Sleeps while the word is `value`, so long at most. False when the time was up."""
    whole = int(seconds)
    until = Timespec(whole, int((seconds - whole) * 1e9))
    ctypes.set_errno(0)
    word, value = ctypes.c_void_p(address), ctypes.c_uint32(value)
    _LIBC.syscall(ctypes.c_long(SYS_FUTEX), word, FUTEX_WAIT, value, ctypes.byref(until), None, 0)
    return ctypes.get_errno() != errno.ETIMEDOUT


def wake(address):
    """Wakes one that waits."""
    _LIBC.syscall(ctypes.c_long(SYS_FUTEX), ctypes.c_void_p(address), FUTEX_WAKE, 1, None, None, 0)
