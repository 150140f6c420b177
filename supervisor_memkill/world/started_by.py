"""Which supervisord started this process, and what the system shows of a running supervisord."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import Unknown
from supervisor_memkill.world.backend import PsutilBackend
from supervisor_memkill.world.starter import Starter

_SYSTEM = PsutilBackend()
_STREAMS = (0, 1)
"""The protocol's descriptors."""


def find_starter(is_supervisord: Callable[[Sequence[str]], bool], process: int) -> Starter | None:
    """The nearest ancestor of the process whose command line is a supervisord's.

    None: there is none, or it is hidden.
    """
    child, found = process, {process}
    with contextlib.suppress(Unknown):
        while (ancestor := _SYSTEM.parent(child)) > 0 and ancestor not in found:
            if is_supervisord(_words(ancestor)):
                return Starter(ancestor, child)
            found.add(ancestor)
            child = ancestor
    return None


def parent(process: int) -> Starter:
    """The parent of the process, as the supervisord that started it; 0: it has ended."""
    if process == os.getpid():
        return Starter(os.getppid(), process)
    try:
        return Starter(_SYSTEM.parent(process), process)
    except Unknown:
        return Starter(0, process)


def _words(process: int) -> Sequence[str]:
    try:
        return _SYSTEM.command_line(process)
    except Unknown:
        return ()


def has_pipes() -> bool:
    """Standard input and output are pipes, as supervisord gives them to a process."""
    try:
        modes = [os.fstat(stream).st_mode for stream in _STREAMS]
    except OSError:
        return False
    return all(stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) for mode in modes)


def has_streams_of(pid: int) -> bool | None:
    """Whether this process has the standard input and output of that one; None: not visible."""
    try:
        theirs = [Path(f"/proc/{pid}/fd/{stream}").stat() for stream in _STREAMS]
        ours = [os.fstat(stream) for stream in _STREAMS]
    except OSError:
        return None
    return all(os.path.samestat(one, other) for one, other in zip(ours, theirs, strict=True))


@dataclass(frozen=True)
class Seen:
    """What the system shows of a process; a part is empty if this user may not see it."""

    words: tuple[str, ...] = ()
    """Its command line."""
    cwd: Path | None = None
    """Its directory now."""
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The environment that it was started with."""
    uid: int | None = None


def see(pid: int) -> Seen:
    """What the system shows of this process; nothing if there is no such process."""
    return Seen(tuple(_words(pid)), _cwd(pid), _environ(pid), _uid(pid))


def _cwd(pid: int) -> Path | None:
    try:
        text = _SYSTEM.directory(pid)
    except Unknown:
        return None
    return Path(text) if text.startswith("/") else None


def _environ(pid: int) -> Mapping[str, str]:
    try:
        return _SYSTEM.environment(pid)
    except Unknown:
        return {}


def _uid(pid: int) -> int | None:
    try:
        return _SYSTEM.user(pid)
    except Unknown:
        return None


def open_files(pid: int) -> tuple[Path, ...]:
    """The files that a process has open; none if this user may not see them."""
    import psutil

    try:
        return tuple(Path(file.path) for file in psutil.Process(pid).open_files())
    except (psutil.Error, OSError, ValueError, OverflowError):
        return ()
