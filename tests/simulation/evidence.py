"""The command `before_stop` in the simulation: what it does to its worker, and what comes between.

It may take long, fail, hang until its guard ends it, pause its worker meanwhile, and leave it suspended. The
listener may die while it runs; workers may be put back to work, restarted or grow.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.world.commands import CommandEnd
from tests.simulation.shape import HUGE

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.process import Process
    from tests.simulation.supervisord import Worker


class Commands:
    """The commands of one machine's listener, over all its lives."""

    def __init__(self, machine: Machine, rng: random.Random) -> None:
        self._machine = machine
        self._rng = rng
        self.running: list[SimCommand] = []
        self.next_ends: list[tuple[str, float]] = []
        """How the next commands end, and after how many seconds; a test sets it."""

    def begin(self, words: Sequence[str], limit_seconds: float) -> SimCommand:
        """As the guard begins a command."""
        _, name, pid = words
        world = self._machine.world
        self._machine.world.promises.takes_evidence(self._machine, name, int(pid))
        how, seconds = self.next_ends.pop(0) if self.next_ends else self._draw(limit_seconds)
        command = SimCommand(self._machine, name, int(pid), how, min(seconds, limit_seconds))
        world.trace.say(self._machine.name, f"evidence of {name} begins: {how}")
        world.trace.count(f"evidence: {how}")
        self.running = [one for one in self.running if one.end() is None] + [command]
        if not world.weather.is_clear and not self.next_ends and self._rng.random() < 0.5:
            self._disturb(self._machine.supervisord.workers[name], min(seconds, limit_seconds))
        return command

    def _draw(self, limit_seconds: float) -> tuple[str, float]:
        how = self._rng.choice(("succeeds", "succeeds", "fails", "hangs", "suspends"))
        return how, limit_seconds if how == "hangs" else self._rng.uniform(0.05, 8.0)

    def _disturb(self, worker: Worker, seconds: float) -> None:
        """Something happens while the command runs."""
        world, machine, process = self._machine.world, self._machine, worker.process
        what = self._rng.choice(("kill", "resume", "stop", "dies", "grows", "full"))

        def grow() -> None:
            if process is not None:
                process.memory = HUGE

        def fill() -> None:
            machine.disk_is_full = True
            world.engine.after(5.0, free)

        def free() -> None:
            machine.disk_is_full = False

        def resume() -> None:
            is_running = worker.state is ProcessState.RUNNING
            if worker.habits.kind == "celery" and is_running:
                world.operator(machine, worker, "USR2")

        happens: dict[str, Callable[[], None]] = {
            "kill": lambda: world.weather.kill(machine),
            "resume": resume,
            "stop": lambda: world.operator(machine, worker, "stop"),
            "dies": lambda: machine.supervisord.die(worker, 1),
            "grows": grow,
            "full": fill,
        }

        def happen() -> None:
            if not world.weather.is_clear and worker.process is process:
                world.trace.count(f"during evidence: {what}")
                happens[what]()

        world.engine.after(self._rng.uniform(0.0, seconds), happen)

    def listener_died(self) -> None:
        """Every guard ends its command."""
        for command in self.running:
            command.ends_with_listener()
        self.running.clear()


class SimCommand:
    """One command. It pauses its process while it runs, as a debugger does."""

    def __init__(self, machine: Machine, name: str, pid: int, how: str, seconds: float) -> None:
        self._machine = machine
        self._how = how
        self._seconds = seconds
        self._began_at = machine.engine.now
        self._process: Process | None = machine.process(pid)
        self._is_over = False
        self.is_stuck = False
        """Its guard does not end it; a test sets it."""
        if self._process is not None:
            self._process.hold(machine.engine.now)
        machine.engine.after(seconds, self._end)

    def _end(self, *, leaves_suspended: bool | None = None) -> None:
        """The command is over, in its own time or by its guard."""
        if self._is_over or (self.is_stuck and leaves_suspended is None):
            return
        self._is_over = True
        leaves = self._how == "suspends" if leaves_suspended is None else leaves_suspended
        if self._process is not None and not leaves:
            self._process.release(self._machine.engine.now)

    def end(self) -> CommandEnd | None:
        if not self._is_over:
            return None
        error = "" if self._how == "succeeds" else self._how
        return CommandEnd(self._machine.engine.now - self._began_at, error)

    def give_up(self) -> None:
        self._end(leaves_suspended=False)

    def ends_with_listener(self) -> None:
        self._end()
