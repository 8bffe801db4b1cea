"""W3C baggage out of a captured header (S2): what counts, what does not, and the limits."""

from __future__ import annotations

import string
from urllib.parse import quote, quote_plus

import pytest
from craft import request, span
from engine import Engine, Setup, by_name
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.attributes.baggage import parse_baggage, span_key, split_tags

HEADER = "http.request.header.baggage"
CASES = [
    ("", {}),
    ("a=1", {"a": "1"}),
    ("a=1,b=2", {"a": "1", "b": "2"}),
    (" a = 1 ,\tb=2 ", {"a": "1", "b": "2"}),
    ("a=1;p=2;q,b=3;r", {"a": "1", "b": "3"}),
    ("a=1 ; p", {"a": "1"}),
    ("a=1,a=2", {"a": "2"}),
    ("a=", {"a": ""}),
    ("a==b=c", {"a": "=b=c"}),
    ("a", {}),
    ("=1", {}),
    (",,a=1,,", {"a": "1"}),
    ("a;p=1,b=2", {"b": "2"}),
    ('a b=1,b=2,"c"=3,(d)=4', {"b": "2"}),
    ("a-_.!#$%&'*+^`|~9Z=1", {"a-_.!#$%&'*+^`|~9Z": "1"}),
    ("a=%41%20b%2Cc%3Bd%25", {"a": "A b,c;d%"}),
    ("a=%C3%BC", {"a": "ü"}),
    ("a=%c3%bc", {"a": "ü"}),
    ("a=%zz%4", {"a": "%zz%4"}),
    ("a=%FF,b=1", {"b": "1"}),
    ("a=x+y", {"a": "x+y"}),
    ("langfuse_user_id=x+y%2Bz", {"langfuse_user_id": "x y+z"}),
    ("a=ü", {"a": "ü"}),
]


@pytest.mark.parametrize(("header", "expected"), CASES)
def test_members(header: str, expected: dict[str, str]) -> None:
    """S2: members split at commas, properties stripped, percent-decoded, the last duplicate counts; what is no member
    is passed over.
    """
    assert expected == parse_baggage(header)


def test_180_members() -> None:
    """S2: the 181st member is left out."""
    members = parse_baggage(",".join(f"k{index}=v" for index in range(300)))
    assert [f"k{index}" for index in range(180)] == list(members)


@pytest.mark.parametrize(("size", "is_taken"), [(4094, True), (4095, False)])
def test_4096_bytes_a_member(size: int, is_taken: bool) -> None:
    """S2: a member of over 4096 bytes is left out, the others stay."""
    assert is_taken == ("a" in parse_baggage(f"a={'x' * size},b=1"))
    assert "1" == parse_baggage(f"a={'x' * size},b=1")["b"]


def test_8192_bytes() -> None:
    """S2: of a header of over 8192 bytes the members that begin and end within them count."""
    member = "k{:04d}=" + "v" * 94  # 100 bytes, and a comma
    members = parse_baggage(",".join(member.format(index) for index in range(200)))
    assert {"v" * 94} == set(members.values())
    assert 81 == len(members)


def test_8192_bytes_of_text_that_is_not_ascii() -> None:
    """S2: the limits are bytes, not characters."""
    assert {"b": "1"} == parse_baggage("b=1,a=" + "ü" * 2100)
    assert {"b": "1"} == parse_baggage("b=1,a=" + "ü" * 5000 + ",c=2")


@settings(max_examples=200, derandomize=True, deadline=None, database=None)
@given(st.text(max_size=300))
def test_any_text(header: str) -> None:
    """S2: no text raises; keys have no space around them and values no properties."""
    for key, _ in parse_baggage(header).items():
        assert key == key.strip() != ""


