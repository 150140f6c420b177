"""A small world for the listener: a supervisord, its workers and a clock, all of them values.

It follows what the real ones do where a drain depends on it: a stopped process stays stopped, a
second stop is refused, a start while STOPPING answers True and starts nothing.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest

from supervisor_memkill.config.options import Config, PoolConfig
from supervisor_memkill.coordination.contract import (
    Answer,
    CoordinationUnknown,
    Holding,
    Published,
    Report,
    Rules,
)
from supervisor_memkill.coordination.in_process import InProcessCoordinator
from supervisor_memkill.errors import Unknown
from supervisor_memkill.listener.journal import Contents, Journal
from supervisor_memkill.listener.listener import Listener
from supervisor_memkill.listener.survey import Pool, Surveyor
from supervisor_memkill.notices.log import EventLog
from supervisor_memkill.processes import ProcessId, ProcessInfo, ProcessState, ProgramInfo
from supervisor_memkill.rules.drain import Drain, State
from supervisor_memkill.units import Size
from supervisor_memkill.workers.contract import Advice, Note, Option, Reading, Target, Tools, Traits, unknown
from supervisor_memkill.world.memory import ProcessTable
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


class Killed(BaseException):
    """The listener is dead: raised where a SIGKILL would strike."""


@dataclasses.dataclass
class Worker:
    """One supervised process as it really is."""

    name: str
    state: ProcessState = P.RUNNING
    pid: int = 0
    start: int = EPOCH - 3600
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
    orphans: tuple[int, ...] = ()
    """Children of the present process, which may outlive it."""


class World:
    """The clock, one supervisord, and everything that happened."""

    def __init__(self, names: Sequence[str] = ("one", "two", "three")) -> None:
        self.now = 1000.0
        self.next_pid = 100
        self.workers: dict[str, Worker] = {}
        for name in names:
            self.workers[f"jobs:{name}"] = Worker(name, pid=self._fresh_pid())
        self.happened: list[str] = []
        self.broken_promises: list[str] = []
        self.away: SupervisordError | None = None
        self.records_away = False
        self.lose_answer_of: str = ""
        self.alive_orphans: set[int] = set()
        self.advice: tuple[Advice, ...] = ()
        self.tells_programs = True
        self.times_programs_were_told = 0
        self.times_measured = Counter[str]()

    def clock(self) -> float:
        return self.now

    @property
    def epoch(self) -> int:
        return EPOCH + int(self.now)

    def _fresh_pid(self) -> int:
        self.next_pid += 1
        return self.next_pid

    def advance(self, seconds: float) -> None:
        """Let time go by; what was due happens."""
        self.now += seconds
        for worker in self.workers.values():
            if self.now < worker.changes_at:
                continue
            if worker.state is P.STARTING:
                worker.state = P.RUNNING
            elif worker.state is P.STOPPING:
                self.end(worker, P.STOPPED, at=worker.changes_at)

    def end(self, worker: Worker, state: ProcessState, at: float | None = None) -> None:
        worker.state, worker.pid = state, 0
        worker.stop = EPOCH + int(self.now if at is None else at)

    def spawn(self, worker: Worker) -> None:
        worker.state, worker.pid, worker.start = P.STARTING, self._fresh_pid(), self.epoch
        worker.memory, worker.quiet, worker.changes_at = FRESH, False, self.now + 1
        worker.stopped_by_operator, worker.orphans = False, ()

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
        worker.state, worker.changes_at = P.STOPPING, self.now + worker.stop_seconds

    def _reach(self) -> None:
        if self.away is not None:
            raise self.away.with_traceback(None)  # Raised again and again, it would grow.

    def _info(self, worker: Worker) -> ProcessInfo:
        return ProcessInfo(
            "jobs", worker.name, worker.state, worker.pid, worker.start, worker.stop, self.epoch
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
            ProgramInfo("jobs", worker.name, "cmd", 15, 10, 1, False, 999) for worker in self.workers.values()
        ]

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
        elif signal == "RESUME":
            worker.quiet = False
            self.happened.append(f"resume jobs:{worker.name}")
        self._lose("signal")

    def _lose(self, call: str) -> None:
        if self.lose_answer_of == call:
            self.lose_answer_of = ""
            raise SupervisordError("no answer")

    def _watch(self, act: str, worker: Worker) -> None:
        """S1 and S2, judged from what really is at the moment of the act."""
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
        self._world = world

    def _worker(self, pid: int) -> Worker:
        for worker in self._world.workers.values():
            if worker.pid == pid:
                return worker
        raise Unknown(f"no process {pid}")

    def tree(self, pid: int) -> tuple[ProcessId, ...]:
        worker = self._worker(pid)
        return (ProcessId(pid, 1.0), *(ProcessId(orphan, 1.0) for orphan in worker.orphans))

    def family(self, known: Iterable[ProcessId]) -> tuple[ProcessId, ...]:
        return tuple(known)

    def memory(self, pid: int, measure: str = "rss", with_children: bool = False) -> int:
        worker = self._worker(pid)
        self._world.times_measured[worker.name] += 1
        return worker.memory

    def is_alive(self, process: ProcessId) -> bool:
        if process.pid in self._world.alive_orphans:
            return True
        return any(worker.pid == process.pid for worker in self._world.workers.values())

    def is_suspended(self, pid: int) -> bool:
        return False

    def title(self, pid: int) -> str:
        return ""


class QuietKind:
    """A kind whose readings are true: quiet, and idle once the jobs are done."""

    options: ClassVar[Mapping[str, Option]] = {}
    needs_redis: ClassVar[bool] = False
    traits = Traits(quiets=True, confirms_quiet=True, repeat_quiet_after_seconds=5.0)

    def __init__(self, values: Mapping[str, Any], tools: Tools, world: World | None = None) -> None:
        assert world is not None
        self._world = world

    @classmethod
    def traits_for(cls, values: Mapping[str, Any]) -> Traits:
        return cls.traits

    @classmethod
    def problems(cls, values: Mapping[str, Any]) -> Sequence[str]:
        return ()

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        return {target.process.worker: self._read(target) for target in targets}

    def _read(self, target: Target) -> Reading:
        if self._world.records_away:
            return unknown("Redis is away", target.note)
        worker = self._world.workers[target.process.worker]
        return Reading(
            recognised=True,
            in_service=not worker.quiet,
            quiet=worker.quiet,
            busy=worker.jobs,
            idle=worker.quiet and worker.jobs == 0,
            jobs=("Job",) * worker.jobs,
        )

    def quiet(self, target: Target, table: ProcessTable) -> Note:
        self._world.signal(target.process.worker, "QUIET")
        return {"sent": True}

    def resume(self, target: Target, table: ProcessTable) -> None:
        self._world.signal(target.process.worker, "RESUME")

    def before_stop(self, target: Target, table: ProcessTable) -> None:
        pass

    def memory_in_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        return False

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float) -> Sequence[Advice]:
        return self._world.advice


class StopKind(QuietKind):
    """A kind whose only way of draining is its stop."""

    traits = Traits(quiets=False)


class Lines:
    """The log's stream, as lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, text: str) -> int:
        self.lines.append(text.rstrip("\n").split(" ", 3)[-1])
        return len(text)

    def flush(self) -> None:
        pass

    def having(self, event: str) -> list[str]:
        return [line for line in self.lines if line.split(" ")[0] == event]


