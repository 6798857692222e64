"""Types and payloads of the Hobbes logging format, from bytes to values and back.

Written from section 3 of the facts about the original's formats (a type is a tree of constructors, a payload is packed
by its type without any padding) and from what the notes beside the golden captures say of values in JSON: integers
signed but for `byte`, arrays of `char` as strings, dates in UTC with microseconds, a sum's case as an object of one
key, an enumeration as its name, `unit` as null, a tuple as an array.

Depth, counts and lengths are bounded: what exceeds them, or is none of the constructors that logging emits, is a
`Malformed`.
"""

import struct
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

DEPTH_MAX = 64
COUNT_MAX = 4096
NAME_MAX = 16 * 1024

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Malformed(Exception):
    """Bytes that are not what they should be."""


class Bytes:
    """A place in bytes that are read from front to back, and never beyond their end."""

    def __init__(self, data, at=0):
        self.data = memoryview(data)
        self.at = at

    def left(self):
        return len(self.data) - self.at

    def take(self, count):
        if count > self.left():
            raise Malformed(f"{count} bytes wanted at {self.at}, {self.left()} left")
        taken = bytes(self.data[self.at : self.at + count])
        self.at += count
        return taken

    def number(self, form):
        (value,) = struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))
        return value

    def text(self):
        """A length, u64, and so many bytes."""
        length = self.number("Q")
        if length > NAME_MAX:
            raise Malformed(f"a text of {length} bytes")
        return self.take(length).decode("utf-8", "surrogateescape")

    def count(self):
        count = self.number("Q")
        if count > COUNT_MAX:
            raise Malformed(f"a list of {count}")
        return count


def text_bytes(text):
    """The bytes of a text: its length, u64, and itself."""
    data = text.encode("utf-8", "surrogateescape")
    return struct.pack("<Q", len(data)) + data


# The types that logging emits, and that its files are made of. Each knows its own encoding; `decode_type` is the way back.


@dataclass(frozen=True)
class Prim:
    """A primitive, or with `rep` another name for a type."""

    name: str
    rep: object = None

    def encode(self):
        head = struct.pack("<I", 0) + text_bytes(self.name)
        return head + (b"\0" if self.rep is None else b"\1" + self.rep.encode())


@dataclass(frozen=True)
class Variable:
    name: str

    def encode(self):
        return struct.pack("<I", 2) + text_bytes(self.name)


@dataclass(frozen=True)
class Number:
    """A number where a type may stand."""

    value: int

    def encode(self):
        return struct.pack("<IQ", 11, self.value)


@dataclass(frozen=True)
class Fixed:
    """An array of `length` elements, which is part of the type; within an abstraction a variable may stand for it."""

    element: object
    length: object

    def encode(self):
        length = Number(self.length) if isinstance(self.length, int) else self.length
        return struct.pack("<I", 4) + self.element.encode() + length.encode()


@dataclass(frozen=True)
class Array:
    element: object

    def encode(self):
        return struct.pack("<I", 5) + self.element.encode()


@dataclass(frozen=True)
class Variant:
    """Cases: (name, id, type)."""

    cases: tuple

    def encode(self):
        parts = [struct.pack("<IQ", 6, len(self.cases))]
        parts += [text_bytes(name) + struct.pack("<I", number) + case.encode() for name, number, case in self.cases]
        return b"".join(parts)

    def is_enumeration(self):
        return all(case == UNIT for _, _, case in self.cases)


@dataclass(frozen=True)
class Record:
    """Fields: (name, offset or -1, type). The offset means nothing for a payload."""

    fields: tuple

    def encode(self):
        parts = [struct.pack("<IQ", 7, len(self.fields))]
        parts += [text_bytes(name) + struct.pack("<i", offset) + field.encode() for name, offset, field in self.fields]
        return b"".join(parts)

    def is_tuple(self):
        return all(name.startswith(".") for name, _, _ in self.fields)


