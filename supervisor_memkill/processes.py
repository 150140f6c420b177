"""Processes and programs as supervisord reports them."""

from __future__ import annotations

import enum
from dataclasses import field
from typing import Literal, get_args

from supervisor_memkill.dataclass import dataclass

Measure = Literal["rss", "pss", "uss", "rss+swap", "pss+swap"]
"""How the memory of a process is measured."""
MEASURES: tuple[Measure, ...] = get_args(Measure)


@dataclass(frozen=True)
class MemorySize:
    """The memory of a worker. If its measure cannot be read, two sizes between which it lies."""

    most_bytes: int
    least_bytes: int
    """The same as `most_bytes` if the measure was read."""
    lost: str = ""
    """Why the measure could not be read; empty if it was read."""


class ProcessState(enum.IntEnum):
    """supervisord's process states (supervisor/states.py; a test compares the two)."""

    STOPPED = 0
    STARTING = 10
    RUNNING = 20
    BACKOFF = 30
    STOPPING = 40
    EXITED = 100
    FATAL = 200
    UNKNOWN = 1000


ENDED_BY_SIGNAL = -1
"""supervisord's exit status of a process that a signal ended, whichever (supervisor/options.py)."""
STOPPED_STATES = frozenset({ProcessState.STOPPED, ProcessState.EXITED, ProcessState.FATAL})
"""The states in which startProcess works. Not BACKOFF: supervisord is still trying."""


@dataclass(frozen=True, slots=True)
class ProcessId:
    """Identifies a process, also against a later one with the same pid. Comparable within one boot."""

    pid: int
    created: float
    """When it began, in seconds: since boot on Linux, where that is known exactly, else since the epoch.

    psutil.Process.create_time adds the boot time, which moves with every step of the clock.
    """


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """One entry of supervisord's getAllProcessInfo."""

    group: str
    name: str
    state: ProcessState
    pid: int
    """0 while no process runs."""
    start: int
    """Epoch second of the last spawn, by supervisord's clock; 0 when it was never started."""
    stop: int
    """Epoch second of the last end, by supervisord's clock; 0 if it never ended."""
    now: int
    """Epoch second at which supervisord answered."""
    spawnerr: str = ""
    exitstatus: int = 0
    """Of the last process: its exit status, `ENDED_BY_SIGNAL`, or 0 if none ended yet."""
    worker: str = field(default="", repr=False, compare=False)
    """``group:name``, as every call of supervisord takes it. It is made of the two, if it is not given."""

    def __post_init__(self) -> None:
        # Not a property: a look asks for it some tens of times.
        if not self.worker:
            object.__setattr__(self, "worker", f"{self.group}:{self.name}")

    @property
    def uptime_seconds(self) -> int:
        return max(0, self.now - self.start)


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """The settings of a program from getAllConfigInfo; durations in seconds."""

    group: str
    name: str
    command: str
    stopsignal: int
    """The signal's number."""
    stopwaitsecs: int
    killasgroup: bool
    group_priority: int
    """Below 0 for event listeners, unless their ``priority`` was set."""
    stopasgroup: bool | None = None
    """None: unknown. XML-RPC does not report it, so it comes from supervisord's files, if they are found."""
    running: str | None = None
    """The command line of its process, which may be another one than `command`: a shell can exec.

    None: unknown. Empty: it does not run, or began so short a time ago that it may still exec.
    """

    @property
    def worker(self) -> str:
        return f"{self.group}:{self.name}"
