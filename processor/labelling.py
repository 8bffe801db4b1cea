"""Connects variable configurations with the pipeline: sources bring them in, traces are labelled, drift is judged.

The only place that knows both `variables/` and the pipeline. A bad configuration changes nothing (S24); without any
configuration spans flow unlabelled, loudly.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from processor.attributes.keys import LANGUAGE_KEY, CarriedKeys, KeySettings, LabelKeys
from processor.attributes.labels import Labeller
from processor.pipeline import Pipeline
from processor.settings import Settings, variable
from processor.telemetry import RateLimit
from processor.variable_settings import source_from, targeting_from
from processor.variables.drift import drifted
from processor.variables.evaluator import Evaluator
from processor.variables.patterns import Searcher
from processor.variables.source import Document, Sink, evaluator_of
from processor.variables.variables import Outcome, language_of

LOG: Final = logging.getLogger("processor.variables")

_TOLD: Final = ("targeting_key", "attributes", "label", "version", "reason")
# How long the start waits for the first configuration, so that the first spans are labelled, too.
_FIRST_LOOK_S: Final = 5.0
# How often it is looked whether traces of earlier configurations are all gone.
_TIDY_S: Final = 60.0


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class _Wanted:
    """What one configuration wants read on spans. It lives as long as a trace keeps the configuration (S24)."""

    needs: frozenset[str]
    context_attributes: frozenset[str]
    variables: frozenset[str]


class Labelling:
    """The configuration in force, and what became of the others.

    `reloads` counts attempts by outcome, `drifted` resolve spans that do not agree with us, by variable.
    """

    def __init__(self, settings: Settings, keys: KeySettings, pipeline: Pipeline, clock: Callable[[], float]) -> None:
        self.reloads: dict[str, int] = {}
        self.drifted: dict[str, int] = {}
        self._settings = settings
        self._keys = keys
        self._pipeline = pipeline
        self._clock = clock
        self._targeting = targeting_from(settings)
        self._labeller: Labeller | None = None
        self._wanted: weakref.WeakSet[_Wanted] = weakref.WeakSet()
        self._configured = 0  # how many of them the pipeline reads for
        self._first_look: asyncio.Task[None] | None = None
        self._limit = RateLimit(first=1, window_s=60.0, then_one_in=0)
        self._searcher = Searcher()
        sink = Sink(self._build, self._accept, self._report, LOG.warning)
        self._source = source_from(settings, sink)

    async def start(self) -> None:
        """Look for a configuration once; wait for it a few seconds at most, `run` for as long as it takes."""
        self._first_look = asyncio.create_task(self._source.look())
        await asyncio.wait([self._first_look], timeout=_FIRST_LOOK_S)
        if self._labeller is None:
            LOG.warning("labels are off: no variables configuration could be loaded yet; spans flow without labels")

    async def run(self) -> None:
        """Bring configurations in, until cancelled."""
        if self._first_look is not None:
            await self._first_look
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._source.run())
            tasks.create_task(self._tidy_forever())

    def judge_drift(self) -> None:
        """Compare what resolve spans told since the last call with what we would have said (S23)."""
        for resolve, group in self._pipeline.take_resolves():
            if self._labeller is None:
                continue
            name = str(resolve["name"])
            compiled = self._labeller.evaluator.compiled
            targeting_key, attributes, label, version, reason = (resolve.get(key) for key in _TOLD)
            language = language_of(group.attributes.get(LANGUAGE_KEY))
            if not drifted(compiled, name, targeting_key, attributes, label, version, reason, language, self._searcher):
                continue
            known = name if compiled.find(name) is not None else "unknown"
            self.drifted[known] = self.drifted.get(known, 0) + 1
            if self._limit.allows((known,), self._clock()):
                LOG.warning(
                    "the application resolves a variable differently, on another configuration: variable=%s", known
                )

    @property
    def active(self) -> Sequence[str]:
        """The names of the variables that spans are labelled with."""
        return self._labeller.evaluator.active.names if self._labeller is not None else ()

    @property
    def written(self) -> Mapping[str, int]:
        """Labels written, by variable."""
        return self._pipeline.writer.labels()

    @property
    def failed(self) -> Mapping[str, int]:
        """Labels that could not be evaluated, by variable."""
        return self._labeller.failed if self._labeller is not None else {}

    def status(self) -> Mapping[str, Any]:
        """What `/status` says of variables; `versions`: of each label's value, by variable."""
        evaluator = self._labeller.evaluator if self._labeller is not None else None
        return {
            "loaded": evaluator is not None,
            "variables": list(self.active),
            "versions": {name: dict(evaluator.compiled.by_name[name].versions) for name in self.active}
            if evaluator is not None
            else {},
            "over_the_limit": evaluator.active.overflow if evaluator is not None else 0,
            "reloads": dict(self.reloads),
            "written": dict(self.written),
            "failed": dict(self.failed),
            "drifted": dict(self.drifted),
        }

    def _build(self, document: Document) -> Evaluator:
        return evaluator_of(document, self._targeting, self._settings.variables_select)

    def _accept(self, evaluator: Evaluator) -> None:
        """Put a configuration in force for new traces."""
        settings = self._settings
        listed = frozenset(settings.context_attributes).intersection(evaluator.condition_attributes)
        wanted = _Wanted(evaluator.needs, listed, frozenset(_reported_names(evaluator)))
        keys = CarriedKeys(self._keys)
        labeller = Labeller(
            evaluator,
            language_of,
            settings.targeting_key,
            settings.include_resource_attributes_in_context,
            settings.include_baggage_in_context,
            settings.variables_spans == "roots",
            frozenset([key for key in evaluator.targeting_attributes if keys.is_carried(key.encode())]),
            wanted,
        )
        if self._labeller is not None:
            labeller.failed = self._labeller.failed
        self._labeller = labeller
        self._wanted.add(wanted)
        self._configure()
        self._warn_of_left_out(evaluator)

    def _configure(self) -> None:
        """Have the pipeline read what any configuration wants that a trace still keeps (S24)."""
        living = list(self._wanted)
        self._configured = len(living)
        label_keys = LabelKeys(
            tuple(sorted({key for wanted in living for key in wanted.needs})),
            tuple(sorted({key for wanted in living for key in wanted.context_attributes})),
            tuple(sorted({name for wanted in living for name in wanted.variables})),
        )
        self._pipeline.configure(CarriedKeys(self._keys, label_keys), self._labeller)

    async def _tidy_forever(self) -> None:
        """What only configurations wanted that no trace keeps any more is read no longer."""
        while True:
            await asyncio.sleep(_TIDY_S)
            if len(self._wanted) < self._configured:
                self._configure()

    def _warn_of_left_out(self, evaluator: Evaluator) -> None:
        active = evaluator.active
        if active.overflow:
            select = variable("variables_select")
            LOG.warning("%d variables are over the limit of 16 a span; choose with %s", active.overflow, select)
        for name in active.unknown:
            LOG.warning("%s names %s, which the configuration does not have", variable("variables_select"), name)

    def _report(self, outcome: Outcome, message: str) -> None:
        self.reloads[outcome.value] = self.reloads.get(outcome.value, 0) + 1
        if outcome in (Outcome.REFUSED, Outcome.FAILED):
            LOG.error("variables configuration %s: %s", outcome.value, message)
        elif outcome is Outcome.LOADED:
            LOG.info("variables configuration loaded: %s", message)


def _reported_names(evaluator: Evaluator) -> list[str]:
    """The names under which applications report the active variables: an alias where their code has that."""
    compiled = evaluator.compiled
    active = [compiled.by_name[name] for name in evaluator.active.names]
    return [name for each in active for name in (each.name, *each.aliases) if compiled.find(name) is each]
