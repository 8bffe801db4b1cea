"""OTLP/JSON to protobuf bytes and back, driven by the tables of `otlp_schema.py`; and the JSON of answers.

No message object is ever built. Reading is one `json.loads` and one pass; what is read follows OTLP 1.11:
- keys are lowerCamelCase, unknown keys are ignored, null is absence, of duplicate keys the last value counts
  (in the place of the first), and of several members of a oneof the last in the document counts;
- a span that cannot be read becomes `MALFORMED_SPAN`, which the pipeline refuses alone (S9); anything else that
  cannot be read fails the request, with the path to it and never its value.
This module must not know what a span means, nor anything of HTTP.
"""

from __future__ import annotations

import json
from typing import Final

from processor.errors import MalformedRequest
from processor.signals import Signal
from processor.wire.cursor import Cursor, Malformed
from processor.wire.otlp_numbers import Unreadable, parse_json_integer
from processor.wire.otlp_scalars import READERS, WIRE_TYPES, WRITERS, encode_sized
from processor.wire.otlp_schema import REQUESTS, TYPES, Field, MessageType
from processor.wire.schema import LEN

# Field number 0 does not exist, so every protobuf reader refuses this span, and the batch keeps its count.
MALFORMED_SPAN: Final = b"\0"

_REJECTED: Final[dict[Signal, str]] = {
    Signal.TRACES: "rejectedSpans",
    Signal.METRICS: "rejectedDataPoints",
    Signal.LOGS: "rejectedLogRecords",
}


def encode(signal: Signal, text: bytes, max_depth: int = 64) -> bytes:
    """The protobuf bytes of an OTLP/JSON Export…ServiceRequest.

    `max_depth`: how many messages may stand inside one another, the request included (an attribute's value is
    the sixth; each array adds two, each key-value list three). Below unknown keys the parser's own limit holds.
    Raises `MalformedRequest` with the JSON path of what cannot be read.
    """
    try:
        return _encode_message(TYPES[REQUESTS[signal]], _parse(text), max_depth)
    except Unreadable as problem:
        raise MalformedRequest(f"{problem.path.removeprefix('.') or 'body'}: {problem.reason}") from None
    except RecursionError:
        raise MalformedRequest("body: is nested too deep") from None


def decode(signal: Signal, body: bytes, max_depth: int = 100) -> bytes:
    """The OTLP/JSON text of a protobuf Export…ServiceRequest; what the tables do not know is left out.

    `max_depth`: as in `encode`; 100 is what protobuf's own readers take. Text that is not UTF-8 shows as U+FFFD.
    Raises `MalformedRequest` where the bytes are not such a message.
    """
    request: dict[str, object] = {}
    try:
        _decode_message(TYPES[REQUESTS[signal]], Cursor(body), len(body), max_depth, request)
        return json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode()
    except Malformed as problem:
        raise MalformedRequest(f"body: {problem}") from None
    except RecursionError:
        raise MalformedRequest("body: nested too deep") from None


def encode_partial_success(signal: Signal, rejected: int, message: str) -> bytes:
    """The JSON of an Export…ServiceResponse; `{}`, full success, where nothing is rejected and nothing said."""
    partial: dict[str, object] = {}
    if rejected:
        partial[_REJECTED[signal]] = str(rejected)
    if message:
        partial["errorMessage"] = message
    return json.dumps({"partialSuccess": partial} if partial else {}).encode()


def encode_status(code: int, message: str) -> bytes:
    """The JSON of a google.rpc.Status without details; `code` is a gRPC status code."""
    return json.dumps({"code": code, "message": message}).encode()


def _parse(text: bytes) -> object:
    """The JSON document of UTF-8 bytes, with or without a byte order mark."""
    try:
        return json.loads(text.decode("utf-8-sig"), parse_int=parse_json_integer)
    except UnicodeDecodeError as problem:
        raise Unreadable(f"is not UTF-8 at byte {problem.start}") from None
    except json.JSONDecodeError as problem:
        raise Unreadable(f"is not JSON at character {problem.pos}") from None


