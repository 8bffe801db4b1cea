"""JSON and YAML as texts: bounds, and what is wrong with them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.variables.documents import MAX_BYTES, MAX_YAML_BYTES, DocumentError, iterate_variables
from processor.variables.variables import Format


def _read(text: str | bytes, format: Format = "json") -> dict[object, object]:
    return dict(iterate_variables(text, format))


def _wrong(text: str | bytes, format: Format = "json") -> str:
    with pytest.raises(DocumentError) as caught:
        _read(text, format)
    return str(caught.value)


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-1000, 1000).map(lambda n: n / 4) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None, max_examples=200)
@given(
    st.dictionaries(st.text(), _PLAIN, max_size=5), st.integers(0, 4), st.dictionaries(st.text(), _PLAIN, max_size=3)
)
def test_json_is_read_as_the_standard_library_reads_it(
    variables: dict[str, Any], indent: int, others: dict[str, Any]
) -> None:
    """Walking the outer levels by hand changes nothing."""
    text = json.dumps({**others, "variables": variables}, indent=indent or None)
    assert json.loads(text)["variables"] == _read(text)


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet='{}[],:"variables0 tn\n', max_size=60), st.integers(0, 80))
def test_broken_json_is_told(garbage: str, at: int) -> None:
    """Whatever the text, it is read as the standard library reads it, or refused as a document."""
    whole = '{"variables": {"a": {"b": [1]}, "c": null}, "d": 1}'
    text = whole[:at] + garbage + whole[at:]
    try:
        wanted = json.loads(text)["variables"]
    except (ValueError, KeyError, TypeError):
        wanted = None
    try:
        got: object = _read(text)
    except DocumentError:
        got = None
    assert got == wanted or (got is None and not isinstance(wanted, dict)) or text.count('"variables"') > 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not JSON: Expecting value: line 1 column 1 (char 0)"),
        ("<html>", "not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        ("{}", 'variables: missing or not an object; the configuration is {"variables": {name: {…}}}'),
        ("[]", 'variables: missing or not an object; the configuration is {"variables": {name: {…}}}'),
        ('{"variables": []}', 'variables: missing or not an object; the configuration is {"variables": {name: {…}}}'),
        ('{"variables": {}, "variables": {}}', "variables: there twice; keep one of them"),
        ('{"variables": {}} x', "not JSON: Extra data: line 1 column 19 (char 18)"),
        ('{"variables": {"a": 1', "not JSON: Expecting ',' delimiter: line 1 column 22 (char 21)"),
        ('{"variables": {"a" 1}}', "not JSON: Expecting ':' delimiter: line 1 column 20 (char 19)"),
        ('{"variables": {1: 1}}', "not JSON: Expecting property name enclosed in double quotes: line 1"),
        ('{"variables": {"a": ' + "[" * 100_000, "nested too deeply"),
        ('{"variables": {"a": ' + "9" * 5_000 + "}}", "not JSON: Exceeds the limit (4300 digits)"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_json(text: str | bytes, told: str) -> None:
    """S24: a text that is no configuration is refused with the place and the reason."""
    assert _wrong(text).startswith(told)


def test_a_byte_order_mark_is_no_problem() -> None:
    """Editors that put one in front are forgiven."""
    assert {"a": 1} == _read(b'\xef\xbb\xbf {"variables": {"a": 1}}')


def test_of_a_name_that_comes_twice_both_are_told() -> None:
    """The last one counts, as it does in JSON."""
    assert [("a", 1), ("a", 2)] == list(iterate_variables('{"variables": {"a": 1, "a": 2}}', "json"))


@pytest.mark.parametrize(("format", "limit"), [("json", MAX_BYTES), ("yaml", MAX_YAML_BYTES)])
def test_a_text_has_a_largest_size(format: Format, limit: int) -> None:
    """A larger text is not even looked at."""
    assert f"{limit + 1} bytes; at most {limit} are read as {format.upper()}" == _wrong(b" " * (limit + 1), format)


_YAML = """
# a comment
other: [1, 2]
variables:
  a: &shared
    name: a
    labels: {v1: {version: 1, serialized_value: '"x"'}}
    rollout: {labels: {v1: 0.5}}
    overrides: []
    description: ~
    on_off: [yes, 1, 1.5, "1", null, text with spaces, 2024]
  b:
    <<: *shared
    name: b
  c: *shared
