"""HASH_USER_ID_KEY: pseudonyms on what leaves, under every key of a user id; everything else as without it."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
import wires
from craft import key_value, pending, plain, request, span
from engine import Engine, Left, Setup, default
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

KEY = b"a secret of the house"
MARK = "span_processor.user_id_key"
SETUP = Setup(hash_key=KEY)
ALIASES = (*default("user_id_keys"), *default("user_id_fallback_keys"))
CLEAR = "alice@example.com"


def pseudonym(value: str | bytes, key: bytes = KEY) -> str:
    """What stands for a user id: HMAC-SHA256 in hex, 64 digits."""
    return hmac.new(key, value.encode() if isinstance(value, str) else value, hashlib.sha256).hexdigest()


ALICE = pseudonym(CLEAR)
OURS = pseudonym(b"span-processor: user ids")[:16]


def sent(*spans: Span | bytes, setup: Setup = SETUP, **parts: Any) -> list[Left]:
    """All spans after MAX_WAIT, by span id."""
    engine = Engine(setup)
    left = engine.deliver(request(*spans, **parts)) + engine.advance(1000.0)
    return sorted(left, key=lambda each: each.span.span_id)


def encoded(value: Any) -> bytes:
    return key_value("x", value).value.SerializeToString()


@pytest.mark.parametrize("alias", ALIASES)
def test_a_user_id_leaves_as_a_pseudonym(alias: str) -> None:
    """Under each alias, and as the canonical key on it and below it, stands the same pseudonym, and a mark."""
    root, child = sent(span(1, 0, {alias: CLEAR, "a": 1}), span(2, 1, {"b": 2}))
    assert {alias: ALICE, "a": 1, "user.id": ALICE, MARK: OURS} == root.attributes
    assert {"b": 2, "user.id": ALICE, MARK: OURS} == child.attributes
    assert CLEAR.encode() not in root.raw + child.raw
    assert [1, 1] == [[each.key for each in left.span.attributes].count(MARK) for left in (root, child)]


def test_everything_else_stays_to_the_byte() -> None:
    """S11: what is around a replaced attribute stays where it was; unknown fields too."""
    before, user, after = (
        wires.field(9, key_value("a", 1).SerializeToString()),
        key_value("enduser.id", CLEAR),
        b"\xba\x06\x01x",
    )
    raw = span(1).SerializeToString() + before + wires.field(9, user.SerializeToString()) + after
    hashed = wires.field(9, key_value("enduser.id", ALICE).SerializeToString())
    suffix = b"".join(
        wires.field(9, key_value(*pair).SerializeToString()) for pair in (("user.id", ALICE), (MARK, OURS))
    )
    assert span(1).SerializeToString() + before + hashed + after + suffix == sent(raw)[0].raw


def test_a_span_without_a_user_is_untouched() -> None:
    """S11: nothing to replace, nothing changed, no mark."""
    raw = span(1, 0, {"session.id": "s", "url.full": CLEAR}, events=[Span.Event(name="e")]).SerializeToString()
    assert raw == sent(raw)[0].raw


@pytest.mark.parametrize("value", [42, True, 1.5, ["a", "b"], {"a": "b"}, b"bytes", "x" * 201])
def test_an_invalid_value_does_not_leak(value: Any) -> None:
    """S7: what stays although it is invalid leaves as a pseudonym of its encoded form, or of its text."""
    (left,) = sent(span(1, 0, {"usr.id": value}))
    assert {"usr.id": pseudonym(value if isinstance(value, str) else encoded(value)), MARK: OURS} == left.attributes


def test_broken_text_does_not_leak() -> None:
    """S9: an id that is not valid UTF-8 leaves as a pseudonym of its bytes."""
    broken = b"\x0a\x02\xff\xfe"
    pair = wires.field(1, b"usr.id") + wires.field(2, broken)
    (left,) = sent(span(1).SerializeToString() + wires.field(9, pair))
    assert {"usr.id": pseudonym(broken), MARK: OURS} == left.attributes


@pytest.mark.parametrize("value", ["", None])
def test_no_value_has_no_pseudonym(value: str | None) -> None:
    """S6: an empty value is nobody's, and stays."""
    assert {"usr.id": value} == sent(span(1, 0, {"usr.id": value}))[0].attributes


def test_every_duplicate_is_replaced() -> None:
    """S4: of duplicate keys the last counts, and none leaves in clear."""
    (left,) = sent(span(1, 0, [("user.id", "bob"), ("user.id", CLEAR)]))
    assert [("user.id", pseudonym("bob")), ("user.id", ALICE), (MARK, OURS)] == [
        (each.key, plain(each.value)) for each in left.span.attributes
    ]


