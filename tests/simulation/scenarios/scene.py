"""The world of the simulation, without faults other than those of the test."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

from supervisor_memkill.rules.drain import State
from tests.simulation.machine import Machine
from tests.simulation.process import NEVER, Habits, Process
from tests.simulation.shape import BLOATED, FRESH, PoolShape, Shape, pool_config
from tests.simulation.supervisord import Worker
from tests.simulation.world import World

TTL, HEARTBEAT = 20.0, 4.0
SIDEKIQ = Habits(kind="sidekiq", job=(0.5, 2.0))
CELERY = Habits(kind="celery", job=(0.5, 2.0))
STOPS = Habits(kind="stops", job=(0.5, 2.0))
CUSTOM = Habits(kind="custom", job=(0.5, 2.0), gap=(0.05, 0.1), lanes=2)


class Scene:
    """A world without faults other than those of the test."""

    def __init__(self, machines: int, pool: PoolShape, min_free: int | None, fresh: int) -> None:
        names = ("east", "north", "south")[:machines]
        shape = Shape(names, (pool,), heartbeat=HEARTBEAT, slot_ttl=TTL, latency=0.002, bloated=0.0)
        self.world = World(dataclasses.replace(shape, min_free=min_free), calm=True)
        self.world.fresh_memory = fresh
        self.east, *self.others = self.world.machines

    def worker(self, machine: Machine, number: int = 0) -> Worker:
        return machine.supervisord.workers[f"pool0:{number}"]

    def process(self, machine: Machine, number: int = 0) -> Process:
        process = self.worker(machine, number).process
        assert process is not None
        return process

    def bloat(self, machine: Machine, number: int = 0, *, by: int = 0, endless: bool = False) -> None:
        """Put it over its limit; `endless`: with a running job that does not end by itself."""
        process, now = self.process(machine, number), self.world.engine.now
        process.memory = BLOATED + by
        if endless:
            process.look(now)
            process.jobs.append((now, NEVER))

    def finish_jobs(self) -> None:
        for machine in self.world.machines:
            for process in machine.living():
                process.end_jobs(self.world.engine.now, 0.2)

    def passes(self, seconds: float) -> None:
        self.world.engine.run_until(self.world.engine.now + seconds)

    def settles(self) -> None:
        """Pass the time in which a new pool grants nothing."""
        self.passes(TTL + 2 * HEARTBEAT)

    def until(self, condition: Callable[[], object], within: float = 120.0) -> None:
        limit = self.world.engine.now + within
        while not condition():
            assert self.world.engine.now < limit, "\n".join(self.world.trace.lines())
            self.passes(0.02)

    def state(self, machine: Machine, number: int = 0) -> State | None:
        drain = machine.disk.drains.get(f"pool0:{number}")
        return drain.state if drain else None

    def is_back(self, machine: Machine, number: int = 0) -> bool:
        """Whether a fresh process is in service and its drain is over."""
        worker = self.worker(machine, number)
        is_fresh = worker.process is not None and worker.process.memory < BLOATED
        return is_fresh and self.world.standings.takes_jobs(worker) and self.state(machine, number) is None

    def times(self, text: str) -> list[float]:
        """When this was traced."""
        return [float(line.split()[0]) for line in self.world.trace.having(text)]

    def acts(self, machine: Machine, act: str, number: int = 0) -> list[float]:
        """When this act arrived."""
        found = self.world.trace.having(f"{act} of pool0:{number} arrives")
        return [float(line.split()[0]) for line in found if f" {machine.name} " in line]


@contextlib.contextmanager
def scene(
    habits: Habits = SIDEKIQ,
    machines: int = 2,
    workers: int = 2,
    *,
    restarts: str = "unexpected",
    stop_wait: int = 10,
    min_free: int | None = None,
    fresh: int = FRESH,
    **settings: object,
) -> Iterator[Scene]:
    """`min_free`: bytes; None: the machine's memory is no reason. `fresh`: what new processes use."""
    settings = {"worker": habits.kind, "drain_timeout_seconds": 3600.0, **settings}
    pool = PoolShape(pool_config(**settings), habits, workers, stop_wait=stop_wait, restarts=restarts)
    made = Scene(machines, pool, min_free, fresh)
    try:
        made.world.begin()
        yield made
    finally:
        made.world.end()
