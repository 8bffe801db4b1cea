"""One span's bytes read: what a reader has seen before changes nothing of what it says of the next span."""

from __future__ import annotations

import pytest
import wires
from craft import enclose, span, trace_id
from engine import Setup

from processor.pipeline import Pipeline
from processor.wire.scan import Scan
from processor.wire.seen import Row

TEXTS = [wires.field(1, text.encode()) for text in ("chat", "", "ä" * 70, "x" * 200)]
NUMBERS = [b"\x18" + number for number in (b"\x05", b"\xac\x02", b"\xf0\xa2\x04", b"\xff" * 9 + b"\x01")]
OTHERS = [b"\x10\x01", b"\x10\x81\x00", b"\x21" + bytes(range(8)), wires.field(5, wires.field(1, TEXTS[0])), b""]


def attribute(key: bytes, value: bytes) -> bytes:
    """An attributes field of a Span; `value` is an AnyValue's bytes."""
    return wires.field(9, wires.field(1, key) + wires.field(2, value))


def verdict(raw: bytes, pipeline: Pipeline) -> tuple[object, ...]:
    """How many spans are rejected, the bytes of the others, and their attributes of interest."""
    return verdicts([raw], pipeline)


def verdicts(raws: list[bytes], pipeline: Pipeline, step: int = 10) -> tuple[object, ...]:
    """The same of several spans, with their ids and whether they are entries; read so many a step."""
    return told(pipeline.scan(enclose(raws)), step)


def told(scan: Scan, step: int) -> tuple[object, ...]:
    """What a scan says of its spans."""
    while scan.step(step):
        pass
    hits = [[(hit.slot, hit.key, hit.value) for hit in found] for found in scan.hits]
    traces = list(zip(scan.trace_ids, scan.starts, strict=True))
    places = [(each.span_id, each.parent_id, each.state) for each in scan.spans]
    return sum(scan.rejected.values()), [each.raw for each in scan.spans], scan.said_at, hits, places, traces


def damaged(raw: bytes) -> list[bytes]:
    """The span with one byte changed, in several ways each, or cut short."""
    changed = [
        raw[:at] + bytes([value]) + raw[at + 1 :]
        for at, byte in enumerate(raw)
        for value in {0, 1, 0x7F, 0x80, 0xFF, byte ^ 0x80, byte ^ 8, (byte + 1) % 256, (byte - 1) % 256} - {byte}
    ]
    return changed + [raw[:at] for at in range(len(raw))]


@pytest.mark.parametrize("value", TEXTS + NUMBERS + OTHERS, ids=lambda value: value.hex()[:12])
def test_a_broken_attribute_is_found_whatever_came_before(value: bytes) -> None:
    """S9: after a sound attribute one that begins alike and is broken is rejected, and one that is of interest is
    found.
    """
    raw = span(1, name="").SerializeToString() + attribute(b"gen_ai.usage", value) + attribute(b"user.id", value)
    experienced = Setup().pipeline()
    assert [raw] == verdict(raw, experienced)[1] == verdict(raw, experienced)[1]
    for each in damaged(raw):
        assert verdict(each, Setup().pipeline()) == verdict(each, experienced), each.hex()


def whole(flags: int, user: bytes, end: bytes = b"") -> bytes:
    """A span as SDKs write it: all fields in order, attributes of interest one after another."""
    raw = span(2, 1, name="chat", kind=3, start_time_unix_nano=1 << 60, end_time_unix_nano=(1 << 60) + 1)
    told = [(b"user.id", wires.field(1, user)), (b"session.id", wires.field(1, b"s")), (b"gen_ai.usage", b"\x18\x05")]
    attributes = [attribute(b"gen_ai.system", TEXTS[0]), *[attribute(*one) for one in told]]
    written = b"\x85\x01" + flags.to_bytes(4, "little") if flags else b""
    return raw.SerializeToString() + b"".join(attributes) + end + written


@pytest.mark.parametrize("flags", [0, 0x100, 0x300])
def test_a_broken_span_is_found_whatever_came_before(flags: int) -> None:
    """S9: beside a sound neighbour of its trace, after spans alike, every other byte has its own verdict."""
    raw = whole(flags, b"ada")
    experienced = Setup().pipeline()
    for _ in range(3):
        assert [raw, raw] == verdicts([raw, raw], experienced)[1]
    zeros = [raw[:at] + bytes(size) + raw[at + size :] for at, size in ((2, 16), (20, 8), (30, 8))]
    for each in [*zeros, *damaged(raw)[::3]]:
        assert verdicts([raw, each], Setup().pipeline()) == verdicts([raw, each], experienced), each.hex()


