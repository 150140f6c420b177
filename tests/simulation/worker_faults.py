"""Sudden faults of workers: they die, hang, grow, hear late, or refuse to start."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from supervisor_memkill.rules.drain import State
from tests.simulation.shape import BLOATED, HUGE
from tests.simulation.supervisord import Worker

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.weather import Weather
    from tests.simulation.world import World


class WorkerFaults:
    """What may happen to the workers of one world."""

    def __init__(self, weather: Weather, world: World, rng: random.Random) -> None:
        self._weather = weather
        self._world = world
        self._rng = rng

    def any_worker(self, machine: Machine) -> Worker:
        return self._rng.choice(list(machine.supervisord.workers.values()))

    def worker_dies(self, machine: Machine) -> None:
        machine.supervisord.die(self.any_worker(machine), self._rng.choice((0, 1)))

    def worker_hangs(self, machine: Machine) -> None:
        worker = self.any_worker(machine)
        if worker.process is not None and worker.process.hung_at is None:
            self._world.standings.hides(worker)
            worker.process.look(self._world.engine.now)
            worker.process.hung_at = self._world.engine.now

    def worker_refuses(self, machine: Machine) -> None:
        worker = self.any_worker(machine)

        def mend() -> None:
            worker.fails = ""

        worker.fails = self._rng.choice(("dies", "no file"))
        self._world.engine.after(self._rng.uniform(1.0, 40.0), mend)

    def worker_grows(self, machine: Machine) -> None:
        process = self.any_worker(machine).process
        if process is not None:
            process.memory = self._rng.choice((BLOATED, HUGE))

    def new_process_grows(self, machine: Machine) -> None:
        """The next process that a drain starts is soon above its hard limit."""

        def grow() -> None:
            for drain in machine.disk.drains.values() if not self._weather.is_clear else ():
                process = machine.supervisord.workers[drain.worker].process
                if drain.state is State.SETTLING and process is not None:
                    process.memory = HUGE

        def begin() -> None:
            self._world.engine.after(1.0, grow)

        self._weather.when_at(machine, "settling.saved", begin)

    def worker_hears_late(self, machine: Machine) -> None:
        """Its next quiet takes effect long after it was sent; its peers may be gone meanwhile."""
        for process in machine.living():
            if process.habits.kind in ("sidekiq", "celery"):
                process.hears_from = self._world.engine.now + self._rng.choice((10.0, 40.0, 90.0))

    def burst(self, machine: Machine) -> None:
        """All machines at once."""
        for one in self._world.machines:
            for process in one.living():
                process.memory = max(process.memory, BLOATED + self._rng.randrange(50))
