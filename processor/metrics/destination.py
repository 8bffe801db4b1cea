"""Where the processor's own metrics go by OTLP, and how often: `TELEMETRY_OTLP_*`, and OpenTelemetry's own interval.

Nothing is read from `OTEL_EXPORTER_OTLP_*`: in a pod those point at this processor. Must not know the SDK.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from processor.delivery import build_client
from processor.export.endpoint import Downstream, downstream_from, own_listener
from processor.export.export import Client
from processor.exporters import Exporter
from processor.settings import Settings, SettingsError, variable

_INTERVAL: Final = "OTEL_METRIC_EXPORT_INTERVAL"
_DEFAULT_INTERVAL_MS: Final = 60_000
_TIMEOUT_S: Final = 10.0
# Longest interval, a day: whatever asyncio is given to sleep for stays a sane number.
_MOST_MS: Final = 86_400_000


def destination_from(settings: Settings, listeners: Mapping[str, str]) -> Downstream | None:
    """The backend of our own metrics; None where they go nowhere. `listeners`: the receivers', none of which it
    may be, nor the admin endpoint (S30).

    Raises `SettingsError`, with every problem under the name of the setting that was set.
    """
    if not settings.telemetry_otlp_endpoint:
        return None
    exporter = Exporter(
        "", settings.telemetry_otlp_endpoint, settings.telemetry_otlp_protocol, settings.telemetry_otlp_headers,
        "none", _TIMEOUT_S, False, None, None, None, (),
    )  # fmt: skip
    ours = {**listeners, variable("admin_endpoint"): settings.admin_endpoint}
    try:
        downstream = downstream_from(exporter)
        problem = own_listener(exporter.variable("otlp_endpoint"), downstream, ours)
        if problem:
            raise SettingsError([problem])
    except SettingsError as error:
        theirs, own = variable("exporter_otlp_"), variable("telemetry_otlp_")
        raise SettingsError([problem.replace(theirs, own) for problem in error.problems]) from None
    return downstream


def interval_s(environ: Mapping[str, str]) -> float:
    """Seconds between two exports (OpenTelemetry's environment variables). Raises `SettingsError`."""
    text = environ.get(_INTERVAL, "").strip()
    milliseconds = int(text) if text.isdecimal() else 0 if text else _DEFAULT_INTERVAL_MS
    if not 1 <= milliseconds <= _MOST_MS:
        raise SettingsError([f"{_INTERVAL}: must be a whole number of milliseconds from 1 to {_MOST_MS}"])
    return milliseconds / 1000


def build_own_client(settings: Settings, hop: str, listeners: Mapping[str, str]) -> Client | None:
    """The client of that backend, if there is one. Raises `SettingsError`."""
    destination = destination_from(settings, listeners)
    return build_client(destination, hop) if destination is not None else None


def check_own_metrics(settings: Settings, listeners: Mapping[str, str]) -> list[str]:
    """What `span-processor check` says of them. Raises `SettingsError`."""
    interval_s(os.environ)
    destination = destination_from(settings, listeners)
    return [f"own metrics: {destination.protocol} to {destination.target}"] if destination is not None else []
