"""Whether a folder can hold a journal, and that one process at a time uses it.

Every problem is a `JournalProblem`: one line that says what is wrong and what would be right. Nothing is ever deleted.
"""

from __future__ import annotations

import fcntl
import os
import stat

from processor.journal.index import VERSION, version_of
from processor.journal.journal import JournalProblem
from processor.journal.tail import sync_directory

_LOCK = "lock"
_DIRECTORY = "journal_directory"
_MAX_SIZE = "journal_max_size"
_MiB = 1024 * 1024


def inspect(directory: str, max_bytes: int) -> str:
    """Raise a problem if the folder cannot be used; else what would happen to it, in words. Changes nothing."""
    if not os.path.lexists(directory):
        _inspect_parent(directory, max_bytes)
        return f"{directory}, which will be made"
    used = _inspect_folder(directory, max_bytes)
    try:
        lock = os.open(os.path.join(directory, _LOCK), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return directory
    except OSError as error:
        raise _not_writable(directory, error.strerror) from None
    try:
        _lock(lock, directory)
    finally:
        os.close(lock)
    return f"{directory}, {used} bytes in it"


def take(directory: str, max_bytes: int) -> int:
    """Make the folder if need be, and lock it; the lock, which ends when it is closed. Raises `JournalProblem`."""
    if not os.path.lexists(directory):
        _inspect_parent(directory, max_bytes)
        try:
            os.mkdir(directory, 0o700)
            sync_directory(os.path.dirname(os.path.abspath(directory)))
        except OSError as error:
            raise _not_writable(os.path.dirname(os.path.abspath(directory)), error.strerror) from None
    _inspect_folder(directory, max_bytes)
    try:
        lock = os.open(os.path.join(directory, _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _not_writable(directory, error.strerror) from None
    try:
        _lock(lock, directory)
    except JournalProblem:
        os.close(lock)
        raise
    return lock


def _inspect_parent(directory: str, max_bytes: int) -> None:
    """Raise a problem if the folder cannot be made."""
    parent = os.path.dirname(os.path.abspath(directory))
    if not os.path.isdir(parent):
        raise JournalProblem(_DIRECTORY, f"{parent} is no folder; make it, or name another")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise _not_writable(parent, "not permitted, or read-only")
    _refuse_too_large(parent, max_bytes, 0)


def _inspect_folder(directory: str, max_bytes: int) -> int:
    """Raise a problem if what is there cannot be used; the bytes that the journal takes."""
    try:
        status = os.stat(directory)
    except OSError as error:
        raise JournalProblem(_DIRECTORY, f"cannot look at {directory}: {error.strerror}; name a folder") from None
    if not stat.S_ISDIR(status.st_mode):
        raise JournalProblem(_DIRECTORY, f"{directory} is no folder; name one, or one that can be made")
    if status.st_uid != os.geteuid():
        owner = f"belongs to user {status.st_uid}, and this process runs as {os.geteuid()}"
        raise JournalProblem(_DIRECTORY, f"{directory} {owner}; name a folder of its own, such as {directory}/journal")
    if status.st_mode & 0o077:
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        right = f"set it to 0700, or name a folder that can be made, such as {directory}/journal"
        raise JournalProblem(_DIRECTORY, f"{directory} is open to others (mode {mode}); {right}")
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise _not_writable(directory, "not permitted, or read-only")
    try:
        used = _used_bytes(directory)
    except OSError as error:
        raise JournalProblem(_DIRECTORY, f"cannot read {directory}: {error.strerror}; name another folder") from None
    _refuse_too_large(directory, max_bytes, used)
    return used


def _used_bytes(directory: str) -> int:
    """What the segments take. Raises `JournalProblem` where a newer version wrote one."""
    used = 0
    with os.scandir(directory) as files:
        for file in files:
            version = version_of(file.name)
            if version is not None and version > VERSION:
                wrong = f"a newer version of this program wrote {file.name} in {directory}"
                raise JournalProblem(_DIRECTORY, f"{wrong}; run that one, or name another folder")
            if version is not None:
                used += file.stat().st_size
    return used


def _refuse_too_large(directory: str, max_bytes: int, used: int) -> None:
    system = os.statvfs(directory)
    free = system.f_bavail * system.f_frsize
    if free < _MiB and used < max_bytes:
        raise JournalProblem(_DIRECTORY, f"the disk of {directory} is full; make room, or name a folder elsewhere")
    if used + free < max_bytes:
        room = f"{(used + free) // _MiB}MiB"
        raise JournalProblem(_MAX_SIZE, f"the disk of {directory} has room for {room} only; set that, or less")


def _not_writable(directory: str, reason: str | None) -> JournalProblem:
    return JournalProblem(_DIRECTORY, f"cannot write to {directory}: {reason}; name a folder that can be written to")


def _lock(lock: int, directory: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        text = f"another process uses {directory}; stop it, or name another folder"
        raise JournalProblem(_DIRECTORY, text) from None
