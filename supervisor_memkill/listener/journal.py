"""The journal: one file that keeps the drains while no listener runs.

Each save writes a new file, forces it to disk and renames it over the old one. After a crash the file is
therefore the old or the new one. A file that is damaged all the same is set aside and not used.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor_memkill.clock import Clock, boot_clock
from supervisor_memkill.errors import MemkillError
from supervisor_memkill.listener.journal_format import Contents, decode, encode

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class JournalError(MemkillError):
    """The journal cannot be written, read or locked: nothing may be taken out of service."""


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

    def __init__(self, path: Path, boot_id: str | None = None, clock: Clock = boot_clock) -> None:
        """`boot_id`: the id of this boot of the machine; None: ask the system."""
        self._clock = clock
        self.path = path
        self._boot_id = read_boot_id() if boot_id is None else boot_id
        self._lock_fd: int | None = None

    def lock(self) -> None:
        """Lock the journal until this process ends. Raises JournalError with the pid of the lock's owner."""
        if self._lock_fd is not None:
            return
        with self._errors("locked"):
            make_private_directory(self.path.parent)
            fd = os.open(self._beside(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise JournalError(
                f"{self.path}: held by another listener of this supervisord (pid {holder}); "
                "put all pools into one configuration, or set another journal for each listener"
            ) from None
        with contextlib.suppress(OSError):  # The lock does not need the pid; people do.
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(os.getpid()).encode(), 0)
        self._lock_fd = fd

    def unlock(self) -> None:
        """Unlock the journal, as the end of this process does."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def load(self) -> Loaded:
        """The contents that the last listener saved. A damaged file is set aside. Raises JournalError."""
        try:
            contents, boot_id = read(self.path, self._clock)
        except FileNotFoundError:
            return Loaded(Contents())
        except OSError as error:
            raise JournalError(f"{self.path}: cannot be read: {error.strerror}") from error
        except ValueError as error:
            return Loaded(Contents(epochs=None), damaged=self._set_aside(str(error)))
        if boot_id != self._boot_id:
            return Loaded(Contents(epochs=contents.epochs), other_boot=True)
        return Loaded(contents)

    def peek(self) -> Contents:
        """The contents, to be shown; empty if there are none. Locks and changes nothing."""
        return peek(self.path, self._boot_id)

    def save(self, contents: Contents) -> None:
        """Replace the file, and force it to disk. Raises JournalError; usually the old file then stays."""
        text = encode(contents, self._boot_id, self._clock())
        with self._errors("written"):
            make_private_directory(self.path.parent)
            temporary = self._beside(".new")
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(fd)
            temporary.replace(self.path)
            _fsync_directory(self.path.parent)

    def _set_aside(self, problem: str) -> str:
        aside = self._beside(".damaged")
        with self._errors("set aside"):
            self.path.replace(aside)
        return f"{self.path}: {problem}; set aside as {aside}"

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    @contextlib.contextmanager
    def _errors(self, what: str) -> Any:
        try:
            yield
        except OSError as error:
            raise JournalError(f"{self.path}: cannot be {what}: {error.strerror or error}") from error


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


def default_path(server_url: str, environ: Mapping[str, str], uid: int) -> Path:
    """The path for the supervisord at `server_url`; each supervisord on a host has its own."""
    slug = re.sub(r"[^A-Za-z0-9]+", "-", server_url).strip("-")[-40:]
    digest = hashlib.sha256(server_url.encode()).hexdigest()[:8]
    return _default_directory(environ, uid) / f"{slug}-{digest}.journal"


def _default_directory(environ: Mapping[str, str], uid: int) -> Path:
    run = next((path for path in (Path("/run"), Path("/var/run")) if path.is_dir()), None)
    if uid == 0 and run is not None:
        return run / "supervisor-memkill"
    if environ.get("XDG_RUNTIME_DIR"):
        return Path(environ["XDG_RUNTIME_DIR"]) / "supervisor-memkill"
    return Path(tempfile.gettempdir()) / f"supervisor-memkill-{uid}"


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


def peek_problem(path: Path) -> str:
    """Why this journal could not be saved, without changing anything; empty if no reason is found."""
    try:
        return _directory_problem(path.parent, path.parent.lstat())
    except FileNotFoundError:
        return ""  # The first save makes it.
    except OSError as error:
        return f"{path}: {error.strerror or error}"
