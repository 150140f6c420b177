"""Where the readings of processes come from: on Linux from /proc, elsewhere from psutil.

psutil is imported only when it is asked. On Linux a look asks it nothing.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from supervisor_memkill.errors import Unknown
from supervisor_memkill.processes import Measure
from supervisor_memkill.world import linux_process
from supervisor_memkill.world.linux_process import Gone, Resident, Unmeasurable, absent

if TYPE_CHECKING:
    import psutil

LINUX = sys.platform.startswith("linux")

T = TypeVar("T")


class Backend(Protocol):
    """The source of the readings. Each method raises Gone or Unknown."""

    def parents(self) -> Mapping[int, int]:
        """The parent's pid of every process."""
        ...

    def created(self, pid: int) -> float: ...

    def generations(self) -> Mapping[int, int]:
        """As of the last `parents`: a number of each process that no later one with its pid has.

        Without the processes of which the system shows none.
        """
        ...

    def memory_bytes(self, pid: int, measure: Measure) -> int:
        """Above 0: a process that has no memory left is Gone. Raises Unmeasurable as well."""
        ...

    def resident(self, pid: int) -> Resident:
        """The sizes that can be read where `memory_bytes` is Unmeasurable."""
        ...

    def status(self, pid: int) -> str:
        """One of psutil's STATUS_ constants."""
        ...

    def command_line(self, pid: int) -> Sequence[str]: ...

    def caught_signals(self, pid: int) -> int:
        """The signals that the process handles itself, as a mask: bit 0 is signal 1."""
        ...

    def blocked_signals(self, pid: int) -> int:
        """The signals that the process blocks, as such a mask: sigwait(3) and signalfd(2) need that."""
        ...

    def group(self, pid: int) -> int:
        """The pid of the leader of its process group; 0 if that is in another pid namespace."""
        ...

    def control_group(self, pid: int) -> str:
        """Its control groups, in any form that can be compared; empty where the system has none."""
        ...

    def directory(self, pid: int) -> str:
        """Its working directory."""
        ...

    def environment(self, pid: int) -> Mapping[str, str]:
        """Its environment variables when it was started."""
        ...


def can_measure(measure: Measure) -> bool:
    """Whether this system supports the measure: Linux by /proc, others by psutil's memory_full_info."""
    return measure == "rss" or LINUX or (measure == "uss" and sys.platform == "darwin")


class PsutilBackend:
    """The processes of this machine: on Linux mostly by /proc, elsewhere by psutil."""

    def __init__(self) -> None:
        self._known_parents = linux_process.Parents()

    def parents(self) -> Mapping[int, int]:
        if LINUX:
            return self._known_parents.now()
        found = {}
        import psutil

        # Not process_iter: its cache leaves out a process that has the pid of an earlier one.
        for pid in psutil.pids():
            with contextlib.suppress(psutil.Error):
                found[pid] = psutil.Process(pid).ppid()
        return found

    def parent(self, pid: int) -> int:
        """The parent's pid. Raises Gone, Unknown."""
        if LINUX:
            return linux_process.parent(pid)
        return _read(pid, lambda process: process.ppid())

    def created(self, pid: int) -> float:
        if LINUX:
            return linux_process.started(pid)
        return _read(pid, lambda process: process.create_time())

    def generations(self) -> Mapping[int, int]:
        return self._known_parents.folders()

    def memory_bytes(self, pid: int, measure: Measure) -> int:
        if measure == "rss" and LINUX:
            size = linux_process.rss(pid)
        elif measure == "rss":
            size = _read(pid, lambda process: process.memory_info().rss)
        elif LINUX:
            size = linux_process.measured(pid, measure)
        else:
            info = _read(pid, lambda process: process.memory_full_info())
            if not hasattr(info, measure):
                raise Unmeasurable(f"{measure} is not measured on this system")
            size = int(getattr(info, measure))
        if size == 0:
            raise Gone(f"process {pid} is ending")
        return size

    def resident(self, pid: int) -> Resident:
        if LINUX:
            return linux_process.resident(pid)
        return Resident(self.memory_bytes(pid, "rss"))

    def status(self, pid: int) -> str:
        if LINUX:
            return linux_process.status(pid)
        return str(_read(pid, lambda process: process.status()))

    def command_line(self, pid: int) -> Sequence[str]:
        if LINUX:
            return linux_process.command_line(pid)
        return _read(pid, lambda process: process.cmdline())

    def caught_signals(self, pid: int) -> int:
        return _signals(pid, "SigCgt")

    def blocked_signals(self, pid: int) -> int:
        return _signals(pid, "SigBlk")

    def group(self, pid: int) -> int:
        try:
            return os.getpgid(pid)
        except (OSError, OverflowError):
            raise absent(pid) from None

    def control_group(self, pid: int) -> str:
        try:
            return Path(f"/proc/{pid}/cgroup").read_text()
        except (OSError, ValueError):
            return ""

    def directory(self, pid: int) -> str:
        if LINUX:
            return linux_process.directory(pid)
        return _read(pid, lambda process: process.cwd())

    def environment(self, pid: int) -> Mapping[str, str]:
        if LINUX:
            return linux_process.environment(pid)
        return _read(pid, lambda process: process.environ())

    def user(self, pid: int) -> int:
        """The number of its effective user. Raises Gone, Unknown."""
        if LINUX:
            return linux_process.user(pid)
        return _read(pid, lambda process: process.uids().effective)


def _signals(pid: int, field: str) -> int:
    """A mask of signals. Only Linux shows them, in /proc/PID/status (proc(5)). Raises Unknown."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
        return next(int(line.split()[1], 16) for line in lines if line.startswith(f"{field}:"))
    except (OSError, StopIteration, LookupError, ValueError) as error:
        raise Unknown(f"the signals that process {pid} handles cannot be read: {error}") from error


def _read(pid: int, question: Callable[[psutil.Process], T]) -> T:
    """The answer to one question about a process; errors of psutil become Unknown or Gone."""
    import psutil

    try:
        return question(psutil.Process(pid))
    except psutil.NoSuchProcess:
        raise absent(pid) from None
    except psutil.AccessDenied:
        raise Unmeasurable(f"access to process {pid}, which belongs to another user, is denied") from None
    except (psutil.Error, OSError, ValueError, OverflowError) as error:
        raise Unknown(f"process {pid} cannot be read: {error}") from error
