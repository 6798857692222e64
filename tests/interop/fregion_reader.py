"""A reader of the files that the original's recorder writes: fregion files in raw mode, and what is logged in them.

Written from section 5 of the facts. A file is pages behind a table of pages; its environment names values, each with an
offset and a type; a series is a chain of batches of equal slots. `log` or `transactions` say in which order records were
logged, and point at their slots in the series of their statements. `statements` tells what the program said of each.

The file is mapped, as the original's readers do it, so it may be read while it is written: `--watch N` reads all of it
again and again until it holds N records, and fails if a reading is not whole, or does not begin with the one before it.

It is strict where the original trusts: what lies outside the file, is a type it does not know, or contradicts itself ends
it with a line on stderr and status 4.

    fregion_reader.py FILE                  each record as a line of JSON
    fregion_reader.py FILE --transactions   as one JSON value: an array of transactions, which are arrays of records
    fregion_reader.py FILE --series NAME    what a series or an array holds, a line each
    fregion_reader.py FILE --names          what the environment names
"""

import argparse
import json
import mmap
import os
import struct
import sys
import time
from dataclasses import dataclass
from datetime import timedelta

from hobbes_types import (
    CHAR, EPOCH, FORMS, UNIT, Abstraction, Apply, Array, Fixed, Malformed, Number, Prim, Record, Variable, Variant,
    decode_type,
)  # fmt: skip

MAGIC = 0x10A1DB0D
TOC, ENVIRONMENT, DATA = 1, 2, 3
BATCH = 10_000
TYPE_MAX = 1 << 20
DEPTH_MAX = 64
PATIENCE = 120

PRIMITIVES = {"unit": 0, "bool": 1, "byte": 1, "char": 1, "short": 2, "int": 4, "long": 8, "float": 4, "double": 8,
              "int128": 16}  # fmt: skip


def align(value, to):
    return (value + to - 1) // to * to


# Stored types: how large their values are, and where in them what is.


def applied(kind, name):
    """The arguments, if `kind` is the type `name` applied to something."""
    is_it = isinstance(kind, Apply) and isinstance(kind.function, Prim) and kind.function.name == name
    return kind.arguments if is_it else None


def pointed_at(kind):
    """What a fileref points at; None if it is none."""
    arguments = applied(kind, "fileref")
    return arguments[0] if arguments else None


def stands_for(kind):
    """What represents a value of a type that is another name."""
    if isinstance(kind, Prim) and kind.rep is not None:
        return kind.rep
    if isinstance(kind, Apply) and isinstance(kind.function, Prim) and isinstance(kind.function.rep, Abstraction):
        lambda_ = kind.function.rep
        if isinstance(lambda_.body, Variable) and lambda_.body.name in lambda_.names:
            return kind.arguments[lambda_.names.index(lambda_.body.name)]
    return None


def layout(kind, depth=DEPTH_MAX):
    """(size, alignment) of a stored value."""
    if depth == 0:
        raise Malformed("a stored type too deep")
    if pointed_at(kind) is not None:
        return 8, 8
    other = stands_for(kind)
    if other is not None:
        return layout(other, depth - 1)
    if isinstance(kind, Prim) and kind.name in PRIMITIVES:
        size = PRIMITIVES[kind.name]
        return size, max(size, 1)
    if isinstance(kind, Fixed):
        size, alignment = layout(kind.element, depth - 1)
        return size * kind.length, alignment
    if isinstance(kind, Record):
        return record_layout(kind, depth)
    if isinstance(kind, Variant):
        held = [layout(case, depth - 1) for _, _, case in kind.cases]
        alignment = max([4] + [one for _, one in held])
        return align(align(4, alignment) + max([0] + [size for size, _ in held]), alignment), alignment
    raise Malformed(f"a file holds no values of {kind}")


def record_layout(kind, depth=DEPTH_MAX):
    end, alignment = 0, 1
    for (_, _, field), offset in zip(kind.fields, field_offsets(kind, depth)):
        size, one = layout(field, depth - 1)
        end, alignment = offset + size, max(alignment, one)
    return align(end, alignment), alignment


def field_offsets(kind, depth=DEPTH_MAX):
    """Where the fields of a record are: as C lays them out, and if the type says so too, it must say the same."""
    end, offsets = 0, []
    for name, said, field in kind.fields:
        size, alignment = layout(field, depth - 1)
        offset = align(end, alignment)
        if said not in (-1, offset):
            raise Malformed(f"field {name} is said to be at {said}, and belongs at {offset}")
        offsets.append(offset)
        end = offset + size
    return offsets


