"""What people do by supervisorctl, by signals and by requests, drawn from the seed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.requests import Act, OperatorRequest, encode
from tests.simulation.drain_places import PLACES
from tests.simulation.supervisord import Worker
from tests.simulation.worker_faults import WorkerFaults

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.weather import Weather
    from tests.simulation.world import World


class Operators:
    """The operators of one world."""

    def __init__(self, weather: Weather, world: World, rng: random.Random, workers: WorkerFaults) -> None:
        self._weather = weather
        self._world = world
        self._rng = rng
        self._any_worker = workers.any_worker

    def _drained_or_any(self, machine: Machine) -> Worker:
        drained = list(machine.disk.drains)
        if drained and self._rng.random() < 0.7:
            return machine.supervisord.workers[drained[0]]
        return self._any_worker(machine)

    def stops(self, machine: Machine) -> None:
        self._world.operator(machine, self._drained_or_any(machine), "stop")

    def starts(self, machine: Machine) -> None:
        self._world.operator(machine, self._any_worker(machine), "start")

    def restarts(self, machine: Machine) -> None:
        worker = self._drained_or_any(machine)
        self._world.operator(machine, worker, "stop")

        def start_when_stopped() -> None:
            if worker.state is ProcessState.STOPPING:
                self._world.engine.after(0.5, start_when_stopped)
            else:
                self._world.operator(machine, worker, "start")

        start_when_stopped()

    def removes(self, machine: Machine) -> None:
        """Remove a worker with its process: supervisord refuses to remove a running one."""
        worker = self._any_worker(machine)
        pool = [one for one in self._world.workers_of(worker.pool) if not one.removed]
        if len(pool) > 2:
            self._world.operator(machine, worker, "remove")

    def quiets(self, machine: Machine) -> None:
        worker = self._any_worker(machine)
        signal = {"sidekiq": "TSTP", "celery": "USR1"}.get(worker.habits.kind)
        booted = worker.process is not None and worker.process.is_booted(self._world.engine.now)
        if signal and booted and worker.state is ProcessState.RUNNING:
            self._world.operator(machine, worker, signal)

    def resumes(self, machine: Machine) -> None:
        """The operator resumes a quiet worker, whoever quieted it."""
        for worker in machine.supervisord.workers.values():
            is_quiet = worker.process is not None and worker.process.quiet_at is not None
            if is_quiet and worker.habits.kind == "celery" and worker.state is ProcessState.RUNNING:
                self._world.operator(machine, worker, "USR2")
                return

    def aims(self, machine: Machine) -> None:
        """The operator acts exactly when a drain reaches one of its places."""
        place = self._rng.choice(PLACES)
        act = self._rng.choice((self.stops, self.stops, self.restarts, self.resumes))
        self._weather.when_at(machine, place, lambda: None if self._weather.is_clear else act(machine))

    def requests(self, machine: Machine) -> None:
        """A person requests something; the request may come again, late, and it may get lost."""
        if machine.supervisord.is_down or self._rng.random() < 0.1:
            return
        _, request = self._draw_request(machine)
        machine.mail.append(encode(request))
        if self._rng.random() < 0.3:
            again, boot = self._rng.uniform(0.1, 60.0), machine.boot

            def repeat() -> None:
                if machine.boot == boot:  # No event outlives its supervisord.
                    machine.mail.append(encode(request))

            self._world.engine.after(again, repeat)

    def _draw_request(self, machine: Machine) -> tuple[str, OperatorRequest]:
        """A request, and a pool that it is for."""
        act = self._rng.choice((Act.RESTART, Act.RESTART, Act.RESTART, Act.CANCEL, Act.PAUSE, Act.UNPAUSE))
        worker, pool = self._any_worker(machine).name, self._rng.choice(self._world.shape.pools).config.name
        names = (pool,) if act in (Act.PAUSE, Act.UNPAUSE) else (self._rng.choice((pool, worker, "*")),)
        lasts = self._rng.choice((5.0, 30.0, 300.0))
        identity = f"{self._rng.getrandbits(64):016x}"
        return pool, OperatorRequest(identity, act, names, lasts, except_hard=self._rng.random() < 0.5)

    def requests_of_all(self, machine: Machine) -> None:
        """A person requests something of all hosts; the request may come again, also much later."""
        world = self._world
        pool, request = self._draw_request(machine)
        if not world.shape.shares:
            return
        world.requests.make(pool, request)
        if self._rng.random() < 0.3:
            again = self._rng.uniform(0.1, 60.0)
            world.engine.after(
                again, lambda: None if self._weather.is_clear else world.requests.make(pool, request)
            )
