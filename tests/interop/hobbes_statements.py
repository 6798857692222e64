"""Statements, and the records of a transaction, as queues and the network carry them.

Written from sections 2.2, 2.4 and 4 of the facts: what stands for a statement is the same in a queue's metadata and in
the init of a connection; before it a queue has a version word and a count of 32 bits, a connection neither, and a count
of 64. Records follow each other without frames, each a statement's id and a payload that only its type delimits.
"""

import struct
from dataclasses import dataclass

from hobbes_types import Bytes, Malformed, decode_type, decode_value, encode_value, text_bytes

VERSION = 0x20000
RELIABLE, UNRELIABLE = 0, 1
AUTO, MANUAL = 0, 1
HLOG = 1


@dataclass(frozen=True)
class Statement:
    """A place in a program that logs."""

    name: str
    number: int
    kind: object
    format: str = ""
    file: str = "peer.py"
    line: int = 1
    flags: int = HLOG

    def encode(self):
        kind = self.kind.encode()
        return (
            text_bytes(self.name)
            + struct.pack("<Q", self.flags)
            + text_bytes(self.format)
            + text_bytes(self.file)
            + struct.pack("<II", self.line, self.number)
            + struct.pack("<Q", len(kind))
            + kind
        )

    def record(self, value):
        """The bytes of one record."""
        return struct.pack("<I", self.number) + encode_value(self.kind, value)


def _statement(source):
    name, flags = source.text(), source.number("Q")
    form, file = source.text(), source.text()
    line, number = source.number("I"), source.number("I")
    kind = decode_type(source.take(source.number("Q")))
    return Statement(name, number, kind, form, file, line, flags)


def _statements(source, count):
    found = [_statement(source) for _ in range(count)]
    if source.left():
        raise Malformed(f"{source.left()} bytes behind the statements")
    return found


def encode_metadata(qos, commit, statements):
    """A queue's metadata. Statements stand in the order of their names."""
    ordered = sorted(statements, key=lambda statement: statement.name.encode())
    head = struct.pack("<IiiI", VERSION, qos, commit, len(ordered))
    return head + b"".join(statement.encode() for statement in ordered)


def decode_metadata(data):
    """(qos, commit, statements)."""
    source = Bytes(data)
    if source.number("I") != VERSION:
        raise Malformed("not a queue of version 2")
    qos, commit = source.number("i"), source.number("i")
    return qos, commit, _statements(source, source.number("I"))


def encode_init(qos, commit, statements):
    """What a connection begins with, uncompressed."""
    ordered = sorted(statements, key=lambda statement: statement.name.encode())
    return struct.pack("<IIQ", qos, commit, len(ordered)) + b"".join(statement.encode() for statement in ordered)


def decode_init(data):
    """(qos, commit, statements)."""
    source = Bytes(data)
    qos, commit = source.number("I"), source.number("I")
    return qos, commit, _statements(source, source.count())


def decode_records(data, statements):
    """The records of one transaction: {"statement", "value"}."""
    by_number = {statement.number: statement for statement in statements}
    source, records = Bytes(data), []
    while source.left():
        number = source.number("I")
        if number not in by_number:
            raise Malformed(f"no statement has the id {number}")
        statement = by_number[number]
        records.append({"statement": statement.name, "value": decode_value(statement.kind, source)})
    return records
