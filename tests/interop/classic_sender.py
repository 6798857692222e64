"""An original sender: one queue, one connection at a time, one segment at a time.

Written from section 4 of the facts. A segment is made from its number alone, so that it has the same bytes whenever it
is sent: one that was not acknowledged goes again on the next connection, also after this program was killed and
started anew with the same `--state`. In the journal it says what it sent and what was acknowledged.
"""

import argparse
import json
import os
import socket
import sys
import time

import logged_values
from classic_wire import ACK, address, compress, encode_segment, receive, sized
from hobbes_statements import MANUAL, RELIABLE, encode_init

STATEMENTS = {statement.name: statement for statement in logged_values.statements()}
PAUSE = 0.02
GIVE_UP = 60


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", required=True, metavar="HOST:PORT")
    parser.add_argument("--group", required=True)
    parser.add_argument("--name", default="classic", help="what numbered records have for their queue")
    parser.add_argument("--segments", type=int, required=True)
    parser.add_argument("--transactions", type=int, default=4, help="of a segment")
    parser.add_argument("--records", type=int, default=3, help="of a transaction")
    parser.add_argument("--bytes", type=int, default=50, help="of a record's text")
    parser.add_argument("--typed", action="store_true", help="transactions have one record of each type")
    parser.add_argument("--members", type=int, default=1, help="gzip members of a segment; the original makes one")
    parser.add_argument("--hang-up-every", type=int, default=0, help="hang up before the answer to each n-th segment")
    parser.add_argument("--patience", type=float, default=30, help="seconds to wait for an answer")
    parser.add_argument("--pace", type=float, default=0, help="seconds between two segments")
    parser.add_argument("--state", help="where the number of the next segment is kept")
    parser.add_argument("--journal", required=True)
    return parser.parse_args()


def values(options, number):
    if options.typed:
        return [(name, value) for name, _, value in logged_values.typed(number)]
    numbered = logged_values.numbered(options.name, number, options.records, options.bytes)
    return [("numbered", value) for value in numbered]


def numbers(options, segment):
    return range(segment * options.transactions, (segment + 1) * options.transactions)


def segment_bytes(options, segment):
    """The gzip file of a segment. With several members the transactions lie across them."""
    transactions = [
        b"".join(STATEMENTS[name].record(value) for name, value in values(options, number))
        for number in numbers(options, segment)
    ]
    raw = encode_segment(transactions)
    part = -(-len(raw) // options.members)
    return b"".join(compress(raw[at : at + part]) for at in range(0, len(raw), part))


class Sender:
    def __init__(self, options):
        self.options = options
        self.journal = os.open(options.journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.next = 0
        self.hung_up = set()
        if options.state and os.path.exists(options.state):
            with open(options.state) as file:
                self.next = int(file.read())

    def say(self, **said):
        os.write(self.journal, json.dumps(said).encode() + b"\n")

    def acknowledged(self):
        said = []
        if self.options.typed:
            said = [
                {"statement": name, "value": value}
                for number in numbers(self.options, self.next)
                for name, value in values(self.options, number)
            ]
        self.say(segment=self.next, state="acked", transactions=list(numbers(self.options, self.next)), records=said)
        self.next += 1
        if self.options.state:
            with open(self.options.state + ".new", "w") as file:
                file.write(str(self.next))
            os.rename(self.options.state + ".new", self.options.state)

    def connection(self, stream):
        """One connection: group, init, and segments until it ends. True: all are acknowledged."""
        stream.settimeout(self.options.patience)
        stream.sendall(sized(self.options.group.encode()))
        stream.sendall(sized(compress(encode_init(RELIABLE, MANUAL, STATEMENTS.values()))))
        if receive(stream, 1) != ACK:
            return False
        self.say(state="connected")
        while self.next < self.options.segments:
            self.say(segment=self.next, state="sent", transactions=list(numbers(self.options, self.next)))
            stream.sendall(sized(segment_bytes(self.options, self.next)))
            every = self.options.hang_up_every
            if every and self.next % every == every - 1 and self.next not in self.hung_up:
                self.hung_up.add(self.next)
                return False
            if receive(stream, 1) != ACK:
                return False
            self.acknowledged()
            time.sleep(self.options.pace)
        return True


def main():
    options = arguments()
    sender = Sender(options)
    deadline = time.monotonic() + GIVE_UP
    while time.monotonic() < deadline:
        before = sender.next
        try:
            with socket.create_connection(address(options.to), timeout=options.patience) as stream:
                if sender.connection(stream):
                    print("all acknowledged")
                    return 0
        except (OSError, EOFError) as error:
            print(f"segment {sender.next}: {error}", file=sys.stderr)
        if sender.next > before:
            deadline = time.monotonic() + GIVE_UP
        time.sleep(PAUSE)
    print(f"gave up at segment {sender.next}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
