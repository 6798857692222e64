"""Reads the captures of the original with the peers' own coding, and compares.

Written from sections 1 to 4 of the facts and the notes beside the captures. Each must decode to `expected.json`, and be
encoded again to the bytes that were captured: types, statements, payloads, registration.
"""

import json
import os
import struct
import sys

import classic_wire
import v2_queue
from hobbes_statements import decode_init, decode_metadata, decode_records, encode_init, encode_metadata
from registration import VERSION


def check(condition, words):
    if not condition:
        sys.exit(f"golden: {words}")


def encode_again(records, statements):
    by_name = {statement.name: statement for statement in statements}
    return b"".join(by_name[record["statement"]].record(record["value"]) for record in records)


def compare(what, transactions, statements, expected):
    found = [decode_records(transaction, statements) for transaction in transactions]
    # As JSON, so that true is not 1.
    check(json.dumps(found) == json.dumps(expected), f"{what} does not hold what was logged")
    for records, transaction in zip(found, transactions):
        check(encode_again(records, statements) == transaction, f"{what}: other bytes when it is encoded again")


def ring(data, expected):
    """The queue, from its slots as they lie in the file: nobody takes from a capture."""
    _, _, slot, count, metadata_bytes = struct.unpack_from("<IIQQQ", data, 0)
    metadata = data[32 : 32 + metadata_bytes]
    qos, commit, statements = decode_metadata(metadata)
    check(encode_metadata(qos, commit, statements) == metadata, "other metadata when it is encoded again")
    place = v2_queue.align(32 + metadata_bytes)
    check(len(data) == place + v2_queue.align(16 + slot * count), "a queue of another size")
    _, read, write = struct.unpack_from("<III", data, place)
    transactions, pages = [], []
    while read != write:
        at = place + 16 + read * slot
        (footer,) = struct.unpack_from("<I", data, at + slot - 4)
        pages.append(data[at : at + (footer & 0xFFFFFF)])
        if footer >> 24 == v2_queue.COMMIT:
            transactions.append(b"".join(pages))
            pages = []
        read = (read + 1) % count
    compare("the queue", transactions, statements, expected)


def sender(data, expected):
    """All that the original sender wrote."""
    files, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        files.append(data[at + 8 : at + 8 + length])
        at += 8 + length
    group, init, *segments = files
    check(group == b"Gt" and segments, "not a group, an init and segments")
    init, behind = classic_wire.inflate(init)
    check(behind == 0, "more than one member")
    qos, commit, statements = decode_init(init)
    check(encode_init(qos, commit, statements) == init, "another init when it is encoded again")
    raw = b"".join(classic_wire.inflate(segment)[0] for segment in segments)
    transactions = classic_wire.decode_segment(raw)
    check(classic_wire.encode_segment(transactions) == raw, "another segment when it is encoded again")
    compare("the connection", transactions, statements, expected)


def registration(data):
    check(data[:4] == VERSION and len(data) == 21, "not a registration")
    check(struct.unpack("<BQQ", data[4:]) == (0, 11638, 11638), "another registration")


def main():
    directory = sys.argv[1]

    def read(name):
        with open(os.path.join(directory, name), "rb") as file:
            return file.read()

    expected = json.loads(read("expected.json"))
    ring(read("ring.shm"), expected)
    sender(read("classic-sender.bin"), expected)
    registration(read("registration.bin"))
    print("all as captured")


if __name__ == "__main__":
    main()
