"""A file of JSON lines beside the journal, with a bounded size.

When the file is full it is renamed, over the file that was renamed before: between half and all of the room
is in use. A line that a crash cut is dropped at the next write, and readers skip it. The file is not forced
to disk: a power failure may cost the last lines, and no drain waits for them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from supervisor_memkill.clock import Clock, boot_clock
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import MemkillError
from supervisor_memkill.listener.journal import TOUCH_SECONDS, make_private_directory
from supervisor_memkill.listener.outage import Outage

MAX_BYTES = 2 * 1024 * 1024
"""Of each of the two files."""
MAX_WAITING = 200
"""Lines that wait in memory while the file cannot be written."""
RETRY_SECONDS = 60.0


@dataclass(frozen=True)
class Paths:
    """The present file and the former one."""

    present: Path
    former: Path


class LineFile:
    """Appends lines. A failure is reported once, and the lines wait until writing works again."""

    def __init__(
        self,
        paths: Paths,
        outage: Outage,
        clock: Clock = boot_clock,
        *,
        max_bytes: int = MAX_BYTES,
        max_line_bytes: int,
        part: str = "",
    ) -> None:
        """`max_line_bytes`: no line is longer. `part`: the file's name in the outage, if others share it."""
        self._path, self._former = paths.present, paths.former
        self._outage = outage
        self._clock = clock
        self._max_bytes = max_bytes
        self._max_line_bytes = max_line_bytes
        self._part = part
        self._waiting: deque[bytes] = deque(maxlen=MAX_WAITING)
        self._tended_at = self._touched_at = clock()

    def append(self, line: bytes) -> None:
        """Append the line, which has its end. Raises nothing."""
        self._waiting.append(line)
        self._write()

    def tend(self) -> None:
        """Write what waits, and keep the files young where others remove old files. Raises nothing."""
        now = self._clock()
        if now - self._tended_at < RETRY_SECONDS:
            return
        self._tended_at = now
        if self._waiting:
            self._write()
        if now - self._touched_at >= TOUCH_SECONDS:
            self._touched_at = now
            for path in (self._path, self._former):
                with contextlib.suppress(OSError):
                    os.utime(path, follow_symlinks=False)

    def _write(self) -> None:
        try:
            while self._waiting:
                self._append(self._waiting[0])
                self._waiting.popleft()
        except OSError as error:
            self._outage.away(f"{self._path}: {error.strerror or error}", self._part)
        except MemkillError as error:
            self._outage.away(error, self._part)
        else:
            self._outage.back(self._part)

    def _append(self, line: bytes) -> None:
        make_private_directory(self._path.parent)
        fd = _open(self._path)
        try:
            size = _mended_size(fd, self._max_line_bytes)
            if size and size + len(line) > self._max_bytes:
                os.close(fd)
                fd = -1
                self._path.replace(self._former)
                fd, size = _open(self._path), 0
            if os.write(fd, line) != len(line):
                with contextlib.suppress(OSError):
                    os.ftruncate(fd, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            if fd >= 0:
                os.close(fd)


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    fd = os.open(path, flags, 0o600)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is not a file")
        if stat.S_IMODE(status.st_mode) & 0o077:
            os.fchmod(fd, 0o600)
    except OSError:
        os.close(fd)
        raise
    return fd


def _mended_size(fd: int, max_line_bytes: int) -> int:
    """The size of the file, without a last line that has no end."""
    size = os.fstat(fd).st_size
    begin = max(0, size - max_line_bytes)
    tail = os.pread(fd, size - begin, begin)
    whole = begin + tail.rfind(b"\n") + 1
    os.ftruncate(fd, whole)
    return whole


# --- reading -----------------------------------------------------------------------------------------


def read_lines(paths: Paths) -> list[bytes]:
    """Of the former file and the present one. A half last line, which is being written, is left out.

    Raises OSError.
    """
    path, former = paths.present, paths.former
    while True:
        with _opened(path) as present, _opened(former) as before:
            if present is not None and before is not None and _is_same(present, before):
                continue  # It was renamed between the two: the present one is another file by now.
            return [*_whole_lines(before), *_whole_lines(present)]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        yield None
        return
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "is not a file")
        yield fd
    finally:
        os.close(fd)


def _is_same(one: int, other: int) -> bool:
    return os.path.samestat(os.fstat(one), os.fstat(other))


def _whole_lines(fd: int | None) -> list[bytes]:
    if fd is None:
        return []
    with os.fdopen(os.dup(fd), "rb") as file:
        *lines, _half = file.read(2 * MAX_BYTES).split(b"\n")
    return [line for line in lines if line]
