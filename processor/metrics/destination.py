"""Where the processor's own metrics go by OTLP, and how often: `TELEMETRY_OTLP_*`, and OpenTelemetry's own interval.

Nothing is read from `OTEL_EXPORTER_OTLP_*`: in a pod those point at this processor. Must not know the SDK.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from processor.export.endpoint import Downstream, downstream_from, own_listener
from processor.settings import Settings, SettingsError, variable

_INTERVAL: Final = "OTEL_METRIC_EXPORT_INTERVAL"
_DEFAULT_INTERVAL_MS: Final = 60_000
# Longest interval, a day: whatever asyncio is given to sleep for stays a sane number.
_MOST_MS: Final = 86_400_000

# The settings of a downstream that this one has, too; the others are at their defaults.
_FIELDS: Final = ("endpoint", "protocol", "headers")


def destination_from(settings: Settings, listeners: Mapping[str, str]) -> Downstream | None:
    """The backend of our own metrics; None where they go nowhere. `listeners`: those that it must not be (S30).

    Raises `SettingsError`, with every problem under the name of the setting that was set.
    """
    if not settings.telemetry_otlp_endpoint:
        return None
    defaults = {
        name: field.default for name, field in Settings.model_fields.items() if name.startswith("exporter_otlp_")
    }
    given = {f"exporter_otlp_{name}": getattr(settings, f"telemetry_otlp_{name}") for name in _FIELDS}
    try:
        downstream = downstream_from(settings.model_copy(update={**defaults, **given}))
        problem = own_listener(downstream, listeners)
        if problem:
            raise SettingsError([problem])
    except SettingsError as error:
        theirs, ours = variable("exporter_otlp_"), variable("telemetry_otlp_")
        raise SettingsError([problem.replace(theirs, ours) for problem in error.problems]) from None
    return downstream


def interval_s(environ: Mapping[str, str]) -> float:
    """Seconds between two exports (OpenTelemetry's environment variables). Raises `SettingsError`."""
    text = environ.get(_INTERVAL, "").strip()
    milliseconds = int(text) if text.isdecimal() else 0 if text else _DEFAULT_INTERVAL_MS
    if not 1 <= milliseconds <= _MOST_MS:
        raise SettingsError([f"{_INTERVAL}: must be a whole number of milliseconds from 1 to {_MOST_MS}"])
    return milliseconds / 1000
