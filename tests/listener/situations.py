"""Situations that several tests of the listener create or wait for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from supervisor_memkill.coordination.in_process import InProcessCoordinator
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State
from supervisor_memkill.workers.contract import Traits
from tests.listener_world import FRESH, Life, QuietKind, World


def only_one_is_bloated(world: World) -> None:
    for name, worker in world.workers.items():
        if name != "jobs:one":
            worker.memory = FRESH


def peers_stop(world: World) -> None:
    for name in world.workers:
        if name != "jobs:one":
            world.operator_stops(name)


def shrinks(world: World) -> None:
    world.workers["jobs:one"].memory = FRESH


class Meanwhile(InProcessCoordinator):
    """A coordinator during whose answer something happens."""

    def __init__(self, world: World, happens: Callable[[World], None]) -> None:
        super().__init__(world.clock)
        self._world = world
        self._happens = happens
        self.granted: list[bool] = []

    def acquire(self, *arguments: Any) -> Any:
        self._happens(self._world)
        answer = super().acquire(*arguments)
        self.granted.append(answer.granted)
        return answer


P = ProcessState
STATES = [State.QUIETING, State.DRAINING, State.STOPPING, State.STARTING, State.SETTLING]


def run_to(state: State, life: Life, world: World) -> str:
    """The worker whose drain is in this state; from the stop on, its jobs are finished."""
    if state not in (State.QUIETING, State.DRAINING):
        world.finish_jobs()
    return life.run_to(state)


def is_replaced(world: World) -> bool:
    return all(worker.memory == FRESH for worker in world.workers.values())


def is_whole(world: World) -> bool:
    return not world.out_of_service()


def run_until_replaced(life: Life, world: World) -> None:
    life.run(300, until=lambda: is_replaced(world) and is_whole(world) and not life.drains())
    assert is_replaced(world), life.stream.lines
    assert is_whole(world), life.stream.lines
    assert not life.drains()
    assert not world.broken_promises


class ResumeKind(QuietKind):
    traits = Traits(quiets=True, confirms_quiet=True, repeat_quiet_after_seconds=5.0, can_resume=True)


def others_stop(world: World, name: str) -> None:
    for other in world.workers:
        if other != name:
            world.operator_stops(other)
    world.advance(5)


def work(life: Life, world: World, seconds: int) -> None:
    for _ in range(seconds):
        life.run(1)
        world.finish_jobs()


def any_is_fresh(world: World) -> bool:
    return any(worker.memory == FRESH for worker in world.workers.values())
