"""A supervisord made of values, and the workers below it.

It follows supervisor 4.3 (process.py, rpcinterface.py) where a drain depends on it: what is stopped stays
STOPPED, a start while STOPPING answers True and starts nothing, a process that ends too soon goes through
BACKOFF to FATAL, times are whole seconds of the wall clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from supervisor_memkill.processes import ENDED_BY_SIGNAL, ProcessInfo, ProcessState, ProgramInfo
from supervisor_memkill.world.supervisord import (
    AlreadyStarted,
    CannotStart,
    NoSuchProcess,
    NotRunning,
    ShuttingDown,
)
from tests.simulation.engine import Engine
from tests.simulation.process import NEVER, Habits, Process

P = ProcessState
START_RETRIES = 3


@dataclass
class Worker:
    """One program of one supervisord, and its present process."""

    host: str
    name: str
    """``group:name``."""
    pool: str
    habits: Habits
    stop_wait: int = 10
    start_secs: int = 1
    restarts: str = "unexpected"
    """autorestart: ``unexpected``, ``true`` or ``false``."""
    state: ProcessState = P.STOPPED
    process: Process | None = None
    last: Process | None = None
    """The process before."""
    start: int = 0
    stop: int = 0
    spawned_at: float = 0.0
    exitstatus: int = 0
    spawnerr: str = ""
    backoff: int = 0
    life: int = 0
    """Counts its states, so that due work of an earlier state is recognised."""
    fails: str = ""
    """How a start fails: ``no file``, ``dies``, or empty."""
    stopped_by: str = ""
    """Who stopped it, while it is stopped: ``operator`` or ``us``."""
    stopped_at: float = 0.0
    removed: bool = False

    @property
    def id(self) -> str:
        return f"{self.host}/{self.name}"


class Watcher(Protocol):
    """Learns what happens to workers, before it happens."""

    def say(self, host: str, text: str) -> None: ...

    def changes(self, worker: Worker) -> None:
        """Its state is about to change, whatever the cause."""
        ...

    def has_changed(self, worker: Worker) -> None:
        """Its state has changed, and supervisord has an event about that."""
        ...

    def spawns(self, worker: Worker) -> Process:
        """A fresh process for it."""
        ...

    def ended(self, worker: Worker, process: Process, *, killed: bool) -> None: ...


LINES_OF_THE_LOG = 500


class SimSupervisord:
    """The supervisord of one machine: what its calls do once they arrive."""

    def __init__(self, engine: Engine, wall: Callable[[], float], watcher: Watcher) -> None:
        self._engine = engine
        self._wall = wall
        self._watcher = watcher
        self.workers: dict[str, Worker] = {}
        self.is_shutting_down = False
        self.is_down = False
        self.log: deque[str] = deque(maxlen=LINES_OF_THE_LOG)

    # --- its calls ------------------------------------------------------------------------------

    def _worker(self, name: str) -> Worker:
        if self.is_shutting_down:
            raise ShuttingDown("SHUTDOWN_STATE")
        worker = self.workers.get(name)
        if worker is None or worker.removed:
            raise NoSuchProcess(name)
        return worker

    def _present(self) -> list[Worker]:
        if self.is_shutting_down:
            raise ShuttingDown("SHUTDOWN_STATE")
        return [worker for worker in self.workers.values() if not worker.removed]

    def info(self, worker: Worker) -> ProcessInfo:
        group, _, name = worker.name.partition(":")
        pid = worker.process.pid if worker.process is not None else 0
        now = int(self._wall())
        return ProcessInfo(
            group,
            name,
            worker.state,
            pid,
            worker.start,
            worker.stop,
            now,
            worker.spawnerr,
            worker.exitstatus,
        )

    def all_processes(self) -> list[ProcessInfo]:
        return [self.info(worker) for worker in self._present()]

    def get(self, name: str) -> ProcessInfo:
        return self.info(self._worker(name))

    def programs(self) -> list[ProgramInfo]:
        found = []
        for worker in self._present():
            group, _, name = worker.name.partition(":")
            command = f"{worker.habits.kind} -t {worker.habits.patience:g}"
            found.append(ProgramInfo(group, name, command, 15, worker.stop_wait, False, 999))
        return found

    def stop(self, name: str, by: str) -> None:
        worker = self._worker(name)
        if worker.state not in (P.RUNNING, P.STARTING, P.BACKOFF):
            raise NotRunning(f"{name} is {worker.state.name}")
        self._watcher.changes(worker)
        worker.stopped_by, worker.stopped_at = by, self._engine.now
        if worker.state is P.BACKOFF:
            self._to(worker, P.STOPPED)
        else:
            self._terminate(worker)

    def start(self, name: str) -> None:
        worker = self._worker(name)
        if worker.fails == "no file":
            raise CannotStart(f"{name}: NO_FILE")
        if worker.state in (P.RUNNING, P.STARTING, P.BACKOFF):
            raise AlreadyStarted(name)
        if worker.process is None:
            self._watcher.changes(worker)
            self.spawn(worker)

    def signal(self, name: str, signal: str) -> None:
        worker = self._worker(name)
        if worker.process is None or worker.state not in (P.RUNNING, P.STARTING, P.STOPPING):
            raise NotRunning(f"{name} is {worker.state.name}")
        self._watcher.changes(worker)
        _receive(worker.process, signal, self._engine.now)

    # --- what follows of itself -------------------------------------------------------------------

    def _to(self, worker: Worker, state: ProcessState) -> int:
        """Set its new state; returns the number of that state."""
        worker.state = state
        worker.life += 1
        pid = worker.process.pid if worker.process is not None else 0
        self._watcher.say(worker.host, f"{worker.name} is {state.name}" + (f" pid {pid}" if pid else ""))
        self._watcher.has_changed(worker)
        return worker.life

    def _then(self, worker: Worker, seconds: float, happen: Callable[[Worker], None]) -> None:
        """Do this later, if the worker is still in the same state."""
        life = worker.life

        def due() -> None:
            if worker.life == life:
                happen(worker)

        self._engine.after(seconds, due)

    def spawn(self, worker: Worker) -> None:
        worker.process = self._watcher.spawns(worker)
        worker.start, worker.spawned_at = int(self._wall()), self._engine.now
        worker.stopped_by, worker.spawnerr = "", ""
        self._to(worker, P.STARTING)
        name = worker.name.partition(":")[2]
        self.log.append(f"INFO spawned: '{name}' with pid {worker.process.pid}\n")
        if worker.fails == "dies":
            self._then(worker, worker.start_secs * 0.4, self.die)
        else:
            self._then(worker, worker.start_secs + worker.process.rng.random(), self._run)

    def _run(self, worker: Worker) -> None:
        worker.backoff = 0
        self._to(worker, P.RUNNING)

    def die(self, worker: Worker, exitstatus: int = 1) -> None:
        """Its process ends by itself."""
        if worker.process is None:
            return
        self._watcher.changes(worker)
        was = worker.state
        self._reap(worker, killed=False)
        worker.exitstatus = exitstatus
        if was is P.STOPPING:
            self._to(worker, P.STOPPED)
        elif was is P.STARTING:
            self._back_off(worker)
        else:
            self._to(worker, P.EXITED)
            if worker.restarts == "true" or (worker.restarts == "unexpected" and exitstatus != 0):
                self._then(worker, 0.2, self._spawn_again)

    def _back_off(self, worker: Worker) -> None:
        worker.backoff += 1
        worker.spawnerr = "Exited too quickly"
        if worker.backoff > START_RETRIES:
            worker.backoff = 0
            self._to(worker, P.FATAL)
        else:
            self._to(worker, P.BACKOFF)
            self._then(worker, worker.backoff, self._spawn_again)

    def _spawn_again(self, worker: Worker) -> None:
        if not self.is_shutting_down and not worker.removed:
            self._watcher.changes(worker)
            self.spawn(worker)

    def _reap(self, worker: Worker, *, killed: bool) -> None:
        process = worker.process
        assert process is not None
        process.look(self._engine.now)
        process.ended_at, process.was_killed = self._engine.now, killed
        self._watcher.ended(worker, process, killed=killed)
        worker.last, worker.process, worker.stop = process, None, int(self._wall())

    def _terminate(self, worker: Worker) -> None:
        """Send the stopsignal, and SIGKILL after stopwaitsecs."""
        process, now = worker.process, self._engine.now
        assert process is not None
        process.look(now)
        process.stop_at = now
        self._to(worker, P.STOPPING)
        ends = min(process.idle_from(now), now + process.habits.patience)
        if (process.frozen_at, process.held_at, process.hung_at) != (None, None, None):
            ends = NEVER  # The signal stays pending.
        if ends < now + worker.stop_wait:
            self._then(worker, ends - now + process.rng.uniform(0.05, 0.5), self._stopped)
        self._then(worker, worker.stop_wait + process.rng.random(), self._kill)

    def _stopped(self, worker: Worker) -> None:
        self._watcher.changes(worker)
        self._reap(worker, killed=False)
        worker.exitstatus = 0
        self._to(worker, P.STOPPED)

    def _kill(self, worker: Worker) -> None:
        self._watcher.changes(worker)
        assert worker.process is not None
        name = worker.name.partition(":")[2]
        self.log.append(f"WARN killing '{name}' ({worker.process.pid}) with SIGKILL\n")
        self._reap(worker, killed=True)
        worker.exitstatus = ENDED_BY_SIGNAL
        self._to(worker, P.STOPPED)

    # --- its own end ------------------------------------------------------------------------------

    def shut_down(self) -> None:
        """Stop every worker, and refuse every call from now on."""
        self.is_shutting_down = True
        for worker in self.workers.values():
            self._watcher.changes(worker)
            if worker.state in (P.RUNNING, P.STARTING):
                self._terminate(worker)

    def go_down(self) -> None:
        """Kill it and all its workers."""
        self.is_down = True
        for worker in self.workers.values():
            self._watcher.changes(worker)
            worker.life += 1
            if worker.process is not None:
                self._reap(worker, killed=True)

    def come_up(self) -> None:
        """Start a new supervisord, which starts every worker of its configuration."""
        self.is_down = self.is_shutting_down = False
        for worker in self.workers.values():
            worker.state, worker.start, worker.stop, worker.backoff = P.STOPPED, 0, 0, 0
            if not worker.removed:
                self.spawn(worker)


def _receive(process: Process, signal: str, now: float) -> None:
    """What a signal does to a worker of this kind."""
    if signal == "CONT":
        process.thaw(now)
    elif signal == "TSTP" and not process.is_booted(now):
        process.frozen_at = now if process.frozen_at is None else process.frozen_at
    elif signal in ("TSTP", "USR1"):
        process.look(now)
        process.quiet_at = now if process.quiet_at is None else process.quiet_at
    elif signal == "USR2":
        process.resume(now)
