"""The messages of OTLP traces as tables: for each tag byte, what may follow.

A table has 128 entries, one a single-byte tag (field number * 8 + wire type); all other tags are unknown fields. An
entry is BAD (wrong wire type of a known field, a group, field 0), PLAIN (skip by wire type), a fixed length that the
field must have where it is not empty, or the kind of message inside. Source: opentelemetry-proto 1.11.0.
"""

from __future__ import annotations

from typing import Final

BAD: Final = 0
PLAIN: Final = 1
KEY_VALUE: Final = 2
ANY_VALUE: Final = 3
ARRAY: Final = 4
KEY_VALUE_LIST: Final = 5
EVENT: Final = 6
LINK: Final = 7
STATUS: Final = 8
RESOURCE: Final = 9
SCOPE: Final = 10
ENTITY: Final = 11
SPAN: Final = 12
LENGTH_8: Final = 13
LENGTH_16: Final = 14

# Wire types (protobuf encoding).
VARINT: Final = 0
I64: Final = 1
LEN: Final = 2
I32: Final = 5

# Deepest nesting of messages below a span. Every protobuf implementation refuses somewhere from 100 levels of the
# whole request on, by default; a span that nests deeper would take its neighbours down with it at the backend.
MAX_DEPTH: Final = 90

# kind: {field number: (wire type, entry)}
_FIELDS: dict[int, dict[int, tuple[int, int]]] = {
    KEY_VALUE: {1: (LEN, PLAIN), 2: (LEN, ANY_VALUE), 3: (VARINT, PLAIN)},
    ANY_VALUE: {
        1: (LEN, PLAIN), 2: (VARINT, PLAIN), 3: (VARINT, PLAIN), 4: (I64, PLAIN),
        5: (LEN, ARRAY), 6: (LEN, KEY_VALUE_LIST), 7: (LEN, PLAIN), 8: (VARINT, PLAIN),
    },
    ARRAY: {1: (LEN, ANY_VALUE)},
    KEY_VALUE_LIST: {1: (LEN, KEY_VALUE)},
    EVENT: {1: (I64, PLAIN), 2: (LEN, PLAIN), 3: (LEN, KEY_VALUE), 4: (VARINT, PLAIN)},
    LINK: {
        1: (LEN, LENGTH_16), 2: (LEN, LENGTH_8), 3: (LEN, PLAIN),
        4: (LEN, KEY_VALUE), 5: (VARINT, PLAIN), 6: (I32, PLAIN),
    },
    STATUS: {2: (LEN, PLAIN), 3: (VARINT, PLAIN)},
    RESOURCE: {1: (LEN, KEY_VALUE), 2: (VARINT, PLAIN), 3: (LEN, ENTITY)},
    SCOPE: {1: (LEN, PLAIN), 2: (LEN, PLAIN), 3: (LEN, KEY_VALUE), 4: (VARINT, PLAIN)},
    ENTITY: {1: (LEN, PLAIN), 2: (LEN, PLAIN), 3: (LEN, PLAIN), 4: (LEN, PLAIN)},
    SPAN: {
        1: (LEN, PLAIN), 2: (LEN, PLAIN), 3: (LEN, PLAIN), 4: (LEN, PLAIN), 5: (LEN, PLAIN), 6: (VARINT, PLAIN),
        7: (I64, PLAIN), 8: (I64, PLAIN), 9: (LEN, KEY_VALUE), 10: (VARINT, PLAIN),
        11: (LEN, EVENT), 12: (VARINT, PLAIN),
        13: (LEN, LINK), 14: (VARINT, PLAIN), 15: (LEN, STATUS),
    },
}  # fmt: skip


def table(kind: int) -> bytes:
    """The 128 entries of one kind of message."""
    entries = bytearray(128)
    fields = _FIELDS.get(kind, {})
    for tag in range(8, 128):
        number, wire_type = tag >> 3, tag & 7
        if number in fields:
            known_type, entry = fields[number]
            entries[tag] = entry if wire_type == known_type else BAD
        elif wire_type in (VARINT, I64, LEN, I32):
            entries[tag] = PLAIN
    return bytes(entries)


def tables() -> list[bytes]:
    """The tables of all kinds, by kind."""
    return [table(kind) for kind in range(LENGTH_16 + 1)]