@settings(max_examples=200, derandomize=True, deadline=None, database=None)
@given(st.dictionaries(st.text(string.ascii_letters, min_size=1, max_size=8), st.text(max_size=20), max_size=8))
def test_what_sdks_write_is_read(members: dict[str, str]) -> None:
    """S2: what an SDK percent-encodes comes back; of Langfuse's members also what Python's SDK writes, with + for
    spaces.
    """
    assert members == parse_baggage(",".join(f"{key}={quote(value, safe='')}" for key, value in members.items()))
    langfuse = {f"langfuse_{key}": value for key, value in members.items()}
    assert langfuse == parse_baggage(",".join(f"{key}={quote_plus(value)}" for key, value in langfuse.items()))


TARGETS = {
    "langfuse_user_id": "user.id",
    "langfuse_session_id": "session.id",
    "langfuse_version": "langfuse.version",
    "langfuse_tags": "langfuse.trace.tags",
    "langfuse_trace_name": "langfuse.trace.name",
    "langfuse_environment": "langfuse.environment",
    "langfuse_metadata_a": "langfuse.trace.metadata.a",
    "langfuse_metadata_user_id": "langfuse.trace.metadata.user_id",
    "tenant": "tenant",
    "user_id": "user_id",
}


@pytest.mark.parametrize(("member", "key"), TARGETS.items())
def test_members_stand_for_span_keys(member: str, key: str) -> None:
    """S2: Langfuse's members map to their span keys; others are as they are."""
    assert key == span_key(member)


TAGS = [
    ("a,b c", ["a", "b c"]),
    ("a", ["a"]),
    (" a , b ", ["a", "b"]),
    ("", []),
    (",", []),
    ("['a', 'b c']", ["a", "b c"]),
    ("['a', \"it's\"]", ["a", "it's"]),
    ("[]", []),
    ("['a,b']", ["a,b"]),
]


@pytest.mark.parametrize(("text", "tags"), TAGS)
def test_tags(text: str, tags: list[str]) -> None:
    """S2: tags as JavaScript's SDK joins them, and as Python's writes a list."""
    assert tags == split_tags(text)


@pytest.mark.parametrize(
    "value", ["tenant=a,langfuse_user_id=u", ["tenant=a", "langfuse_user_id=u"], ["tenant=a,langfuse_user_id=u", 5]]
)
def test_header_attribute(value: object) -> None:
    """S2: the captured header is a string or an array of strings, which are one list."""
    left = by_name(Engine(Setup(baggage=("tenant",))).deliver(request(span(1, 0, {HEADER: value}), span(2, 1))))
    assert {"tenant": "a", "user.id": "u"} == left["span-1-2"]


@pytest.mark.parametrize("value", [5, True, b"tenant=a", None, {"tenant": "a"}, [["tenant=a"]]])
def test_header_of_another_type(value: object) -> None:
    """S2: anything else under that key says nothing, and stays."""
    left = by_name(Engine(Setup(baggage=("tenant",))).deliver(request(span(1, 0, {HEADER: value}), span(2, 1))))
    assert {"span-1-1": {HEADER: value}, "span-1-2": {}} == left


UNLISTED = [
    "tenant=a",
    "langfuse_version=1",
    "langfuse_tags=a",
    "langfuse_metadata_a=b",
    "user.id=u",
    "enduser.id=u",
    "langfuse_other=1",
    "user_id=u",
]


@pytest.mark.parametrize("header", UNLISTED)
def test_what_is_not_listed(header: str) -> None:
    """S2: only user and session id count without being listed, and only under Langfuse's names."""
    left = by_name(Engine().deliver(request(span(1, 0, {HEADER: header}), span(2, 1))))
    assert {} == left["span-1-2"]


def test_invalid_members_are_absent() -> None:
    """S2, S4, S6: a member that is too long or empty gives way to the span's fallback value; the header stays as it
    is.
    """
    for header in ("langfuse_user_id=" + "x" * 201, "langfuse_user_id="):
        attributes = {HEADER: header, "gen_ai.user.id": "w"}
        left = by_name(Engine().deliver(request(span(1, 0, attributes))))
        assert {"span-1-1": attributes | {"user.id": "w"}} == left
