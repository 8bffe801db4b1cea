"""What is known of a trace, as bytes and back, for what must outlive the process. No other program reads it.

Contexts of spans that have left, and what all spans of the trace agreed on (S12): with it and the spans that are still
held a new process goes on where another one ended. A record adds to those before it; of the agreement the last one
counts. Everything is length-prefixed. Raises `Malformed` for bytes that were not made here.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from processor.attributes.contexts import Contexts
from processor.attributes.interpret import as_seen
from processor.span import LABEL_PREFIX, Context, Value
from processor.wire.cursor import Cursor, Malformed
from processor.wire.values import encode_varint, read_value

_WEAK: Final = 1


class Known:
    """`ids`: joined ids of decided spans by their context. `said`, `conflicts`: as in `Trace`."""

    __slots__ = ("conflicts", "ids", "key", "said")

    def __init__(self, key: bytes, said: Context, conflicts: set[bytes]) -> None:
        self.key = key
        self.said = said
        self.conflicts = conflicts
        self.ids: list[tuple[Context, bytes]] = []


def store_known(known: Known) -> bytes:
    """One record."""
    parts = [_store(known.key), _store_context(known.said), encode_varint(len(known.conflicts))]
    parts += [_store(key) for key in sorted(known.conflicts)]
    for context, ids in known.ids:
        parts += [_store_context(context), _store(ids)]
    return b"".join(parts)


def load_known(record: bytes, contexts: Contexts) -> Known:
    """What `store_known` made. Raises `Malformed`."""
    cursor = Cursor(record)
    end: i64 = len(record)
    key = cursor.content(end)
    said = _load_context(cursor, end, contexts)
    count: i64 = cursor.varint(end)
    conflicts: set[bytes] = set()
    while count > 0:
        conflicts.add(cursor.content(end))
        count -= 1
    known = Known(key, said, conflicts)
    while cursor.pos < end:
        context = _load_context(cursor, end, contexts)
        ids = cursor.content(end)
        if len(ids) % 8:
            raise Malformed("ids that are not 8 bytes each")
        known.ids.append((context, ids))
    return known


def _store(data: bytes) -> bytes:
    """Bytes behind their length."""
    return encode_varint(len(data)) + data


def _store_context(context: Context) -> bytes:
    """The values of a context that is inherited; what is only written (`derived`, labels by evaluation) is none."""
    parts = [encode_varint(len(context.values))]
    for key, value in context.values.items():
        parts += [
            encode_varint(_WEAK if value.is_weak else 0),
            _store(key),
            _store(value.identity),
            _store(value.encoded),
        ]
    return b"".join(parts)


def _load_context(cursor: Cursor, end: i64, contexts: Contexts) -> Context:
    """What `_store_context` made, at the cursor."""
    values: dict[bytes, Value] = {}
    count: i64 = cursor.varint(end)
    while count > 0:
        is_weak = cursor.varint(end) == _WEAK
        key = cursor.content(end)
        identity = cursor.content(end)
        encoded = cursor.content(end)
        # Conditions never see labels; every other value is known by its encoded AnyValue.
        data = None if key.startswith(LABEL_PREFIX) else as_seen(read_value(identity))
        values[key] = Value(key, identity, encoded, is_weak, data)
        count -= 1
    return contexts.make(values)
