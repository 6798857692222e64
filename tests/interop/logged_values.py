"""What the peers log: numbered records, and one record of each type that logging has.

Values and types of the second kind are those of the program of the golden captures, as its `expected.json` and the
type table of section 3.2 of the facts give them; in transaction `n` some of them say `n`.
"""

from hobbes_statements import Statement
from hobbes_types import (
    BOOL, BYTE, CHAR, DATETIME, DOUBLE, FLOAT, INT, INT128, LONG, SHORT, TEXT, TIMESPAN, UNIT,
    Array, Fixed, Prim, Variant, enumeration, packed_enumeration, record, tuple_of,
)  # fmt: skip

NUMBERED = record(queue=TEXT, transaction=LONG, place=INT, of=INT, text=TEXT)
COLOR = enumeration("Red", "Green", "Blue")
SMALL = packed_enumeration(BYTE, "Low", "High")
PAIR = record(a=INT, b=DOUBLE)
NAMED = record(s=TEXT, c=CHAR)
CASES = Variant((("num", 0, INT), ("str", 1, TEXT), ("sp", 2, PAIR)))
WITH_UNIT = Variant(((".f0", 0, UNIT), (".f1", 1, INT)))
MOMENT = "2020-09-13T12:26:40.000000Z"


def typed(number):
    """(statement's name, its type, the value of transaction `number`)."""
    pair, named = {"a": number, "b": number + 0.5}, {"s": "S", "c": "c"}
    return [
        ("e_bool", BOOL, True),
        ("e_byte", BYTE, 200),
        ("e_char", CHAR, "x"),
        ("e_short", SHORT, -2),
        ("e_long", LONG, -5),
        ("e_i128", INT128, 7),
        ("e_float", FLOAT, 1.5),
        ("e_dbl", DOUBLE, 2.5),
        ("e_str", TEXT, "hé"),
        ("e_lit", Fixed(CHAR, 4), "lit\0"),
        ("e_vi", Array(INT), [1, 2, 3]),
        ("e_vs", Array(TEXT), ["a", "bb", ""]),
        ("e_vb", Array(BOOL), [True, False]),
        ("e_vempty", Array(INT), []),
        ("e_arr", Fixed(INT, 3), [1, 2, 3]),
        ("e_arrs", Fixed(TEXT, 2), ["x", "y"]),
        ("e_sp", PAIR, pair),
        ("e_vsp", Array(PAIR), [pair, pair]),
        ("e_asp", Fixed(PAIR, 2), [pair, pair]),
        ("e_ss", NAMED, named),
        ("e_vss", Array(NAMED), [named, named]),
        ("e_color", COLOR, "Blue"),
        ("e_small", SMALL, "High"),
        ("e_v0", CASES, {"num": number}),
        ("e_v1", CASES, {"str": "vs"}),
        ("e_v2", CASES, {"sp": pair}),
        ("e_dt", DATETIME, MOMENT),
        ("e_ts", TIMESPAN, 1500),
        ("e_px", Prim("price", DOUBLE), 3.5),
        ("e_two", tuple_of(DATETIME, COLOR), [MOMENT, "Green"]),
        ("e_pair", tuple_of(INT, TEXT), [1, "p"]),
        ("e_vunit", WITH_UNIT, {".f1": 9}),
        ("e_vunit0", WITH_UNIT, {".f0": None}),
        ("e_unit", UNIT, None),
        ("e_nest", Array(Array(TEXT)), [["a"], [], ["b", "c"]]),
        ("e_mix", tuple_of(CHAR, SHORT, INT, LONG, TEXT, BOOL), ["\u0001", 2, 3, 4, "m", True]),
    ]


def statements():
    """All of them. As in the original, ids are not in the order of names, and begin at 0."""
    typed_ones = [
        Statement(name, number, kind, f"{name} is $0", line=10 + number)
        for number, (name, kind, _) in enumerate(typed(0))
    ]
    form = "$queue: $transaction, $place of $of: $text"
    return [*typed_ones, Statement("numbered", len(typed_ones), NUMBERED, form, line=9)]


def text_of(number, place, length):
    """A text that anybody can make again."""
    piece = f"{number}.{place} "
    return (piece * (length // len(piece) + 1))[:length]


def numbered(queue, number, records, length):
    """The values of a transaction of numbered records."""
    return [
        {"queue": queue, "transaction": number, "place": place, "of": records, "text": text_of(number, place, length)}
        for place in range(records)
    ]
