"""Drains for another reason than the worker's own limit."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from supervisor_memkill.rules.back_off import BackOffCause
from supervisor_memkill.rules.hours import parse_drain_hours
from supervisor_memkill.units import Size, parse_size
from tests.listener_world import BLOATED, FRESH, LIMIT, NOON, Life, QuietKind, StopKind, World, pool_config
from tests.small_world import EPOCH

MB = 1024 * 1024


def nobody_is_over(world: World) -> None:
    for worker in world.workers.values():
        worker.memory = FRESH


def done(life: Life) -> list[str]:
    """The workers of all finished drains, in their order."""
    return [line.split("worker=jobs:")[1].split(" ")[0] for line in life.stream.having("drain.done")]


# --- age ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [QuietKind, StopKind])
def test_old_workers_are_replaced_one_by_one_whatever_their_memory(
    world: World, path: Path, kind: type[QuietKind]
) -> None:
    nobody_is_over(world)
    world.finish_jobs()
    life = Life(world, path, kind=kind, config=pool_config(max_age_seconds=3000.0))
    life.run(120)
    assert sorted(done(life)) == ["one", "three", "two"]
    assert world.broken_promises == []
    assert all("reason=max_age" in line for line in life.stream.having("drain.done"))
    assert not life.stream.having("worker.limit_below_baseline")


def test_job_of_an_old_worker_is_finished_first(world: World, path: Path) -> None:
    nobody_is_over(world)
    life = Life(world, path, config=pool_config(max_age_seconds=3000.0))
    life.run(60)
    assert done(life) == []
    assert [act.split(" ")[0] for act in world.happened] == ["quiet"], world.happened
    world.finish_jobs()
    life.run(120)
    assert len(done(life)) == 3


# --- the pool's total -------------------------------------------------------------------------------


def test_largest_worker_goes_until_the_pool_is_within_its_total(world: World, path: Path) -> None:
    nobody_is_over(world)
    world.finish_jobs()
    world.workers["jobs:two"].memory = 150 * MB
    world.workers["jobs:three"].memory = 140 * MB
    life = Life(world, path, config=pool_config(max_total_rss=Size(exact_bytes=250 * MB)))
    life.run(120)
    assert done(life) == ["two"], "then 50 + 50 + 140 MB are left"


def test_total_that_restarts_cannot_reach_makes_no_restart_loop(world: World, path: Path) -> None:
    nobody_is_over(world)
    world.finish_jobs()
    life = Life(world, path, config=pool_config(max_total_rss=Size(exact_bytes=FRESH)))
    life.run(400)
    assert sorted(done(life)) == ["one", "three", "two"], "each was tried once"
    causes = {one.cause for one in life.journal.load().contents.back_offs.values()}
    assert causes == {BackOffCause.NOTHING_GAINED}


def test_total_that_is_kept_by_the_time_of_the_second_look_drains_nobody(world: World, path: Path) -> None:
    nobody_is_over(world)
    world.workers["jobs:two"].memory = 150 * MB
    life = Life(world, path, config=pool_config(max_total_rss=Size(exact_bytes=200 * MB)))
    life.at = lambda place: nobody_is_over(world)
    life.run(60)
    assert world.happened == []


# --- hours ------------------------------------------------------------------------------------------


def test_nothing_begins_outside_the_hours_and_the_refusal_says_when_they_open(
    world: World, path: Path
) -> None:
    world.finish_jobs()
    clock = [NOON]

    def local_time() -> datetime:
        return clock[0]

    config = pool_config(drain_hours=parse_drain_hours("22:00-06:00"))
    life = Life(world, path, config=config, local_time=local_time)
    life.run(60)
    assert world.happened == []
    assert "drain_hours open on Mon at 22:00" in life.stream.having("worker.held")[0]
    clock[0] += timedelta(hours=10)
    life.run(60, until=lambda: bool(done(life)))
    assert len(done(life)) == 1
    clock[0] += timedelta(hours=10)
    begun = len(life.stream.having("drain.quieting"))
    life.run(120)
    assert len(life.stream.having("drain.quieting")) == begun < 3
    assert len(done(life)) == begun, "what was under way is finished"


def test_hours_that_close_before_the_slot_is_granted_hold_the_drain(world: World, path: Path) -> None:
    clock = [NOON]
    config = pool_config(drain_hours=parse_drain_hours("11:00-12:01"))
    life = Life(world, path, config=config, local_time=lambda: clock[0])

    def at(place: str) -> None:
        clock[0] = NOON + timedelta(hours=1)

    life.at = at
    life.run(60)
    assert world.happened == []


# --- warnings ---------------------------------------------------------------------------------------


def test_worker_near_its_limit_is_reported_once_per_process_and_not_drained(world: World, path: Path) -> None:
    nobody_is_over(world)
    world.workers["jobs:two"].memory = LIMIT * 9 // 10
    life = Life(world, path, config=pool_config(warn_rss=parse_size("80%")))
    life.run(60)
    assert world.happened == []
    (line,) = life.stream.having("worker.near_limit")
    assert "worker=jobs:two" in line and "warn_rss=160MB" in line
    nobody_is_over(world)
    life.run(10)
    world.workers["jobs:two"].memory = LIMIT * 9 // 10
    life.run(10)
    assert len(life.stream.having("worker.near_limit")) == 2, "it was below in between"


# --- a worker that does not come back ------------------------------------------------------------------


def test_broken_release_costs_one_worker(world: World, path: Path) -> None:
    """Two could drain at once; but the first new process ends again and again."""
    world.finish_jobs()
    for worker in world.workers.values():
        worker.broken = True
    life = Life(world, path, kind=StopKind, config=pool_config(max_draining=1, max_age_seconds=3000.0))
    life.run(30)
    world.workers["jobs:two"].memory = world.workers["jobs:three"].memory = BLOATED
    life.run(300)
    assert len(world.out_of_service()) == 1
    assert "does not come back" in life.stream.having("worker.held")[-1]
    for worker in world.workers.values():
        worker.broken = False
    life.run(300)
    assert world.out_of_service() == []
    assert len(done(life)) == 3


def test_pool_that_drains_several_at_once_begins_no_other_when_one_does_not_come_back(path: Path) -> None:
    world = World(["one", "two", "three", "four"])
    nobody_is_over(world)
    world.finish_jobs()
    for worker in world.workers.values():
        worker.broken = True
    world.workers["jobs:one"].start = EPOCH - 7200
    config = pool_config(max_draining=3, max_age_seconds=7000.0, min_available=1)
    life = Life(world, path, kind=StopKind, config=config)
    life.run(60)
    assert world.out_of_service() == ["jobs:one"]
    world.workers["jobs:two"].start = world.workers["jobs:three"].start = EPOCH - 7200
    life.run(300)
    assert world.out_of_service() == ["jobs:one"]
    assert any("cause=not_back" in line for line in life.stream.having("worker.held"))