def pool_config(**values: Any) -> PoolConfig:
    """A pool named jobs over all workers of the world, with short times."""
    defaults: dict[str, Any] = {
        "name": "jobs",
        "programs": ("jobs",),
        "worker": "fake",
        "max_rss": Size(exact_bytes=LIMIT),
        "min_uptime_seconds": 0.0,
        "settle_seconds": 2.0,
    }
    return PoolConfig(**{**defaults, **values})


class Told(NamedTuple):
    """What a coordinator was told in one request."""

    at: float
    pool: str
    reports: Sequence[Report]
    holdings: Sequence[Holding]


class SharedCoordinator(InProcessCoordinator):
    """Shared as far as the listener can tell; keeps what it was told, and is away while told so."""

    is_shared = True

    def __init__(self, world: World) -> None:
        super().__init__(world.clock)
        self._world = world
        self.is_away = False
        self.told: list[Told] = []
        self.events: list[tuple[str, Mapping[str, str]]] = []

    def publish(
        self, pool: str, rules: Rules, reports: Sequence[Report], holdings: Sequence[Holding]
    ) -> Published:
        self.told.append(Told(self._world.now, pool, reports, holdings))
        self._reach()
        return super().publish(pool, rules, reports, holdings)

    def acquire(self, *arguments: Any) -> Answer:
        self._reach()
        return super().acquire(*arguments)

    def record(self, pool: str, event: str, fields: Mapping[str, str]) -> None:
        self._reach()
        self.events.append((event, fields))

    def _reach(self) -> None:
        if self.is_away:
            raise CoordinationUnknown("away")


