"""Connects the pipeline with the settings: which keys, what trees, pseudonyms or not."""

from __future__ import annotations

from typing import Final

from processor.attributes.keys import CarriedKeys, KeySettings
from processor.attributes.pseudonyms import Pseudonyms
from processor.pipeline import Pipeline
from processor.settings import Settings
from processor.trace.settings import FILL_NONE, FILL_ORPHANS, FILL_TRACE, TreeSettings

_FILLS: Final = {"none": FILL_NONE, "orphans": FILL_ORPHANS, "trace": FILL_TRACE}


def key_settings(settings: Settings) -> KeySettings:
    """The key lists of the settings."""
    return KeySettings(
        settings.user_id_keys,
        settings.user_id_fallback_keys,
        settings.session_id_keys,
        settings.session_id_fallback_keys,
        settings.baggage_keys,
    )


def build_pipeline(settings: Settings) -> Pipeline:
    """The pipeline that the settings ask for."""
    tree = TreeSettings(
        settings.roots == "any",
        _FILLS[settings.fill],
        settings.trace_quiet,
        settings.max_wait,
        settings.remember_traces,
        settings.remember_for,
        settings.max_spans_per_trace,
    )
    keys = CarriedKeys(key_settings(settings))
    return Pipeline(
        keys,
        tree,
        settings.max_value_length,
        settings.batch_max_spans,
        settings.batch_max_size,
        build_pseudonyms(settings),
    )


def build_pseudonyms(settings: Settings) -> Pseudonyms | None:
    """What stands for user ids on spans that leave; None where they leave in clear."""
    if settings.hash_user_id_key is None:
        return None
    secret = settings.hash_user_id_key.get_secret_value().encode()
    return Pseudonyms(secret, settings.user_id_keys + settings.user_id_fallback_keys)
