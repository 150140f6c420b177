"""The world: machines, their workers, one Redis, operators, and the judge of all promises."""

from __future__ import annotations

import dataclasses
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.world.supervisord import SupervisordError
from tests.simulation.engine import Engine
from tests.simulation.lives import Lives
from tests.simulation.machine import Machine
from tests.simulation.process import Habits, Process
from tests.simulation.promises.promises import Promises
from tests.simulation.requests import FleetRequests
from tests.simulation.servers import SharedRedis
from tests.simulation.shape import BLOATED, FRESH, PoolShape, Shape
from tests.simulation.standings import Standings
from tests.simulation.supervisord import Worker
from tests.simulation.trace import Trace
from tests.simulation.weather import Weather

RESUME = "USR2"
"""The signal by which the operator resumes a quiet worker."""


class World:
    """One run, from its start to its end."""

    def __init__(self, shape: Shape, seed: int = 0, *, calm: bool = False) -> None:
        """`calm`: without faults other than those of the test."""
        self.shape = shape
        self.seed = seed
        self.rng = random.Random(seed)
        self.engine = Engine()
        self.trace = Trace(lambda: self.engine.now)
        self.standings = Standings(self)
        self.promises = Promises(self)
        self.redis = SharedRedis(self, shape.slot_ttl)
        self.requests = FleetRequests(self, shape.heartbeat, shape.slot_ttl)
        self.weather = Weather(
            self, random.Random(seed + 0.5), random.Random(f"{seed} requests of all"), calm=calm
        )
        self.fresh_memory = FRESH
        self._temporary = tempfile.TemporaryDirectory(prefix="memkill-") if shape.on_disk else None
        self.machines = [Machine(self, name, shape) for name in shape.machines]
        for machine in self.machines:
            self._populate(machine)

    def _populate(self, machine: Machine) -> None:
        for pool in self.shape.pools:
            for number in range(pool.workers):
                name = f"{pool.config.name}:{number}"
                machine.supervisord.workers[name] = Worker(
                    machine.name,
                    name,
                    pool.config.name,
                    self._habits(pool),
                    stop_wait=pool.stop_wait,
                    start_secs=pool.start_secs,
                    restarts=pool.restarts,
                )

    def _habits(self, pool: PoolShape) -> Habits:
        """Some workers of a pool may serve only some of its queues."""
        if not pool.are_uneven or self.rng.random() < 0.5:
            return pool.habits
        return dataclasses.replace(pool.habits, queues=frozenset(sorted(pool.habits.queues)[:1]))

    @property
    def directory(self) -> Path:
        assert self._temporary is not None, "the shape says on_disk"
        return Path(self._temporary.name)

    def begin(self) -> None:
        """Start every worker, and every listener a little later."""
        for machine in self.machines:
            machine.supervisord.come_up()
            for process in machine.living():
                if self.rng.random() < self.shape.bloated:
                    process.memory = BLOATED + self.rng.randrange(90)
        for machine in self.machines:
            self.engine.start(machine.actor, Lives(machine).live)

    def end(self) -> None:
        self.engine.end()
        if self._temporary is not None:
            self._temporary.cleanup()

    # --- who is where -----------------------------------------------------------------------------

    def machine(self, name: str) -> Machine:
        return next(one for one in self.machines if one.name == name)

    def workers(self) -> Iterator[Worker]:
        for machine in self.machines:
            yield from machine.supervisord.workers.values()

    def workers_of(self, pool: str, host: str = "") -> list[Worker]:
        """The workers of one host, or of all."""
        return [one for one in self.workers() if one.pool == pool and host in ("", one.host)]

    def peers(self, worker: Worker) -> list[Worker]:
        """The other workers of its pool: of all machines, or of its own if machines do not share."""
        return [
            one
            for one in self.workers_of(worker.pool)
            if one is not worker and (self.shape.shares or one.host == worker.host)
        ]

    # --- what the supervisords tell ---------------------------------------------------------------

    def say(self, host: str, text: str) -> None:
        self.trace.say(host, text)

    def changes(self, worker: Worker) -> None:
        self.standings.changes(worker)

    def has_changed(self, worker: Worker) -> None:
        self.machine(worker.host).events.happen(worker.name, worker.state)

    def spawns(self, worker: Worker) -> Process:
        return self.machine(worker.host).spawn(worker)

    def ended(self, worker: Worker, process: Process, *, killed: bool) -> None:
        self.machine(worker.host).bury(process)

    # --- operators --------------------------------------------------------------------------------

    def operator(self, machine: Machine, worker: Worker, act: str) -> None:
        """The operator does something to a worker, with supervisorctl or kill."""
        supervisord = machine.supervisord
        if supervisord.is_down:
            return
        try:
            if act == "stop":
                supervisord.stop(worker.name, "operator")
            elif act == "start":
                supervisord.start(worker.name)
            elif act == "remove":
                self._remove(machine, worker)
            else:
                if act != RESUME:
                    self.standings.hides(worker)
                supervisord.signal(worker.name, act)
        except SupervisordError as error:
            self.trace.say(machine.name, f"operator: {act} {worker.name}: {type(error).__name__}")
            return
        drain = machine.disk.drains.get(worker.name)
        self.trace.count(f"operator: {act} in {drain.state.value if drain else 'no drain'}")
        self.trace.say(machine.name, f"operator: {act} {worker.name}")
        if act in ("stop", "remove"):
            self.standings.operator_took(worker)

    def _remove(self, machine: Machine, worker: Worker) -> None:
        if worker.process is not None:
            self.changes(worker)
            worker.process.ended_at = self.engine.now
            machine.bury(worker.process)
            worker.process, worker.state = None, ProcessState.STOPPED
            worker.life += 1
        worker.removed = True