class Life:
    """One listener's life in a world; dies at a place when told to."""

    def __init__(
        self,
        world: World,
        path: Path,
        *,
        die_at: str = "",
        kind: type[QuietKind] = QuietKind,
        config: PoolConfig | None = None,
        also: Sequence[tuple[PoolConfig, type[QuietKind]]] = (),
        coordinate: Callable[[Contents], Any] | None = None,
        **settings: Any,
    ) -> None:
        self.world = world
        """`kind` and `config` are of its first pool, `also` of the others."""
        self.stream = Lines()
        self.die_at = die_at
        self.journal = Journal(path, "boot")
        log = EventLog(self.stream, "info", world.clock)  # type: ignore[arg-type]
        tools = Tools(redis=lambda: None, signal=world.signal, clock=world.clock, host="here")
        pools = [(config or pool_config(), kind), *also]
        self.pools = [Pool(of_pool, one({}, tools, world)) for of_pool, one in pools]
        supervisord: Any = world
        surveyor = Surveyor(
            supervisord,
            self.pools,
            world.clock,
            own_group="memkill",
            tables=lambda: WorldTable(world),
            machine_bytes=lambda: 10 * LIMIT,
        )
        self.listener = Listener(
            Config(**{"host": "here", **settings}, pools=tuple(pool.config for pool in self.pools)),
            self.pools,
            supervisord,
            surveyor,
            self.journal,
            coordinate or (lambda contents: InProcessCoordinator(world.clock, contents.drain_ended_at)),
            log,
            world.clock,
            tables=lambda: WorldTable(world),
            at=self._at,
        )

    def _at(self, place: str) -> None:
        if place == self.die_at:
            raise Killed(place)

    def tick(self) -> None:
        self.listener.turn(ticked=True)

    def run(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> None:
        """Turn as the main loop would, a second apart, with a TICK every 5 s."""
        for second in range(int(seconds)):
            if until():
                return
            wait = self.listener.wait_seconds()
            ticked = second % 5 == 0
            if ticked or (wait is not None and wait <= 1.0):
                self.listener.turn(ticked=ticked)
            self.world.advance(1.0)

    def run_to(self, state: State) -> str:
        """Run until the one drain is in this state; the worker's name."""
        self.run(60, until=lambda: any(record.state is state for record in self.drains().values()))
        name, found = self.only_drain()
        assert found is state
        return name

    def run_to_death(self) -> str:
        """Run until it is killed; the worker of the one drain that it left."""
        with pytest.raises(Killed):
            self.run(120)
        self.die()
        return self.only_drain()[0]

    def drains(self) -> dict[str, Drain]:
        """What the journal on disk says."""
        return dict(self.journal.load().contents.drains)

    def only_drain(self) -> tuple[str, State]:
        """Its worker and its state; fails when there is none, or another one beside it."""
        ((name, record),) = self.drains().items()
        return name, record.state

    def die(self) -> None:
        """What a SIGKILL leaves: the journal's lock is gone, and all that was not on disk."""
        self.journal.unlock()
