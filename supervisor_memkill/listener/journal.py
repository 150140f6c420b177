"""The journal: one file that keeps the drains while no listener runs.

Each save writes a new file, forces it to disk and renames it over the old one. After a crash the file is
therefore the old or the new one. A file that is damaged all the same is set aside and not used.

The directory may be one that is swept of old files. So the listener keeps its files young, and a lock that is
swept all the same is taken anew.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from supervisor_memkill.clock import Clock, boot_clock
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import MemkillError
from supervisor_memkill.listener.journal_format import Contents, decode, encode
from supervisor_memkill.listener.journal_place import newest

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
TOUCH_SECONDS = 3600.0
"""How often the files get a new time. Sweepers remove what is older than days."""


class JournalError(MemkillError):
    """The journal cannot be written, read or locked: nothing may be taken out of service."""


class JournalHeld(JournalError):
    """Another listener of this supervisord has locked the journal."""


@dataclass(frozen=True)
class Loaded:
    """The result of loading the journal."""

    contents: Contents
    damaged: str = ""
    """What was wrong with the file, and its new path; empty if it was not damaged."""
    other_boot: bool = False
    """The journal was written before the machine restarted: its processes are gone, its drains are over."""


class Journal:
    """One supervisord's journal."""

    def __init__(
        self,
        path: Path,
        boot_id: str | None = None,
        clock: Clock = boot_clock,
        *,
        former: Sequence[Path] = (),
    ) -> None:
        """`boot_id`: the id of this boot of the machine; None: ask the system.

        `former`: where an earlier listener may have kept the journal. A journal there is taken over if it is
        newer.
        """
        self._clock = clock
        self.path = path
        self._boot_id = read_boot_id() if boot_id is None else boot_id
        self._former = former
        self._locks: dict[Path, int] = {}
        """The descriptor of each lock, by the path of the journal."""
        self._is_locked = False
        """It was locked, and is to stay so."""
        self._is_saved = False
        self._touched_at = clock()

    def lock(self) -> None:
        """Lock the journal until this process ends. Raises JournalError with the pid of the lock's owner."""
        with self._errors("locked"):
            make_private_directory(self.path.parent)
        for path in (self.path, *filter(_can_be_trusted, self._former)):
            # /var/run is a link to /run: the lock would be refused to this same listener
            if not any(_is_at(fd, _beside(path, ".lock")) for fd in self._locks.values()):
                self._locks[path] = self._locked(path)
        self._is_locked = True

    def _locked(self, path: Path) -> int:
        with self._errors("locked"):
            fd = os.open(_beside(path, ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise JournalHeld(
                f"{path}: held by another listener of this supervisord (pid {holder}); "
                "put all pools into one configuration, or set another journal for each listener"
            ) from None
        with contextlib.suppress(OSError):  # The lock does not need the pid; people do.
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(os.getpid()).encode(), 0)
        return fd

    def unlock(self) -> None:
        """Unlock the journal, as the end of this process does."""
        self._is_locked = False
        while self._locks:
            os.close(self._locks.popitem()[1])

    def keep(self) -> bool:
        """Keep the lock and the files, though others remove old files. Raises JournalError.

        True if the file was there and is there no more: it must be saved again.
        """
        if not self._is_locked:
            return False
        fd = self._locks.get(self.path)
        if fd is not None and not _is_at(fd, _beside(self.path, ".lock")):
            os.close(self._locks.pop(self.path))
            fd = None
        if fd is None:
            self.lock()
        if self._clock() - self._touched_at >= TOUCH_SECONDS:
            self._touched_at = self._clock()
            for path in (self.path.parent, self.path, _beside(self.path, ".lock")):
                with contextlib.suppress(OSError):
                    os.utime(path)
        return self._is_saved and not self.path.exists()

    def load(self) -> Loaded:
        """The contents that the last listener saved. A damaged file is set aside. Raises JournalError."""
        source = newest([self.path, *(path for path in self._locks if path != self.path)]) or self.path
        loaded = self._load(source)
        if source != self.path and not loaded.damaged and not loaded.other_boot:
            self.save(loaded.contents)
        self._remove_former()
        return loaded

    def _load(self, source: Path) -> Loaded:
        try:
            contents, boot_id = read(source, self._clock)
        except FileNotFoundError:
            return Loaded(Contents())
        except OSError as error:
            raise JournalError(f"{source}: cannot be read: {error.strerror}") from error
        except ValueError as error:
            return Loaded(Contents(epochs=None), damaged=self._set_aside(source, str(error)))
        if boot_id != self._boot_id:
            return Loaded(Contents(epochs=contents.epochs), other_boot=True)
        self._is_saved = True
        return Loaded(contents)

    def _remove_former(self) -> None:
        """Later a former journal could be taken for the newest one. Its lock stays, against its listener."""
        for path in self._locks:
            if path != self.path:
                with contextlib.suppress(OSError):
                    path.unlink()

    def peek(self) -> Contents:
        """The contents, to be shown; empty if there are none. Locks and changes nothing."""
        return peek(self.path, self._boot_id)

    def save(self, contents: Contents) -> None:
        """Replace the file, and force it to disk. Raises JournalError; usually the old file then stays."""
        text = encode(contents, self._boot_id, self._clock())
        with self._errors("written"):
            make_private_directory(self.path.parent)
            temporary = _beside(self.path, ".new")
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(fd)
            temporary.replace(self.path)
            self._is_saved = True
            _fsync_directory(self.path.parent)

    def _set_aside(self, path: Path, problem: str) -> str:
        aside = _beside(path, ".damaged")
        with self._errors("set aside"):
            path.replace(aside)
        return f"{path}: {problem}; set aside as {aside}"

    @contextlib.contextmanager
    def _errors(self, what: str) -> Any:
        try:
            yield
        except OSError as error:
            hint = "; set journal in [memkill] to a file in a directory where this user can write"
            hint = hint if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT) else ""
            raise JournalError(f"{self.path}: cannot be {what}: {error.strerror or error}{hint}") from error


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _is_at(fd: int, path: Path) -> bool:
    """Whether the open file is still the one at this path."""
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except OSError:
        return False


