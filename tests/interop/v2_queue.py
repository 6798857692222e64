"""A queue of version 2 in shared memory, from its writer's side and from its reader's.

Written from sections 2.1, 2.3 and 2.5 of the facts. `Writer` is what a thread of an application does, `Reader` what the
original recorder does. What the facts call a defect is not imitated: a writer that finds the wait state 2 goes on.
"""

import ctypes
import mmap
import os
import struct
import time

import shared_words
from hobbes_statements import RELIABLE
from hobbes_types import Malformed

PAGE = 4096
CAPACITY = PAGE - 4
TENTATIVE, CONT, COMMIT, ROLLBACK = range(4)
FUTEX_TIMEOUT = 0.01
SPIN_ROUNDS = 8


def align(size):
    return -(-size // PAGE) * PAGE


class Mapping:
    """The words and slots of a queue's file."""

    def __init__(self, file, size):
        self.map = mmap.mmap(file, size, mmap.MAP_SHARED)
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        ready, _, slot, self.count, metadata = struct.unpack_from("<IIQQQ", self.map, 0)
        self.is_ready = ready == 1
        self.slot_bytes = slot
        self.data = align(32 + metadata)
        self.metadata = bytes(self.map[32 : 32 + metadata])
        self.wstate, self.ri, self.wi = (self.base + self.data + at for at in (0, 4, 8))

    def slot(self, number):
        """Where slot `number` begins in the file: 16 bytes behind a page's beginning."""
        return self.data + 16 + number * self.slot_bytes

    def footer(self, number):
        """Where its footer is, in memory."""
        return self.base + self.slot(number) + self.slot_bytes - 4


def create(path, metadata, pages):
    """A new queue of that name, in place of a former one. `pages` is the macro's second argument."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    count = 1 + len(metadata) // PAGE + max(pages, 10)
    data = align(32 + len(metadata))
    size = data + align(16 + PAGE * count)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    os.ftruncate(file, size)
    with mmap.mmap(file, size, mmap.MAP_SHARED) as head:
        struct.pack_into("<IIQQQ", head, 0, 0, 0, PAGE, count, len(metadata))
        head[32 : 32 + len(metadata)] = metadata
    mapping = Mapping(file, size)
    os.close(file)
    shared_words.exchange(mapping.base, 1)
    mapping.is_ready = True
    return mapping


def open_existing(path):
    """The queue at `path`, as a reader has it."""
    file = os.open(path, os.O_RDWR)
    try:
        size = os.fstat(file).st_size
        if size < PAGE:
            raise Malformed(f"a queue of {size} bytes")
        mapping = Mapping(file, size)
    finally:
        os.close(file)
    if not mapping.is_ready or mapping.slot_bytes != PAGE or mapping.count < 2:
        raise Malformed("not a queue")
    if mapping.data + align(16 + PAGE * mapping.count) > size:
        raise Malformed("a queue that is cut short")
    return mapping


class Writer:
    """Writes pages. `on_blocked` is called each time that a wait for room was in vain for 10 ms."""

    def __init__(self, mapping, qos, spins, on_blocked):
        self.map = mapping
        self.qos = qos
        self.spins = spins
        self.on_blocked = on_blocked
        self.offset = 0
        self.has_slot = True  # the first is there
        self.is_torn = False
        self.on_step = lambda point: None

    def _next(self):
        return (shared_words.load(self.map.wi) + 1) % self.map.count

    def _is_full(self):
        return shared_words.load(self.map.ri) == self._next()

    def _finish(self, state):
        """Marks the page. It is seen once it is published."""
        number = shared_words.load(self.map.wi)
        shared_words.exchange(self.map.footer(number), state << 24 | self.offset)
        return number

    def _publish(self):
        shared_words.exchange(self.map.wi, self._next())
        self.offset = 0
        if shared_words.exchange(self.map.wstate, 0) == 1 and not self.spins:
            shared_words.wake(self.map.wstate)

    def _wait_for_room(self):
        for _ in range(SPIN_ROUNDS):
            if not self._is_full():
                return
            time.sleep(0)
        while self._is_full():
            if self.spins:
                time.sleep(FUTEX_TIMEOUT)
                self.on_blocked()
                continue
            old = shared_words.exchange(self.map.wstate, 2)
            if old == 1:
                shared_words.exchange(self.map.wstate, 0)
                shared_words.wake(self.map.wstate)
            elif self._is_full() and not shared_words.wait(self.map.wstate, 2, FUTEX_TIMEOUT):
                self.on_blocked()

    def _poll_for_room(self):
        """An unreliable writer's: looks for 10 ms, then has the connection made anew, and looks once more."""
        deadline = time.monotonic() + FUTEX_TIMEOUT
        while self._is_full():
            if time.monotonic() >= deadline:
                self.on_blocked()
                return not self._is_full()
            time.sleep(0)
        return True

    def _step(self):
        """Goes to the next page in the middle of a transaction.

        False: an unreliable queue is full, and what was written of the transaction is rolled back."""
        if self.qos == RELIABLE:
            self._finish(CONT)
            self._publish()
            self.on_step("continued")
            self._wait_for_room()
            return True
        length = self.offset
        number = self._finish(TENTATIVE)
        self._publish()
        self.on_step("tentative")
        self.has_slot = self._poll_for_room()
        state = CONT if self.has_slot else ROLLBACK
        shared_words.exchange(self.map.footer(number), state << 24 | length)
        return self.has_slot

    def fits(self, size):
        """Whether a record of that size goes on this page, where each page is a transaction."""
        return 4 + size < CAPACITY - self.offset

    def write(self, data):
        """False when an unreliable queue had no room: this transaction is not to be."""
        if not self.has_slot:
            return False
        data = memoryview(data)
        while len(data) >= CAPACITY - self.offset:
            free = CAPACITY - self.offset
            self._store(data[:free])
            data = data[free:]
            if not self._step():
                return False
        self._store(data)
        return True

    def _store(self, data):
        at = self.map.slot(shared_words.load(self.map.wi)) + self.offset
        self.map.map[at : at + len(data)] = data
        self.offset += len(data)

    def _end(self, state):
        if not self.has_slot:
            # What was written since was dropped; this is where a page may be had again.
            self.has_slot = self._poll_for_room()
            return False
        self._finish(state)
        self.on_step("marked")
        self._publish()
        self.on_step("published")
        return True

    def commit(self):
        """Whether it was published. Room for the next is asked for by `acquire`."""
        return self._end(COMMIT)

    def rollback(self):
        return self._end(ROLLBACK)

    def acquire(self):
        if self.qos == RELIABLE:
            self._wait_for_room()
        else:
            self.has_slot = self._poll_for_room()


class Reader:
    """Takes pages out, and gives each slot back as soon as it is copied."""

    def __init__(self, mapping, spins=False):
        self.map = mapping
        self.spins = spins
        self.open = []

    def _wait(self, seconds):
        ri = shared_words.load(self.map.ri)
        if shared_words.load(self.map.wi) != ri:
            return True
        if self.spins:
            time.sleep(min(seconds, 0.001))
        else:
            old = shared_words.exchange(self.map.wstate, 1)
            if old == 2:
                shared_words.exchange(self.map.wstate, 0)
                shared_words.wake(self.map.wstate)
            elif shared_words.load(self.map.wi) == ri:
                shared_words.wait(self.map.wstate, 1, seconds)
        return shared_words.load(self.map.wi) != ri

    def _release(self, ri):
        shared_words.exchange(self.map.ri, (ri + 1) % self.map.count)
        if shared_words.exchange(self.map.wstate, 0) == 2 and not self.spins:
            shared_words.wake(self.map.wstate)

    def next_transaction(self, seconds):
        """The bytes of the next transaction, or None when none came so long. One that was rolled back is nothing."""
        deadline = time.monotonic() + seconds
        while True:
            left = deadline - time.monotonic()
            if left <= 0 and shared_words.load(self.map.wi) == shared_words.load(self.map.ri):
                return None
            if not self._wait(max(left, 0.001)):
                continue
            ri = shared_words.load(self.map.ri)
            footer = shared_words.load(self.map.footer(ri))
            state, length = footer >> 24, footer & 0xFFFFFF
            if state == TENTATIVE:
                if left <= 0:
                    return None
                time.sleep(0)
                continue
            if length > CAPACITY or state > ROLLBACK:
                raise Malformed(f"a footer {footer:08x}")
            at = self.map.slot(ri)
            self.open.append(bytes(self.map.map[at : at + length]))
            self._release(ri)
            if state == COMMIT:
                whole, self.open = b"".join(self.open), []
                return whole
            if state == ROLLBACK:
                self.open = []