@dataclass(frozen=True)
class Apply:
    function: object
    arguments: tuple

    def encode(self):
        head = struct.pack("<I", 12) + self.function.encode() + struct.pack("<Q", len(self.arguments))
        return head + b"".join(argument.encode() for argument in self.arguments)


@dataclass(frozen=True)
class Abstraction:
    names: tuple
    body: object

    def encode(self):
        names = b"".join(text_bytes(name) for name in self.names)
        return struct.pack("<IQ", 15, len(self.names)) + names + self.body.encode()


@dataclass(frozen=True)
class Recursive:
    """A type that its own body names."""

    name: str
    body: object

    def encode(self):
        return struct.pack("<I", 13) + text_bytes(self.name) + self.body.encode()


BOOL, BYTE, CHAR = Prim("bool"), Prim("byte"), Prim("char")
SHORT, INT, LONG, INT128 = Prim("short"), Prim("int"), Prim("long"), Prim("int128")
FLOAT, DOUBLE, UNIT = Prim("float"), Prim("double"), Prim("unit")
TEXT = Array(CHAR)
DATETIME, TIMESPAN = Prim("datetime", LONG), Prim("timespan", LONG)


def record(**fields):
    """A struct: its fields by name, offsets unsaid."""
    return Record(tuple((name, -1, field) for name, field in fields.items()))


def tuple_of(*types):
    """What several unnamed arguments make."""
    return Record(tuple((f".f{at}", -1, field) for at, field in enumerate(types)))


def enumeration(*names):
    return Variant(tuple((name, at, UNIT) for at, name in enumerate(names)))


def packed_enumeration(rep, *names):
    """An enumeration that is not four bytes wide."""
    return Apply(Prim("penum", Abstraction(("r", "v"), Variable("r"))), (rep, enumeration(*names)))


def decode_type(data):
    """The type that `data` is the encoding of, all of it."""
    source = Bytes(data)
    found = _type(source, DEPTH_MAX)
    if source.left():
        raise Malformed(f"{source.left()} bytes behind a type")
    return found


def _type(source, depth):
    if depth == 0:
        raise Malformed("a type too deep")
    constructor = source.number("I")
    if constructor == 0:
        name = source.text()
        return Prim(name, _type(source, depth - 1) if source.number("B") else None)
    if constructor == 2:
        return Variable(source.text())
    if constructor == 4:
        element, length = _type(source, depth - 1), _type(source, depth - 1)
        if not isinstance(length, Number | Variable):
            raise Malformed("an array's length that is no number")
        return Fixed(element, length.value if isinstance(length, Number) else length)
    if constructor == 5:
        return Array(_type(source, depth - 1))
    if constructor == 6:
        return Variant(
            tuple((source.text(), source.number("I"), _type(source, depth - 1)) for _ in range(source.count()))
        )
    if constructor == 7:
        return Record(
            tuple((source.text(), source.number("i"), _type(source, depth - 1)) for _ in range(source.count()))
        )
    if constructor == 11:
        return Number(source.number("Q"))
    if constructor == 13:
        return Recursive(source.text(), _type(source, depth - 1))
    if constructor == 12:
        function = _type(source, depth - 1)
        return Apply(function, tuple(_type(source, depth - 1) for _ in range(source.count())))
    if constructor == 15:
        names = tuple(source.text() for _ in range(source.count()))
        return Abstraction(names, _type(source, depth - 1))
    raise Malformed(f"constructor {constructor}")


# Payloads. Integers by the name of their primitive; `int128` has no letter in `struct`.
FORMS = {"byte": "B", "short": "h", "int": "i", "long": "q", "float": "f", "double": "d"}


def _penum(kind):
    """The representation and the cases of a packed enumeration."""
    is_penum = isinstance(kind.function, Prim) and kind.function.name == "penum" and len(kind.arguments) == 2
    if not is_penum or not isinstance(kind.arguments[1], Variant):
        raise Malformed(f"an application of {kind.function}")
    return kind.arguments


def _name_of(cases, number):
    return next((name for name, known, _ in cases if known == number), number)


