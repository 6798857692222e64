"""Bytes of the original's network protocol: lengths, gzip files, segments.

Written from section 4 of the facts: a sender says the group, then an init, then segments, each with its length in front
(u64); init and segments are gzip files of one member, made at level 6; a segment is transactions, each with its length
in front; the receiver answers init and segments with one byte 0x01 each.
"""

import gzip
import socket
import struct
import zlib

from hobbes_types import Malformed

ACK = b"\x01"
FILE_MAX = 256 << 20


def sized(data):
    return struct.pack("<Q", len(data)) + data


def compress(data):
    return gzip.compress(data, compresslevel=6, mtime=0)


def inflate(data):
    """As the original does: the first member alone. Says also how many bytes are behind it."""
    member = zlib.decompressobj(wbits=31)
    try:
        raw = member.decompress(data, FILE_MAX) + member.flush()
    except zlib.error as error:
        raise Malformed(str(error)) from error
    if not member.eof:
        raise Malformed("a gzip file that is cut short")
    return raw, len(member.unused_data)


def encode_segment(transactions):
    return b"".join(sized(transaction) for transaction in transactions)


def decode_segment(data):
    """The transactions of a segment."""
    transactions, at = [], 0
    while at < len(data):
        if len(data) - at < 8:
            raise Malformed("a segment that ends in a length")
        (length,) = struct.unpack_from("<Q", data, at)
        if length > len(data) - at - 8:
            raise Malformed(f"a transaction of {length} bytes, {len(data) - at - 8} left")
        transactions.append(data[at + 8 : at + 8 + length])
        at += 8 + length
    return transactions


def receive(stream, count):
    """So many bytes, or EOFError."""
    parts = []
    while count:
        part = stream.recv(min(count, 1 << 20))
        if not part:
            raise EOFError("the peer hung up")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def receive_sized(stream, limit=FILE_MAX):
    (length,) = struct.unpack("<Q", receive(stream, 8))
    if length > limit:
        raise Malformed(f"{length} bytes announced")
    return receive(stream, length)


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def listen(text):
    listener = socket.create_server(address(text), backlog=64)
    listener.settimeout(None)
    return listener