@dataclass(frozen=True)
class Binding:
    """A value that the environment names."""

    name: str
    offset: int
    kind: object


class Region:
    """A file, as it is at one moment."""

    def __init__(self, file):
        length = os.fstat(file.fileno()).st_size
        if length < 256:
            raise Malformed(f"a file of {length} bytes")
        self.data = mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ)
        self.length = length
        magic, self.page, self.version = self.unpack("IHH", 0)
        if magic != MAGIC or self.version not in (1, 2):
            raise Malformed(f"magic {magic:x}, version {self.version}")
        if not 256 <= self.page <= 16384 or self.page % 2 or length % self.page:
            raise Malformed(f"{length} bytes in pages of {self.page}")
        self.entries = self._pages()
        self.bindings = self._environment()

    def unpack(self, form, at):
        size = struct.calcsize("<" + form)
        if not 0 <= at <= self.length - size:
            raise Malformed(f"{size} bytes at {at} of a file of {self.length}")
        return struct.unpack_from("<" + form, self.data, at)

    def bytes(self, at, count):
        if not 0 <= at <= at + count <= self.length:
            raise Malformed(f"{count} bytes at {at} of a file of {self.length}")
        return self.data[at : at + count]

    def _pages(self):
        """(type, bytes free at the end) of each page."""
        entries, toc, start, seen = [], 0, 8, set()
        while True:
            if toc in seen:
                raise Malformed("a table of pages that comes back to itself")
            seen.add(toc)
            room = (self.page - 8 - start) // 2
            words = self.unpack(f"{room}H", toc * self.page + start)
            (following,) = self.unpack("Q", (toc + 1) * self.page - 8)
            used = words.index(0) if 0 in words else room
            entries += [(word >> 14, word & 0x3FFF) for word in words[:used]]
            if used < room:
                break
            if following == 0:
                raise Malformed("a full page of the table that names no next one: the original's readers never return")
            toc, start = following, 0
        if len(entries) * self.page > self.length:
            raise Malformed(f"{len(entries)} pages in {self.length} bytes")
        if any(entries[toc][0] != TOC for toc in seen if toc < len(entries)):
            raise Malformed("a page of the table is not said to be one")
        return entries

    def _environment(self):
        bindings, at = {}, 0
        while at < len(self.entries):
            if self.entries[at][0] != ENVIRONMENT:
                at += 1
                continue
            place = at * self.page
            while True:
                binding, place = self._binding(place)
                bindings[binding.name] = binding
                at = (place - 1) // self.page
                if at >= len(self.entries) or self.entries[at][0] != ENVIRONMENT:
                    raise Malformed(f"the environment goes on into page {at}")
                if place == (at + 1) * self.page - self.entries[at][1]:
                    break
            at += 1
        return bindings

    def _binding(self, at):
        offset, name_length = self.unpack("QQ", at)
        name = self.bytes(at + 16, name_length).decode()
        at += 16 + name_length
        (type_length,) = self.unpack("Q", at)
        if type_length > TYPE_MAX:
            raise Malformed(f"{name} has a type of {type_length} bytes")
        encoded = self.bytes(at + 8, type_length)
        # What is hidden is of no concern to readers.
        kind = decode_type(encoded) if encoded and not name.startswith(".") else None
        return Binding(name, offset, kind), at + 8 + type_length

    # Values.

    def value(self, kind, at, depth=DEPTH_MAX):
        """The value of a stored type at `at`, as JSON has it."""
        if depth == 0:
            raise Malformed("a value too deep")
        inner = pointed_at(kind)
        if inner is not None:
            (place,) = self.unpack("Q", at)
            return self.value(inner, place, depth - 1)
        arguments = applied(kind, "penum")
        if arguments:
            return name_of(arguments[1].cases, self.value(arguments[0], at, depth - 1))
        if isinstance(kind, Prim):
            return self._prim(kind, at, depth)
        if isinstance(kind, Array):
            (count,) = self.unpack("Q", at)
            return self._elements(kind.element, count, at + 8, depth)
        if isinstance(kind, Fixed):
            return self._elements(kind.element, kind.length, at, depth)
        if isinstance(kind, Record):
            places = zip(kind.fields, field_offsets(kind))
            values = [(name, self.value(field, at + offset, depth - 1)) for (name, _, field), offset in places]
            return [value for _, value in values] if kind.is_tuple() else dict(values)
        if isinstance(kind, Variant):
            (number,) = self.unpack("I", at)
            if kind.is_enumeration():
                return name_of(kind.cases, number)
            name, case, place = self.case(kind, at)
            return {name: self.value(case, place, depth - 1)}
        raise Malformed(f"a file holds no values of {kind}")

    def case(self, kind, at):
        """Of a variant: the name and type of the case that is there, and where its value is."""
        (number,) = self.unpack("I", at)
        for name, known, case in kind.cases:
            if known == number:
                _, alignment = layout(kind)
                return name, case, at + align(4, alignment)
        raise Malformed(f"no case has the id {number}")

    def _prim(self, kind, at, depth):
        if kind.name == "datetime" and kind.rep is not None:
            return moment(self.value(kind.rep, at, depth - 1))
        if kind.rep is not None:
            return self.value(kind.rep, at, depth - 1)
        if kind.name == "unit":
            return None
        if kind.name == "bool":
            return self.bytes(at, 1) != b"\0"
        if kind.name == "char":
            return self.bytes(at, 1).decode("utf-8", "replace")
        if kind.name == "int128":
            return int.from_bytes(self.bytes(at, 16), "little", signed=True)
        if kind.name in FORMS:
            (value,) = self.unpack(FORMS[kind.name], at)
            return value
        raise Malformed(f"no primitive is called {kind.name}")

    def _elements(self, element, count, at, depth):
        if element == CHAR:
            return self.bytes(at, count).decode("utf-8", "replace")
        size, _ = layout(element)
        if count * max(size, 1) > self.length and element != UNIT:
            raise Malformed(f"an array of {count} elements at {at}")
        return [self.value(element, at + place * size, depth - 1) for place in range(count)]


