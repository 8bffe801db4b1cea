"""Text from spans, made fit for a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValueList
from rich.cells import cell_len

from processor.export.view.text import ASCII, UNICODE, Marks, clean, cut, marks_for, show_duration, show_value


@pytest.mark.parametrize(
    ("duration_ns", "shown"),
    [
        (-5, ""),
        (0, ""),
        (900, "0.9 µs"),
        (999_499, "999 µs"),
        (999_500, "1 ms"),
        (12_345_678, "12.3 ms"),
        (999_499_999, "999 ms"),
        (999_500_000, "1.00 s"),
        (1_200_000_000, "1.20 s"),
        (9_999_999_999, "10.0 s"),
        (59_949_999_999, "59.9 s"),
        (60_000_000_000, "1 m 00 s"),
        (125_000_000_000, "2 m 05 s"),
        (3_600_000_000_000, "1 h 00 m"),
        (90_061_000_000_000, "25 h 01 m"),
    ],
)
def test_durations(duration_ns: int, shown: str) -> None:
    """Durations have about three digits and a unit."""
    assert shown == show_duration(duration_ns, UNICODE)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (AnyValue(), ""),
        (AnyValue(string_value="a b"), "a b"),
        (AnyValue(int_value=-3), "-3"),
        (AnyValue(bool_value=True), "true"),
        (AnyValue(double_value=0.5), "0.5"),
        (AnyValue(bytes_value=b"x"), "(bytes)"),
        (AnyValue(kvlist_value=KeyValueList()), "(kvlist)"),
        (AnyValue(array_value=ArrayValue(values=[AnyValue(string_value="a"), AnyValue(int_value=1)])), "[a, 1]"),
    ],
)
def test_values(value: AnyValue, shown: str) -> None:
    """Values that have a short form are shown in it, others by their kind."""
    assert shown == show_value(value, UNICODE)


@pytest.mark.parametrize(
    ("encoding", "marks"),
    [("utf-8", UNICODE), ("UTF-8", UNICODE), ("utf-16", UNICODE), ("ascii", ASCII), ("cp1252", ASCII), ("", ASCII)],
)
def test_marks_follow_the_encoding(encoding: str, marks: Marks) -> None:
    """Only a UTF is trusted with the drawn marks."""
    assert marks == marks_for(encoding)


@pytest.mark.parametrize(
    ("cells", "shown"), [(11, "hello world"), (10, "hello…rld"), (4, "he…d"), (3, "he…"), (2, "he"), (0, "")]
)
def test_cutting(cells: int, shown: str) -> None:
    """The middle goes; more of the beginning than of the end stays."""
    assert shown == cut("hello world", cells, UNICODE)


@given(text=st.text(max_size=400), cells=st.integers(0, 60), is_ascii=st.booleans())
def test_any_text(text: str, cells: int, is_ascii: bool) -> None:
    """Whatever the text, it comes out printable, on one line, in the cells it has."""
    marks = ASCII if is_ascii else UNICODE
    shown = cut(clean(text, marks), cells, marks)
    assert cell_len(shown) <= cells
    assert not shown or shown.isprintable()
    assert shown.isascii() or not is_ascii
