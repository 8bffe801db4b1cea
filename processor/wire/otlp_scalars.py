"""Single values between OTLP/JSON and protobuf: one reader and one writer a kind.

`READERS` turn a JSON value into a field's payload as it stands on the wire (behind the tag, a length included);
`WRITERS` turn a payload (without the length) back into a JSON value, whatever its bits. What cannot be read
raises `Unreadable`, whose words never hold the value. This module must not know any message or field.
Which numbers are acceptable is for `otlp_numbers.py` to say.
"""

from __future__ import annotations

import binascii
import math
import struct
from collections.abc import Callable
from typing import Final

from processor.wire.otlp_numbers import ENUM_NUMBER, S32, S64, U32, U64, Unreadable, read_double, read_integer
from processor.wire.schema import I32, I64, LEN, VARINT

STRING: Final = "string"
BYTES: Final = "bytes"
ID: Final = "id"
PARENT_ID: Final = "parent id"
BOOL: Final = "bool"
ENUM: Final = "enum"
UINT32: Final = "uint32"
UINT64: Final = "uint64"
INT64: Final = "int64"
SINT32: Final = "sint32"
FIXED32: Final = "fixed32"
FIXED64: Final = "fixed64"
SFIXED64: Final = "sfixed64"
DOUBLE: Final = "double"

WIRE_TYPES: Final[dict[str, int]] = {
    STRING: LEN,
    BYTES: LEN,
    ID: LEN,
    PARENT_ID: LEN,
    BOOL: VARINT,
    ENUM: VARINT,
    UINT32: VARINT,
    UINT64: VARINT,
    INT64: VARINT,
    SINT32: VARINT,
    FIXED32: I32,
    FIXED64: I64,
    SFIXED64: I64,
    DOUBLE: I64,
}

_SMALL: Final[tuple[bytes, ...]] = tuple(bytes((value,)) for value in range(0x80))
_FIXED32: Final = struct.Struct("<I")
_FIXED64: Final = struct.Struct("<Q")
_SFIXED64: Final = struct.Struct("<q")
_DOUBLE: Final = struct.Struct("<d")

_MASK_64: Final = (1 << 64) - 1
_URL_SAFE: Final[dict[int, int]] = {ord("-"): ord("+"), ord("_"): ord("/")}


def encode_varint(value: int) -> bytes:
    """A non-negative integer below 2^64 in base 128."""
    if value < 0x80:
        return _SMALL[value]
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_sized(body: bytes) -> bytes:
    """The bytes behind their length."""
    size = len(body)
    return (_SMALL[size] if size < 0x80 else encode_varint(size)) + body


def encode_string(value: object) -> bytes:
    """UTF-8 text. Half a surrogate pair, which JSON can escape, has no UTF-8 form."""
    if not isinstance(value, str):
        raise Unreadable("must be a string")
    try:
        raw = value.encode()
    except UnicodeEncodeError:
        raise Unreadable("must be Unicode text, without lone surrogates") from None
    size = len(raw)
    return _SMALL[size] + raw if size < 0x80 else encode_sized(raw)  # most values there are: one call less


def encode_bytes(value: object) -> bytes:
    """Base64 of either alphabet, padded or not."""
    if isinstance(value, str):
        padding = "" if value.endswith("=") else "=" * (-len(value) % 4)
        try:
            return encode_sized(binascii.a2b_base64(value.translate(_URL_SAFE) + padding, strict_mode=True))
        except ValueError:
            pass
    raise Unreadable("must be a string in base64")


def encode_parent_id(value: object) -> bytes:
    """A hex id of any length. Text that is not hex is refused: an empty parent would make the span a root."""
    if isinstance(value, str):
        try:
            return encode_sized(binascii.unhexlify(value))
        except ValueError:
            pass
    raise Unreadable("must be a string of hexadecimal digits, two a byte")


def encode_id(value: object) -> bytes:
    """A hex id of any length; text that is not hex gives the empty id.

    So a span with a bad id is refused alone for its id (S9), and a link, a log record or an exemplar is kept
    without its reference rather than losing the whole item, or all its neighbours, to it.
    """
    if not isinstance(value, str):
        raise Unreadable("must be a string of hexadecimal digits")
    try:
        return encode_sized(binascii.unhexlify(value))
    except ValueError:
        return b"\0"


