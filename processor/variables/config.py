"""A variables configuration: the JSON that Logfire's SDK writes, read by the SDK's own rules.

One invalid variable makes the whole configuration invalid; unknown fields are ignored; numbers may be written as
texts. A broken regular expression, a circle of references and a weight of NaN are all valid here and fail where they
are evaluated. The models are the SDK's data model (pydantic, in its lax mode); what they mean is `selection.py`'s.

A text is read and checked variable by variable: in a worker thread, no single call of the parser or of pydantic keeps
the event loop waiting for longer than one variable takes (`documents.py` says why).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, ValidationError, field_validator, model_validator

from processor.variables.documents import DocumentError, iterate_variables
from processor.variables.problems import clip, explain_all
from processor.variables.variables import Format

VariableName = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
_TOLERANCE = 1e-9
_SPECIAL_REFS = ("latest", "code_default")


class ConfigError(Exception):
    """The configuration cannot be used. `problems`: one line each: variable and field, and what would be right."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


class ValueEquals(BaseModel):
    """Holds where the attribute equals `value`."""

    kind: Literal["value-equals"]
    attribute: str
    value: Any


class ValueDoesNotEqual(BaseModel):
    """Holds where the attribute is missing or differs from `value`."""

    kind: Literal["value-does-not-equal"]
    attribute: str
    value: Any


class ValueIsIn(BaseModel):
    """Holds where the attribute is one of `values`."""

    kind: Literal["value-is-in"]
    attribute: str
    values: Sequence[Any]


class ValueIsNotIn(BaseModel):
    """Holds where the attribute is missing or none of `values`."""

    kind: Literal["value-is-not-in"]
    attribute: str
    values: Sequence[Any]


class ValueMatchesRegex(BaseModel):
    """Holds where the attribute is a text in which `pattern` is found."""

    kind: Literal["value-matches-regex"]
    attribute: str
    pattern: str


class ValueDoesNotMatchRegex(BaseModel):
    """Holds where the attribute is missing, no text, or a text without `pattern`."""

    kind: Literal["value-does-not-match-regex"]
    attribute: str
    pattern: str


class KeyIsPresent(BaseModel):
    """Holds where the attribute is there, whatever its value."""

    kind: Literal["key-is-present"]
    attribute: str


class KeyIsNotPresent(BaseModel):
    """Holds where the attribute is missing."""

    kind: Literal["key-is-not-present"]
    attribute: str


AnyCondition = Annotated[
    ValueEquals
    | ValueDoesNotEqual
    | ValueIsIn
    | ValueIsNotIn
    | ValueMatchesRegex
    | ValueDoesNotMatchRegex
    | KeyIsPresent
    | KeyIsNotPresent,
    Discriminator("kind"),
]


class LabeledValue(BaseModel):
    """A label with a value of its own, as JSON text."""

    version: int
    serialized_value: str


class LabelRef(BaseModel):
    """A label that stands for another one, or for `latest` or `code_default`."""

    version: int | None = None
    ref: str


class LatestVersion(BaseModel):
    """The value that the reference `latest` leads to."""

    version: int
    serialized_value: str


class Rollout(BaseModel):
    """Labels and their shares; what they leave of 1 is the code default's. The order counts."""

    labels: dict[str, float] = {}

    @field_validator("labels")
    @classmethod
    def _check_weights(cls, labels: dict[str, float]) -> dict[str, float]:
        for label, weight in labels.items():
            if weight < 0:
                raise ValueError(f"the weight of {clip(label)} is {weight:g}; weights must not be negative")
        if sum(labels.values()) > 1.0 + _TOLERANCE:
            raise ValueError(f"the weights add up to {sum(labels.values()):.12g}; they must add up to at most 1")
        return labels


class RolloutOverride(BaseModel):
    """A rollout that applies where all conditions hold; with none it always does."""

    conditions: list[AnyCondition]
    rollout: Rollout