"""


def test_yaml_is_plain_data() -> None:
    """S24: YAML says what JSON says, with references and merged mappings written out."""
    read = _read(_YAML, "yaml")
    shared = {
        "name": "a",
        "labels": {"v1": {"version": 1, "serialized_value": '"x"'}},
        "rollout": {"labels": {"v1": 0.5}},
        "overrides": [],
        "description": None,
        "on_off": [True, 1, 1.5, "1", None, "text with spaces", 2024],
    }
    assert {"a": shared, "b": shared | {"name": "b"}, "c": shared} == read


@settings(deadline=None, max_examples=100)
@given(
    st.dictionaries(st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1), _PLAIN, max_size=4)
)
def test_yaml_reads_json(variables: dict[str, Any]) -> None:
    """JSON is YAML, but for what libyaml does not take in a text."""
    text = json.dumps({"variables": variables})
    try:
        assert variables == _read(text, "yaml")
    except DocumentError:
        assert "\\ud" in text  # halves of a pair, which YAML does not join


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "variables: missing"),
        ("variables: [a]", "variables: missing"),
        ("- variables", "variables: missing"),
        ("variables: [", "not YAML: "),
        ("\x00", "not YAML: "),
        ("variables: {a: 2024-01-01}", "a timestamp at line 1, which JSON does not have; put it in quotes"),
        ("variables: {a: !!binary aGk=}", "a binary at line 1, which JSON does not have"),
        ("variables: {a: !!python/object:os.system x}", "a os.system at line 1, which JSON does not have"),
        ("variables: {a: !!python/tuple [x]}", "a python/tuple at line 1, which JSON does not have"),
        ("variables: {a: !!set {x}}", "a set at line 1, which JSON does not have"),
        ("variables: &v {a: *v}", "a reference to nothing before it, at line 1"),
        ("variables: {a: *nope}", "a reference to nothing before it, at line 1"),
        ("variables: {a: {? [1] : 1}}", "a key that is no text at line 1"),
        ("variables: {a: {<<: 3}}", "<<: must name a mapping"),
        ("variables: {a: 1}\n---\nb: 1", "a second document at line 2; keep one"),
        ("variables: {a: " + "[" * 100_000, "nested more than 64 levels deep at line 1"),
        ("variables:\n  a: " + "- " * 100_000, "not YAML"),
        ("variables:\n  a:\n    " + "- " * 100_000 + "x", "nested more than 64 levels deep at line 3"),
        ("variables: {}\nvariables: {}", "variables: there twice"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_yaml(text: str, told: str) -> None:
    """S24: what JSON cannot say, circles and depth are refused, and nothing crashes."""
    assert _wrong(text, "yaml").startswith(told)


def test_references_cannot_grow_without_bound() -> None:
    """Nine references of nine references, and so on, are counted as they would be written out."""
    levels = [f"  a{at}: &a{at} [{','.join([f'*a{at - 1}'] * 9)}]" for at in range(1, 10)]
    text = "variables:\n  a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "\n".join(levels)
    assert "its references write out to more than 1000000 values" == _wrong(text, "yaml")


def test_merged_mappings_take_the_first() -> None:
    """Of several merged mappings the first that has a key gives it, and the mapping itself comes before all."""
    text = "variables:\n  a: &a {x: 1, y: 1}\n  b: &b {y: 2, z: 2}\n  c: {z: 3, <<: [*a, *b]}"
    assert {"x": 1, "y": 1, "z": 3} == _read(text, "yaml")["c"]