def name_of(cases, number):
    return next((name for name, known, _ in cases if known == number), number)


def moment(microseconds):
    return (EPOCH + timedelta(microseconds=microseconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Series:
    """A chain of batches, oldest batch first whichever way they are chained."""

    def __init__(self, region, binding):
        arguments = applied(binding.kind, "fseq")
        if not arguments or len(arguments) != 2 or not isinstance(arguments[1], Number):
            raise Malformed(f"{binding.name} is no series")
        self.region, self.name = region, binding.name
        self.element, self.slots = arguments[0], arguments[1].value
        self.stride, alignment = layout(self.element)
        # Behind the count, as the element is aligned; the original's recorder sets 16 bytes at 8 all the same.
        self.head = align(8, alignment)
        self.batches = self._chain(binding.offset)

    def _chain(self, root):
        """(offset, count) of each batch, oldest first."""
        batches, seen = [], set()
        (node,) = self.region.unpack("Q", root)
        while True:
            if node in seen:
                raise Malformed(f"{self.name}: a chain that comes back to itself")
            seen.add(node)
            tag, batch, following = self.region.unpack("I4xQQ", node)
            if tag == 0:
                break
            if tag != 1:
                raise Malformed(f"{self.name}: a node of kind {tag} at {node}")
            (count,) = self.region.unpack("Q", batch)
            if count > self.slots:
                raise Malformed(f"{self.name}: {count} records in a batch of {self.slots}")
            self.region.bytes(batch, self.head + self.slots * self.stride)
            batches.append((batch, count))
            node = following
        return batches[::-1] if self._is_newest_first(batches) else batches

    def _is_newest_first(self, batches):
        """Nothing in the file says it. Only the newest is not full; of full ones, later ones lie further on."""
        partial = [place for place, (_, count) in enumerate(batches) if count < self.slots]
        if len(batches) < 2:
            return False
        if partial not in ([], [0], [len(batches) - 1]):
            raise Malformed(f"{self.name}: batches {partial} of {len(batches)} are not full")
        return partial == [0] if partial else batches[0][0] > batches[-1][0]

    def __len__(self):
        return sum(count for _, count in self.batches)

    def places(self):
        """Where each element is, oldest first."""
        for batch, count in self.batches:
            yield from (batch + self.head + turn * self.stride for turn in range(count))

    def values(self):
        return (self.region.value(self.element, place) for place in self.places())


class Recording:
    """What a recorder's file holds: records in the order in which they were logged."""

    def __init__(self, region):
        self.region = region
        names = {name: binding for name, binding in region.bindings.items() if binding.kind is not None}
        if any(applied(binding.kind, "cseq") for binding in names.values()):
            raise Malformed("a compressed file")
        orders = [names[name] for name in ("log", "transactions") if name in names]
        if len(orders) != 1 or "statements" not in names:
            raise Malformed("not statements and one of log and transactions, but " + ", ".join(sorted(names)))
        # Whoever writes has a record in its series before it is in the order, so the order is looked at first.
        self.order = Series(region, orders[0])
        self.series = {
            name: Series(region, binding)
            for name, binding in names.items()
            if applied(binding.kind, "fseq") and name != self.order.name
        }

    def transactions(self):
        """(time or None, records) of each: of a log, each record alone."""
        region, element = self.region, self.order.element
        for place in self.order.places():
            if self.order.name == "log":
                yield None, [self._record(element, place)]
                continue
            at = dict((name, offset) for (name, _, _), offset in zip(element.fields, field_offsets(element)))
            kinds = {name: kind for name, _, kind in element.fields}
            (entries,) = region.unpack("Q", place + at["entries"])
            entry = pointed_at(kinds["entries"]).element
            (count,) = region.unpack("Q", entries)
            size, _ = layout(entry)
            records = [self._record(entry, entries + 8 + number * size) for number in range(count)]
            yield region.value(kinds["time"], place + at["time"]), records

    def _record(self, kind, at):
        name, case, place = self.region.case(kind, at)
        series = self.series.get(name)
        if series is None:
            raise Malformed(f"a record of {name}, of which there is no series")
        if pointed_at(case) != series.element:
            raise Malformed(f"a record of {name} is not of the type of its series")
        (slot,) = self.region.unpack("Q", place)
        return name, slot, {"statement": name, "value": self.region.value(series.element, slot)}

    def check(self, transactions):
        """Each record stands in the series of its statement, at its turn. Slots are written first, so there may be more."""
        turns = {}
        for _, records in transactions:
            for name, slot, _ in records:
                turns.setdefault(name, []).append(slot)
        for name, slots in turns.items():
            series = self.series[name]
            if len(slots) > len(series):
                raise Malformed(f"{len(slots)} records of {name}, and {len(series)} in its series")
            turn = 0
            for batch, count in series.batches:
                some = slots[turn : turn + count]
                turn += count
                heads = (8, series.head)
                rows = [[batch + head + place * series.stride for place in range(len(some))] for head in heads]
                if some not in rows:
                    raise Malformed(f"records of {name} are not where its series has them")


def read(path):
    with open(path, "rb") as file:
        return Region(file)


def read_records(path):
    recording = Recording(read(path))
    transactions = list(recording.transactions())
    recording.check(transactions)
    return transactions


def lines_of(transactions):
    """A line for each record, with the number of its transaction if it has one."""
    for number, (time_of, records) in enumerate(transactions):
        about = {} if time_of is None else {"transaction": number, "time": time_of}
        yield from (json.dumps({**record, **about}) for _, _, record in records)


def watch(path, wanted):
    """Prints the first `wanted` records as they come. Each reading begins with what the ones before it gave."""
    known, readings, deadline = [], 0, time.monotonic() + PATIENCE
    while len(known) < wanted:
        if time.monotonic() > deadline:
            raise Malformed(f"{len(known)} records after {PATIENCE} s, and {wanted} were to come")
        found = list(lines_of(read_records(path))) if os.path.exists(path) else []
        readings += 1
        if found[: len(known)] != known:
            raise Malformed(f"reading {readings} does not begin with the {len(known)} records before it")
        for line in found[len(known) :]:
            print(line, flush=False)
        if len(found) == len(known):
            time.sleep(0.01)
        known = found
    sys.stdout.flush()
    print(f"{readings} readings", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("path")
    parser.add_argument("--transactions", action="store_true")
    parser.add_argument("--series")
    parser.add_argument("--names", action="store_true")
    parser.add_argument("--watch", type=int)
    options = parser.parse_args()
    if options.watch is not None:
        watch(options.path, options.watch)
    elif options.names:
        for binding in read(options.path).bindings.values():
            print(json.dumps({"name": binding.name, "offset": binding.offset}))
    elif options.series:
        region = read(options.path)
        binding = region.bindings[options.series]
        is_array = isinstance(binding.kind, Array)
        values = region.value(binding.kind, binding.offset) if is_array else Series(region, binding).values()
        for value in values:
            print(json.dumps(value))
    elif options.transactions:
        print(json.dumps([[record for _, _, record in records] for _, records in read_records(options.path)]))
    else:
        for line in lines_of(read_records(options.path)):
            print(line)


if __name__ == "__main__":
    try:
        main()
    except Malformed as error:
        print(f"fregion_reader: {error}", file=sys.stderr)
        sys.exit(4)
