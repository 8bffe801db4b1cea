"""The product from settings to bytes, without listeners: a variables file, spans in, spans with labels out.

`contract/craft.py` builds the requests. Everything in between is wired as the service wires it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import craft
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from processor.labelling import Labelling
from processor.pipeline_settings import build_pipeline, key_settings
from processor.settings import Settings

STEP = 2000
PREFIX = "logfire.variables."
DERIVED = "span_processor.derived"


def make_variable(name: str, weights: Mapping[str, float] | None = None, **fields: Any) -> dict[str, Any]:
    """A variable with a label for each of its weights, versions from 1; by default v1 and v2, half and half."""
    weights = {"v1": 0.5, "v2": 0.5} if weights is None else weights
    labels = {label: {"version": at, "serialized_value": '"x"'} for at, label in enumerate(weights, start=1)}
    return {"name": name, "labels": labels, "rollout": {"labels": dict(weights)}, "overrides": []} | fields


def make_switch(name: str, *conditions: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """A variable that is `on` where all conditions hold, and `off` elsewhere; versions 1 and 2."""
    override = {"conditions": list(conditions), "rollout": {"labels": {"on": 1}}}
    return make_variable(name, {"on": 0, "off": 1}, overrides=[override], **fields)


def make_condition(kind: str, attribute: str, **operand: Any) -> dict[str, Any]:
    return {"kind": kind, "attribute": attribute, **operand}


def draw(name: str, targeting_key: str) -> str:
    """Which of v1 and v2, half and half, the SDK for Python picks: its algorithm in one line."""
    return "v1" if random.Random(f"{name!r}:{targeting_key!r}").random() < 0.5 else "v2"


class Left(dict[str, Any]):
    """The attributes of a span that left, each once; `span` is all of it, `body` the request that it left in."""

    def __init__(self, span: Span, body: bytes) -> None:
        pairs = [(each.key, craft.plain(each.value)) for each in span.attributes]
        super().__init__(pairs)
        assert len(self) == len(pairs), pairs
        self.span = span
        self.body = body

    @property
    def labels(self) -> dict[str, str]:
        """Labels and versions without the prefix."""
        return {key.removeprefix(PREFIX): value for key, value in self.items() if key.startswith(PREFIX)}

    @property
    def derived(self) -> list[str]:
        """What is named as computed."""
        return list(self.get(DERIVED, ()))


class Product:
    """One processor without its listeners. `configure` puts variables into the file, and has the file looked at."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.file = folder / "variables.json"
        self.settings = Settings.model_validate({"variables_file": self.file, **settings})
        self.pipeline = build_pipeline(self.settings)
        self.now_s = 0.0
        self.labelling = Labelling(self.settings, key_settings(self.settings), self.pipeline, lambda: self.now_s)

    def configure(self, *variables: Mapping[str, Any]) -> None:
        self.write(json.dumps({"variables": {each["name"]: each for each in variables}}))

    def write(self, text: str) -> None:
        """Replace the file, as a deployment does, and look at it."""
        new = self.file.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.replace(self.file)
        asyncio.run(self.labelling.start())

    def send(self, *spans: Span, resource: Mapping[str, Any] | None = None, scope: str = "scope") -> list[Left]:
        """One request of these spans; what leaves at once."""
        return self.deliver(craft.request(*spans, resource=resource or {}, scope=scope))

    def deliver(self, body: bytes) -> list[Left]:
        """One request; what leaves at once."""
        scan = self.pipeline.scan(body)
        while scan.step(STEP):
            pass
        index = 0
        while index < len(scan.spans):
            index = self.pipeline.ingest(scan, index, False, self.now_s)
        while self.pipeline.work(STEP):
            pass
        self.labelling.judge_drift()
        return self.take()

    def give_up(self) -> list[Left]:
        """Let MAX_WAIT pass; what leaves."""
        self.now_s += self.settings.max_wait + 1
        while self.pipeline.advance(self.now_s, STEP):
            pass
        return self.take()

    def label(self, attributes: Mapping[str, Any] | None = None, name: str = "a", **around: Any) -> str | None:
        """The label of a variable on a root span of a new trace with these attributes."""
        (left,) = self.send(craft.span(1, 0, attributes or {}, trace=next(_TRACES)), **around)
        return left.labels.get(name)

    def status(self) -> Mapping[str, Any]:
        """What `/status` says of variables."""
        return self.labelling.status()

    def take(self) -> list[Left]:
        """What is ready to leave."""
        left = []
        for body, _, _ in self.pipeline.take_chunks():
            request = ExportTraceServiceRequest.FromString(body)
            for part in request.resource_spans:
                left += [Left(span, body) for scope in part.scope_spans for span in scope.spans]
        return left


_TRACES = itertools.count(1 << 64)


@pytest.fixture
def product(tmp_path: Path) -> Callable[..., Product]:
    """Make a processor: `product(variable, …, setting=…)`; without a variable it has no configuration yet."""
    numbers = itertools.count()

    def make(*variables: Mapping[str, Any], **settings: Any) -> Product:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        made = Product(folder, settings)
        if variables:
            made.configure(*variables)
        return made

    return make


@pytest.fixture
def variable() -> Callable[..., dict[str, Any]]:
    return make_variable


@pytest.fixture
def switch() -> Callable[..., dict[str, Any]]:
    return make_switch


@pytest.fixture
def condition() -> Callable[..., dict[str, Any]]:
    return make_condition


@pytest.fixture
def drawn() -> Callable[[str, str], str]:
    return draw