def _encode_message(kind: MessageType, value: object, depth: int) -> bytes:
    """The fields of a JSON object in its order, the one that counts of a oneof last."""
    if not isinstance(value, dict):
        raise Unreadable("must be an object")
    if depth <= 0:
        raise Unreadable("is nested too deep")
    by_name = kind.by_name
    chunks: list[bytes] = []
    member = b""
    name = ""
    try:
        for name, item in value.items():
            field = by_name.get(name)
            if field is None or item is None:
                continue
            if field.is_nested:
                encoded = _encode_nested(field, item, depth - 1)
            else:
                encoded = READERS[field.kind](item)
                encoded = b"" if encoded == field.skipped else field.tag + encoded
            if field.is_member:
                member = encoded
            else:
                chunks.append(encoded)
    except Unreadable as problem:
        problem.path = f".{name}{problem.path}"
        raise
    chunks.append(member)
    return b"".join(chunks)


def _encode_nested(field: Field, value: object, depth: int) -> bytes:
    """A field that is a message, or repeated; `depth` is what is left inside it."""
    if not field.is_repeated:
        return field.tag + encode_sized(_encode_message(TYPES[field.message], value, depth))
    if not isinstance(value, list):
        raise Unreadable("must be an array")
    chunks: list[bytes] = []
    try:
        if field.message:
            _encode_messages(field, value, depth, chunks)
        else:
            _encode_values(field, value, chunks)
    except Unreadable as problem:
        problem.path = f"[{len(chunks)}]{problem.path}"
        raise
    joined = b"".join(chunks)
    return field.tag + encode_sized(joined) if field.is_packed and joined else joined


def _encode_messages(field: Field, values: list[object], depth: int, chunks: list[bytes]) -> None:
    """Each message with its tag, one chunk an element."""
    kind = TYPES[field.message]
    for value in values:
        try:
            body = _encode_message(kind, value, depth)
        except Unreadable:
            if not field.is_isolated:
                raise
            body = MALFORMED_SPAN
        chunks.append(field.tag + encode_sized(body))


def _encode_values(field: Field, values: list[object], chunks: list[bytes]) -> None:
    """Each value, with its tag where it has its own, bare where the numbers are packed."""
    tag = b"" if field.is_packed else field.tag
    encode_value = READERS[field.kind]
    for value in values:
        chunks.append(tag + encode_value(value))


def _decode_message(kind: MessageType, cursor: Cursor, end: int, depth: int, into: dict[str, object]) -> None:
    """Read the message between the cursor and `end` into a JSON object, merging with what that holds already."""
    if depth <= 0:
        raise Malformed("nested too deep")
    data = cursor.data
    while cursor.pos < end:
        tag = data[cursor.pos]
        if 8 <= tag < 0x80:  # nearly all: one byte
            cursor.pos += 1
        else:
            tag = cursor.tag(end)
        field = kind.by_tag.get(tag)
        if field is None:
            cursor.skip(tag, end)
            continue
        if field.is_member and field.name not in into:
            for rival in kind.members:
                into.pop(rival, None)
        if field.message:
            _decode_inside(field, cursor, end, depth, into)
        else:
            _decode_scalar(field, tag, cursor, end, into)


def _decode_inside(field: Field, cursor: Cursor, end: int, depth: int, into: dict[str, object]) -> None:
    """Read a message in a field. A singular one that comes twice is merged, as every protobuf reader does."""
    size = cursor.length(end)
    found = into.get(field.name)
    inner: dict[str, object] = found if isinstance(found, dict) else {}
    _decode_message(TYPES[field.message], cursor, cursor.pos + size, depth - 1, inner)
    _keep(field, inner, into)


def _decode_scalar(field: Field, tag: int, cursor: Cursor, end: int, into: dict[str, object]) -> None:
    """Read one value, or the many of a packed field."""
    write = WRITERS[field.kind]
    if tag & 7 != LEN:
        _keep(field, write(_take(cursor, tag, end)), into)
        return
    stop = cursor.length(end) + cursor.pos
    if field.is_packed:
        while cursor.pos < stop:
            _keep(field, write(_take(cursor, WIRE_TYPES[field.kind], stop)), into)
        return
    _keep(field, write(cursor.data[cursor.pos : stop]), into)
    cursor.pos = stop


def _take(cursor: Cursor, tag: int, end: int) -> bytes:
    """The bytes of the varint or fixed-size value at the cursor."""
    start = cursor.pos
    cursor.skip(tag, end)
    return cursor.data[start : cursor.pos]


def _keep(field: Field, value: object, into: dict[str, object]) -> None:
    """Put a value where its field says: at the end of a list, or in the place of an earlier one."""
    if not field.is_repeated:
        into[field.name] = value
        return
    values = into.setdefault(field.name, [])
    if isinstance(values, list):
        values.append(value)
