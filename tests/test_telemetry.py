"""Warnings about dropped values: counted all, logged and told at a bounded rate, never with the value."""

from __future__ import annotations

import logging

import pytest

from processor.attributes.reading import Drop
from processor.attributes.validate import BAD_FORMAT, NOT_A_STRING, REASONS, TOO_LONG
from processor.telemetry import Accounting, RateLimit, Warnings, escape

LONG = "s3cret" * 50


def drop(key: bytes = b"user.id", reason: str = TOO_LONG, value: object = LONG, group: str = "user_id") -> Drop:
    """One dropped value."""
    return Drop(group, key, reason, value)


def test_says_the_first_ten_in_ten_seconds_then_one_in_a_hundred() -> None:
    """S8: of one subject ten lines in ten seconds, then every hundredth."""
    limit = RateLimit()
    allowed = [number for number in range(1, 321) if limit.allows(("user.id", TOO_LONG), 9.9)]
    assert [*range(1, 11), 110, 210, 310] == allowed


def test_begins_anew_after_ten_seconds() -> None:
    """S8: the window of ten seconds begins with the first line in it."""
    limit = RateLimit()
    assert [True] * 10 + [False] * 5 == [limit.allows(("a",), 5.0) for _ in range(15)]
    assert not limit.allows(("a",), 14.9)
    assert limit.allows(("a",), 15.0)


def test_other_rates() -> None:
    """How many in how long, and how many then, can be chosen; 0 is none until the window is over."""
    limit = RateLimit(first=2, window_s=60.0, then_one_in=0)
    assert [True, True] + [False] * 300 == [limit.allows(("a",), 59.0) for _ in range(302)]
    assert not limit.allows(("a",), 118.9)
    assert limit.allows(("a",), 119.0)


def test_subjects_do_not_silence_each_other() -> None:
    """S8: the rate is kept for each key and reason."""
    limit = RateLimit()
    assert [True] * 10 + [False] == [limit.allows(("user.id", TOO_LONG), 0.0) for _ in range(11)]
    assert limit.allows(("user.id", NOT_A_STRING), 0.0)
    assert limit.allows(("session.id", TOO_LONG), 0.0)


def test_invented_keys_share_one_rate() -> None:
    """Keys that a sender invents fill neither memory nor log: beyond a hundred they have one rate together."""
    limit = RateLimit()
    assert 100 + 10 + 8 == sum(limit.allows((f"key-{number}",), 0.0) for number in range(100 + 10 + 899))
    assert limit.allows(("user.id",), 10.0)
    assert limit.allows(("another",), 10.0)


def test_counts_every_drop(caplog: pytest.LogCaptureFixture) -> None:
    """S8: the counter by key group and reason counts what the log leaves out."""
    warnings = Warnings(warn_sender=True)
    for _ in range(50):
        warnings.note([drop(), drop(b"tenant", BAD_FORMAT, "X", "baggage")], 0.0)
    assert {("user_id", TOO_LONG): 50, ("baggage", BAD_FORMAT): 50} == warnings.dropped
    assert len(caplog.records) == 20


def test_logs_type_and_length_and_never_the_value(caplog: pytest.LogCaptureFixture) -> None:
    """S8: a log line has the value's length and type."""
    Warnings(warn_sender=True).note([drop(), drop(value=5, reason=NOT_A_STRING)], 0.0)
    assert [
        f"dropped an invalid value: key=user.id reason=too_long type=string length=300 meaning={REASONS[TOO_LONG]}",
        f"dropped an invalid value: key=user.id reason=not_a_string type=int length=0 meaning={REASONS[NOT_A_STRING]}",
    ] == [record.getMessage() for record in caplog.records]
    assert [logging.WARNING] * 2 == [record.levelno for record in caplog.records]
    assert "s3cret" not in caplog.text


def test_escapes_a_key(caplog: pytest.LogCaptureFixture) -> None:
    """S8: a key comes out of a span, so its control characters are escaped and its length is bounded."""
    key = b"langfuse.trace.metadata.\n\x1b\xff" + b"k" * 200
    told = Warnings(warn_sender=True).note([drop(key, group="baggage")], 0.0)
    for text in (told, caplog.messages[0]):
        assert text.isprintable()
        assert "langfuse.trace.metadata.\\n\\x1b" in text
        assert len(text) < 250


def test_tells_the_sender_keys_and_reasons() -> None:
    """S8: the partial_success names the keys and reasons of one request, each once."""
    told = Warnings(warn_sender=True).note(
        [drop(), drop(), drop(b"session.id", TOO_LONG, LONG, "session_id"), drop(value=5, reason=NOT_A_STRING)], 0.0
    )
    assert told == (
        f"dropped invalid values: user.id ({REASONS[TOO_LONG]}), session.id ({REASONS[TOO_LONG]}), "
        f"user.id ({REASONS[NOT_A_STRING]})"
    )


def test_tells_at_most_once_in_ten_seconds_a_reason() -> None:
    """S8: at most one response in ten seconds per reason."""
    warnings = Warnings(warn_sender=True)
    assert warnings.note([drop()], 100.0)
    assert warnings.note([drop()], 109.9) == ""
    assert warnings.note([drop(reason=NOT_A_STRING, value=5)], 109.9)
    assert warnings.note([drop()], 110.0)


def test_tells_nothing_where_the_setting_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """S8: WARN_SENDER=false leaves the counter and the log."""
    warnings = Warnings(warn_sender=False)
    assert warnings.note([drop()], 0.0) == ""
    assert {("user_id", TOO_LONG): 1} == warnings.dropped
    assert len(caplog.records) == 1


def test_nothing_dropped_is_nothing_said(caplog: pytest.LogCaptureFixture) -> None:
    """Without drops there is no message."""
    assert Warnings(warn_sender=True).note([], 0.0) == ""
    assert [] == caplog.records


def test_tells_of_a_bounded_number_of_keys() -> None:
    """A request with hundreds of bad keys has one message of bounded length."""
    drops = [drop(b"tenant-%d" % number, group="baggage") for number in range(500)]
    assert len(Warnings(warn_sender=True).note(drops, 0.0)) < 2000


@pytest.mark.parametrize(
    ("key", "text"),
    [(b"user.id", "user.id"), (b"a\nb", "a\\nb"), (b"\xff", "\ufffd"), ("é".encode(), "é"), (b"x" * 200, "x" * 100)],
)
def test_escape(key: bytes, text: str) -> None:
    """Text out of a span is printable and short."""
    assert text == escape(key)


@pytest.mark.parametrize(
    ("accounting", "is_balanced"),
    [
        (Accounting(accepted=10, exported=4, lost={"rejected": 1, "shutdown": 2}, held=2, queued=1), True),
        (Accounting(accepted=10, exported=4, lost={}, held=2, queued=1), False),
        (Accounting(accepted=1, exported=2, lost={}, held=0, queued=0), False),
        (Accounting(accepted=3, exported=4, lost={}, held=0, queued=0, recovered=2, journaled=1), True),
    ],
)
def test_the_identity(accounting: Accounting, is_balanced: bool) -> None:
    """S25: accepted + recovered = exported + lost + held + queued + journaled."""
    assert is_balanced == accounting.is_balanced
