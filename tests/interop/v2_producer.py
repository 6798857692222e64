"""An application that logs through queues of version 2: threads, groups, transactions, deaths.

Written from sections 1 to 3 of the facts; what it uses is in `registration`, `v2_queue` and `hobbes_statements`. Each
thread has a queue in each group and logs numbered transactions into it, one group after the other. In the journal it
says of each transaction that it is about to be published and that it was, so that whoever reads the journal after a
kill knows what must be at the receiver, and what may be. Exit status 77: this machine cannot play.
"""

import argparse
import json
import os
import random
import signal
import sys
import threading
import time

import logged_values
import v2_queue
from hobbes_statements import AUTO, MANUAL, RELIABLE, UNRELIABLE, encode_metadata
from registration import Registration, default_directory
from shared_words import Unsupported, prepare

STATEMENTS = {statement.name: statement for statement in logged_values.statements()}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--group", action="append", required=True)
    parser.add_argument("--store", default=default_directory(), help="where the recorder's socket is")
    parser.add_argument("--shm", default="/dev/shm", help="where the queues go")
    parser.add_argument("--journal", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--transactions", type=int, default=0, help="of each queue; 0: until it is killed")
    parser.add_argument("--records", type=int, default=3, help="of a transaction")
    parser.add_argument("--bytes", default="20-200", help="of a record's text")
    parser.add_argument("--large-every", type=int, default=0, help="each n-th transaction is one of --large bytes")
    parser.add_argument("--large", type=int, default=20_000)
    parser.add_argument("--rollback-every", type=int, default=0)
    parser.add_argument("--typed", action="store_true", help="transactions have one record of each type")
    parser.add_argument("--unreliable", action="store_true")
    parser.add_argument("--auto", action="store_true", help="each page is a transaction")
    parser.add_argument("--spin", action="store_true")
    parser.add_argument("--pages", type=int, default=10)
    parser.add_argument("--pace", type=float, default=0, help="seconds between two transactions")
    parser.add_argument("--reconnect", action="store_true", help="look for a new recorder before each transaction")
    parser.add_argument("--die", help="POINT:N: `continued`, `tentative`, `marked` or `published`")
    parser.add_argument("--linger", action="store_true", help="live on, idle, until it is killed")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


class Journal:
    """Lines that survive their writer."""

    def __init__(self, path):
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def say(self, **said):
        os.write(self.file, json.dumps(said).encode() + b"\n")


class Queue:
    """What one thread logs into one group."""

    def __init__(self, options, registration, group, journal):
        self.options = options
        self.journal = journal
        tid = threading.get_native_id()
        self.name = f"{group}.{os.getpid()}.{tid}"
        qos = UNRELIABLE if options.unreliable else RELIABLE
        commit = AUTO if options.auto else MANUAL
        metadata = encode_metadata(qos, commit, STATEMENTS.values())
        mapping = v2_queue.create(os.path.join(options.shm, self.name), metadata, options.pages)
        self.writer = v2_queue.Writer(mapping, qos, options.spin, registration.reconnect)
        self.writer.on_step = self._record_step if options.auto else self._step
        self.random = random.Random(options.seed + tid)
        self.number = 0
        self.waiting = []
        registration.register(tid, options.spin)

    def _step(self, point):
        if self.options.die == f"{point}:{self.number}":
            os.kill(os.getpid(), signal.SIGKILL)
        if point == "published":
            self.journal.say(queue=self.name, transaction=self.number, state="published")

    def _record_step(self, point):
        """The same, where each page is a transaction: those of the page were published together."""
        if self.options.die == f"{point}:{self.number}":
            os.kill(os.getpid(), signal.SIGKILL)

    def _length(self):
        low, high = (int(bound) for bound in self.options.bytes.split("-"))
        return self.random.randint(low, high)

    def _values(self):
        every = self.options.large_every
        if self.options.typed:
            return [(name, value) for name, _, value in logged_values.typed(self.number)]
        if every and self.number % every == every - 1:
            values = logged_values.numbered(self.name, self.number, 1, self.options.large)
        else:
            values = logged_values.numbered(self.name, self.number, self.options.records, self._length())
        return [("numbered", value) for value in values]

    def _publish(self):
        """Commits what was written, or rolls it back."""
        every = self.options.rollback_every
        if every and self.number % every == every - 1:
            self.writer.on_step = lambda point: None
            self.writer.rollback()
            self.writer.on_step = self._step
            self.journal.say(queue=self.name, transaction=self.number, state="rolled back")
        elif not self.writer.has_slot:
            self.writer.commit()
            self.journal.say(queue=self.name, transaction=self.number, state="dropped")
        else:
            self.writer.commit()
        self.number += 1
        self.writer.acquire()

    def log(self):
        """One transaction."""
        values = self._values()
        said = [{"statement": name, "value": value} for name, value in values] if self.options.typed else len(values)
        self.journal.say(queue=self.name, transaction=self.number, state="publishing", records=said)
        for name, value in values:
            if not self.writer.write(STATEMENTS[name].record(value)):
                break
        self._publish()

    def log_alone(self):
        """One record, where each page is a transaction: what fits goes on the page, and what does not publishes it."""
        (value,) = logged_values.numbered(self.name, self.number, 1, self._length())
        data = STATEMENTS["numbered"].record(value)
        if not self.writer.fits(len(data) - 4):
            self.flush()
        self.journal.say(queue=self.name, transaction=self.number, state="publishing", records=1)
        self.waiting.append(self.number)
        self.writer.write(data)
        self.number += 1

    def flush(self):
        """What an application's own commit does in such a group."""
        self.writer.commit()
        for number in self.waiting:
            self.journal.say(queue=self.name, transaction=number, state="published")
        self.waiting = []
        self.writer.acquire()


def work(options, registrations, journal):
    queues = [Queue(options, registrations[group], group, journal) for group in options.group]
    logged = 0
    while not options.transactions or logged < options.transactions:
        for queue in queues:
            if options.reconnect:
                registrations[queue.name.rsplit(".", 2)[0]].reconnect()
            queue.log_alone() if options.auto else queue.log()
            if options.pace:
                time.sleep(options.pace)
        logged += 1
    if options.auto:
        for queue in queues:
            queue.flush()


def main():
    options = arguments()
    journal = Journal(options.journal)
    registrations = {group: Registration(group, options.store) for group in options.group}
    failures = []

    def run():
        try:
            work(options, registrations, journal)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=run, daemon=True) for _ in range(options.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        return 1
    print("logged", flush=True)
    while options.linger:
        time.sleep(3600)
    return 0


if __name__ == "__main__":
    try:
        prepare()
    except Unsupported as unsupported:
        print(f"cannot play an application: {unsupported}", file=sys.stderr)
        sys.exit(77)
    sys.exit(main())
