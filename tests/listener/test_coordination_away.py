"""The Redis that coordinates the hosts cannot be reached."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.coordination.contract import CoordinationUnknown, Published
from supervisor_memkill.rules.drain import State
from tests.listener.situations import (
    any_is_fresh,
    only_one_is_bloated,
    work,
)
from tests.listener_world import (
    BLOATED,
    FRESH,
    Life,
    QuietKind,
    SharedCoordinator,
    World,
    pool_config,
)


@pytest.mark.parametrize(
    ("lost_at", "state"), [("asking.saved", State.ASKING), ("quieting.acted", State.QUIETING)]
)
def test_lost_redis_is_logged_at_once(world: World, path: Path, lost_at: str, state: State) -> None:
    coordinator = SharedCoordinator(world)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    life.at = lambda place: setattr(coordinator, "is_away", coordinator.is_away or place == lost_at)
    assert life.run_to(state)
    assert life.stream.having("coordination.away")


def test_return_of_redis_is_logged(world: World, path: Path) -> None:
    coordinator = SharedCoordinator(world)
    coordinator.is_away = True
    life = Life(world, path, coordinate=lambda contents: coordinator)
    life.run(60)
    assert len(life.stream.having("coordination.away")) == 1
    coordinator.is_away = False
    life.run(20)
    assert len(life.stream.having("coordination.back")) == 1


def test_steps_of_a_drain_do_not_wait_for_a_lost_redis(world: World, path: Path) -> None:
    """A call to a frozen Redis takes seconds."""
    tried = list[str]()

    class Counting(SharedCoordinator):
        def record(self, pool: str, event: str, fields: Mapping[str, str]) -> None:
            tried.append(event)
            super().record(pool, event, fields)

    coordinator = Counting(world)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    life.run_to(State.DRAINING)
    coordinator.is_away = True
    life.run(15)
    assert life.stream.having("coordination.away")
    tried.clear()
    world.finish_jobs()
    life.run(30, until=lambda: bool(life.stream.having("drain.done")))
    assert life.stream.having("drain.done") and tried == []


def test_slot_of_a_drain_that_ended_during_an_outage_is_released_once(world: World, path: Path) -> None:
    released = list[str]()

    class Counting(SharedCoordinator):
        def release(self, *arguments: Any, **more: Any) -> None:
            self._reach()
            released.append(arguments[1])
            super().release(*arguments, **more)

    only_one_is_bloated(world)
    world.finish_jobs()
    coordinator = Counting(world)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    life.run_to(State.SETTLING)
    coordinator.is_away = True
    life.run(60, until=lambda: bool(life.stream.having("drain.done")))
    assert life.stream.having("slot.not_released") and released == []
    coordinator.is_away = False
    life.run(120)
    assert released == ["jobs:one"] and coordinator.view("jobs").holders == ()


def test_protected_job_that_began_during_an_outage_is_not_interrupted(world: World, path: Path) -> None:
    for name, worker in world.workers.items():
        worker.jobs, worker.memory = 0, BLOATED if name == "jobs:one" else FRESH
    redis = SharedCoordinator(world)
    config = pool_config(protect_jobs=("Job",), drain_timeout_seconds=60.0)
    life = Life(world, path, config=config, coordinate=lambda contents: redis)
    life.at = lambda place: setattr(redis, "is_away", place == "asking.saved" or redis.is_away)
    life.run(30)
    assert life.only_drain() == ("jobs:one", State.ASKING)
    world.workers["jobs:one"].jobs = 1
    redis.is_away = False
    life.at = lambda place: None
    life.run(600)
    assert world.happened == []
    work(life, world, 60)
    assert world.workers["jobs:one"].memory == FRESH


def test_failed_coordination_of_one_pool_does_not_hold_the_others(world: World, path: Path) -> None:
    class Half(SharedCoordinator):
        def publish(self, pool: str, *rest: Any) -> Published:
            if pool == "broken":
                raise CoordinationUnknown("WRONGTYPE")
            return super().publish(pool, *rest)

    broken = pool_config(name="broken", programs=("other",))
    life = Life(
        world,
        path,
        config=broken,
        also=[(pool_config(), QuietKind)],
        coordinate=lambda contents: Half(world),
    )
    work(life, world, 300)
    assert any_is_fresh(world), life.stream.lines
