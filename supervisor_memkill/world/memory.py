"""Processes as the operating system reports them: memory, trees, and whether they are alive."""

from __future__ import annotations

import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypeVar

import psutil

from supervisor_memkill.clock import boot_clock
from supervisor_memkill.errors import Unknown
from supervisor_memkill.processes import Measure, ProcessId

SAME_START_SECONDS = 0.02
"""Two clock ticks of Linux: within this time no other process gets the pid of an ended one."""

CLOCK_TICK_SECONDS = 1.0
"""A process may seem to begin a little later than it did."""

ENDED = frozenset({psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD})

T = TypeVar("T")


class Gone(Unknown):
    """There is no such process. A zombie does not count as a process."""


class Backend(Protocol):
    """The source of the readings. Each method raises Gone or Unknown."""

    def parents(self) -> Mapping[int, int]:
        """The parent's pid of every process."""
        ...

    def created(self, pid: int) -> float: ...

    def memory_bytes(self, pid: int, measure: Measure) -> int:
        """Above 0: a process that has no memory left is Gone."""
        ...

    def status(self, pid: int) -> str:
        """One of psutil's STATUS_ constants."""
        ...

    def command_line(self, pid: int) -> Sequence[str]: ...

    def directory(self, pid: int) -> str:
        """Its working directory."""
        ...

    def environment(self, pid: int) -> Mapping[str, str]:
        """Its environment variables when it was started."""
        ...


def can_measure(measure: Measure) -> bool:
    """Whether this system supports the measure (psutil's memory_full_info)."""
    return measure == "rss" or psutil.LINUX or (measure == "uss" and psutil.MACOS)


class PsutilBackend:
    """The processes of this machine, by psutil."""

    def parents(self) -> Mapping[int, int]:
        found = {}
        # Not process_iter: its cache leaves out a process that has the pid of an earlier one.
        for pid in psutil.pids():
            with contextlib.suppress(psutil.Error):
                found[pid] = psutil.Process(pid).ppid()
        return found

    def created(self, pid: int) -> float:
        if psutil.LINUX:
            return _linux_start(pid)
        return _read(pid, lambda process: process.create_time())

    def memory_bytes(self, pid: int, measure: Measure) -> int:
        if measure == "rss":
            size = _read(pid, lambda process: process.memory_info().rss)
        else:
            info = _read(pid, lambda process: process.memory_full_info(), measure)
            if not hasattr(info, measure):
                raise Unknown(f"{measure} is not measured on this system; use rss")
            size = int(getattr(info, measure))
        if size == 0:
            raise Gone(f"process {pid} is ending")
        return size

    def status(self, pid: int) -> str:
        return str(_read(pid, lambda process: process.status()))

    def command_line(self, pid: int) -> Sequence[str]:
        return _read(pid, lambda process: process.cmdline())

    def directory(self, pid: int) -> str:
        return _read(pid, lambda process: process.cwd())

    def environment(self, pid: int) -> Mapping[str, str]:
        return _read(pid, lambda process: process.environ())


