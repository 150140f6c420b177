"""Processes as a test wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import psutil

from supervisor_memkill.errors import Unknown
from supervisor_memkill.processes import Measure
from supervisor_memkill.world.memory import Gone, Resident


@dataclass
class FakeProcess:
    parent: int = 1
    created: float = 100.0
    size: int | Unknown = 10
    status: str = psutil.STATUS_SLEEPING
    command_line: Sequence[str] = ()
    caught: int | Unknown = 0
    blocked: int = 0
    leader: int | None = None
    """The leader of its process group; None: itself."""
    control_group: str = "0::/system.slice/supervisor.service"
    resident: Resident = field(default_factory=lambda: Resident(rss=10))


@dataclass
class FakeBackend:
    """Processes as a test wants them. Those in `vanishing` are in the parents' map and nowhere else."""

    processes: dict[int, FakeProcess]
    vanishing: Mapping[int, int] = field(default_factory=dict)
    parents_read: int = 0

    def parents(self) -> Mapping[int, int]:
        self.parents_read += 1
        return {**{pid: process.parent for pid, process in self.processes.items()}, **self.vanishing}

    def created(self, pid: int) -> float:
        return self._process(pid).created

    def generations(self) -> Mapping[int, int]:
        return {}

    def memory_bytes(self, pid: int, measure: Measure) -> int:
        size = self._process(pid).size
        if isinstance(size, Unknown):
            raise size
        return size if measure == "rss" else size // 2

    def resident(self, pid: int) -> Resident:
        return self._process(pid).resident

    def status(self, pid: int) -> str:
        return self._process(pid).status

    def command_line(self, pid: int) -> Sequence[str]:
        return self._process(pid).command_line

    def caught_signals(self, pid: int) -> int:
        caught = self._process(pid).caught
        if isinstance(caught, Unknown):
            raise caught
        return caught

    def blocked_signals(self, pid: int) -> int:
        return self._process(pid).blocked

    def group(self, pid: int) -> int:
        leader = self._process(pid).leader
        return pid if leader is None else leader

    def control_group(self, pid: int) -> str:
        return self._process(pid).control_group

    def directory(self, pid: int) -> str:
        self._process(pid)
        return f"/srv/{pid}"

    def environment(self, pid: int) -> Mapping[str, str]:
        self._process(pid)
        return {"PID": str(pid)}

    def _process(self, pid: int) -> FakeProcess:
        if pid not in self.processes:
            raise Gone(f"there is no process {pid}")
        return self.processes[pid]


FAMILY = {
    10: FakeProcess(size=100),
    11: FakeProcess(parent=10, size=20),
    12: FakeProcess(parent=10, size=3, created=101.0),
    13: FakeProcess(parent=11, size=4000, created=102.0),
    99: FakeProcess(size=50_000),
}