class VariableConfig(BaseModel):
    """One variable."""

    name: VariableName
    description: str | None = None
    labels: dict[str, LabeledValue | LabelRef] = {}
    rollout: Rollout
    overrides: list[RolloutOverride]
    latest_version: LatestVersion | None = None
    json_schema: dict[str, Any] | None = None
    type_name: str | None = None
    aliases: list[VariableName] | None = None
    example: str | None = None
    template_inputs_schema: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _check_labels(self) -> VariableConfig:
        _check_known("rollout.labels", self.rollout.labels, self.labels)
        for index, override in enumerate(self.overrides):
            _check_known(f"overrides[{index}].rollout.labels", override.rollout.labels, self.labels)
        for label, target in self.labels.items():
            if isinstance(target, LabelRef) and target.ref not in _SPECIAL_REFS and target.ref not in self.labels:
                raise ValueError(
                    f"the label {clip(label)} refers to {clip(target.ref)}, which is not in labels; "
                    f"refer to latest, code_default or {_some(self.labels)}"
                )
        return self


class VariablesConfig(BaseModel):
    """All variables, each under its own name."""

    variables: dict[VariableName, VariableConfig]

    @model_validator(mode="after")
    def _check_names(self) -> VariablesConfig:
        for key, variable in self.variables.items():
            if variable.name != key:
                raise ValueError(f"the variable under {clip(key)} is named {clip(variable.name)}; make them the same")
        return self


def load_config(text: bytes | str, format: Format = "json", *, is_remote: bool = False) -> VariablesConfig:
    """The configuration in a JSON or YAML text. Raises `ConfigError`, as `check_variables` does."""
    return VariablesConfig(variables={each.name: each for each in check_variables(text, format, is_remote=is_remote)})


def check_variables(text: bytes | str, format: Format = "json", *, is_remote: bool = False) -> Iterator[VariableConfig]:
    """Each variable of a JSON or YAML text as soon as it is found to be valid.

    Of a name that comes twice the last counts. Raises `ConfigError` with every problem (at most 20), at the end: what
    came before is then to be thrown away. `is_remote`: read as the SDK reads a server's answer, where `values` of a
    condition may be a text.
    """
    problems: list[str] = []
    try:
        for key, raw in iterate_variables(text, format):
            variable = _check_variable(key, raw, is_remote, problems)
            if variable is not None:
                yield variable
    except DocumentError as error:
        problems.append(str(error))
    if problems:
        raise ConfigError(_shorten(problems))


def _check_variable(key: object, raw: object, is_remote: bool, problems: list[str]) -> VariableConfig | None:
    """The variable, or None and what is wrong with it added to `problems`."""
    place = f"variables.{clip(key)}"
    known = len(problems)
    try:
        variable = VariableConfig.model_validate(raw)
    except ValidationError as error:
        problems += explain_all(place, error)
        return None
    except RecursionError:
        problems.append(f"{place}: nested too deeply")
        return None
    if variable.name != key:
        problems.append(f"{place}: its name is {clip(variable.name)}; it must be the one that it stands under")
    if not is_remote:
        problems += [f"{place}.{field}: must be a list, not a text" for field in _texts_for_lists(variable)]
    return variable if len(problems) == known else None


def _texts_for_lists(variable: VariableConfig) -> list[str]:
    return [
        f"overrides[{index}].conditions[{position}].values"
        for index, override in enumerate(variable.overrides)
        for position, condition in enumerate(override.conditions)
        if isinstance(condition, ValueIsIn | ValueIsNotIn) and isinstance(condition.values, str)
    ]


def _check_known(field: str, weights: Mapping[str, float], labels: Mapping[str, object]) -> None:
    for label in weights:
        if label not in labels:
            raise ValueError(f"{field} has {clip(label)}, which is not in labels; labels has {_some(labels)}")


def _some(labels: Mapping[str, object]) -> str:
    names = [clip(label) for label in list(labels)[:5]]
    return ", ".join(names) + (" …" if len(labels) > 5 else "") if names else "none"


def _shorten(problems: list[str]) -> list[str]:
    return problems if len(problems) <= 20 else [*problems[:20], f"and {len(problems) - 20} more"]
