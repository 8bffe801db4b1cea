"""One downstream or several: which settings each has, and under which variables.

`EXPORTER_OTLP_ENDPOINT` and so on describe the only one; with `EXPORTERS=a,b` each has variables of its own, with its
name behind `EXPORTER_`. `with_exporters` gives the model of the settings a field for each of those, so that whatever
reads, checks or shows settings needs to know of none. Must not know any running state.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, SecretStr, create_model

from processor.environment import variable
from processor.header_names import HeaderNames

Model = TypeVar("Model", bound=BaseModel)

# What the only downstream is called in metrics, `/status` and log lines.
ONLY: Final = "otlp"
_NAME: Final = re.compile(r"[a-z0-9_]+")
_AUTHORIZATION: Final = "authorization"


@dataclass(frozen=True, slots=True)
class Exporter:
    """The settings of one downstream. `name`: as in EXPORTERS, empty for the only one."""

    name: str
    otlp_endpoint: str | None
    otlp_protocol: str
    otlp_headers: SecretStr | None
    otlp_compression: str
    otlp_timeout: float
    otlp_insecure: bool
    otlp_certificate: Path | None
    otlp_client_certificate: Path | None
    otlp_client_key: Path | None
    forward_headers: tuple[str, ...]

    @property
    def label(self) -> str:
        """What it is called where it has to have a name."""
        return self.name or ONLY

    def variable(self, part: str) -> str:
        """The variable of one of these settings."""
        return variable(_field(self.name, part))


PARTS: Final = tuple(field.name for field in fields(Exporter) if field.name != "name")


def split_names(value: object) -> object:
    """`a,b` to a tuple; what is no string is left for pydantic to judge."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def check_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of downstreams. Raises `ValueError` where one is bad or comes twice."""
    if not all(_NAME.fullmatch(name) for name in names):
        raise ValueError("names must be of lower case letters, digits and `_`, such as langfuse,logfire")
    if len(set(names)) < len(names):
        raise ValueError("must name each downstream once")
    return names


def with_exporters(model: type[Model], names: str) -> type[Model]:
    """The model with a field for each setting of the downstreams that EXPORTERS names, good names or bad."""
    found = [name.strip().lower() for name in names.split(",") if name.strip()]
    if not found:
        return model
    of_one = {part: model.model_fields[_field("", part)] for part in PARTS}
    added: dict[str, Any] = {
        _field(name, part): (field.annotation, field) for name in found for part, field in of_one.items()
    }
    return create_model(model.__name__, __base__=model, **added)


def exporters_of(settings: Any) -> list[Exporter]:
    """The downstreams that the settings name, by EXPORTERS or the only one."""
    names: tuple[str, ...] = settings.exporters or ("",)
    return [Exporter(name, *(getattr(settings, _field(name, part)) for part in PARTS)) for name in names]


def problems_of_exporters(settings: Any) -> list[str]:
    """Settings of downstreams that are each right and together wrong; one line each."""
    problems = []
    if settings.exporters:
        problems += [
            f"{variable(name)}: {variable('exporters')} is set too, and each of those has its own; remove this one"
            for name in (_field("", part) for part in PARTS)
            if name in settings.model_fields_set
        ]
    for exporter in exporters_of(settings):
        problems += _problems_of(exporter, settings)
    return problems


def _problems_of(exporter: Exporter, settings: Any) -> list[str]:
    """What is wrong with one of them."""
    problems = []
    if not exporter.otlp_endpoint and (exporter.name or settings.exporter == "otlp"):
        why = f"{variable('exporters')} names it" if exporter.name else f"{variable('exporter')}=otlp"
        problems.append(f"{exporter.variable('otlp_endpoint')}: needed where {why}, e.g. http://collector:4317")
    if (exporter.otlp_client_certificate is None) != (exporter.otlp_client_key is None):
        key = exporter.variable("otlp_client_key")
        problems.append(f"{key}: a client certificate and its key go together; set both")
    if settings.receiver_bearer_tokens is not None and _AUTHORIZATION in HeaderNames(exporter.forward_headers):
        problems.append(
            f"{exporter.variable('forward_headers')}: forwards {_AUTHORIZATION}, which with "
            f"{variable('receiver_bearer_tokens')} is the receiver's own token; leave out one of them"
        )
    return problems


def _field(name: str, part: str) -> str:
    return f"exporter_{name}_{part}" if name else f"exporter_{part}"
