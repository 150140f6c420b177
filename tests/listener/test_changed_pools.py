"""A pool is renamed or removed while one of its workers drains."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.step import OnTimeout
from supervisor_memkill.units import Size
from supervisor_memkill.workers.contract import Reading, Target
from tests.listener.situations import (
    ResumeKind,
    others_stop,
    work,
)
from tests.listener_world import (
    BLOATED,
    FRESH,
    Life,
    QuietKind,
    SharedCoordinator,
    StopKind,
    World,
    pool_config,
)

RENAMED = pool_config(name="work")


def test_renamed_pool_drains_no_second_worker(world: World, path: Path) -> None:
    life = Life(world, path)
    life.run_to(State.DRAINING)
    life.die()
    Life(world, path, config=RENAMED).run(60)
    assert not world.broken_promises, world.broken_promises


@pytest.mark.parametrize(
    ("kind", "place", "seconds"), [(StopKind, "stopping.saved", 60), (QuietKind, "quieting.saved", 2 * 3600)]
)
def test_drain_of_a_renamed_pool_does_not_stop_the_last_worker_in_service(
    world: World, path: Path, kind: type[QuietKind], place: str, seconds: int
) -> None:
    name = Life(world, path, kind=kind, die_at=place).run_to_death()
    others_stop(world, name)
    life = Life(world, path, kind=kind, config=RENAMED)
    life.run(seconds, until=lambda: bool(world.broken_promises))
    assert not world.broken_promises, world.broken_promises


def test_renamed_pool_still_waits_for_protected_jobs(world: World, path: Path) -> None:
    config = pool_config(protect_jobs=("Job",), drain_timeout_seconds=20.0)
    world.finish_jobs()
    name = Life(world, path, config=config, die_at="quieting.acted").run_to_death()
    world.workers[name].jobs = 1  # taken just before the quiet
    life = Life(world, path, config=config)
    life.run(60)
    assert life.only_drain()[1] is State.DRAINING, "a protected job runs"
    life.die()
    Life(world, path, config=dataclasses.replace(config, name="work")).run(30)
    assert f"stop {name}" not in world.happened, world.happened


def test_slot_under_the_former_name_of_a_pool_is_released(world: World, path: Path) -> None:
    coordinator = SharedCoordinator(world)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    name = life.run_to(State.DRAINING)
    assert coordinator.view("jobs").holders == (name,)
    life.die()
    life = Life(world, path, config=RENAMED, coordinate=lambda contents: coordinator)
    life.listener.turn(ticked=False)
    assert coordinator.view("jobs").holders == ()
    (line,) = life.stream.having("drain.pool_changed")
    assert "former=jobs" in line and "pool=work" in line


def test_quiet_worker_of_a_renamed_pool_is_brought_back_even_without_peers(world: World, path: Path) -> None:
    name = Life(world, path, die_at="draining.saved").run_to_death()
    others_stop(world, name)
    world.finish_jobs()
    Life(world, path, config=RENAMED).run(60)
    assert world.workers[name].memory == FRESH
    assert not world.broken_promises, world.broken_promises


@pytest.mark.parametrize(("kind", "place"), [(QuietKind, "quieting.saved"), (StopKind, "stopping.saved")])
@pytest.mark.parametrize("name_of_pool", ["work", "other"])
def test_worker_in_service_does_not_count_as_quiet_after_its_pool_changed(
    world: World, path: Path, kind: type[QuietKind], place: str, name_of_pool: str
) -> None:
    """S2: the quiet or stop was never sent, and the last worker in service is over its hard limit."""
    hard = Size(exact_bytes=2 * BLOATED)
    programs = ("jobs",) if name_of_pool == "work" else ("nothing",)
    name = Life(world, path, kind=kind, die_at=place).run_to_death()
    others_stop(world, name)
    world.workers[name].memory = 3 * BLOATED
    config = pool_config(name=name_of_pool, programs=programs, hard_max_rss=hard)
    Life(world, path, kind=kind, config=config).run(60)
    if (kind, name_of_pool) != (QuietKind, "other"):  # There, nothing shows whether the quiet arrived.
        assert not world.broken_promises, world.broken_promises


@pytest.mark.parametrize(("kind", "place"), [(QuietKind, "quieting.saved"), (StopKind, "stopping.saved")])
def test_worker_that_left_its_pool_releases_its_slot(
    world: World, path: Path, kind: type[QuietKind], place: str
) -> None:
    name = Life(world, path, kind=kind, die_at=place).run_to_death()
    rest = tuple(other for other in world.workers if other != name)
    also = [(pool_config(name="other", programs=("nothing",)), kind)]
    life = Life(world, path, kind=kind, config=pool_config(programs=rest), also=also)
    work(life, world, 2 * 3600)
    assert name not in life.drains(), life.only_drain()
    assert all(world.workers[other].memory == FRESH for other in rest)


@pytest.mark.parametrize("on_timeout", OnTimeout)
def test_drain_ends_though_the_pools_new_kind_drains_by_stopping(
    world: World, path: Path, on_timeout: OnTimeout
) -> None:
    """No reading of such a kind shows the quiet worker idle, whatever its drain waits for."""
    world.finish_jobs()
    config = pool_config(on_timeout=on_timeout, drain_timeout_seconds=20.0)
    name = Life(world, path, die_at="draining.saved", config=config).run_to_death()
    Life(world, path, kind=UnreadKind, config=config).run(60)
    assert world.in_service(world.workers[name])
    assert not world.broken_promises, world.broken_promises


def test_drain_of_a_removed_pool_keeps_what_its_kind_noted(world: World, path: Path) -> None:
    """The pool may come back with the next configuration, and its kind believes no idle without its note."""

    class NotingKind(QuietKind):
        def _read(self, target: Target) -> Reading:
            return dataclasses.replace(super()._read(target), note=target.note or {})

    life = Life(world, path, kind=NotingKind)
    name = life.run_to(State.DRAINING)
    noted = life.drains()[name].note
    assert noted
    life.die()
    life = Life(world, path, kind=NotingKind, config=pool_config(name="other", programs=("nothing",)))
    life.run(5)
    assert life.only_drain() == (name, State.DRAINING)
    assert life.drains()[name].note == noted


class UnreadKind(StopKind):
    """It knows no more than that the worker is its own."""

    def _read(self, target: Target) -> Reading:
        return Reading(recognised=True, in_service=True, quiet=None, busy=None)


def test_interrupted_resume_is_finished_after_the_pool_was_removed(world: World, path: Path) -> None:
    config = pool_config(on_timeout=OnTimeout.RESUME, drain_timeout_seconds=20.0)
    name = Life(world, path, kind=ResumeKind, config=config, die_at="resuming.saved").run_to_death()
    assert world.workers[name].quiet
    Life(world, path, kind=ResumeKind, config=pool_config(name="other", programs=("nothing",))).run(300)
    assert not world.workers[name].quiet
    assert not world.broken_promises, world.broken_promises


def test_drain_is_finished_after_its_pool_was_removed(world: World, path: Path) -> None:
    world.finish_jobs()
    life = Life(world, path)
    name = life.run_to(State.STOPPING)
    life.die()
    released = list[str]()

    class Noting(SharedCoordinator):
        def release(self, pool: str, *arguments: Any, **more: Any) -> None:
            released.append(pool)

    coordinator = Noting(world)
    config = pool_config(name="another", programs=("nothing",))
    for _ in range(2):  # A second one takes up what the first one made of it.
        life = Life(world, path, config=config, coordinate=lambda contents: coordinator)
        life.listener.turn(ticked=False)
        life.die()
    life = Life(world, path, config=config, coordinate=lambda contents: coordinator)
    life.run(60, until=lambda: not life.drains())
    assert world.in_service(world.workers[name])
    assert not life.stream.having("journal.damaged")
    assert coordinator.events == [] and released == ["jobs"], "there is no pool to tell any more"
