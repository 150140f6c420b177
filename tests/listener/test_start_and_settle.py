"""The start after the stop, and the fresh process until it is back in service."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State
from supervisor_memkill.units import Size
from tests.listener.situations import (
    P,
    run_until_replaced,
)
from tests.listener_world import (
    FRESH,
    Life,
    World,
    pool_config,
)


def test_worker_keeps_its_slot_until_it_can_be_started(world: World, path: Path) -> None:
    world.finish_jobs()
    life = Life(world, path)
    name = life.run_to(State.STOPPING)
    world.workers[name].broken = True
    life.run(120)
    assert life.only_drain() == (name, State.STARTING)
    assert world.happened.count(f"start {name}") < 10, "with a growing pause"
    assert len(life.stream.having("drain.start_failed")) == 1, "said once"
    assert world.out_of_service() == [name]
    world.workers[name].broken = False
    run_until_replaced(life, world)


@pytest.mark.parametrize("state", [State.QUIETING, State.DRAINING, State.STOPPING, State.SETTLING])
def test_worker_that_dies_during_its_drain_is_brought_back(world: World, path: Path, state: State) -> None:
    life = Life(world, path)
    if state in (State.STOPPING, State.SETTLING):
        world.finish_jobs()
    name = life.run_to(state)
    if state is not State.STOPPING:
        world.end(world.workers[name], P.EXITED)
    world.finish_jobs()
    run_until_replaced(life, world)


def test_fresh_process_that_ends_repeatedly_is_logged(world: World, path: Path) -> None:
    world.finish_jobs()
    life = Life(world, path)
    for _ in range(3):
        name = life.run_to(State.SETTLING)
        world.end(world.workers[name], ProcessState.FATAL)
        life.run_to(State.STARTING)
    (line,) = life.stream.having("drain.start_failed")
    assert name in line and "ended by itself" in line


def test_new_process_that_supervisord_starts_again_and_again_is_logged_once(world: World, path: Path) -> None:
    """A broken release that runs for a second: supervisord never gives up, and never shows it EXITED."""
    world.finish_jobs()
    life = Life(world, path)
    name = life.run_to(State.SETTLING)
    for _ in range(70):
        life.run(1)
        world.operator_restarts(name)
    (line,) = life.stream.having("drain.not_in_service_yet")
    assert name in line and "its new process is not in service" in line
    run_until_replaced(life, world)


def test_limit_below_the_baseline_is_logged_once_and_pauses_the_worker(world: World, path: Path) -> None:
    world.finish_jobs()
    config = pool_config(max_rss=Size(exact_bytes=FRESH - 1))
    life = Life(world, path, config=config)
    life.run(300)
    assert len(life.stream.having("limit.below_baseline")) == 3, "once for each worker"
    assert len([act for act in world.happened if act.startswith("start")]) == 3
    assert not world.broken_promises
