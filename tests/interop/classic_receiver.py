"""An original receiver: each connection becomes a file of what was accepted on it.

Written from section 4 of the facts. Prints `HOST:PORT` once it listens. Writes `connection-<number>.jsonl` into its
directory: first what the connection began with, then a line for each accepted segment, with its transactions and the
digest of the file that held it. It reads the first gzip member alone, as the original does, and says when there was
more. It can be told to die, to hang up without an answer, to answer nonsense, or not at all, at the n-th segment that
comes (from 1).
"""

import argparse
import hashlib
import json
import os
import signal
import socket
import sys
import threading

from classic_wire import ACK, decode_segment, inflate, listen, receive_sized
from hobbes_statements import decode_init, decode_records
from hobbes_types import Malformed


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT")
    parser.add_argument("--directory", required=True)
    what = ["die-before", "die-after", "drop-ack", "nonsense", "silence", "drop-segment"]
    parser.add_argument("--at", action="append", default=[], metavar="WHAT:N", help=", ".join(what))
    what = ["nonsense", "silence", "hang-up"]
    parser.add_argument("--at-init", choices=what, help="what every connection gets for an answer")
    return parser.parse_args()


class Receiver:
    def __init__(self, options):
        self.options = options
        self.lock = threading.Lock()
        self.segments = 0
        os.makedirs(options.directory, exist_ok=True)
        self.connections = len(os.listdir(options.directory))

    def open_file(self):
        with self.lock:
            self.connections += 1
            path = os.path.join(self.options.directory, f"connection-{self.connections:04}.jsonl")
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)

    def what_is_due(self):
        """What is to be done to this segment: words, and for most none."""
        with self.lock:
            self.segments += 1
            return {at.split(":")[0] for at in self.options.at if int(at.split(":")[1]) == self.segments}

    def serve(self, stream):
        """One connection, to its end."""
        file = None
        try:
            group = receive_sized(stream, 4096).decode("utf-8", "surrogateescape")
            init, behind = inflate(receive_sized(stream))
            qos, commit, statements = decode_init(init)
            file = self.open_file()
            self.say(
                file,
                group=group,
                qos=qos,
                commit=commit,
                behind=behind,
                statements=[[one.name, one.number, one.flags, one.format] for one in statements],
            )
            if self.options.at_init == "nonsense":
                stream.sendall(b"\x07HOGWASH")
                return
            if self.options.at_init == "silence":
                self.wait_for_the_end(stream)
                return
            if self.options.at_init == "hang-up":
                return
            stream.sendall(ACK)
            while self.segment(stream, file, statements):
                pass
        except (EOFError, OSError):
            pass
        except Malformed as error:
            print(f"refused: {error}", file=sys.stderr, flush=True)
            if file is not None:
                self.say(file, refused=str(error))
        finally:
            if file is not None:
                os.close(file)
            stream.close()

    def segment(self, stream, file, statements):
        data = receive_sized(stream)
        due = self.what_is_due()
        if "die-before" in due:
            os.kill(os.getpid(), signal.SIGKILL)
        if "drop-segment" in due:
            return False
        raw, behind = inflate(data)
        transactions = decode_segment(raw)
        if not transactions:
            raise Malformed("an empty segment")
        records = [decode_records(transaction, statements) for transaction in transactions]
        self.say(file, digest=hashlib.sha256(data).hexdigest(), behind=behind, transactions=records)
        if "die-after" in due:
            os.kill(os.getpid(), signal.SIGKILL)
        if "drop-ack" in due:
            return False
        if "silence" in due:
            self.wait_for_the_end(stream)
            return False
        stream.sendall(b"\x00" if "nonsense" in due else ACK)
        return True

    @staticmethod
    def wait_for_the_end(stream):
        while stream.recv(4096):
            pass

    @staticmethod
    def say(file, **said):
        os.write(file, json.dumps(said).encode() + b"\n")


def main():
    options = arguments()
    receiver = Receiver(options)
    listener = listen(options.listen)
    host, port = listener.getsockname()
    print(f"{host}:{port}", flush=True)
    while True:
        stream, _ = listener.accept()
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=receiver.serve, args=(stream,), daemon=True).start()


if __name__ == "__main__":
    main()