def decode_value(kind, source):
    """The value of type `kind` that begins where `source` stands."""
    if isinstance(kind, Prim):
        return _decode_prim(kind, source)
    if isinstance(kind, Array):
        length = source.number("Q")
        if length > source.left() and kind.element != UNIT or length > (1 << 24):
            raise Malformed(f"an array of {length} in {source.left()} bytes")
        return _decode_elements(kind.element, length, source)
    if isinstance(kind, Fixed):
        return _decode_elements(kind.element, kind.length, source)
    if isinstance(kind, Record):
        values = [(name, decode_value(field, source)) for name, _, field in kind.fields]
        return [value for _, value in values] if kind.is_tuple() else dict(values)
    if isinstance(kind, Variant):
        number = source.number("I")
        if kind.is_enumeration():
            return _name_of(kind.cases, number)
        if number >= len(kind.cases):
            raise Malformed(f"case {number} of {len(kind.cases)}")
        name, _, case = kind.cases[number]
        return {name: decode_value(case, source)}
    if isinstance(kind, Apply):
        rep, variant = _penum(kind)
        return _name_of(variant.cases, decode_value(rep, source))
    raise Malformed(f"no value is of {kind}")


def _decode_prim(kind, source):
    if kind.name == "datetime" and kind.rep is not None:
        moment = EPOCH + timedelta(microseconds=decode_value(kind.rep, source))
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if kind.rep is not None:
        return decode_value(kind.rep, source)
    if kind.name == "unit":
        return None
    if kind.name == "bool":
        return source.take(1) != b"\0"
    if kind.name == "char":
        return source.take(1).decode("utf-8", "surrogateescape")
    if kind.name == "int128":
        return int.from_bytes(source.take(16), "little", signed=True)
    if kind.name in FORMS:
        return source.number(FORMS[kind.name])
    raise Malformed(f"no primitive is called {kind.name}")


def _decode_elements(element, length, source):
    if element == CHAR:
        return source.take(length).decode("utf-8", "surrogateescape")
    return [decode_value(element, source) for _ in range(length)]


def encode_value(kind, value):
    """The payload of `value`, which `decode_value` would give."""
    if isinstance(kind, Prim):
        return _encode_prim(kind, value)
    if isinstance(kind, Array):
        data = _encode_elements(kind.element, value)
        length = len(data) if kind.element == CHAR else len(value)
        return struct.pack("<Q", length) + data
    if isinstance(kind, Fixed):
        return _encode_elements(kind.element, value)
    if isinstance(kind, Record):
        values = value if kind.is_tuple() else [value[name] for name, _, _ in kind.fields]
        return b"".join(encode_value(field, one) for (_, _, field), one in zip(kind.fields, values, strict=True))
    if isinstance(kind, Variant) and kind.is_enumeration():
        return struct.pack("<I", _number_of(kind.cases, value))
    if isinstance(kind, Variant):
        ((name, inner),) = value.items()
        place = [case for case, _, _ in kind.cases].index(name)
        return struct.pack("<I", place) + encode_value(kind.cases[place][2], inner)
    rep, variant = _penum(kind)
    return encode_value(rep, _number_of(variant.cases, value))


def _number_of(cases, name):
    return next(number for known, number, _ in cases if known == name)


def _encode_prim(kind, value):
    if kind.name == "datetime" and kind.rep is not None:
        moment = datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
        return encode_value(kind.rep, (moment - EPOCH) // timedelta(microseconds=1))
    if kind.rep is not None:
        return encode_value(kind.rep, value)
    if kind.name == "unit":
        return b""
    if kind.name == "bool":
        return b"\1" if value else b"\0"
    if kind.name == "char":
        return value.encode("utf-8", "surrogateescape")
    if kind.name == "int128":
        return value.to_bytes(16, "little", signed=True)
    return struct.pack("<" + FORMS[kind.name], value)


def _encode_elements(element, values):
    if element == CHAR:
        return values.encode("utf-8", "surrogateescape")
    return b"".join(encode_value(element, value) for value in values)
