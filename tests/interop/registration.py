"""An application's connection to the recorder's socket, one for each process and group.

Written from section 1 of the facts: a version word once, then 17 bytes for each queue; nothing ever comes back; when
the recorder is gone, all that was ever registered is said again on a new connection.
"""

import os
import select
import socket
import struct
import sys
import threading

VERSION = b"\x00\x00\x02\x00"
RECONNECT, SPIN = 1, 2


def default_directory():
    """Where producers look for the recorder's socket."""
    for name in ("HOBBES_STORE_DIR", "TMPDIR", "TMP"):
        directory = os.environ.get(name)
        if directory and os.access(directory, os.W_OK):
            return directory
    return "/var/tmp" if os.access("/var/tmp", os.W_OK) else "/tmp"


class Registration:
    """Of one group. All its threads share it."""

    def __init__(self, group, directory):
        self.path = os.path.join(directory, f"hstore.{group}.sk")
        self.lock = threading.Lock()
        self.stream = None
        self.queues = []

    def _connect(self):
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            stream.connect(self.path)
            stream.sendall(VERSION)
        except OSError:
            stream.close()
            raise
        self.stream = stream

    def _say(self, tid, command):
        self.stream.sendall(struct.pack("<BQQ", command, os.getpid(), tid))

    def _close(self):
        self.stream.close()
        self.stream = None

    def register(self, tid, spins):
        """The queue of thread `tid` is there. Says whether somebody heard; if not, the queue is used all the same."""
        with self.lock:
            self.queues.append((tid, SPIN if spins else 0))
            try:
                if self.stream is None:
                    self._connect()
                self._say(*self.queues[-1])
                return True
            except OSError as error:
                print(f"not registered: {self.path}: {error}", file=sys.stderr)
                if self.stream is not None:
                    self._close()
                return False

    def reconnect(self):
        """If the recorder hung up: connects again, and says all queues again. Nobody there: another time."""
        with self.lock:
            if self.stream is not None:
                if not self._is_over():
                    return
                self._close()
            try:
                self._connect()
                for tid, command in self.queues:
                    self._say(tid, command | RECONNECT)
            except OSError:
                if self.stream is not None:
                    self._close()

    def _is_over(self):
        if not select.select([self.stream], [], [], 0)[0]:
            return False
        try:
            return self.stream.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True
