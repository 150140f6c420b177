"""A supervisord, its workers and a clock, all of them values.

It behaves like the real one where a drain depends on it: a stopped process stays stopped, a second
stop is refused, and a start while STOPPING answers True and starts nothing.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from supervisor_memkill.errors import Unknown
from supervisor_memkill.processes import (
    ENDED_BY_SIGNAL,
    Measure,
    MemorySize,
    ProcessId,
    ProcessInfo,
    ProcessState,
    ProgramInfo,
)
from supervisor_memkill.workers.contract import Advice, LeftBehind
from supervisor_memkill.world.memory import Gone, ProcessTable
from supervisor_memkill.world.supervisord import (
    AlreadyStarted,
    CannotStart,
    NotRunning,
    SupervisordError,
)

P = ProcessState
LIMIT = 200 * 1024 * 1024
BLOATED, FRESH = 2 * LIMIT, LIMIT // 4
EPOCH = 1_700_000_000


@dataclasses.dataclass
class Worker:
    """One supervised process as it really is."""

    name: str
    state: ProcessState = P.RUNNING
    pid: int = 0
    start: int = EPOCH - 3600
    began_at: float | None = None
    """When the process really began, by the clock of the world; None: as `start` says."""
    stop: int = 0
    memory: int = BLOATED
    quiet: bool = False
    jobs: int = 1
    stop_seconds: float = 1.0
    """How long it takes to end after the stop signal."""
    broken: bool = False
    """It cannot be started."""
    ignores_quiet: bool = False
    changes_at: float = 0.0
    stopped_by_operator: bool = False
    exitstatus: int = 0
    orphans: tuple[int, ...] = ()
    """Children of the present process, which may outlive it."""
    suspended: bool | None = False
    """None: unknown."""


class World:
    """The clock, one supervisord, and everything that happened."""

    def __init__(self, names: Sequence[str] = ("one", "two", "three")) -> None:
        self.now = 1000.0
        self.next_pid = 100
        self.workers: dict[str, Worker] = {}
        for name in names:
            self.workers[f"jobs:{name}"] = Worker(name, pid=self._fresh_pid())
        self.log = ""
        """supervisord's own log."""
        self.happened: list[str] = []
        self.broken_promises: list[str] = []
        self.away: SupervisordError | None = None
        self.records_away = False
        self.lose_answer_of: str = ""
        self.alive_orphans: set[int] = set()
        self.advice: tuple[Advice, ...] = ()
        self.left_behind: tuple[LeftBehind, ...] = ()
        self.stopwaitsecs = 10
        self.tells_programs = True
        self.times_programs_were_told = 0
        self.times_measured = Counter[str]()
        self.measure_lost = ""
        """Why no measure but RSS can be read; half of the RSS may be counted twice then."""

    def clock(self) -> float:
        return self.now

    @property
    def epoch(self) -> int:
        return EPOCH + int(self.now)

    def _fresh_pid(self) -> int:
        self.next_pid += 1
        return self.next_pid

    def advance(self, seconds: float) -> None:
        """Let time pass; due changes happen."""
        self.now += seconds
        for worker in self.workers.values():
            if self.now < worker.changes_at:
                continue
            if worker.state is P.STARTING:
                worker.state = P.RUNNING
            elif worker.state is P.STOPPING:
                self.end(worker, P.STOPPED, at=worker.changes_at)

    def end(self, worker: Worker, state: ProcessState, at: float | None = None) -> None:
        if worker.state is P.STOPPING and worker.exitstatus == ENDED_BY_SIGNAL:
            self.log += f"WARN killing '{worker.name}' ({worker.pid}) with SIGKILL\n"
        worker.state, worker.pid = state, 0
        worker.stop = EPOCH + int(self.now if at is None else at)

    def spawn(self, worker: Worker) -> None:
        worker.state, worker.pid, worker.start = P.STARTING, self._fresh_pid(), self.epoch
        worker.memory, worker.quiet, worker.changes_at = FRESH, False, self.now + 1
        worker.stopped_by_operator, worker.orphans, worker.began_at = False, (), None
        worker.suspended = False

    def finish_jobs(self) -> None:
        for worker in self.workers.values():
            worker.jobs = 0

    def in_service(self, worker: Worker) -> bool:
        return worker.state is P.RUNNING and not worker.quiet

    def out_of_service(self) -> list[str]:
        return [name for name, worker in self.workers.items() if not self.in_service(worker)]

    # --- the operator ---------------------------------------------------------------------------

    def operator_stops(self, name: str) -> None:
        worker = self.workers[name]
        if worker.state in (P.RUNNING, P.STARTING, P.BACKOFF):
            self._stop(worker)
            worker.stopped_by_operator = True

    def operator_restarts(self, name: str) -> None:
        worker = self.workers[name]
        if worker.state is not P.STOPPED:
            self.end(worker, P.STOPPED)
        self.spawn(worker)

    # --- supervisord's calls ----------------------------------------------------------------------

    def _stop(self, worker: Worker) -> None:
        is_killed = worker.stop_seconds >= self.stopwaitsecs
        worker.state, worker.exitstatus = P.STOPPING, ENDED_BY_SIGNAL if is_killed else 0
        worker.changes_at = self.now + min(worker.stop_seconds, self.stopwaitsecs)

    def _reach(self) -> None:
        if self.away is not None:
            raise self.away.with_traceback(None)  # Raised again and again, it would grow.

    def _info(self, worker: Worker) -> ProcessInfo:
        return ProcessInfo(
            "jobs",
            worker.name,
            worker.state,
            worker.pid,
            worker.start,
            worker.stop,
            self.epoch,
            exitstatus=worker.exitstatus,
        )

    def all_processes(self) -> list[ProcessInfo]:
        self._reach()
        return [self._info(worker) for worker in self.workers.values()]

    def process(self, name: str) -> ProcessInfo | None:
        self._reach()
        return self._info(self.workers[name]) if name in self.workers else None

    def programs(self) -> list[ProgramInfo]:
        self._reach()
        self.times_programs_were_told += 1
        if not self.tells_programs:
            return []
        return [
            ProgramInfo("jobs", worker.name, "cmd", 15, self.stopwaitsecs, False, 999)
            for worker in self.workers.values()
        ]

    def log_end(self, size_bytes: int) -> str:
        self._reach()
        return self.log[-size_bytes:]

    def stop(self, name: str) -> None:
        self._reach()
        worker = self.workers[name]
        if worker.state not in (P.RUNNING, P.STARTING, P.BACKOFF):
            raise NotRunning(f"{name} is {worker.state.name}")
        self._watch("stop", worker)
        self._stop(worker)
        self._lose("stop")

    def start(self, name: str) -> None:
        self._reach()
        worker = self.workers[name]
        self.happened.append(f"start {name}")
        if worker.stopped_by_operator:
            self.broken_promises.append(f"S5: started {name}, which the operator stopped")
        if worker.broken:
            raise CannotStart("no such file")
        if worker.state in (P.RUNNING, P.STARTING, P.BACKOFF):
            raise AlreadyStarted(name)
        if worker.state is not P.STOPPING:
            self.spawn(worker)
        self._lose("start")

    def signal(self, name: str, signal: str) -> None:
        self._reach()
        worker = self.workers[name]
        if signal == "QUIET":
            self._watch("quiet", worker)
            worker.quiet = worker.quiet or not worker.ignores_quiet
        elif signal == "CONT":
            worker.suspended = False
            self.happened.append(f"continue jobs:{worker.name}")
        elif signal == "RESUME":
            worker.quiet = False
            self.happened.append(f"resume jobs:{worker.name}")
        self._lose("signal")

    def _lose(self, call: str) -> None:
        if self.lose_answer_of == call:
            self.lose_answer_of = ""
            raise SupervisordError("no answer")

    def _watch(self, act: str, worker: Worker) -> None:
        """Judge S1 and S2 by the true state at the moment of the action."""
        self.happened.append(f"{act} jobs:{worker.name}")
        if not self.in_service(worker):
            return
        others = [one for one in self.workers.values() if one is not worker]
        if sum(self.in_service(one) for one in others) < self.min_available:
            self.broken_promises.append(f"S2: {act} {worker.name} without peers")
        out = [one for one in others if not self.in_service(one) and not one.stopped_by_operator]
        if len(out) >= self.max_draining:
            self.broken_promises.append(f"S1: {act} {worker.name} while another is out")

    min_available = 1
    max_draining = 1