@pytest.mark.parametrize("end", [b"", attribute(b"prompt", TEXTS[3]), attribute(b"user.id", TEXTS[0])])
def test_what_is_of_interest_is_found_whatever_came_before(end: bytes) -> None:
    """S1: other values of the same lengths, and more behind them, are this span's own."""
    experienced = Setup().pipeline()
    raws = [whole(0x100, user, more) for user in (b"ada", b"bob") for more in (b"", end)]
    expected = verdicts(raws, Setup().pipeline())
    for _ in range(4):
        assert expected == verdicts(raws, experienced)


def test_what_is_known_is_bounded() -> None:
    """However many keys come, only so much is kept of them."""
    pipeline = Setup().pipeline()
    seen = pipeline.reader.keys.interests.spans.seen
    for start in range(0, 20_000, 1000):
        keys = {f"key.{number}": "value" for number in range(start, start + 1000)}
        assert [1] == [len(verdict(span(1, 0, keys).SerializeToString(), pipeline)[1])]
        assert seen is None or (8192 >= len(seen.heads) + len(seen.hits) and 64 >= len(seen.fields))
    for number in range(0, 3000, 100):
        users = [whole(0x100, b"user-%05d" % user) for user in range(number, number + 100)]
        assert 100 == len(verdicts(users, pipeline)[1])
        assert seen is None or (1024 >= len(seen.runs) and 64 >= len(seen.hit_fields))


ODD = {
    "more than is seen": whole(0x100, b"ada", attribute(b"prompt", TEXTS[3])),
    "an entry": whole(0x300, b"ada"),
    "broken": whole(0x100, b"ada")[:-1],
    "an id of zeros": whole(0x100, b"ada")[:2] + bytes(16) + whole(0x100, b"ada")[18:],
    "spans inside": whole(0x100, b"ada") + wires.field(2, whole(0x100, b"ada")) * 3,
    "another trace": whole(0x100, b"ada").replace(trace_id(1), trace_id(2)),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("every", [1, 2, 5, 9, 100, 700])
def test_many_spans_are_read_as_one_by_one(odd: bytes, every: int) -> None:
    """Spans alike that stand together, more than are looked at at once, and what stands between them."""
    experienced = Setup().pipeline()
    raws = [odd if number % every == every - 1 else whole(0x100, b"ada") for number in range(1000)]
    expected = verdicts(raws, Setup().pipeline(), 2000)
    for step in (2000, 2000, 300, 7):
        assert expected == verdicts(raws, experienced, step)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_a_length_in_other_words(size: int) -> None:
    """S9: a span's length may be written with more bytes than it takes."""
    raw = whole(0x100, b"ada")
    experienced = Setup().pipeline()
    body = wires.field(1, wires.field(2, (b"\x12" + wires.varint(len(raw), size) + raw) * 9))
    for _ in range(3):
        assert [raw] * 9 == told(experienced.scan(body), 2000)[1]


def test_a_scope_that_looks_like_a_span() -> None:
    """S9: what stands behind the spans of a scope is none of them."""
    raw = whole(0x100, b"ada")
    scope = wires.field(1, wires.field(1, b"fourteen bytes")) + wires.field(2, bytes([1]) * 8)
    body = wires.field(1, wires.field(2, wires.field(2, raw) * 9) + wires.field(2, scope))
    experienced = Setup().pipeline()
    for _ in range(3):
        assert (1, [raw] * 9) == told(experienced.scan(body), 2000)[:2]


def test_what_looks_like_spans_is_looked_at_once() -> None:
    """However spans are made to look like many, what is done for them is proportional to their bytes."""
    pipeline = Setup().pipeline()
    seen = pipeline.reader.keys.interests.spans.seen
    if seen is None:
        pytest.skip("compiled, nothing is remembered")
    raw = whole(0x100, b"ada")
    for _ in range(3):
        verdicts([raw], pipeline)
    counts: list[int] = []
    find = seen.rows

    def counted(data: bytes, start: int, end: int) -> list[Row]:
        rows = find(data, start, end)
        counts.append(len(rows))
        return rows

    seen.rows = counted
    verdicts(([raw] * 5 + [raw + wires.field(2, raw) * 2]) * 500, pipeline, 2000)
    assert 5 < sum(counts) < 3000
