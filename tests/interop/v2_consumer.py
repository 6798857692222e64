"""What the original recorder does with queues of version 2, for as long as it takes to see that the producer is right.

Written from sections 1 to 3 of the facts. Listens where producers look, drains each queue that is registered with a
thread of its own, and prints each transaction as a line of JSON: {"queue", "records"}. Ends once so many transactions
came, or nothing did for so long.
"""

import argparse
import json
import os
import socket
import struct
import sys
import threading
import time

import v2_queue
from classic_wire import receive
from hobbes_statements import decode_metadata, decode_records
from registration import SPIN, VERSION
from shared_words import Unsupported, prepare


class Consumer:
    def __init__(self, shm):
        self.shm = shm
        self.lock = threading.Lock()
        self.known = set()
        self.count = 0
        self.last = time.monotonic()

    def serve(self, stream, group):
        """One application's connection."""
        try:
            if receive(stream, 4) != VERSION:
                return
            while True:
                command, pid, tid = struct.unpack("<BQQ", receive(stream, 17))
                name = f"{group}.{pid}.{tid}"
                with self.lock:
                    is_new = name not in self.known
                    self.known.add(name)
                if is_new:
                    threading.Thread(target=self.drain, args=(name, command & SPIN != 0), daemon=True).start()
        except EOFError:
            stream.close()

    def drain(self, name, spins):
        mapping = v2_queue.open_existing(os.path.join(self.shm, name))
        _, _, statements = decode_metadata(mapping.metadata)
        reader = v2_queue.Reader(mapping, spins)
        while True:
            transaction = reader.next_transaction(0.2)
            if transaction is None:
                continue
            records = decode_records(transaction, statements)
            with self.lock:
                print(json.dumps({"queue": name, "records": records}), flush=True)
                self.count += 1
                self.last = time.monotonic()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--group", required=True)
    parser.add_argument("--store", required=True)
    parser.add_argument("--shm", required=True)
    parser.add_argument("--transactions", type=int, required=True)
    parser.add_argument("--patience", type=float, default=30)
    options = parser.parse_args()
    prepare()
    path = os.path.join(options.store, f"hstore.{options.group}.sk")
    if os.path.exists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen()
    consumer = Consumer(options.shm)

    def accept():
        while True:
            stream, _ = listener.accept()
            threading.Thread(target=consumer.serve, args=(stream, options.group), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    while consumer.count < options.transactions:
        if time.monotonic() - consumer.last > options.patience:
            print(f"{consumer.count} transactions came", file=sys.stderr)
            os._exit(1)
        time.sleep(0.005)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    try:
        main()
    except Unsupported as unsupported:
        print(f"cannot play a recorder: {unsupported}", file=sys.stderr)
        sys.exit(77)
