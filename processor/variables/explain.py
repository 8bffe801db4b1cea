"""Why a variable gives the label that it gives, for people (`span-processor label`) and as JSON.

It follows the same functions as an evaluation and writes down what each step found. Must not know the command line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from processor.variables.bucketing import Buckets
from processor.variables.conditions import MISSING, Condition, holds
from processor.variables.patterns import Searcher
from processor.variables.problems import clip
from processor.variables.selection import CompiledVariable, CompiledVariables, Override
from processor.variables.variables import Attributes, EvaluationError, Language, Search, Selection

_NO_SELECTION = Selection(None, None, "code_default", None, None, None)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a variable gives, and each step to it. `reason` is the SDK's word, or `no_targeting_key`.

    `variable` is the name that was asked for, `name` the canonical one, None where there is no such variable. `origin`:
    where the targeting key is from. `tried`: a line for each override up to the one that matched. `buckets`: of the
    rollout in force.
    """

    variable: str
    name: str | None
    language: Language
    targeting_key: str | None
    origin: str
    tried: tuple[str, ...]
    buckets: Buckets | None
    selection: Selection
    reason: str
    remark: str


def explain(
    compiled: CompiledVariables,
    variable: str,
    targeting_key: str | None,
    attributes: Attributes,
    language: Language = "python",
    trace_id_hex: str | None = None,
) -> Explanation:
    """Evaluate with every step written down; the trace id stands in for a targeting key (S20). Never raises."""
    key, origin = (targeting_key, "given") if targeting_key is not None else _from_trace(trace_id_hex)
    found = compiled.find(variable, language)
    if found is None:
        remark = "the configuration has no variable of this name"
        return Explanation(variable, None, language, key, origin, (), None, _NO_SELECTION, "code_default", remark)
    search = Searcher().search
    tried: list[str] = []
    buckets: Buckets | None = None
    selection, reason, remark = _NO_SELECTION, "no_targeting_key", "no targeting key: the SDK would choose at random"
    try:
        tried += _try_overrides(found, attributes, language, search)
        index, rollout = found.matching(attributes, language, search)
        buckets = rollout.buckets(language)
        selection = Selection(None, None, "code_default", None, index, None)
        if key is not None or not buckets.labels:
            selection = found.select(key or "", attributes, language, search)
            reason, remark = selection.reason, _remark(selection, buckets)
    except EvaluationError as error:
        reason, remark = "other_error", f"{error.failure.value}: {error}"
    return Explanation(variable, found.name, language, key, origin, tuple(tried), buckets, selection, reason, remark)


def render_json(explanation: Explanation) -> str:
    """One JSON object, as scripts read it (interface: `label --format json`)."""
    selection = explanation.selection
    return json.dumps(
        {
            "variable": explanation.variable,
            "label": selection.label,
            "version": selection.version,
            "reason": explanation.reason,
            "targeting_key": explanation.targeting_key,
            "override": selection.override,
            "draw": selection.draw,
        },
        ensure_ascii=True,
    )


def render_text(explanation: Explanation) -> str:
    """A few lines for a terminal."""
    selection = explanation.selection
    label = "code default" if selection.label is None else f"{clip(selection.label)}, version {selection.version}"
    lines = [f"{clip(explanation.variable)}: {label} ({explanation.reason})"]
    if explanation.name is not None and explanation.name != explanation.variable:
        lines.append(f"  variable       {explanation.name}, which has this alias")
    key = "none" if explanation.targeting_key is None else clip(explanation.targeting_key)
    lines.append(f"  targeting key  {key} ({explanation.origin}), {_LANGUAGES[explanation.language]} way")
    lines += [f"  override {index:<5} {line}" for index, line in enumerate(explanation.tried)]
    if explanation.buckets is not None:
        lines.append(f"  rollout        {_show_buckets(explanation.buckets, selection.override)}")
    if selection.draw is not None and explanation.buckets is not None:
        lines.append(f"  draw           {_show_draw(explanation, selection.draw)}")
    if explanation.remark:
        lines.append(f"  remark         {explanation.remark}")
    return "\n".join(lines)


_LANGUAGES: Mapping[Language, str] = {"python": "Python's", "nodejs": "JavaScript's"}


def _from_trace(trace_id_hex: str | None) -> tuple[str | None, str]:
    return (None, "none given") if trace_id_hex is None else (f"trace_id:{trace_id_hex}", "the trace id")


def _remark(selection: Selection, buckets: Buckets) -> str:
    if not buckets.labels:
        return "the rollout is empty"
    if selection.draw is not None and selection.selected is None:
        return "the draw is in what the weights leave of 1"
    if selection.label is None:
        return f"the label {clip(selection.selected)} leads to no stored value"
    return ""


def _try_overrides(variable: CompiledVariable, attributes: Attributes, language: Language, search: Search) -> list[str]:
    lines = []
    for override in variable.overrides:
        failed = _first_failed(override, attributes, language, search)
        if failed is None:
            lines.append("applies")
            break
        lines.append(f"no: {_show_condition(failed)}; {_show_value(failed, attributes)}")
    return lines


def _first_failed(override: Override, attributes: Attributes, language: Language, search: Search) -> Condition | None:
    return next((test for test in override.conditions if not holds(test, attributes, language, search)), None)


def _show_condition(condition: Condition) -> str:
    kind, attribute, operand = condition
    return f"{clip(attribute)} {kind}" + ("" if kind.startswith("key-") else f" {_show(operand)}")


def _show_value(condition: Condition, attributes: Attributes) -> str:
    value = attributes.get(condition[1], MISSING)
    return "it is missing" if value is MISSING else f"it is {_show(value)}"


def _show(value: object) -> str:
    """A value as JSON, shortened, so that "5" and 5 look different."""
    return clip(json.dumps(value, ensure_ascii=False, default=repr))


def _show_buckets(buckets: Buckets, override: int | None) -> str:
    shares = [
        f"{'code default' if label is None else clip(label)} < {edge:.6g}"
        for label, edge in zip(buckets.labels, buckets.cumulative, strict=True)
    ]
    return f"{', '.join(shares) or 'empty'} ({'base' if override is None else f'of override {override}'})"


def _show_draw(explanation: Explanation, drawn: float) -> str:
    picked = explanation.selection.selected
    return f"{drawn:.6f} picks {'no label' if picked is None else clip(picked)}"