@pytest.mark.parametrize("is_array", [False, True])
def test_captured_baggage_is_rewritten(is_array: bool) -> None:
    """S2: members that carry the user id are replaced where they stand; others, properties and spaces stay."""
    header = "a=1 , langfuse_user_id=alice%40example.com;p=q,langfuse_session_id=s,user.id = bob,usr.id=,enduser.id=%ff"
    hashed = f"a=1 , langfuse_user_id={ALICE};p=q,langfuse_session_id=s,user.id ={pseudonym('bob')},usr.id=,enduser.id={pseudonym('%ff')}"
    (left,) = sent(span(1, 0, {"http.request.header.baggage": [header, "x"] if is_array else header}))
    assert ([hashed, "x"] if is_array else hashed) == left.attributes["http.request.header.baggage"]
    assert (ALICE, "s") == (left.attributes["user.id"], left.attributes["session.id"])


def test_baggage_past_the_limits_is_rewritten_too() -> None:
    """S2's limits are for reading: nothing behind them leaves in clear."""
    header = ",".join([f"m{index}=v" for index in range(2000)] + [f"user.id={CLEAR}"])
    (left,) = sent(span(1, 0, {"http.request.header.baggage": header}))
    assert left.attributes["http.request.header.baggage"].endswith(f",user.id={ALICE}")
    (odd,) = sent(span(1, 0, {"http.request.header.baggage": ["user.id=x", 5]}))
    assert pseudonym(encoded(["user.id=x", 5])) == odd.attributes["http.request.header.baggage"]


def test_an_alias_that_is_baggage_is_handed_down_as_a_pseudonym() -> None:
    """S2, S10: a listed alias, and one under a listed prefix, descend under their own keys, replaced."""
    setup = Setup(hash_key=KEY, baggage=("enduser.id", "ai.telemetry.metadata.*"))
    root = {"enduser.id": CLEAR, "ai.telemetry.metadata.userId": CLEAR, "ai.telemetry.metadata.plan": "gold"}
    _, child = sent(span(1, 0, root), span(2, 1), setup=setup)
    assert {
        **dict.fromkeys(root, ALICE),
        "ai.telemetry.metadata.plan": "gold",
        "user.id": ALICE,
        MARK: OURS,
    } == child.attributes


def test_events_and_links_are_replaced() -> None:
    """A span's events and links hold attributes, too."""
    event = Span.Event(name="e", attributes=[key_value("enduser.id", CLEAR), key_value("a", 1), key_value(MARK, "x")])
    link = Span.Link(trace_id=bytes([1]) * 16, span_id=bytes([1]) * 8, attributes=[key_value("user.id", CLEAR)])
    (left,) = sent(span(1, events=[event], links=[link]))
    assert {"enduser.id": ALICE, "a": 1, MARK: "x"} == {
        each.key: plain(each.value) for each in left.span.events[0].attributes
    }
    assert [("user.id", ALICE)] == [(each.key, plain(each.value)) for each in left.span.links[0].attributes]
    assert {MARK: OURS} == left.attributes


def test_a_resource_is_replaced() -> None:
    """S3: what a resource says is handed down as a pseudonym, and the resource, too, leaves with it and a mark."""
    left = sent(span(1), span(2, 1), resource={"service.name": "s", "enduser.id": CLEAR})
    assert [{"user.id": ALICE, MARK: OURS}] * 2 == [each.attributes for each in left]
    resource = ResourceSpans.FromString(left[0].resource).resource
    assert {"service.name": "s", "enduser.id": ALICE, MARK: OURS} == {
        each.key: plain(each.value) for each in resource.attributes
    }


def test_given_up_spans_take_pseudonyms() -> None:
    """S12: what a trace agrees on is filled in as a pseudonym."""
    _, orphan = sent(span(1, 0, {"user.id": CLEAR}), span(2, 9))
    assert {"user.id": ALICE, MARK: OURS, "span_processor.derived": ["user.id"]} == orphan.attributes


def test_pending_spans_are_replaced() -> None:
    """S5: the pending twin leaves with pseudonyms as its real span does."""
    twin = sent(pending(5, 1, 0, {"user.id": CLEAR}))[0]
    assert (ALICE, OURS) == (twin.attributes["user.id"], twin.attributes[MARK])