def encode_bool(value: object) -> bytes:
    """`true` or `false`, nothing that merely counts as such."""
    if value is True:
        return b"\x01"
    if value is False:
        return b"\0"
    raise Unreadable("must be true or false")


def encode_enum(value: object) -> bytes:
    """An integer; OTLP/JSON knows no names. Numbers without a name pass, as in any open enum."""
    if type(value) is str:
        raise Unreadable(ENUM_NUMBER.words)
    return encode_varint(read_integer(value, ENUM_NUMBER) & _MASK_64)


def encode_uint32(value: object) -> bytes:
    """0 to 2^32-1 as a varint."""
    return encode_varint(read_integer(value, U32))


def encode_uint64(value: object) -> bytes:
    """0 to 2^64-1 as a varint."""
    return encode_varint(read_integer(value, U64))


def encode_int64(value: object) -> bytes:
    """-2^63 to 2^63-1 as a varint of the two's complement."""
    return encode_varint(read_integer(value, S64) & _MASK_64)


def encode_sint32(value: object) -> bytes:
    """-2^31 to 2^31-1, zigzag: small magnitudes of either sign stay short."""
    number = read_integer(value, S32)
    return encode_varint(number << 1 if number >= 0 else ~number << 1 | 1)


def encode_fixed32(value: object) -> bytes:
    """0 to 2^32-1 in four bytes."""
    return _FIXED32.pack(read_integer(value, U32))


def encode_fixed64(value: object) -> bytes:
    """0 to 2^64-1 in eight bytes."""
    return _FIXED64.pack(read_integer(value, U64))


def encode_sfixed64(value: object) -> bytes:
    """-2^63 to 2^63-1 in eight bytes."""
    return _SFIXED64.pack(read_integer(value, S64))


def encode_double(value: object) -> bytes:
    """IEEE 754 in eight bytes."""
    return _DOUBLE.pack(read_double(value))


READERS: Final[dict[str, Callable[[object], bytes]]] = {
    STRING: encode_string,
    BYTES: encode_bytes,
    ID: encode_id,
    PARENT_ID: encode_parent_id,
    BOOL: encode_bool,
    ENUM: encode_enum,
    UINT32: encode_uint32,
    UINT64: encode_uint64,
    INT64: encode_int64,
    SINT32: encode_sint32,
    FIXED32: encode_fixed32,
    FIXED64: encode_fixed64,
    SFIXED64: encode_sfixed64,
    DOUBLE: encode_double,
}


def decode_varint(raw: bytes) -> int:
    """The number of a whole varint; bits over 64 are lost, as in every decoder."""
    value = 0
    for byte in reversed(raw):
        value = value << 7 | byte & 0x7F
    return value & _MASK_64


def decode_signed(raw: bytes, bits: int) -> int:
    """The low bits of a varint as two's complement, as every decoder reads a 32-bit field."""
    value = decode_varint(raw) & (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def decode_sint32(raw: bytes) -> int:
    """Zigzag undone."""
    value = decode_varint(raw) & U32.most
    return value >> 1 ^ -(value & 1)


def decode_double(raw: bytes) -> object:
    """A number, or the string for what JSON has no number for."""
    number: float = _DOUBLE.unpack(raw)[0]
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def decode_string(raw: bytes) -> str:
    """Text. JSON is Unicode: bytes that are not show as U+FFFD rather than failing the batch around them (S9)."""
    return raw.decode(errors="replace")


WRITERS: Final[dict[str, Callable[[bytes], object]]] = {
    STRING: decode_string,
    BYTES: lambda raw: binascii.b2a_base64(raw, newline=False).decode("ascii"),
    ID: lambda raw: raw.hex(),
    PARENT_ID: lambda raw: raw.hex(),
    BOOL: lambda raw: decode_varint(raw) != 0,
    ENUM: lambda raw: decode_signed(raw, 32),
    UINT32: lambda raw: decode_varint(raw) & U32.most,
    UINT64: lambda raw: str(decode_varint(raw)),
    INT64: lambda raw: str(decode_signed(raw, 64)),
    SINT32: decode_sint32,
    FIXED32: lambda raw: int.from_bytes(raw, "little"),
    FIXED64: lambda raw: str(int.from_bytes(raw, "little")),
    SFIXED64: lambda raw: str(int.from_bytes(raw, "little", signed=True)),
    DOUBLE: decode_double,
}
