"""A worker that grows past its hard limit between two TICKs is found by what the machine has left."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor_memkill.units import Size
from tests.listener.test_former_looks import NamelessKind
from tests.listener_world import FRESH, LIMIT, FakeMachine, Life, World, pool_config

HARD = 3 * LIMIT
NEVER = 10**9


@pytest.fixture
def world() -> World:
    world = World(["one", "two", "three"])
    for worker in world.workers.values():
        worker.memory = FRESH
    return world


def life_of(world: World, path: Path, machine: FakeMachine | None = None) -> Life:
    """A listener that gets one TICK, and no other for an hour."""
    config = pool_config(hard_max_rss=Size(exact_bytes=HARD))
    # A worker whose jobs have names would be measured at each look in any case.
    life = Life(world, path, kind=NamelessKind, config=config, machine=machine)
    life.run(2, tick_seconds=NEVER)
    return life


def grow(world: World, life: Life, name: str, bytes_per_second: int, seconds: int) -> None:
    for _ in range(seconds):
        if f"stop {name}" in world.happened:
            return
        world.workers[name].memory += bytes_per_second
        wait = life.listener.wait_seconds()
        assert wait is not None
        world.advance(1.0)
        if wait <= 1.0:
            life.listener.turn(ticked=False)


@pytest.mark.parametrize("seconds_to_the_limit", [4, 40, 400])
def test_worker_is_stopped_before_the_next_tick(world: World, path: Path, seconds_to_the_limit: int) -> None:
    life = life_of(world, path)
    step = (HARD - FRESH) // seconds_to_the_limit
    grow(world, life, "jobs:one", step, seconds_to_the_limit + 10)
    assert "stop jobs:one" in world.happened
    assert world.workers["jobs:one"].memory <= HARD + 3 * step


def test_growth_that_the_machine_does_not_show_is_followed_once_it_was_seen(world: World, path: Path) -> None:
    """Another process gives back what the worker takes."""
    machine = FakeMachine(world)
    life = life_of(world, path, machine)
    step = HARD // 20
    machine.others = HARD
    grow(world, life, "jobs:one", step, 1)
    for _ in range(30):
        machine.others -= step
        grow(world, life, "jobs:one", step, 1)
    assert "stop jobs:one" in world.happened


def test_machine_that_cannot_tell_costs_readings_and_no_protection(world: World, path: Path) -> None:
    machine = FakeMachine(world)
    machine.is_unreadable = True
    life = life_of(world, path, machine)
    grow(world, life, "jobs:one", HARD // 20, 30)
    assert "stop jobs:one" in world.happened


def test_nothing_is_read_while_the_machine_uses_no_more_memory(world: World, path: Path) -> None:
    life = life_of(world, path)
    world.times_measured.clear()
    life.run(100, tick_seconds=NEVER)  # Its first turn has a TICK.
    assert set(world.times_measured.values()) == {1}


def test_worker_that_the_check_holds_is_not_looked_at_each_second(world: World, path: Path) -> None:
    life = life_of(world, path)
    world.tells_programs = False
    world.workers["jobs:one"].memory = HARD + 1
    life.run(2, tick_seconds=NEVER)
    assert life.stream.having("worker.held")
    world.times_measured.clear()
    for _ in range(50):
        world.advance(1.0)
        life.listener.turn(ticked=False)
    assert world.times_measured["one"] <= 1


def test_pool_without_a_hard_limit_needs_no_turn_between_two_ticks(world: World, path: Path) -> None:
    life = Life(world, path)
    life.tick()
    assert life.listener.wait_seconds() is None


def test_worker_that_was_starting_is_watched_as_soon_as_it_runs(world: World, path: Path) -> None:
    world.operator_restarts("jobs:one")
    life = life_of(world, path)
    step = (HARD - FRESH) // 10
    grow(world, life, "jobs:one", step, 30)
    assert "stop jobs:one" in world.happened


def test_process_that_ended_leads_to_one_check(world: World, path: Path) -> None:
    """The next process is not watched before a check has measured it."""
    machine = FakeMachine(world)
    life = life_of(world, path, machine)
    world.operator_restarts("jobs:one")
    world.advance(5.0)
    world.times_measured.clear()
    machine.others = 2 * HARD
    for _ in range(10):
        world.advance(1.0)
        life.listener.turn(ticked=False)
    assert world.times_measured["one"] == 1
