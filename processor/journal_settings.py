"""Connects the journal with the settings: opens it as they say, and says what is wrong as they do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from processor.settings import Settings, SettingsError, variable

if TYPE_CHECKING:
    from processor.journal.sealer import Sealer
    from processor.journal.store import Journal
    from processor.journaling import Journaling
    from processor.origin import Origins
    from processor.pipeline import Pipeline


def journaling_from(
    settings: Settings, pipeline: Pipeline, names: Sequence[str], origins: Origins, sealer: Sealer | None
) -> Journaling | None:
    """What keeps things in the journal that the settings ask for; None where they ask for none.

    `names`: of the downstreams. Opens the journal. Raises `SettingsError`.
    """
    journal = journal_from(settings)
    if journal is None:
        return None
    from processor.journaling import Journaling

    return Journaling(journal, pipeline, names, origins, sealer)


def journal_from(settings: Settings) -> Journal | None:
    """The journal that the settings ask for, opened; None where they ask for none. Raises `SettingsError`."""
    if settings.journal_directory is None:
        return None
    from processor.journal.journal import Sync
    from processor.journal.store import open_journal

    with _problems_as_settings():
        return open_journal(str(settings.journal_directory), settings.journal_max_size, Sync(settings.journal_sync))


def sealer_from(settings: Settings) -> Sealer | None:
    """What seals senders' headers; None where no key is set."""
    if settings.journal_key is None:
        return None
    from processor.journal.sealer import Sealer

    return Sealer(settings.journal_key.get_secret_value())


def check_journal(settings: Settings) -> list[str]:
    """What `span-processor check` says of the journal; changes nothing on disk. Raises `SettingsError`."""
    if settings.journal_directory is None:
        return []
    from processor.journal.folder import inspect

    with _problems_as_settings():
        return [f"journal: {inspect(str(settings.journal_directory), settings.journal_max_size)}"]


@contextlib.contextmanager
def _problems_as_settings() -> Iterator[None]:
    from processor.journal.journal import JournalProblem

    try:
        yield
    except JournalProblem as problem:
        raise SettingsError([f"{variable(problem.setting)}: {problem}"]) from None