def _can_be_trusted(path: Path) -> bool:
    """There is a file, and nobody else can have put it there."""
    try:
        directory, file = path.parent.lstat(), path.lstat()
    except OSError:
        return False
    is_private = not _directory_problem(path.parent, directory)
    return is_private and stat.S_ISREG(file.st_mode) and {directory.st_uid, file.st_uid} <= {os.geteuid(), 0}


def peek(path: Path, boot_id: str | None = None) -> Contents:
    """The contents of another listener's journal, to be shown; empty if there are none."""
    try:
        contents, written_in = read(path)
    except OSError:
        return Contents()
    except ValueError:
        return Contents(epochs=None)
    is_of_this_boot = written_in == (read_boot_id() if boot_id is None else boot_id)
    return contents if is_of_this_boot else Contents(epochs=contents.epochs)


def read(path: Path, clock: Clock = boot_clock) -> tuple[Contents, str]:
    """The contents and their boot id. Raises OSError, or ValueError when the file is damaged."""
    return decode(path.read_bytes(), clock())


def _fsync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_boot_id() -> str:
    """The id of this boot of the machine; empty if the system has none (then it is not compared)."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def make_private_directory(path: Path) -> None:
    """Make the directory with mode 0700, or check that only its owner can write there.

    Raises JournalError, OSError.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.lstat()
    problem = _directory_problem(path, status)
    if problem:
        raise JournalError(problem)
    if status.st_uid not in (os.geteuid(), 0):
        raise JournalError(f"{path}: belongs to another user; set journal to a path in another directory")


def _directory_problem(path: Path, status: os.stat_result) -> str:
    """Why no journal may be in this directory, its owner left aside; empty if one may."""
    if not stat.S_ISDIR(status.st_mode):
        return f"{path}: is not a directory"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"{path}: other users can write there; run chmod go-w on it, or set another journal"
    return ""


def hidden_by(path: Path) -> int | None:
    """The user whose private directory hides this journal from the present user; None: it can be read."""
    try:
        owner = path.parent.lstat().st_uid
    except OSError:
        return None
    return None if os.access(path.parent, os.R_OK | os.X_OK) else owner


def peek_problem(path: Path) -> str:
    """Why this journal could not be saved, without changing anything; empty if no reason is found."""
    try:
        return _directory_problem(path.parent, path.parent.lstat())
    except FileNotFoundError:
        return ""  # The first save makes it.
    except OSError as error:
        return f"{path}: {error.strerror or error}"