def test_a_second_processor_with_the_same_key_leaves_it_alone() -> None:
    """What has our mark is not replaced again, and its pseudonym descends as it is to what comes without one."""
    first, resource = sent(span(1, 0, {"enduser.id": CLEAR}), resource={"usr.id": CLEAR}), {"usr.id": ALICE, MARK: OURS}
    root, child = sent(first[0].raw, span(2, 1), resource=resource)
    assert first[0].raw == root.raw
    assert {"user.id": ALICE, MARK: OURS} == child.attributes
    assert first[0].resource == root.resource
    (late,) = sent(span(3), resource=resource)
    assert {"user.id": ALICE, MARK: OURS} == late.attributes


def test_a_marked_span_is_not_marked_twice() -> None:
    """A marked span that lacks the canonical key is given it, and keeps its one mark."""
    (left,) = sent(span(1, 0, {"enduser.id": ALICE, MARK: OURS}))
    assert [("enduser.id", ALICE), (MARK, OURS), ("user.id", ALICE)] == [
        (each.key, plain(each.value)) for each in left.span.attributes
    ]


def test_another_key_replaces_again() -> None:
    """What another key made is another's pseudonym: it is replaced, and so is its mark."""
    (first,) = sent(span(1, 0, {"user.id": CLEAR}))
    (second,) = sent(first.raw, setup=Setup(hash_key=b"of another house"))
    assert pseudonym(ALICE, b"of another house") == second.attributes["user.id"]
    assert [MARK] == [each.key for each in second.span.attributes if each.key == MARK]
    assert OURS != second.attributes[MARK]


@pytest.mark.parametrize(("target", "leaves"), [(CLEAR, ALICE), ("trace_id:" + "0" * 32, "trace_id:" + "0" * 32)])
def test_a_resolve_span_does_not_leak(target: str, leaves: str) -> None:
    """S19: what a variable was targeted by is a user's id, unless it is the trace's."""
    said = {"name": "v", "label": "l", "targeting_key": target}
    (left,) = sent(span(1, 0, said), scope="logfire.variables")
    assert leaves == left.attributes["targeting_key"]
    assert target == sent(span(1, 0, said), scope="other")[0].attributes["targeting_key"]


def test_without_a_key_nothing_is_replaced() -> None:
    """The setting is off by default; a mark of somebody else's is an attribute like any other."""
    raw = span(1, 0, {"user.id": CLEAR, MARK: OURS}).SerializeToString()
    assert raw == sent(raw, setup=Setup())[0].raw


KEY_FIELD, VALUE_FIELD = wires.field(1, b"usr.id"), wires.field(2, wires.field(1, CLEAR.encode()))


@pytest.mark.parametrize(
    "pair",
    [
        VALUE_FIELD + KEY_FIELD,
        wires.field(1, b"a") + VALUE_FIELD + KEY_FIELD,
        KEY_FIELD + wires.field(2, wires.field(1, b"bob")) + VALUE_FIELD,
        KEY_FIELD + VALUE_FIELD + b"\x18\x01",
        KEY_FIELD + wires.field(2, wires.field(1, b"bob") + wires.field(1, CLEAR.encode())),
    ],
)  # fmt: skip
def test_any_order_of_fields(pair: bytes) -> None:
    """A KeyValue is understood as every decoder does, however it is written: the last of repeated fields counts."""
    (left,) = sent(span(1).SerializeToString() + wires.field(9, pair))
    assert {"usr.id": ALICE, "user.id": ALICE, MARK: OURS} == left.attributes
    assert CLEAR.encode() not in left.raw


def test_warnings_are_the_same() -> None:
    """S8: what is dropped is told of the clear value's length, as without a key."""
    told = []
    for setup in (Setup(), SETUP):
        engine = Engine(setup)
        engine.deliver(request(span(1, 0, {"user.id": "x" * 300, "enduser.id": 5})))
        told.append(
            [(drop.group, drop.key, drop.reason, drop.type, drop.length) for drop in engine.pipeline.take_drops()]
        )
    assert told[0] == told[1]
    assert 2 == len(told[0])


def test_a_context_is_encoded_once() -> None:
    """However many spans share a context, the pseudonym of its user is made once."""
    engine = Engine(SETUP)
    engine.deliver(request(span(1, 0, {"user.id": CLEAR}), *(span(number, 1) for number in range(2, 500))))
    pseudonyms = engine.pipeline.pseudonyms
    assert pseudonyms is not None
    engine.deliver(request(*(span(number, 1) for number in range(500, 900))))
    assert [encoded(CLEAR)] == list(pseudonyms._values)
