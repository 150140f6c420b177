"""Quiet workers that a damaged journal says nothing about."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.hours import parse_drain_hours
from supervisor_memkill.rules.requests import Act, OperatorRequest, encode
from supervisor_memkill.workers.contract import Advice, Traits
from supervisor_memkill.world.supervisord import NoAnswer
from tests.listener.situations import (
    is_whole,
    run_until_replaced,
)
from tests.listener_world import (
    FRESH,
    Life,
    QuietKind,
    SharedCoordinator,
    World,
    pool_config,
)


@pytest.mark.parametrize("damage", [b"", b"garbage", b'{"body": {}}', b"\xff\xfe"])
def test_quiet_worker_of_a_damaged_journal_is_adopted(world: World, path: Path, damage: bytes) -> None:
    life = Life(world, path)
    life.run_to(State.DRAINING)
    life.die()
    path.write_bytes(damage)
    world.workers["jobs:one"].memory = FRESH
    world.finish_jobs()
    life = Life(world, path)
    life.run(60, until=lambda: is_whole(world))
    assert is_whole(world), life.stream.lines
    assert life.stream.having("journal.damaged")
    run_until_replaced(life, world)


@pytest.mark.parametrize("what", ["request lost", "listener restarted"])
def test_failed_adoption_is_tried_again(world: World, path: Path, what: str) -> None:
    for worker in world.workers.values():
        worker.memory = FRESH
    world.workers["jobs:one"].quiet = True
    world.finish_jobs()
    path.parent.mkdir(mode=0o700)
    path.write_text("rubbish")
    programs = world.programs

    def second_is_lost() -> Any:
        if world.times_programs_were_told == 1:
            world.times_programs_were_told += 1
            raise NoAnswer("no answer")
        return programs()

    life = Life(world, path)
    if what == "request lost":
        world.programs = second_is_lost  # type: ignore[method-assign]
    else:
        world.records_away = True
        life.run(60)
        life.die()
        world.records_away = False
        life = Life(world, path)
    life.run(300)
    assert not world.workers["jobs:one"].quiet, life.stream.lines


@pytest.mark.parametrize("reason", ["over its limit", "requested restart"])
def test_quiet_worker_is_brought_back_outside_drain_hours_whatever_else_it_is_to_be_drained_for(
    world: World, path: Path, reason: str
) -> None:
    """Nothing else brings it back into service before the hours open."""
    if reason == "requested restart":
        for worker in world.workers.values():
            worker.memory = FRESH
    world.workers["jobs:one"].quiet = True
    world.finish_jobs()
    path.parent.mkdir(mode=0o700)
    path.write_text("rubbish")
    life = Life(world, path, config=pool_config(drain_hours=parse_drain_hours("22:00-23:00")))
    if reason == "requested restart":
        life.listener.request(encode(OperatorRequest("0" * 8, Act.RESTART, ("jobs",), 3600.0)))
    life.run(60)
    assert is_whole(world), life.stream.lines
    assert world.happened == ["stop jobs:one", "start jobs:one"]


def test_pause_holds_a_quiet_worker_that_waits_for_its_slot(world: World, path: Path) -> None:
    world.workers["jobs:one"].quiet = True
    world.finish_jobs()
    path.parent.mkdir(mode=0o700)
    path.write_text("rubbish")
    redis = SharedCoordinator(world)
    life = Life(world, path, coordinate=lambda contents: redis)

    def lose_redis(place: str) -> None:
        redis.is_away = redis.is_away or place == "asking.saved"

    life.at = lose_redis
    life.run(10)
    assert life.only_drain() == ("jobs:one", State.ASKING)
    assert life.stream.having("journal.damaged")
    life.listener.request(encode(OperatorRequest("0" * 8, Act.PAUSE, ("jobs",))))
    life.run(10)
    life.at, redis.is_away = (lambda place: None), False
    life.run(60)
    assert world.happened == [] and not life.drains()
    life.listener.request(encode(OperatorRequest("1" * 8, Act.UNPAUSE, ("jobs",))))
    life.run(60, until=lambda: bool(world.happened))
    assert world.happened[0] == "stop jobs:one"


def test_quiet_worker_is_brought_back_even_if_its_pool_has_no_known_limit(world: World, path: Path) -> None:
    """It is adopted after a damaged journal, and the listener is killed once more before the stop."""
    for worker in world.workers.values():
        worker.memory = FRESH
    world.workers["jobs:one"].quiet = True
    path.parent.mkdir(mode=0o700)
    path.write_text("rubbish")
    config = pool_config(max_rss=None)
    life = Life(world, path, config=config)
    life.tick()
    assert life.only_drain() == ("jobs:one", State.DRAINING)
    life.die()
    world.finish_jobs()
    life = Life(world, path, config=config)
    life.run(60)
    assert life.stream.having("drain.done") and not world.workers["jobs:one"].quiet
    assert not life.stream.having("journal.damaged") and not life.stream.having("limit.below_baseline")


def test_quiet_worker_is_brought_back_even_if_supervisord_does_not_report_its_settings(
    world: World, path: Path
) -> None:
    world.workers["jobs:one"].quiet, world.tells_programs = True, False
    world.finish_jobs()
    path.parent.mkdir(mode=0o700)
    path.write_text("rubbish")
    life = Life(world, path)
    life.run(60)
    assert world.workers["jobs:one"].memory == FRESH
    assert not life.stream.having("failed")


def test_quiet_worker_is_brought_back_even_if_its_settings_would_lose_jobs(world: World, path: Path) -> None:
    """Such settings hold every quiet; a worker that is already quiet has no job to lose once it is idle."""
    life = Life(world, path)
    name = life.run_to(State.DRAINING)
    life.die()
    path.write_text("rubbish")
    world.finish_jobs()
    world.advice = (Advice("stopsignal=TERM must be INT", refuses=True),)
    life = Life(world, path)
    life.run(60)
    assert world.workers[name].memory == FRESH
    assert [act for act in world.happened if act.startswith("quiet")] == [f"quiet {name}"]


class SomeUnknowing(QuietKind):
    """A kind that never knows whether a worker is quiet."""

    traits = Traits(quiets=True)

    def _read(self, target: Any) -> Any:
        return dataclasses.replace(super()._read(target), quiet=None)


def test_worker_that_the_operator_quiets_long_after_a_damaged_journal_is_not_adopted(
    world: World, path: Path
) -> None:
    """One of the pools has a kind that never knows which worker is quiet."""
    for worker in world.workers.values():
        worker.memory = FRESH
    path.parent.mkdir(mode=0o700)
    path.write_text("rubbish")

    def start() -> Life:
        other = pool_config(name="other", programs=("jobs:three",))
        config = pool_config(programs=("jobs:one", "jobs:two"))
        return Life(world, path, config=config, also=[(other, SomeUnknowing)])

    life = start()
    life.run(60)
    life.die()
    world.workers["jobs:one"].quiet = True
    world.finish_jobs()
    start().run(300)
    assert world.happened == []


def test_after_a_damaged_journal_a_worker_that_cannot_confirm_its_quiet_counts_only_once_replaced(
    world: World, path: Path
) -> None:
    """A drain that the journal lost may have left it quiet: the last one in service must not follow it."""
    world.workers["jobs:one"].quiet = True
    world.operator_stops("jobs:three")
    path.parent.mkdir(mode=0o700)
    path.write_text("rubbish")
    for _ in range(2):  # The second listener finds it in the journal.
        life = Life(world, path, kind=SomeUnknowing)
        life.run(120)
        assert world.happened == [], "two may be the only one in service"
        assert life.stream.having("worker.held")
        life.die()
    world.operator_restarts("jobs:one")
    life = Life(world, path, kind=SomeUnknowing)
    life.run(60, until=lambda: bool(world.happened))
    assert world.happened == ["quiet jobs:two"]
    assert not world.broken_promises


def test_workers_started_after_a_damaged_journal_are_in_service(world: World, path: Path) -> None:
    world.operator_stops("jobs:three")
    world.advance(5)
    path.parent.mkdir(mode=0o700)
    path.write_text("rubbish")
    life = Life(world, path, kind=SomeUnknowing)
    life.run(10)
    world.operator_restarts("jobs:three")
    life.run(30, until=lambda: bool(world.happened))
    assert world.happened
