"""What a look takes over from the last one, and what it never takes over."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.listener.former_looks import EXAMINE_SECONDS
from supervisor_memkill.units import Size
from supervisor_memkill.workers.contract import Reading, Target
from supervisor_memkill.world.memory import ProcessTable
from tests.listener_world import FRESH, LIMIT, Life, QuietKind, World, pool_config


class NamelessKind(QuietKind):
    """It counts the running jobs, and cannot name them."""

    def read(self, targets: Sequence[Target], table: ProcessTable) -> dict[str, Reading]:
        found = super().read(targets, table)
        return {worker: dataclasses.replace(one, jobs=None) for worker, one in found.items()}


def life_of(world: World, path: Path, **values: Any) -> Life:
    return Life(world, path, kind=NamelessKind, **values)


@pytest.fixture
def world() -> World:
    world = World(["one", "two", "three"])
    for worker in world.workers.values():
        worker.memory = FRESH
    return world


def look(life: Life) -> None:
    """A look between two checks, as a heartbeat makes it."""
    life.listener._schedule.check_within(0.0)
    life.listener.turn(ticked=False)


def measured(world: World) -> dict[str, int]:
    before = dict(world.times_measured)
    world.times_measured.clear()
    return before


def test_look_between_two_checks_measures_no_calm_worker(world: World, path: Path) -> None:
    life = life_of(world, path)
    life.run(2)
    measured(world)
    look(life)
    assert measured(world) == {}
    life.listener.turn(ticked=True)
    assert measured(world) == {"one": 1, "two": 1, "three": 1}


def test_worker_with_a_reason_for_a_drain_is_measured_at_each_look(world: World, path: Path) -> None:
    world.workers["jobs:two"].memory = 2 * LIMIT
    life = life_of(world, path, config=pool_config(min_available=5))
    life.run(2)
    measured(world)
    look(life)
    assert measured(world).keys() == {"two"}


def test_strikes_are_counted_again_from_the_first_after_a_check_within_the_limit(
    world: World, path: Path
) -> None:
    """A look between the checks saw it within its limit before the check did, and counted nothing."""
    worker = world.workers["jobs:two"]
    life = life_of(world, path, config=pool_config(strikes=2))
    life.run(2)
    for memory in (2 * LIMIT, FRESH, 2 * LIMIT):
        worker.memory = memory
        look(life)
        life.tick()
    assert world.happened == []
    life.tick()
    assert world.happened == ["quiet jobs:two"]


def test_worker_whose_jobs_are_named_is_measured_at_each_look(world: World, path: Path) -> None:
    """What a job class does to the memory is learnt from each look: one without a reading is no growth."""
    life = Life(world, path, log_level="debug")
    life.run(2)
    measured(world)
    world.workers["jobs:two"].memory += 1024 * 1024
    look(life)
    assert len(measured(world)) == 3
    (line,) = [one for one in life.stream.having("worker.jobs") if "jobs:two" in one][-1:]
    assert "rss=51MB" in line


def test_new_memory_counts_at_the_next_check(world: World, path: Path) -> None:
    life = life_of(world, path)
    life.run(2)
    world.workers["jobs:two"].memory = 2 * LIMIT
    life.run(30)
    assert "quiet jobs:two" in world.happened


def test_worker_whose_process_changed_is_looked_at(world: World, path: Path) -> None:
    life = life_of(world, path)
    life.run(2)
    world.operator_restarts("jobs:two")
    world.advance(30)
    measured(world)
    look(life)
    assert measured(world).keys() == {"two"}


def test_workers_of_a_pool_with_max_age_are_looked_at(world: World, path: Path) -> None:
    life = life_of(world, path, config=pool_config(max_age_seconds=10.0**8))
    life.run(2)
    measured(world)
    look(life)
    assert len(measured(world)) == 3


def test_memory_that_changed_below_the_limit_is_shown(world: World, path: Path) -> None:
    life = life_of(
        world, path, log_level="debug", config=pool_config(hard_max_rss=Size(exact_bytes=3 * LIMIT))
    )
    life.run(2)
    world.workers["jobs:two"].memory = FRESH + 1024 * 1024
    life.listener.turn(ticked=True)
    (line,) = [one for one in life.stream.having("worker.seen") if "jobs:two" in one][-1:]
    assert "rss=51MB" in line


def test_every_worker_is_examined_anew_after_some_minutes(world: World, path: Path) -> None:
    """Its command line may say something else by then."""
    life = life_of(world, path)
    life.run(2)
    examined: list[str] = []
    (pool,) = life.pools
    advise = pool.kind.advice
    pool.kind.advice = lambda program, timeout: examined.append(program.worker) or advise(program, timeout)  # type: ignore[method-assign, assignment, func-returns-value]
    life.listener.turn(ticked=True)
    assert examined == []
    for _ in range(int(EXAMINE_SECONDS / 60)):
        world.advance(60)
        life.listener.turn(ticked=True)
    assert sorted(set(examined)) == ["jobs:one", "jobs:three", "jobs:two"]
