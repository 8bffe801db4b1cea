"""Whose a request is (S28): one object for all that agree, traces of different credentials apart, never a value shown."""

from __future__ import annotations

import traceback

import pytest

from processor.errors import ComeBackLater, MalformedRequest
from processor.header_names import HeaderNames
from processor.origin import NO_ORIGIN, Origin, Origins

SECRET = "Basic hunter2"


def origins(most: int = 1000, key: bytes = b"key", **parts: object) -> Origins:
    """Of a processor that forwards `authorization` and `x-langfuse-*`, tenants by the usual headers."""
    forwarded, tenants = (
        HeaderNames(("authorization", "x-langfuse-*")),
        HeaderNames(("authorization", "x-langfuse-public-key")),
    )
    return Origins(forwarded, tenants, key, parts.pop("forget", lambda: None), most)  # type: ignore[arg-type]


def test_one_for_all_that_agree() -> None:
    """Requests whose forwarded headers agree have one origin; what is not forwarded makes no difference."""
    made = origins()
    first = made.of({"authorization": SECRET, "x-langfuse-a": "1"})
    assert (("authorization", SECRET), ("x-langfuse-a", "1")) == first.headers
    assert first is made.of({"x-langfuse-a": " 1 ", "user-agent": "x", "authorization": SECRET})
    assert first is not made.of({"authorization": SECRET, "x-langfuse-a": "2"})


@pytest.mark.parametrize("headers", [{}, {"x-other": "1"}])
def test_nothing_to_forward(headers: dict[str, str]) -> None:
    """A request without such headers has the origin of nobody, whose traces have the plain key."""
    assert NO_ORIGIN is origins().of(headers)
    assert b"" == NO_ORIGIN.key_prefix


def test_nothing_is_forwarded() -> None:
    """Where no downstream forwards anything, no request is told from another."""
    assert NO_ORIGIN is Origins(HeaderNames(), HeaderNames(("authorization",)), b"k", lambda: None).of(
        {"authorization": SECRET}
    )


def test_traces_are_kept_apart_by_credentials() -> None:
    """The prefix of a trace's key follows from the tenant headers alone: names and values, whatever else came."""
    made = origins()
    prefixes = [
        made.of(headers).key_prefix
        for headers in (
            {"authorization": "a"},
            {"authorization": "b"},
            {"x-langfuse-public-key": "a"},
            {"authorization": "a", "x-langfuse-public-key": "a"},
            {"authorization": "ax-langfuse-public-key1:a"},
        )
    ]
    assert len(prefixes) + 1 == len({*prefixes, b""})
    assert {8} == {len(prefix) for prefix in prefixes}
    assert prefixes[0] == made.of({"authorization": "a", "x-langfuse-sdk-version": "4"}).key_prefix
    assert b"" == made.of({"x-langfuse-sdk-version": "4"}).key_prefix
    assert prefixes[0] != origins(key=b"other").of({"authorization": "a"}).key_prefix


def test_forgets_those_with_nothing_left() -> None:
    """An origin lives as long as something holds it; when there are too many, those that caches alone hold go first."""
    cache: list[Origin] = []
    made = origins(3, forget=cache.clear)
    held = [made.of({"authorization": str(number)}) for number in range(2)]
    cache += [made.of({"authorization": "idle"})]
    assert 3 == len(made)
    held.append(made.of({"authorization": "new"}))
    assert ([], 3) == (cache, len(made))
    assert held[0] is made.of({"authorization": "0"})


def test_too_many() -> None:
    """Where all of them have something held or queued, a further one is refused retryably, counted; the known go on."""
    made = origins(2)
    held = [made.of({"authorization": str(number)}) for number in range(2)]
    with pytest.raises(ComeBackLater) as caught:
        made.of({"authorization": SECRET})
    assert (2, 1) == (caught.value.retry_after_s, made.refused)
    assert held[1] is made.of({"authorization": "1"})
    assert NO_ORIGIN is made.of({})
    held.pop()
    assert made.of({"authorization": SECRET})


@pytest.mark.parametrize("value", ["ä", "a\x7f", "a\nb", "a" * 8200])
def test_values_that_cannot_be_forwarded(value: str) -> None:
    """What no protocol carries is the sender's fault; the message has the name and not the value."""
    with pytest.raises(MalformedRequest) as caught:
        origins().of({"authorization": value})
    assert value not in str(caught.value)
    assert 0 == len(origins())


def test_no_value_is_shown() -> None:
    """Neither a representation nor a traceback shows a value."""
    origin = origins().of({"authorization": SECRET})
    try:
        raise ValueError(f"{origin!r} {origin} {[origin]}")
    except ValueError:
        shown = traceback.format_exc()
    assert "authorization" in shown
    assert "hunter2" not in shown


def test_what_a_downstream_sees() -> None:
    """Each downstream is given the headers that it forwards, and no others."""
    origin = Origin((("authorization", SECRET), ("x-a", "1"), ("x-b", "2")))
    assert (("x-a", "1"), ("x-b", "2")) == origin.select(HeaderNames(("x-*",)))
    assert (("authorization", SECRET),) == origin.select(HeaderNames(("authorization",)))
    assert () == origin.select(HeaderNames()) == NO_ORIGIN.select(HeaderNames(("x-*",)))
