"""Text that is not UTF-8: untouched where it is not read, never carried where it is (S6, S7, S9)."""

from __future__ import annotations

import pytest
import wires
from craft import any_value, enclose, key_value, span
from engine import Engine, Left, Setup
from lean import Lean

BAD = b"\xff\xfe"
BADS = [b"\xff", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"u\x80"]
LISTED = Setup(baggage=("langfuse", "tenant"))
ROOT, CHILD = span(1, 0, {"session.id": "s"}).SerializeToString(), span(2, 1).SerializeToString()


def attribute(key: bytes, value: bytes) -> bytes:
    """An attributes field; `value` is an AnyValue's bytes."""
    return wires.field(9, wires.field(1, key) + wires.field(2, value))


def deliver(raw: bytes) -> list[bytes]:
    """What a root with more bytes and its child leave as, and that upb can read them but for their text."""
    engine = Engine(LISTED)
    left: list[Left] = engine.deliver(enclose([raw, CHILD]))
    assert [True] == [Lean().parses(chunk) for chunk in engine.chunks]
    assert {} == engine.rejected
    return [each.raw for each in left]


UNREAD = {
    "name": wires.field(5, BAD),
    "trace state": wires.field(3, BAD),
    "status message": wires.field(15, wires.field(2, BAD)),
    "event name": wires.field(11, wires.field(2, BAD)),
    "key": attribute(BAD, any_value("v").SerializeToString()),
    "key like one of ours": attribute(b"user.id" + BAD, any_value("v").SerializeToString()),
    "value": attribute(b"key", wires.field(1, BAD)),
    "item of an array": attribute(b"key", wires.field(5, wires.field(1, wires.field(1, BAD)))),
    "invalid value of an alias": attribute(b"enduser.id", wires.field(1, BAD)),
    "captured baggage": attribute(b"http.request.header.baggage", wires.field(1, b"tenant=a" + BAD)),
}


@pytest.mark.parametrize("name", UNREAD)
def test_text_that_is_not_read(name: str) -> None:
    """S9: invalid UTF-8 in a field that the processor does not read is forwarded untouched, and goes to nobody else."""
    raw = ROOT + UNREAD[name]
    left = deliver(raw)
    assert raw == left[0]
    assert BAD not in left[1]
    assert b"session.id" in left[1]


@pytest.mark.parametrize("bad", BADS)
@pytest.mark.parametrize(
    "key", [b"user.id", b"langfuse.user.id", b"tenant", b"langfuse.trace.metadata.x", b"langfuse.environment"]
)
def test_values_that_are_read(key: bytes, bad: bytes) -> None:
    """S7: invalid UTF-8 under a canonical or listed key is an invalid value: cut, counted, and not carried."""
    left = deliver(ROOT + attribute(key, wires.field(1, bad)))
    assert ROOT + wires.field(10, 1) == left[0]
    assert bad not in left[1].replace(b"session.id", b"")


@pytest.mark.parametrize("bad", BADS)
def test_items_that_are_read(bad: bytes) -> None:
    """S6: an item that is not UTF-8 goes, the rest stay."""
    items = [wires.field(1, text) for text in (b"good", bad)]
    left = deliver(ROOT + attribute(b"langfuse.trace.tags", wires.field(5, wires.joined(items, 1))))
    tags = wires.field(9, key_value("langfuse.trace.tags", ["good"]).SerializeToString())
    assert [True, True] == [tags in each for each in left]
    assert [False, False] == [bad in each.replace(tags, b"").replace(b"session.id", b"") for each in left]


@pytest.mark.parametrize("bad", BADS)
def test_keys_of_a_prefix(bad: bytes) -> None:
    """S9: a key that a `*` of the allow-list would take, but that is not UTF-8, stays on its span and is not handed
    down.
    """
    left = deliver(ROOT + attribute(b"langfuse.trace.metadata." + bad, any_value("v").SerializeToString()))
    assert b"langfuse.trace.metadata." not in left[1]


def test_baggage_that_decodes_to_no_text() -> None:
    """S2: a member whose percent-encoding is not UTF-8 is no member."""
    header = attribute(
        b"http.request.header.baggage", any_value("langfuse_user_id=%ff%fe,tenant=a").SerializeToString()
    )
    left = deliver(ROOT + header)
    assert [False, True] == [b"user.id" in left[1], b"tenant" in left[1]]


def test_resources_that_are_not_text() -> None:
    """S3: a resource is never altered, and what is not text in it is given to nobody."""
    resource = wires.field(1, wires.field(1, wires.field(1, b"user.id") + wires.field(2, wires.field(1, BAD))))
    left = Engine().deliver(enclose([CHILD, ROOT], resource))
    assert [resource, resource] == [each.resource for each in left]
    assert [] == [each for each in left if BAD in each.raw]
