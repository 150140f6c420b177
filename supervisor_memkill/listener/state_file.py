"""The state file: what the listener sees and does, for the commands that a person types.

It stands beside the journal. The listener replaces it at each look and at each change; it is not forced to
disk, because a new listener writes a new one.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pwd
import stat
from pathlib import Path

from supervisor_memkill.errors import MemkillError
from supervisor_memkill.listener.journal import hidden_by, make_private_directory
from supervisor_memkill.listener.state_format import OtherFormat, from_json, parts_of_text
from supervisor_memkill.listener.state_values import ListenerState

SUFFIX = ".state"
DRY_RUN = ".dry-run"
MAX_BYTES = 64 * 1024 * 1024
WRITE_BYTES = 64 * 1024


class StateError(MemkillError):
    """There is no state of a listener, or it cannot be read."""


class NoState(StateError):
    """No listener wrote a state there."""


class HiddenState(StateError):
    """The state belongs to another user."""


def path_beside(journal: Path, *, is_dry_run: bool = False) -> Path:
    """The state of the listener with this journal; a dry run beside it has a file of its own."""
    return journal.with_name(f"{journal.name}{DRY_RUN if is_dry_run else ''}{SUFFIX}")


def paths_beside(journal: Path) -> tuple[Path, Path]:
    return path_beside(journal), path_beside(journal, is_dry_run=True)


def write(path: Path, state: ListenerState) -> bool:
    """Replace the file; whether that worked. The journal reports a failure: both are in one directory."""
    temporary = path.with_name(path.name + ".new")
    with contextlib.suppress(OSError, MemkillError):
        make_private_directory(path.parent)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb", WRITE_BYTES) as file:
            file.writelines(part.encode("ascii") for part in parts_of_text(state))
        temporary.replace(path)
        return True
    return False


def read(path: Path) -> ListenerState:
    """The last state that was written. Raises StateError, in words for a person."""
    try:
        data = _read(path)
    except FileNotFoundError:
        raise NoState(f"no listener of this supervisord has written {path} yet") from None
    except PermissionError:
        raise HiddenState(
            f"{path} belongs to {_owner(path)}: run this command as root or as that user"
        ) from None
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return from_json(json.loads(data))
    except OtherFormat as error:
        raise StateError(
            f"{path} comes from another version of supervisor-memkill ({error}): restart the listener,"
            " so that it has the version of this command"
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StateError(
            f"{path} is damaged, or another version wrote it ({error}): restart the listener, so that it"
            " writes a new one"
        ) from error


def _read(path: Path) -> bytes:
    """What the file holds; a FIFO would be waited for. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "it is not a file")
        return file.read(MAX_BYTES)


def _owner(path: Path) -> str:
    """The user whose file this is, or whose directory hides it."""
    uid = hidden_by(path)
    if uid is None:
        with contextlib.suppress(OSError):
            uid = path.lstat().st_uid
    if uid is None:
        return "another user"
    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"the user with the uid {uid}"