class ProcessTable:
    """The processes for one check: parents and children are read once, at the first question."""

    def __init__(self, backend: Backend | None = None, clock: Callable[[], float] | None = None) -> None:
        """`clock` is the one of `Backend.created`."""
        self._backend = backend or PsutilBackend()
        self._clock = clock or (boot_clock if psutil.LINUX else time.time)

    @cached_property
    def _children(self) -> Mapping[int, Sequence[int]]:
        children: defaultdict[int, list[int]] = defaultdict(list)
        for pid, parent in self._backend.parents().items():
            if pid != parent:
                children[parent].append(pid)
        return children

    def identify(self, pid: int) -> ProcessId:
        """The process that has this pid now. Raises Unknown."""
        return ProcessId(pid, self._backend.created(pid))

    def age_seconds(self, pid: int) -> float:
        """How long the process has lived, on Linux by a clock that nobody can set. Raises Unknown."""
        age = self._clock() - self._backend.created(pid)
        if age < -CLOCK_TICK_SECONDS:
            raise Unknown(f"process {pid} began in the future")
        return max(0.0, age)

    def tree(self, pid: int) -> tuple[ProcessId, ...]:
        """The process itself, then its descendants, without those that have ended.

        Raises Unknown for the process itself.
        """
        found = [self.identify(pid)]
        seen = {pid}
        for parent in found:
            fresh = [child for child in self._born_after(parent) if child.pid not in seen]
            seen.update(child.pid for child in fresh)
            found += fresh
        return tuple(found)

    def family(self, known: Iterable[ProcessId]) -> tuple[ProcessId, ...]:
        """The processes of a tree that was seen before, and what they have started since; ended ones too.

        A process whose parent ended belongs to it as long as it was known while the parent lived.
        """
        found = list(known)
        seen = {one.pid for one in found}
        for one in found:
            if self.is_alive(one):
                fresh = [child for child in self._born_after(one) if child.pid not in seen]
                seen.update(child.pid for child in fresh)
                found += fresh
        return tuple(found)

    def _born_after(self, parent: ProcessId) -> list[ProcessId]:
        """Its children. One that is older than its parent has got the pid of a child that ended."""
        born = []
        for pid in self._children.get(parent.pid, ()):
            try:
                child = self.identify(pid)
            except Gone:
                continue
            if child.created >= parent.created:
                born.append(child)
        return born

    def memory(self, pid: int, measure: Measure = "rss", with_children: bool = False) -> int:
        """Bytes. A child that ends meanwhile counts 0; any other reading that fails raises Unknown."""
        total = self._backend.memory_bytes(pid, measure)
        if with_children:
            total += sum(self._memory_if_there(child.pid, measure) for child in self.tree(pid)[1:])
        return total

    def _memory_if_there(self, pid: int, measure: Measure) -> int:
        try:
            return self._backend.memory_bytes(pid, measure)
        except Gone:
            return 0

    def is_alive(self, process: ProcessId) -> bool:
        """Whether this process is alive and not a zombie. Raises Unknown."""
        try:
            same = abs(self._backend.created(process.pid) - process.created) <= SAME_START_SECONDS
            return same and self._backend.status(process.pid) not in ENDED
        except Gone:
            return False

    def is_suspended(self, pid: int) -> bool:
        """A stop signal suspended it (state T). Raises Unknown."""
        return self._backend.status(pid) == psutil.STATUS_STOPPED

    def directory(self, pid: int) -> str:
        """The working directory, which another user's process may hide. Raises Unknown."""
        return self._backend.directory(pid)

    def environment(self, pid: int) -> Mapping[str, str]:
        """The environment variables, which another user's process hides. Raises Unknown."""
        return self._backend.environment(pid)

    def title(self, pid: int) -> str:
        """The command line, which a program may have changed; "" if it cannot be read."""
        try:
            return " ".join(self._backend.command_line(pid))
        except Unknown:
            return ""


def _read(pid: int, question: Callable[[psutil.Process], T], measure: str = "") -> T:
    """The answer to one question about a process; errors of psutil become Unknown or Gone."""
    try:
        return question(psutil.Process(pid))
    except psutil.NoSuchProcess:
        raise _absent(pid) from None
    except psutil.AccessDenied:
        needs = f"; {measure} needs root, or the process's own user" if measure else ""
        raise Unknown(f"access to process {pid} is denied{needs}") from None
    except (psutil.Error, OSError, ValueError, OverflowError) as error:
        raise Unknown(f"process {pid} cannot be read: {error}") from error


def _linux_start(pid: int) -> float:
    """Seconds from boot to the start of a process: field 22 of /proc/PID/stat (proc(5))."""
    try:
        # The second field, the program's name in brackets, may itself hold spaces and brackets.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return int(fields[22 - 3]) / os.sysconf("SC_CLK_TCK")
    except (FileNotFoundError, ProcessLookupError):
        raise _absent(pid) from None
    except (OSError, LookupError, ValueError) as error:
        raise Unknown(f"process {pid} cannot be read: {error}") from error


def _absent(pid: int) -> Unknown:
    """The error for a process that is not found: it is gone, or /proc hides it from this user (hidepid=2)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return Unknown(f"process {pid} is hidden from this user")
    except (OSError, OverflowError):
        pass
    return Gone(f"there is no process {pid}")
