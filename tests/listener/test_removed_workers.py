"""A worker that is removed from supervisord's configuration during its drain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.coordination.contract import Published
from supervisor_memkill.rules.drain import State
from tests.listener.situations import STATES, run_to, run_until_replaced
from tests.listener_world import Life, SharedCoordinator, StopKind, World


@pytest.mark.parametrize("state", STATES)
def test_worker_removed_from_the_configuration_is_let_go(world: World, path: Path, state: State) -> None:
    life = Life(world, path)
    del world.workers[run_to(state, life, world)]
    world.finish_jobs()
    run_until_replaced(life, world)
    assert not life.stream.having("kind.failed"), "no kind is asked about a process that is not there"


def test_worker_that_is_removed_during_the_take_over_is_let_go(world: World, path: Path) -> None:
    everything, removed = world.all_processes, set[str]()
    world.all_processes = lambda: [one for one in everything() if one.worker not in removed]  # type: ignore[method-assign]
    name = Life(world, path, kind=StopKind, die_at="stopping.saved").run_to_death()

    class Meanwhile(SharedCoordinator):
        def publish(self, *arguments: Any) -> Published:
            removed.add(name)
            return super().publish(*arguments)

    life = Life(world, path, kind=StopKind, coordinate=lambda contents: Meanwhile(world))
    life.run(10)
    assert life.stream.having("drain.let_go") and not life.stream.having("failed")


@pytest.mark.parametrize("moment", ["after a stop without answer", "while old processes live"])
def test_worker_that_is_removed_while_its_step_waits_is_let_go(world: World, path: Path, moment: str) -> None:
    """Its step waits for an answer or for old processes of a worker that does not exist any more."""
    world.finish_jobs()
    if moment == "after a stop without answer":
        world.lose_answer_of, state = "stop", State.STOPPING
    else:
        world.workers["jobs:one"].orphans, world.alive_orphans, state = (9999,), {9999}, State.SETTLING
    life = Life(world, path)
    del world.workers[life.run_to(state)]
    life.run(2)
    assert life.stream.having("drain.let_go") and not life.stream.having("failed")
