"""The labels of a span: what the trace's side of the house calls, for every span.

An `Evaluator` stands for one configuration with one set of settings; a trace keeps the one that was in force when it
began (S24). It remembers what it found, so that the usual span costs one look-up:

    labels(keys, trace_id_hex, attributes, language, reported)
      └─ all of it seen before? ── yes ─▶ the same Labels object
           no ─▶ per active variable that is not reported (S19)
                   targeting key (S20) ─▶ seen with these attributes? ── yes ─▶ the same Written
                                            no ─▶ overrides, draw, rollout

It belongs to the event loop once it is built; building it (patterns are compiled) belongs into a worker thread.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import dataclass

from processor.variables.conditions import MISSING
from processor.variables.patterns import MAX_TEXT, Searcher
from processor.variables.remembered import Remembered
from processor.variables.selection import CompiledVariable, CompiledVariables
from processor.variables.targeting import Targeting
from processor.variables.variables import Attributes, EvaluationError, Failure, Language
from processor.variables.writing import Active, Written, active_variables, written

NONE_REPORTED: frozenset[str] = frozenset()
# Remembered answers, of spans and of single variables each. Measured: 460 bytes an answer with 36-character user ids.
MAX_REMEMBERED = 32_768
# Characters of a value or targeting key that is remembered; longer ones are evaluated each time.
_MAX_REMEMBERED_TEXT = 256


@dataclass(frozen=True, slots=True)
class Labels:
    """What a span gets: `written`, by variable name; `failed`: variables that could not be evaluated, and why.

    A variable in neither is reported already or has no targeting key. The same object means the same content.
    """

    written: tuple[Written, ...] = ()
    failed: tuple[tuple[str, Failure], ...] = ()


@dataclass(frozen=True, slots=True)
class _Subject:
    """What one evaluation is about."""

    keys: Attributes
    trace_id_hex: str
    attributes: Attributes
    language: Language


class Evaluator:
    """Labels for spans, by one configuration.

    `select`: names of the variables to evaluate, empty for all (S22). `limit`: answers to remember. What it wants from
    the caller are the `targeting_attributes` and `condition_attributes`; `needs` is both (S21).
    """

    __slots__ = (
        "_answers", "_names", "_searcher", "_selected", "_targeting", "_variables", "_written",
        "active", "compiled", "condition_attributes", "needs", "targeting_attributes",
    )  # fmt: skip

    def __init__(
        self,
        compiled: CompiledVariables,
        targeting: Targeting,
        select: Collection[str] = (),
        *,
        limit: int = MAX_REMEMBERED,
        searcher: Searcher | None = None,
    ) -> None:
        self.compiled = compiled
        self.active: Active = active_variables(compiled, select)
        self._variables = tuple(compiled.by_name[name] for name in self.active.names)
        self._names = {variable.name: _names_of(variable, compiled) for variable in self._variables}
        self._targeting = targeting
        self.targeting_attributes = targeting.attributes()
        self.condition_attributes = tuple(sorted({key for variable in self._variables for key in variable.reads}))
        wanted = (*self.targeting_attributes, *self.condition_attributes) if self._variables else ()
        self.needs = frozenset(wanted)
        self._written = {variable.name: _written_forms(variable) for variable in self._variables}
        self._searcher = searcher or Searcher()
        self._answers: Remembered[Labels] = Remembered(limit)
        self._selected: Remembered[Written | Failure] = Remembered(limit)
        for variable in self._variables:
            for pattern in variable.patterns():
                self._searcher.prepare(pattern, "python")
                self._searcher.prepare(pattern, "nodejs")

    def labels(
        self,
        keys: Attributes,
        trace_id_hex: str,
        attributes: Attributes,
        language: Language = "python",
        reported: frozenset[str] = NONE_REPORTED,
    ) -> Labels:
        """The labels to write on a span.

        `keys`: values in force for `targeting_attributes`. `attributes`: what conditions see, at least for the
        `condition_attributes`: resource, overlaid by baggage, overlaid by listed span attributes (S21); a key with None
        is present. `reported`: names of variables that the span or an ancestor reported (S19). Never raises.
        """
        default = keys.get(self._targeting.default)
        has_default = isinstance(default, str) and default != ""
        told = tuple([keys.get(key) for key in self.targeting_attributes])
        seen = tuple([attributes.get(key, MISSING) for key in self.condition_attributes])
        key = _remembered_key((language, reported, told, "" if has_default else trace_id_hex), seen, language)
        known = self._answers.get(key)
        if known is not None:
            return known
        labels = self._evaluate(_Subject(keys, trace_id_hex, attributes, language), reported)
        if not any(failure is Failure.SUSPENDED_PATTERN for _, failure in labels.failed) and _is_short((*told, *seen)):
            self._answers.keep(key, labels)
        return labels

    def _evaluate(self, subject: _Subject, reported: frozenset[str]) -> Labels:
        found: list[Written] = []
        failed: list[tuple[str, Failure]] = []
        for variable in self._variables:
            if reported and not reported.isdisjoint(self._names[variable.name]):
                continue
            answer = self._answer(variable, subject)
            if isinstance(answer, Failure):
                failed.append((variable.name, answer))
            elif answer is not None:
                found.append(answer)
        return Labels(tuple(found), tuple(failed))

    def _answer(self, variable: CompiledVariable, subject: _Subject) -> Written | Failure | None:
        """One variable's, remembered by its name, targeting key and the attributes that its conditions read."""
        target = self._targeting.key_of(self._names[variable.name], subject.keys, subject.trace_id_hex)
        if target is None:
            return None
        seen = tuple([subject.attributes.get(key, MISSING) for key in variable.reads])
        key = _remembered_key((subject.language, variable.name, target), seen, subject.language)
        answer = self._selected.get(key)
        if answer is None:
            answer = self._select(variable, target, subject)
            if answer is not Failure.SUSPENDED_PATTERN and _is_short((target, *seen)):
                self._selected.keep(key, answer)
        return answer

    def _select(self, variable: CompiledVariable, target: str, subject: _Subject) -> Written | Failure:
        if len(target) > MAX_TEXT:
            return Failure.LONG_VALUE
        try:
            selection = variable.select(target, subject.attributes, subject.language, self._searcher.search)
        except EvaluationError as error:
            return error.failure
        return self._written[variable.name][selection.label]


