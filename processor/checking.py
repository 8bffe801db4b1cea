"""What `span-processor check` does: reads everything that the settings name, and says all problems at once."""

from __future__ import annotations

import os

from processor.delivery import describe_downstreams
from processor.journal_settings import check_journal
from processor.metrics.destination import check_own_metrics
from processor.receiver_settings import build_access, describe_access, listen_addresses
from processor.settings import Settings, SettingsError
from processor.variable_settings import check_variables


def check_settings(settings: Settings) -> list[str]:
    """What `span-processor check` says of settings that can be used. Raises `SettingsError` with every problem."""
    problems: list[str] = []
    lines = ["settings: good"]
    listeners = listen_addresses(settings)
    checks = (
        _check_access, check_variables, lambda each: describe_downstreams(each, listeners), check_journal,
        lambda each: check_own_metrics(each, listeners),
    )  # fmt: skip
    for check in checks:
        try:
            lines += check(settings) or []
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(problems)
    return lines


def _check_access(settings: Settings) -> list[str]:
    return [describe_access(build_access(settings, os.environ))]