class WorldTable(ProcessTable):
    """The processes of a World."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def _worker(self, pid: int) -> Worker:
        for worker in self._world.workers.values():
            if worker.pid == pid:
                return worker
        raise Gone(f"no process {pid}")

    def identify(self, pid: int) -> ProcessId:
        return ProcessId(self._worker(pid).pid, 1.0)

    def tree(self, pid: int) -> tuple[ProcessId, ...]:
        worker = self._worker(pid)
        return (self.identify(pid), *(ProcessId(orphan, 1.0) for orphan in worker.orphans))

    def family(self, known: Iterable[ProcessId]) -> tuple[ProcessId, ...]:
        return tuple(known)

    def memory(self, pid: int, measure: str = "rss", with_children: bool = False) -> int:
        worker = self._worker(pid)
        self._world.times_measured[worker.name] += 1
        return worker.memory

    def measured(self, pid: int, measure: Measure = "rss", with_children: bool = False) -> MemorySize:
        size = super().measured(pid, measure, with_children)
        if not self._world.measure_lost:
            return size
        return MemorySize(size.most_bytes, size.least_bytes // 2, self._world.measure_lost)

    def is_alive(self, process: ProcessId) -> bool:
        if process.pid in self._world.alive_orphans:
            return True
        return any(worker.pid == process.pid for worker in self._world.workers.values())

    def is_suspended(self, pid: int) -> bool:
        suspended = self._worker(pid).suspended
        if suspended is None:
            raise Unknown("access is denied")
        return suspended

    def is_left_behind(self, pid: int, supervised: Collection[int]) -> bool:
        return False

    def left_behind(self, supervised: Collection[int]) -> list[int]:
        return []

    def age_seconds(self, pid: int) -> float:
        worker = self._worker(pid)
        return self._world.now - (worker.start - EPOCH if worker.began_at is None else worker.began_at)

    def directory(self, pid: int) -> str:
        return "/"

    def title(self, pid: int) -> str:
        return ""
