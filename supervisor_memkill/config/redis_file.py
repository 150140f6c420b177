"""The file that ``redis_file`` names: one URL with its password, which nobody else may read."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

from supervisor_memkill.world import redis_client

MAX_BYTES = 64 * 1024
_ROOT = 0
_OTHERS, _OTHERS_OR_WRITE = 0o077, 0o037


def read(path: Path, user: int) -> str:
    """The URL in the file; `user` is the user id that this process runs as.

    Raises ValueError in a whole phrase, which repeats nothing that the file holds.
    """
    try:
        # a FIFO would be waited for
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        hint = "; run this as the listener's user or as root" if error.errno == errno.EACCES else ""
        raise ValueError(f"cannot be read: {error.strerror}{hint}") from None
    try:
        _check_owner_and_mode(path, os.fstat(descriptor), user)
        data = os.read(descriptor, MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    try:
        return _url_in(data)
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


def _url_in(data: bytes) -> str:
    lines = [line.strip() for line in data.decode("utf-8-sig").splitlines()]
    urls = [line for line in lines if line and not line.startswith(("#", ";"))]
    if len(urls) != 1 or len(data) > MAX_BYTES:
        raise ValueError(f"must hold one line, the URL (beside comments with #), not {len(urls)} lines")
    (url,) = urls
    if re.match(r"\w+\s*=", url):
        raise ValueError("must hold the URL alone, without a name and = before it")
    try:
        redis_client.check(url)
    except ValueError as error:
        raise ValueError(f"the URL in it must be {error}") from None
    return url