def _names_of(variable: CompiledVariable, compiled: CompiledVariables) -> tuple[str, ...]:
    """The names that mean this variable; an alias may be another one's name."""
    return (variable.name, *(alias for alias in variable.aliases if compiled.find(alias) is variable))


def _written_forms(variable: CompiledVariable) -> dict[str | None, Written]:
    """What is written for each outcome, made once: answers share them."""
    forms: dict[str | None, Written] = {None: written(variable.name, None, None)}
    forms.update({label: written(variable.name, label, version) for label, version in variable.versions.items()})
    return forms


def _remembered_key(about: tuple[Hashable, ...], seen: tuple[object, ...], language: Language) -> Hashable:
    """Equal for what compares equal in the language: Python's 1, 1.0 and True do, JavaScript's 1 and true do not."""
    key = (about, seen, tuple([type(value) for value in seen])) if language == "nodejs" else (about, seen)
    try:
        hash(key)
    except TypeError:  # an array or an object among them
        return (repr(about), repr(seen))
    return key


def _is_short(values: tuple[object, ...]) -> bool:
    return all(_size(value) <= _MAX_REMEMBERED_TEXT for value in values)


def _size(value: object) -> int:
    """An estimate of what it takes to remember a value."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, list | tuple):
        return sum(_size(item) + 8 for item in value)
    return _MAX_REMEMBERED_TEXT + 1 if isinstance(value, dict) else 8
