"""Attributes like those that were read before: where the code runs interpreted, they are passed by.

Spans of one application have the same attributes again and again, so most of a span need not be read byte by byte. Seen
is what the reader found sound and plain; another field is like it if it has the same bytes wherever they decide that,
which is in its head: tag, key, all lengths, the value's first byte. The few fields that came first make up a regular
expression, which passes by as many as there are, and all that SDKs write before them; what it does not know is looked
up by its head. Spans of which nothing else is to be known come many at once.

Compiled, reading costs less than remembering, so nothing is. Interpreted, measured in the whole pipeline, spans of ten
attributes that differ in five of them: twice as much a span if all are read, 1.3 times as much if they are looked up.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from mypy_extensions import i64

from processor.span import Hit
from processor.wire.cursor import Malformed
from processor.wire.schema import I64, VARINT

_ATTRIBUTES: Final = 0x4A  # Span.attributes = 9
_MOST: Final = 8192
_MOST_IN_PATTERN: Final = 64  # it tries one after the other
_MOST_LENGTHS: Final = 8  # of one key in the pattern, so that free text does not fill it
_MOST_RUNS: Final = 1024
_LONGEST_RUN: Final = 1024  # bytes
_NAME: Final = b"\\*(?:\0|" + b"|".join([re.escape(b"%c" % size) + b".{%d}+" % size for size in range(1, 128)]) + b")"
# Of a Span: its ids (but those of zeros), name, kind and times; behind the attributes its flags, of which the second
# byte counts. The match's groups are what is in brackets. All repetitions are possessive, those of a fixed number as
# well: of others the matcher keeps a way back.
_BEGIN: Final = (
    b'\n\x10(?!\0{16}+)(.{16}+)\x12\x08(?!\0{8}+)(.{8}+)(?:"\x08(?!\0{8}+)(.{8}+))?+(?:'
    + _NAME
    + b"0([\0-\x7f])9.{8}+A.{8}+)?+"
)
_END: Final = b"(?:\x85\x01.(.)..)?+"
# The tag and length before a Span; and all that comes behind the last that is seen, which makes one row of nothing.
_HEAD: Final = b"(\x12[\x80-\xff]?+[\0-\x7f])"
_REST: Final = b"|.++"

# Of a span: tag and length, its bytes as far as they are seen, trace, span and parent id, the kind's byte, attributes
# of interest, the second byte of its flags; b"" for what it does not say.
Row = tuple[bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes]
_Match = Callable[[bytes, int, int], re.Match[bytes] | None]


class Seen:
    """Short attributes fields of Spans.

    `heads`: the size of those of no interest by their heads, negative where the last byte must be below 128. `hits`:
    those of interest, with an example. `fields` and `hit_fields`: the regular expressions' alternatives, of no interest
    and of interest; `match` matches any number of the first, `match_span` a Span as far as it is in order and its
    attributes are seen, those of interest one after another; `rows` finds as many as stand together: behind the first
    that is not seen whole, rows mean nothing. `runs`: what attributes of interest came to, by their bytes.
    """

    __slots__ = (
        "fields", "heads", "hit_fields", "hits", "is_stale", "lengths", "match", "match_span", "rows", "runs",
    )  # fmt: skip

    def __init__(self) -> None:
        self.heads: dict[bytes, int] = {}
        self.hits: dict[bytes, Hit] = {}
        self.fields: dict[bytes, None] = {}
        self.hit_fields: dict[bytes, None] = {}
        self.runs: dict[bytes, list[Hit]] = {}
        self.lengths: dict[bytes, int] = {}  # how many of a key are in the pattern
        self.is_stale = True
        self.refresh()

    def refresh(self) -> None:
        """Have the patterns match what was learned since the last call: 2 ms, and 0.2 ms for each field known."""
        if self.is_stale:
            attributes, hits = _any_of(self.fields), _any_of(self.hit_fields)
            span = _BEGIN + attributes + b"(" + hits + b")" + attributes + _END
            self.match: _Match = _compile(attributes).match
            self.match_span: _Match = _compile(span).match
            self.rows: Callable[[bytes, int, int], list[Row]] = _compile(_HEAD + b"(" + span + b")" + _REST).findall
            self.is_stale = False

    def learn(self, field: bytes, hit: Hit | None) -> None:
        """From now on know fields like this one, which is short, sound and plain; `hit` if it is of interest."""
        if len(self.heads) + len(self.hits) >= _MOST:
            self._forget()
        kind_at: i64 = 6 + field[3]
        kind: i64 = field[kind_at] & 7
        head = field[: kind_at + 2]
        rest: i64 = len(field) - len(head)
        is_open = kind == VARINT and rest > 0  # the bytes behind the head decide, too
        if hit is None:
            if not is_open or rest == 1:
                self.heads[head] = -len(field) if is_open else len(field)
            self._learn_pattern(self.fields, field[4 : kind_at - 2], kind, head, rest)
        elif not is_open:
            self.hits[head] = hit
            if kind not in (VARINT, I64):  # of numbers the pattern would know more than `hits`
                self._learn_pattern(self.hit_fields, hit.key, kind, head, rest)

    def pass_by(self, data: bytes, start: i64, end: i64, found: list[Hit]) -> i64:
        """The position behind the fields from `start` on that are seen, in a message that ends at `end`.

        `start` itself where there is none. Those of interest are added to `found`. Raises `Malformed`.
        """
        heads = self.heads
        hits = self.hits
        last: i64 = end - 3
        pos: i64 = start
        match = self.match(data, start, end)
        if match is not None:
            pos = match.end()
        while pos < last and data[pos] == _ATTRIBUTES:
            head = data[pos : pos + 8 + data[pos + 3]]
            known = hits.get(head)
            if known is not None:
                stop: i64 = pos + 2 + head[1]
                found.append(Hit(known.slot, known.key, data[pos + 6 + head[3] : stop]))
                pos = stop
                continue
            size = heads.get(head)
            if size is None:
                break
            if size < 0:
                size = -size
                if pos + size > end or data[pos + size - 1] >= 128:
                    break
            pos += size
        if pos > end:
            raise Malformed("a length past its message")
        return pos

    def hits_of(self, run: bytes) -> list[Hit]:
        """The hits of seen attributes of interest, one after another; not to be changed."""
        found = self.runs.get(run)
        if found is None:
            found = []
            self.pass_by(run, 0, len(run), found)
            if len(run) <= _LONGEST_RUN:
                if len(self.runs) >= _MOST_RUNS:
                    self.runs.clear()
                self.runs[run] = found
        return found

    def _learn_pattern(self, fields: dict[bytes, None], key: bytes, kind: i64, head: bytes, rest: i64) -> None:
        if kind == VARINT:
            field = re.escape(head[:-1]) + b"[\x80-\xff]{%d}+[\x00-\x7f]" % rest
        elif kind == I64:
            field = re.escape(head[:-1]) + b".{8}+"
        else:
            field = re.escape(head) + b".{%d}+" % rest
        number = self.lengths.get(key, 0)
        if field not in fields and number < _MOST_LENGTHS and len(fields) < _MOST_IN_PATTERN:
            self.lengths[key] = number + 1
            fields[field] = None
            self.is_stale = True

    def _forget(self) -> None:
        self.heads.clear()
        self.hits.clear()
        self.fields.clear()
        self.hit_fields.clear()
        self.runs.clear()
        self.lengths.clear()
        self.is_stale = True
        self.refresh()  # the patterns must not know more


def _any_of(fields: dict[bytes, None]) -> bytes:
    return b"(?:" + b"|".join(fields) + b")*+" if fields else b""


def _compile(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.DOTALL)
