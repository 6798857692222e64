"""Reads exported tables with pyarrow and holds them against what `hog cat --format json` printed of the same archive.

    compare.py FORMAT DIRECTORY LINES

Every record of LINES must be in one table under DIRECTORY, once, with the same value, and each table in the order of LINES. Written from
docs/COLUMNS.md and docs/JSON.md.
"""

import base64
import datetime
import glob
import json
import math
import struct
import sys

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

FIRST = ["stream", "position", "time", "drained", "transaction"]
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def tables(kind, directory):
    """The files of each table in their order, with the metadata of the file."""
    by_directory = {}
    for path in sorted(glob.glob(f"{directory}/*/*/**/part-*.{kind}", recursive=True)):
        if kind == "parquet":
            file = pa.parquet.ParquetFile(path)
            table, ranges = file.read(), file.metadata.metadata[b"hog.range"]
            check_statistics(file.metadata)
        else:
            table, ranges = pa.ipc.open_file(path).read_all(), None
        by_directory.setdefault(path.rsplit("/", 1)[0], []).append((table, ranges))
    return by_directory


def check_statistics(metadata):
    """Every row group says which positions are in it, so that readers can pass it over."""
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for column in range(group.num_columns):
            column = group.column(column)
            assert column.compression == "ZSTD", column
            if column.path_in_schema == "position":
                assert column.statistics.has_min_max, column


def moment(nanoseconds):
    seconds, rest = divmod(nanoseconds, 10**9)
    return (EPOCH + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest:09}Z"


def microseconds(number):
    """As JSON has dates: in words within the years 0 to 9999."""
    if -62_135_596_800_000_000 <= number < 253_402_300_800_000_000:
        date = EPOCH + datetime.timedelta(microseconds=number)
        return f"{date.year:04}" + date.strftime("-%m-%dT%H:%M:%S.%fZ")
    return number


class Comparison:
    """One record; `lossy` once a column could not say what the payload says."""

    def __init__(self):
        self.lossy = False

    def same(self, field, scalar, expected, where):
        kind = field.type
        assert scalar.type == kind, (where, scalar.type, kind)
        if pa.types.is_null(kind):
            assert expected is None or expected == {} or expected == [], (where, expected)
            return
        if not scalar.is_valid:
            # A number without a name, or one with too many digits.
            has_none = pa.types.is_dictionary(kind) or pa.types.is_string(kind) or pa.types.is_decimal(kind)
            assert has_none and type(expected) is int, (where, expected)
            self.lossy = True
        elif pa.types.is_struct(kind):
            self.struct(field, scalar, expected, where)
        elif pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
            values = scalar.values
            assert len(values) == len(expected), (where, values, expected)
            for number, value in enumerate(expected):
                self.same(kind.value_field, values[number], value, f"{where}[{number}]")
        elif pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind):
            assert list(scalar.as_py()) == expected, (where, scalar, expected)
        elif pa.types.is_timestamp(kind):
            assert kind.tz == "UTC" and microseconds(scalar.value) == expected, (where, scalar.value, expected)
        elif pa.types.is_duration(kind):
            assert scalar.value == expected, (where, scalar, expected)
        elif pa.types.is_floating(kind):
            self.number(kind, scalar.as_py(), expected, where)
        else:
            found = scalar.as_py()
            assert found == expected and type(found) is not bool or found is expected, (where, found, expected)

    def number(self, kind, found, expected, where):
        if expected is None:
            assert not math.isfinite(found), (where, found)
            return
        layout = "<f" if kind.bit_width == 32 else "<d"
        assert struct.pack(layout, found) == struct.pack(layout, expected), (where, found, expected)

    def struct(self, field, scalar, expected, where):
        kind = field.type
        inner = [kind.field(number) for number in range(kind.num_fields)]
        if (field.metadata or {}).get(b"hog.kind") == b"variant":
            ((case, value),) = expected.items()
            assert scalar[0].as_py() == case, (where, scalar, expected)
            holding = [number for number in range(1, len(inner)) if name_of(inner[number]) == case]
            for number in range(1, len(inner)):
                assert number in holding or not scalar[number].is_valid, (where, scalar)
            for number in holding:
                self.same(inner[number], scalar[number], value, f"{where}.{case}")
            assert holding or value is None, (where, expected)
        elif isinstance(expected, list):
            assert len(inner) == len(expected), (where, scalar, expected)
            for number, value in enumerate(expected):
                self.same(inner[number], scalar[number], value, f"{where}.{number}")
        else:
            assert [name_of(one) for one in inner] == list(expected), (where, scalar, expected)
            for number, (name, value) in enumerate(expected.items()):
                self.same(inner[number], scalar[number], value, f"{where}.{name}")


def name_of(field):
    return (field.metadata or {}).get(b"hog.field", field.name.encode()).decode()


def compare_row(table, row, line):
    columns = {name: table.column(name)[row] for name in FIRST}
    where = (line["statement"], line["stream"], line["position"])
    assert columns["transaction"].as_py() == line.get("transaction"), where
    time = columns["time"]
    assert (moment(time.value) if time.is_valid else None) == line["time"], (where, time, line["time"])
    assert columns["drained"].is_valid, where
    first = len(FIRST)
    if table.schema.names[first] == "continued":
        assert table.column(first)[row].as_py() == line.get("continued", False), where
        first += 1
    fields = [table.schema.field(number) for number in range(first, table.num_columns - 1)]
    values = [table.column(number)[row] for number in range(first, table.num_columns - 1)]
    payload = table.column("bytes")[row].as_py()
    expected = line["value"]
    whole = base64.b64decode(line["bytes"]) if "bytes" in line else None
    if line["text"] is None or (payload is not None and not fields and expected not in (None, {}, [])):
        # It is no value, or its type has no columns.
        assert payload is not None and (whole is None or payload == whole), where
        assert not any(value.is_valid for value in values), where
        return
    comparison = Comparison()
    if [field.name for field in fields] == ["value"] and not (isinstance(expected, dict) and list(expected) == ["value"]):
        expected = [expected]
    if isinstance(expected, dict):
        assert [name_of(field) for field in fields] == list(expected), (where, expected)
        expected = list(expected.values())
    assert len(fields) == len(expected or []), (where, fields, expected)
    for field, value, one in zip(fields, values, expected or []):
        comparison.same(field, value, one, (*where, field.name))
    assert (payload is not None) == (comparison.lossy or whole is not None), (where, payload, whole)
    assert whole is None or payload == whole, where


def main(kind, directory, lines):
    with open(lines, encoding="utf-8") as file:
        expected = [json.loads(line) for line in file]
    places = {(line["stream"], line["position"]): number for number, line in enumerate(expected)}
    assert len(places) == len(expected)
    met = set()
    for where, files in tables(kind, directory).items():
        last = -1
        for table, ranges in files:
            found = {}
            for row in range(table.num_rows):
                stream, position = (table.column(name)[row].as_py() for name in FIRST[:2])
                place = places[stream, position]
                assert last < place and place not in met, (where, row)
                last = place
                met.add(place)
                line = expected[place]
                assert table.schema.metadata[b"hog.statement"].decode() == line["statement"]
                assert table.schema.metadata[b"hog.group"].decode() == line["group"]
                compare_row(table, row, line)
                first = found.setdefault(stream, {"first": position, "last": position})
                first["last"] = position
            if ranges is not None:
                assert json.loads(ranges) == found, (where, ranges, found)
    assert len(met) == len(expected), f"{len(expected) - len(met)} of {len(expected)} records are in no table"
    print(f"{len(met)} records")


if __name__ == "__main__":
    main(*sys.argv[1:])
