"""`span-processor label`: which label a variable gives, and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from processor.cli import main

Make = Callable[..., Any]

FILE = "SPAN_PROCESSOR_VARIABLES_FILE"


@pytest.fixture
def label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: Make, condition: Make
) -> Callable[..., tuple[int, str, str]]:
    """Exit code, standard output and standard error of `span-processor label …`, with a file of a few variables."""
    file = tmp_path / "variables.json"
    kinds = [True, 5, 5.5, "5", "text", None, ["x", 5], {"x": 1}, "", "NaN", "a=b"]
    overrides = [
        {"conditions": [condition("value-equals", "k", value=value)], "rollout": {"labels": {f"kind{at}": 1}}}
        for at, value in enumerate(kinds)
    ]
    weights = {"other": 1, **{f"kind{at}": 0 for at in range(len(kinds))}}
    broken = {"conditions": [condition("value-matches-regex", "k", pattern="(")], "rollout": {"labels": {}}}
    variables = [
        variable("greeting", aliases=["hello"]),
        variable("kinds", weights, overrides=overrides),
        variable("broken", overrides=[broken]),
    ]
    file.write_text(json.dumps({"variables": {each["name"]: each for each in variables}}))
    monkeypatch.setenv(FILE, str(file))

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(("label", *arguments))
        except SystemExit as error:
            code = int(error.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_text(label: Make) -> None:
    """Interface: the label, where the key is from, the rollout and the draw, in a few lines."""
    assert (0, _TEXT, "") == label("greeting", "--targeting-key", "user1")


_TEXT = """\
greeting: v2, version 2 (resolved)
  targeting key  user1 (given), Python's way
  rollout        v1 < 0.5, v2 < 1 (base)
  draw           0.541790 picks v2
"""


def test_json(label: Make) -> None:
    """Interface: `--format json` is one object with these members."""
    code, out, err = label("greeting", "--targeting-key", "user1", "--format", "json")
    wanted = {"variable": "greeting", "label": "v2", "version": 2, "reason": "resolved", "targeting_key": "user1"}
    assert (0, {**wanted, "override": None, "draw": 0.5417899441026373}, "") == (code, json.loads(out), err)


def as_json(label: Make, *arguments: str) -> dict[str, Any]:
    code, out, err = label(*arguments, "--format", "json")
    assert (0, "") == (code, err)
    return dict(json.loads(out))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("true", "kind0"),
        ("5", "kind1"),
        ("5.0", "kind1"),
        ("5.5", "kind2"),
        ('"5"', "kind3"),
        ("text", "kind4"),
        ("null", "kind5"),
        ('["x", 5]', "kind6"),
        ('{"x": 1}', "kind7"),
        ("", "kind8"),
        ("NaN", "kind9"),
        ("a=b", "kind10"),
        ("[" * 5000, "other"),
        ("True", "other"),
    ],
)
def test_a_value_is_json_where_it_parses(text: str, kind: str, label: Make) -> None:
    """Interface: a value after `k=` is JSON where it parses, else a string; it ends where the argument ends."""
    assert kind == as_json(label, "kinds", "--targeting-key", "u", "--attribute", f"k={text}")["label"]


def test_several_attributes(label: Make) -> None:
    """Interface: `--attribute` may come several times; of one key the last counts."""
    pairs = ("--attribute", "k=text", "--attribute", "other=1", "--attribute", "k=true")
    found = as_json(label, "kinds", "--targeting-key", "u", *pairs)
    assert ("kind0", 0) == (found["label"], found["override"])


def test_the_code_default(label: Make) -> None:
    """Interface: `label` is null for the code default, and the exit code is 0; an unknown variable gives that."""
    found = as_json(label, "nope", "--targeting-key", "u")
    assert (None, None, "code_default") == (found["label"], found["version"], found["reason"])
    code, out, _ = label("nope", "--targeting-key", "u")
    assert (0, True) == (code, "the configuration has no variable of this name" in out)


def test_an_alias(label: Make) -> None:
    """S19: an alias is answered for its variable, by the variable's name in the draw."""
    alias, name = (as_json(label, each, "--targeting-key", "user1") for each in ("hello", "greeting"))
    assert {**name, "variable": "hello"} == alias


def test_the_trace_id(label: Make) -> None:
    """S20: the trace id stands in for a targeting key, in lower case; a given key beats it."""
    trace_id = "4BF92F3577B34DA6A3CE929D0E0E4736"
    found = as_json(label, "greeting", "--trace-id", trace_id)
    assert (f"trace_id:{trace_id.lower()}", 0.6927907444294163) == (found["targeting_key"], found["draw"])
    assert "user1" == as_json(label, "greeting", "--trace-id", trace_id, "--targeting-key", "user1")["targeting_key"]
    assert "no_targeting_key" == as_json(label, "greeting")["reason"]


def test_the_language(label: Make) -> None:
    """S19: `--language nodejs` draws as the JavaScript SDK does."""
    draws = [
        as_json(label, "greeting", "--targeting-key", "user1", *more)["draw"] for more in ((), ("--language", "nodejs"))
    ]
    assert draws[0] != draws[1]


def test_what_fails_is_an_answer(label: Make) -> None:
    """Facts: a broken pattern that is reached gives the code default, with the SDK's reason."""
    found = as_json(label, "broken", "--targeting-key", "u", "--attribute", "k=text")
    assert (None, "other_error") == (found["label"], found["reason"])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("greeting", "--attribute", "k"), "--attribute: must be key=value, not 'k'"),
        (("greeting", "--attribute", "=v"), "--attribute: must be key=value, not '=v'"),
        (("greeting", "--trace-id", "xyz"), "--trace-id: must be 32 hex digits, not all zero; not 'xyz'"),
        (("greeting", "--trace-id", "0" * 32), f"--trace-id: must be 32 hex digits, not all zero; not '{'0' * 32}'"),
    ],
)
def test_bad_arguments(arguments: tuple[str, ...], problem: str, label: Make) -> None:
    """Interface: what cannot be used is one line that says what would be right, and 2."""
    assert (2, "", problem + "\n") == label(*arguments)


@pytest.mark.parametrize(
    "arguments", [(), ("greeting", "--language", "cobol"), ("greeting", "--format", "xml"), ("a", "b")]
)
def test_bad_usage(arguments: tuple[str, ...], label: Make) -> None:
    """Interface: wrong usage is 2."""
    code, out, err = label(*arguments)
    assert (2, "") == (code, out)
    assert err.startswith("usage: span-processor")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "cannot read"),
        ("{", ""),
        ('{"variables": {"a": {"name": "b", "labels": {}, "rollout": {}, "overrides": []}}}', ""),
    ],
)
def test_a_bad_file(
    text: str | None, problem: str, label: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interface: a file that cannot be used is 2, and the lines name the setting."""
    file = tmp_path / "bad.json"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv(FILE, str(file))
    code, out, err = label("greeting", "--targeting-key", "u")
    assert (2, "") == (code, out)
    assert all(line.startswith(f"{FILE}: {problem}") for line in err.splitlines())
    assert err


def test_without_a_file(label: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interface: without a file there is nothing to explain, and the line says which setting is missing."""
    monkeypatch.delenv(FILE)
    problem = f"{FILE}: needed to explain a label; name the configuration's file\n"
    assert (2, "", problem) == label("greeting", "--targeting-key", "u")
