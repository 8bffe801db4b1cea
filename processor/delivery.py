"""From the settings to what delivers: each downstream resolved, with its client and its queue, or the terminal.

Problems are found before anything is started, those of all downstreams at once. Must not know listeners beyond their
addresses, nor trees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from processor.export.batch import Limits
from processor.export.downstreams import Downstreams
from processor.export.endpoint import Downstream, addresses, downstream_from, own_listener
from processor.export.export import Client, Store
from processor.export.queue import Queue
from processor.export.split import split_request
from processor.exporters import Exporter, exporters_of
from processor.header_names import NO_NAMES, HeaderNames
from processor.settings import Settings, SettingsError

TERMINAL: Final = "console"
# Where nothing says how long a batch may wait: without a journal not for ever, for memory is what is at stake.
_MAX_AGE_S: Final = 300.0
# Fewer, larger requests cost both sides less. Over gRPC at full load, eight senders, compiled, in multiples of the
# relay: 0.8 with 16 spans a request, 1.44 without it; 1.85 with 512, 2.0 without it. Interpreted, 10 ms cost 6 % more.
_GATHER_S: Final = 0.02


def resolve_downstreams(settings: Settings, listeners: Mapping[str, str]) -> dict[str, Downstream]:
    """The downstreams by their names; none where the terminal is the only one. Raises `SettingsError`.

    `listeners`: the processor's own, variable to `host:port`, which no downstream may be (S30).
    """
    found: dict[str, Downstream] = {}
    problems: list[str] = []
    for exporter in exporters_of(settings) if settings.exporter_kind == "otlp" else ():
        try:
            found[exporter.label] = _resolve(exporter, listeners)
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(problems)
    return found


def _resolve(exporter: Exporter, listeners: Mapping[str, str]) -> Downstream:
    downstream = downstream_from(exporter)
    problem = own_listener(exporter.variable("otlp_endpoint"), downstream, listeners)
    if problem:
        raise SettingsError([problem])
    return downstream


def forwarded_headers(settings: Settings) -> tuple[str, ...]:
    """Which headers of senders any downstream forwards (S28)."""
    if settings.exporter_kind != "otlp":
        return ()
    return tuple(pattern for exporter in exporters_of(settings) for pattern in exporter.forward_headers)


def build_downstreams(
    settings: Settings,
    hop: str,
    found: Mapping[str, Downstream],
    terminal: Client | None,
    memory_bytes: int,
    others_bytes: Callable[[], int],
    store: Store | None,
) -> Downstreams:
    """A queue and a client for each of `found`, or for the terminal.

    `hop`: this process's id (S30). `store`: where chunks are kept on disk, too, and wait where memory is full.
    """
    if terminal is not None:
        queues = {TERMINAL: _build_queue(settings, TERMINAL, terminal, NO_NAMES, store)}
    else:
        queues = {
            name: _build_queue(settings, name, build_client(downstream, hop), downstream.forwards, store)
            for name, downstream in found.items()
        }
    return Downstreams(queues, memory_bytes, others_bytes, store)


def build_client(downstream: Downstream, hop: str) -> Client:
    """The client of a downstream."""
    if downstream.protocol == "grpc":
        from processor.export.otlp_grpc import GrpcClient

        return GrpcClient(downstream, hop)
    from processor.export.otlp_http import HttpClient

    return HttpClient(downstream, hop)


def _build_queue(settings: Settings, name: str, client: Client, forwards: HeaderNames, store: Store | None) -> Queue:
    max_age_s = settings.queue_max_age
    if max_age_s is None and store is None:
        max_age_s = _MAX_AGE_S
    limits = Limits(
        batch_max_items=settings.batch_max_spans,
        batch_max_bytes=settings.batch_max_size,
        batch_max_delay_s=settings.batch_max_delay,
        gather_s=_GATHER_S,
        max_age_s=max_age_s,
    )
    return Queue(client, limits, name=name, forwards=forwards, split=split_request, store=store)


def describe_downstreams(settings: Settings, listeners: Mapping[str, str]) -> list[str]:
    """What `span-processor check` says of where telemetry goes. Raises `SettingsError`."""
    found = resolve_downstreams(settings, listeners)
    if not found:
        return ["downstream: the terminal"]
    lines = []
    for name, downstream in found.items():
        resolves = bool(addresses(downstream.host, downstream.port))
        remark = "" if resolves else ", a name that does not resolve now"
        which = f"downstream {name}" if settings.exporters else "downstream"
        lines.append(f"{which}: {downstream.protocol} to {downstream.target}{remark}")
    return lines
