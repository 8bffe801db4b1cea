"""Durations, sizes and addresses as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.units import format_duration, format_size, parse_duration, parse_endpoint, parse_size, split_endpoint


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5), ("570ms", 0.57), ("30s", 30.0), ("10m", 600.0), ("1h", 3600.0), ("1.5s", 1.5), ("0s", 0.0),
        (" 30 s ", 30.0), (12.5, 12.5), (None, None),
    ],
)  # fmt: skip
def test_reads_a_duration(text: object, seconds: object) -> None:
    """A duration is a number with its unit; what is no text is left to the model."""
    assert seconds == parse_duration(text)


@pytest.mark.parametrize(
    "text", ["", "30", "s", "30S", "-1s", "1e3s", "1s2", "30 sec", "1.s", ".5s", "٣s", "9" * 400 + "s", "1d"]
)
def test_refuses_what_is_no_duration(text: str) -> None:
    """A duration without a unit, or of another form, is refused with examples."""
    with pytest.raises(ValueError, match=r"^must be a duration such as 500ms, 30s or 10m$"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4096", 4096), ("4096B", 4096), ("64MiB", 64 << 20), ("64mib", 64 << 20), ("1GiB", 1 << 30),
        ("1.5KiB", 1536), ("1MB", 1_000_000), ("2GB", 2_000_000_000), ("8KB", 8000), ("8589934592", 1 << 33),
        ("9007199254740993", None), ("123456789012345", 123456789012345), (77, 77),
    ],
)  # fmt: skip
def test_reads_a_size(text: object, size: int | None) -> None:
    """A size is a number of bytes, or a number with its unit, read exactly."""
    if size is None:
        with pytest.raises(ValueError, match=r"^must be a size such as 64MiB or 1GiB$"):
            parse_size(text)
    else:
        assert size == parse_size(text)


@pytest.mark.parametrize("text", ["", "MiB", "-1", "64Mi", "1e6", "9" * 400, "64 M iB", "0x10"])
def test_refuses_what_is_no_size(text: str) -> None:
    """A size of another form, or of absurdly many digits, is refused with examples."""
    with pytest.raises(ValueError, match=r"^must be a size such as 64MiB or 1GiB$"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.1:4317", "127.0.0.1:4317"), ("[::1]:4317", "[::1]:4317"), ("localhost:0", "localhost:0"),
        ("0.0.0.0:65535", "0.0.0.0:65535"), ("off", "off"), ("OFF", "off"), (" off ", "off"), (" a:1 ", "a:1"),
    ],
)  # fmt: skip
def test_reads_an_endpoint(text: str, endpoint: str) -> None:
    """An address is host:port, IPv6 in brackets, or `off`."""
    assert endpoint == parse_endpoint(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "host:port"), ("4317", "host:port"), (":4317", "host:port"), ("host:", "host:port"),
        ("host:65536", "host:port"), ("host:٣", "host:port"), ("http://host:1", "host:port"), ("a b:1", "host:port"),
        ("[]:1", "host:port"), ("[[::1]]:1", "host:port"), ("host:" + "9" * 5000, "host:port"),
        ("::1:4317", "brackets"), ("[::1:4317", "brackets"), ("::1]:4317", "brackets"),
    ],
)  # fmt: skip
def test_refuses_what_is_no_endpoint(text: str, message: str) -> None:
    """An address of another form is refused, and the message shows a right one."""
    with pytest.raises(ValueError, match=message):
        parse_endpoint(text)


@pytest.mark.parametrize(
    ("endpoint", "parts"), [("127.0.0.1:4317", ("127.0.0.1", 4317)), ("[::1]:0", ("::1", 0)), ("a.b:1", ("a.b", 1))]
)
def test_splits_an_endpoint(endpoint: str, parts: tuple[str, int]) -> None:
    """The parts of an address come without brackets."""
    assert parts == split_endpoint(endpoint)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.5, "500ms"),
        (0.57, "570ms"),
        (90.0, "90s"),
        (300.0, "5m"),
        (3600.0, "1h"),
        (1e6, "1000000s"),
    ],
)
def test_writes_a_duration(seconds: float, text: str) -> None:
    """A duration is written in the largest unit that divides it."""
    assert text == format_duration(seconds)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0"), (1000, "1000"), (1536, "1536"), (65536, "64KiB"), (1 << 31, "2GiB")]
)
def test_writes_a_size(size: int, text: str) -> None:
    """A size is written in the largest unit that divides it."""
    assert text == format_size(size)


@given(st.integers(0, 87_600 * 3_600_000))
def test_a_written_duration_reads_back(milliseconds: int) -> None:
    """What is shown as a duration can be set as one, exactly."""
    seconds = milliseconds / 1000
    assert seconds == parse_duration(format_duration(seconds))


@given(st.integers(0, 10**15 - 1))
def test_a_written_size_reads_back(size: int) -> None:
    """What is shown as a size can be set as one, exactly."""
    assert size == parse_size(format_size(size))
