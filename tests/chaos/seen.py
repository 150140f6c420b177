"""What one look from outside shows. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from supervisor_memkill.processes import ProcessInfo, ProcessState


class Phase(enum.Enum):
    """How far a worker is in service."""

    IN = "in service"
    BOOTING = "booting"
    """Its process runs; its framework has no record of it yet."""
    QUIET = "quiet"
    STARTING = "starting"
    STOPPING = "stopping"
    STOPPED = "stopped"


_PHASES = {
    ProcessState.STARTING: Phase.STARTING,
    ProcessState.BACKOFF: Phase.STARTING,
    ProcessState.STOPPING: Phase.STOPPING,
}


@dataclass(frozen=True)
class Worker:
    """One worker at one look."""

    phase: Phase
    pid: int
    start: int
    """Epoch second, by supervisord."""


@dataclass(frozen=True)
class Sample:
    """One look at everything. A host that did not answer is left out."""

    at: float
    """Epoch seconds: when the look began."""
    workers: Mapping[str, Worker]
    processes: Mapping[str, ProcessInfo]
    """Workers and listeners, by supervisord."""
    seconds: float = 0.0
    """How long the look took."""


def phase(process: ProcessInfo, recorded: Mapping[int, bool]) -> Phase:
    """`recorded`: the pids that the framework has a record of, and whether each is quiet."""
    if process.state is not ProcessState.RUNNING:
        return _PHASES.get(process.state, Phase.STOPPED)
    if process.pid not in recorded:
        return Phase.BOOTING
    return Phase.QUIET if recorded[process.pid] else Phase.IN
