"""Headers as OTLP's variables write them."""

from __future__ import annotations

import pytest

from processor.export.headers import override, parse_headers


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", ()),
        ("a=b", (("a", "b"),)),
        (" Api-Key = x y , b=2,", (("api-key", "x y"), ("b", "2"))),
        ("authorization=Basic%20cGs6c2s%3D", (("authorization", "Basic cGs6c2s="),)),
        ("authorization=Basic cGs6c2s=", (("authorization", "Basic cGs6c2s="),)),
        ("a=1%2C2", (("a", "1,2"),)),
        ("a=1+2", (("a", "1+2"),)),
        ("a=100%", (("a", "100%"),)),
        ("a=", (("a", ""),)),
        ("a=1,A=2", (("a", "2"),)),
    ],
)
def test_pairs(text: str, pairs: tuple[tuple[str, str], ...]) -> None:
    """Names are trimmed and lower-cased, both sides percent-decoded, and the last of equal names counts."""
    assert (pairs, []) == parse_headers(text)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a=1,hunter2", "pair 2 has no `=`"),
        ("=hunter2", "pair 1 has a name"),
        ("a b=hunter2", "pair 1 has a name"),
        ("n%C3%A4me=hunter2", "pair 1 has a name"),
        ("a=1,,b=hunter2%0d%0ax-evil: 1", "pair 3 has a value"),
        ("a=hunter2%C3%A9", "pair 1 has a value"),
        ("content-type=hunter2", "pair 1 names a header that belongs to the protocol"),
        ("grpc-timeout=hunter2", "pair 1 names a header that belongs to the protocol"),
        ("x-span-processor-hop=hunter2", "pair 1 names a header that belongs to the protocol"),
        ("key-bin=hunter2", "pair 1 names a binary header"),
    ],
)
def test_bad_pair(text: str, what: str) -> None:
    """A pair that cannot be sent is named by its position; its value is never quoted."""
    (problem,) = parse_headers(text)[1]
    assert problem.startswith(what)
    assert "hunter2" not in problem


def test_forwarded_headers_take_the_place_of_configured_ones() -> None:
    """S28: a sender's header stands in for the configured one of its name; the others stay."""
    configured = (("authorization", "ours"), ("x-a", "1"))
    assert configured == override(configured, ())
    assert {"authorization": "theirs", "x-a": "1", "x-b": "2"} == dict(
        override(configured, (("authorization", "theirs"), ("x-b", "2")))
    )
    assert 3 == len(override(configured, (("authorization", "theirs"), ("x-b", "2"))))
