"""Connects variable configurations with the pipeline: sources bring them in, new traces are labelled by them, drift is judged.

The only place that knows both `variables/` and the pipeline. A bad configuration changes nothing (S24); without any
configuration spans flow unlabelled, loudly.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from processor.attributes.keys import LANGUAGE_KEY, CarriedKeys, KeySettings, LabelKeys
from processor.attributes.labels import Labeller
from processor.pipeline import Pipeline
from processor.settings import Settings, SettingsError, variable
from processor.telemetry import RateLimit
from processor.variables.drift import drifted
from processor.variables.evaluator import Evaluator
from processor.variables.patterns import Searcher
from processor.variables.source import Document, Sink, evaluator_of
from processor.variables.targeting import Targeting, parse_targeting_keys
from processor.variables.variables import Language, Outcome, Source, language_of

LOG: Final = logging.getLogger("processor.variables")

_TOLD: Final = ("targeting_key", "attributes", "label", "version", "reason")
# How long the start waits for the first configuration, so that the first spans are labelled, too.
_FIRST_LOOK_S: Final = 5.0


def targeting_from(settings: Settings) -> Targeting:
    """Where targeting keys come from (S20). Raises `SettingsError`."""
    try:
        by_variable = parse_targeting_keys(settings.targeting_keys)
    except ValueError as error:
        raise SettingsError([f"{variable('targeting_keys')}: {error}"]) from None
    return Targeting(settings.targeting_key, by_variable, settings.trace_id_fallback)


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
        self._needs: tuple[str, ...] = ()
        self._limit = RateLimit(first=1, window_s=60.0, then_one_in=0)
        self._searcher = Searcher()
        sink = Sink(self._build, self._accept, self._report, LOG.warning)
        self._source = source_from(settings, sink)

    async def start(self) -> None:
        """Look for a configuration once, for a few seconds at most."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._source.look(), _FIRST_LOOK_S)
        if self._labeller is None:
            LOG.warning("labels are off: no variables configuration could be loaded yet; spans flow without labels")

    async def run(self) -> None:
        """Bring configurations in, until cancelled."""
        await self._source.run()

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
                    "the application resolves the variable %s differently: it runs on another configuration", known
                )

    def status(self) -> Mapping[str, Any]:
        """What `/status` says of variables."""
        labeller = self._labeller
        active = labeller.evaluator.active if labeller is not None else None
        return {
            "loaded": labeller is not None,
            "variables": list(active.names) if active is not None else [],
            "over_the_limit": active.overflow if active is not None else 0,
            "reloads": dict(self.reloads),
            "written": dict(labeller.written) if labeller is not None else {},
            "failed": dict(labeller.failed) if labeller is not None else {},
            "drifted": dict(self.drifted),
        }

    def _build(self, document: Document) -> Evaluator:
        return evaluator_of(document, self._targeting, self._settings.variables_select)

    def _accept(self, evaluator: Evaluator) -> None:
        """Put a configuration in force for new traces. What the last one needed is still read: its traces go on (S24)."""
        settings = self._settings
        needs = tuple(sorted(evaluator.needs))
        context = tuple(key for key in settings.context_attributes if key in evaluator.condition_attributes)
        label_keys = LabelKeys(tuple(sorted({*needs, *self._needs})), context, evaluator.active.names)
        self._needs = needs
        labeller = Labeller(
            evaluator,
            language_of,
            self._pipeline.contexts,
            settings.targeting_key,
            settings.include_resource_attributes_in_context,
            settings.include_baggage_in_context,
            settings.variables_spans == "roots",
        )
        if self._labeller is not None:
            labeller.written, labeller.failed = self._labeller.written, self._labeller.failed
        self._labeller = labeller
        self._pipeline.configure(CarriedKeys(self._keys, label_keys), labeller)
        if evaluator.active.overflow:
            LOG.warning(
                "%d variables are over the limit of 16 a span; choose some with %s",
                evaluator.active.overflow,
                variable("variables_select"),
            )
        for name in evaluator.active.unknown:
            LOG.warning("%s names %s, which the configuration does not have", variable("variables_select"), name)

    def _report(self, outcome: Outcome, message: str) -> None:
        self.reloads[outcome.value] = self.reloads.get(outcome.value, 0) + 1
        if outcome in (Outcome.REFUSED, Outcome.FAILED):
            LOG.error("variables configuration %s: %s", outcome.value, message)
        elif outcome is Outcome.LOADED:
            LOG.info("variables configuration loaded: %s", message)


def source_from(settings: Settings, sink: Sink) -> Source:
    """The source that the settings name: a file, else a server. Raises `SettingsError`."""
    if settings.variables_file is not None:
        from processor.variables.file import FileSource

        return FileSource(settings.variables_file, sink)
    from processor.variables.endpoint import Endpoint, EndpointSource, check_token, origin_of

    try:
        origin = origin_of(settings.variables_url or "")
    except ValueError as error:
        raise SettingsError([f"{variable('variables_url')}: {error}"]) from None
    try:
        token = check_token(settings.variables_token.get_secret_value() if settings.variables_token else "")
    except ValueError as error:
        raise SettingsError([f"{variable('variables_token')}: {error}"]) from None
    return EndpointSource(Endpoint(origin, token, settings.variables_poll), sink)


def explain_label(
    settings: Settings,
    name: str,
    targeting_key: str | None,
    attributes: Sequence[str],
    trace_id: str | None,
    language: Language,
    output: str,
) -> str:
    """What `span-processor label` prints. Raises `SettingsError` for what cannot be used."""
    from processor.variables.config import ConfigError
    from processor.variables.explain import explain, render_json, render_text
    from processor.variables.file import format_of, read_file
    from processor.variables.selection import load_compiled

    path = settings.variables_file
    if path is None:
        raise SettingsError([f"{variable('variables_file')}: needed to explain a label; name the configuration's file"])
    if trace_id is not None and not re.fullmatch("[0-9a-fA-F]{32}", trace_id):
        raise SettingsError([f"--trace-id: must be 32 hex digits, not {trace_id[:80]!r}"])
    try:
        compiled = load_compiled(read_file(path), format_of(path))
    except OSError as error:
        raise SettingsError([f"{variable('variables_file')}: cannot read {path}: {error.strerror}"]) from None
    except ConfigError as error:
        raise SettingsError([f"{variable('variables_file')}: {problem}" for problem in error.problems]) from None
    found = explain(
        compiled, name, targeting_key, parse_attributes(attributes), language, trace_id and trace_id.lower()
    )
    return render_json(found) if output == "json" else render_text(found)


def parse_attributes(pairs: Sequence[str]) -> dict[str, object]:
    """`k=v` pairs; a value is JSON where it parses, else a string. Raises `SettingsError`."""
    attributes: dict[str, object] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise SettingsError([f"--attribute: must be key=value, not {pair[:80]!r}"])
        try:
            attributes[key] = json.loads(text)
        except ValueError:
            attributes[key] = text
    return attributes
