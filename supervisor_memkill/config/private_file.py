"""A file with one secret line, which nobody else may read."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MAX_BYTES = 64 * 1024
_ROOT = 0
_OTHERS, _OTHERS_OR_WRITE = 0o077, 0o037


def read_line(path: Path, user: int, what: str, hint: str) -> str:
    """The line in the file, beside comments with # or ;. `user` is the user id that this process runs as.

    `what` the line is, and a `hint` for a user who may not read it, are for the errors. Raises ValueError in
    a whole phrase, which repeats nothing that the file holds.
    """
    try:
        # a FIFO would be waited for
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        advice = f"; {hint}" if error.errno == errno.EACCES else ""
        raise ValueError(f"cannot be read: {error.strerror}{advice}") from None
    try:
        _check_owner_and_mode(path, os.fstat(descriptor), user)
        data = os.read(descriptor, MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    try:
        return _only_line(data, what)
    except UnicodeDecodeError:
        raise ValueError("must hold text in UTF-8") from None


def _check_owner_and_mode(path: Path, found: os.stat_result, user: int) -> None:
    """The owner's alone; where root is the owner, its group may read, which is then that of the listener."""
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("must be a regular file")
    if user != _ROOT and found.st_uid not in (user, _ROOT):
        raise ValueError(f"belongs to user {found.st_uid}, not to this user ({user}) or root: who wrote it?")
    mode = stat.S_IMODE(found.st_mode)
    if mode & (_OTHERS_OR_WRITE if found.st_uid == _ROOT else _OTHERS):
        raise ValueError(f"others can read or change it (mode {mode:04o}): run chmod 600 {path}")


def _only_line(data: bytes, what: str) -> str:
    lines = [line.strip() for line in data.decode("utf-8-sig").splitlines()]
    found = [line for line in lines if line and not line.startswith(("#", ";"))]
    if len(found) != 1 or len(data) > MAX_BYTES:
        raise ValueError(f"must hold one line, {what} (beside comments with #), not {len(found)} lines")
    return found[0]
