"""Protobuf bytes taken apart and put together by hand: the tests' own reader, independent of the code under test.

Knows nothing of OTLP but what upb's descriptors say.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, FieldDescriptor

VARINT, I64, LEN, GROUP, END_GROUP, I32 = range(6)

# Gives the fields of one message, in the order found, in another order.
Shuffle = Callable[[list["Field"]], list["Field"]]


class Broken(Exception):
    """The bytes are not a message."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field as it stands in a message: its number and wire type, all of its bytes, and its payload."""

    number: int
    wire_type: int
    raw: bytes
    payload: bytes


def varint(number: int, size: int = 0) -> bytes:
    """A varint, of at least `size` bytes: padded ones are overlong."""
    out = bytearray()
    while number > 0x7F or len(out) + 1 < size:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def tag(number: int, wire_type: int, size: int = 0) -> bytes:
    """The tag of a field."""
    return varint(number << 3 | wire_type, size)


def field(number: int, payload: bytes | int) -> bytes:
    """A whole field: length-delimited for bytes, a varint for a number."""
    if isinstance(payload, int):
        return tag(number, VARINT) + varint(payload)
    return tag(number, LEN) + varint(len(payload)) + payload


def read_varint(data: bytes, pos: int, most: int = 10) -> tuple[int, int]:
    """The varint at `pos` and where it ends; of at most `most` bytes."""
    for count in range(most):
        if pos + count >= len(data):
            raise Broken("truncated")
        if data[pos + count] < 0x80:
            number = sum((byte & 0x7F) << (7 * index) for index, byte in enumerate(data[pos : pos + count + 1]))
            return number & (1 << 64) - 1, pos + count + 1
    raise Broken("a varint that does not end")


def fields(data: bytes) -> list[Field]:
    """The fields of a message, groups refused. Raises `Broken`."""
    found = []
    pos = 0
    while pos < len(data):
        start = pos
        number, pos = read_varint(data, pos, 5)
        wire_type = number & 7
        if not 8 <= number < 1 << 32 or wire_type in (GROUP, END_GROUP, 6, 7):
            raise Broken("field 0, a group, or no wire type")
        begin = pos
        if wire_type == LEN:
            size, begin = read_varint(data, pos, 5)
            pos = begin + size
        elif wire_type == VARINT:
            _, pos = read_varint(data, pos)
        else:
            pos += 8 if wire_type == I64 else 4
        if pos > len(data):
            raise Broken("truncated")
        found.append(Field(number >> 3, wire_type, data[start:pos], data[begin:pos]))
    return found


def without(data: bytes, number: int) -> bytes:
    """The message without a field."""
    return b"".join(found.raw for found in fields(data) if found.number != number)


def payloads(data: bytes, number: int) -> list[bytes]:
    """What is in each occurrence of a length-delimited field."""
    return [found.payload for found in fields(data) if found.number == number]


def reorder(data: bytes, descriptor: Descriptor, shuffle: Shuffle) -> bytes:
    """The same message in another field order, at every level; occurrences of one field keep their order."""
    rebuilt = []
    for found in fields(data):
        known = descriptor.fields_by_number.get(found.number)
        if known is not None and known.message_type is not None:
            rebuilt.append(_with_payload(found, reorder(found.payload, known.message_type, shuffle)))
        else:
            rebuilt.append(found)
    return b"".join(found.raw for found in shuffle(rebuilt))


def _with_payload(found: Field, payload: bytes) -> Field:
    return Field(found.number, found.wire_type, field(found.number, payload), payload)


def ascending(found: list[Field]) -> list[Field]:
    """As most encoders write."""
    return sorted(found, key=lambda each: each.number)


def descending(found: list[Field]) -> list[Field]:
    """As Go's generated code writes: values before keys, attributes before names."""
    return sorted(found, key=lambda each: -each.number)


def shuffled(seed: int) -> Shuffle:
    """Any order, the same for the same seed."""
    rng = random.Random(seed)

    def shuffle(found: list[Field]) -> list[Field]:
        numbers = [each.number for each in found]
        rng.shuffle(numbers)
        queues: dict[int, list[Field]] = {}
        for each in found:
            queues.setdefault(each.number, []).append(each)
        return [queues[number].pop(0) for number in numbers]

    return shuffle


def is_strict(data: bytes, descriptor: Descriptor, depth: int = 1) -> bool:
    """Whether every known field has its wire type, at all levels, with no group, no field 0, and link ids of 8 and 16
    bytes or none.
    """
    try:
        found = fields(data)
    except Broken:
        return False
    return depth < 100 and all(_is_strict_field(each, descriptor, depth) for each in found)


def _is_strict_field(found: Field, descriptor: Descriptor, depth: int) -> bool:
    known = descriptor.fields_by_number.get(found.number)
    if known is None:
        return True
    if found.wire_type != wire_type_of(known):
        return False
    if known.message_type is not None:
        return is_strict(found.payload, known.message_type, depth + 1)
    size = {"trace_id": 16, "span_id": 8}.get(known.name) if descriptor.name == "Link" else None
    return size is None or len(found.payload) in (0, size)


def wire_type_of(known: FieldDescriptor) -> int:
    """The wire type of a field of OTLP, which has no packed one."""
    if known.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FIXED64, FieldDescriptor.TYPE_SFIXED64):
        return I64
    if known.type in (FieldDescriptor.TYPE_FIXED32, FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_SFIXED32):
        return I32
    if known.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_MESSAGE):
        return LEN
    return VARINT


def joined(parts: Iterable[bytes], number: int) -> bytes:
    """Each part as one more occurrence of a length-delimited field."""
    return b"".join(field(number, part) for part in parts)
