"""Requests of people: taken once, journalled, served once, ended."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.requests import MAX_OPEN, MAX_SERVED_KEPT, Act, OperatorRequest, encode
from supervisor_memkill.units import Size
from supervisor_memkill.workers.contract import Reading, Target, Traits
from tests.listener_world import FRESH, LIMIT, Life, QuietKind, StopKind, World, pool_config


def request(act: Act, *names: str, lasts: float | None = 3600.0, number: int = 1, hard: bool = False) -> str:
    return encode(OperatorRequest(f"{number:08x}", act, names or ("jobs",), lasts, except_hard=hard))


@pytest.fixture
def calm(world: World) -> World:
    """Nobody is over a limit, and nobody has a job."""
    for worker in world.workers.values():
        worker.memory = FRESH
    world.finish_jobs()
    return world


def restarts(world: World) -> list[str]:
    return [act.split(" ")[1] for act in world.happened if act.startswith("start ")]


@pytest.mark.parametrize("kind", [QuietKind, StopKind])
def test_each_worker_is_replaced_once_and_the_end_is_reported(
    calm: World, path: Path, kind: type[QuietKind]
) -> None:
    life = Life(calm, path, kind=kind)
    life.listener.request(request(Act.RESTART))
    life.run(120)
    assert sorted(restarts(calm)) == ["jobs:one", "jobs:three", "jobs:two"]
    assert calm.broken_promises == []
    assert all("reason=restart" in line for line in life.stream.having("drain.done"))
    assert len(life.stream.having("request.served")) == 1
    ends = [line for line in life.stream.lines if "drain.done" in line or "request.served" in line]
    assert "request.served" in ends[-1], "the last worker is back in service before"


def test_next_listener_does_not_report_the_end_again(calm: World, path: Path) -> None:
    life = Life(calm, path)
    life.listener.request(request(Act.RESTART))
    life.run(120)
    assert len(life.stream.having("request.served")) == 1
    life = Life(calm, path)
    life.run(120)
    assert not life.stream.having("request.served")


def test_request_that_comes_again_changes_nothing(calm: World, path: Path) -> None:
    life = Life(calm, path)
    for _ in range(3):
        life.listener.request(request(Act.RESTART))
        life.run(120)
    assert len(restarts(calm)) == 3


def test_request_that_comes_again_after_its_end_changes_nothing(calm: World, path: Path) -> None:
    """supervisord sends an event again when its listener died with it."""
    life = Life(calm, path)
    life.listener.request(request(Act.RESTART, lasts=100.0))
    life.run(150)
    assert len(restarts(calm)) == 3 and not life.journal.load().contents.requests
    life.die()
    life = Life(calm, path)
    life.listener.request(request(Act.RESTART, lasts=100.0))
    life.run(100)
    assert len(restarts(calm)) == 3


def test_process_that_began_after_the_request_is_left_alone(calm: World, path: Path) -> None:
    life = Life(calm, path, config=pool_config(min_available=3))  # nothing can begin
    life.listener.request(request(Act.RESTART))
    life.run(10)
    for name in calm.workers:
        calm.operator_restarts(name)
    calm.advance(5)
    free = Life(calm, path)
    life.die()
    free.run(120)
    assert restarts(calm) == []
    assert len(free.stream.having("request.served")) == 1


def test_request_survives_the_listener(calm: World, path: Path) -> None:
    first = Life(calm, path, die_at="stopping.acted")
    first.listener.request(request(Act.RESTART))
    first.run_to_death()
    second = Life(calm, path)
    second.run(120)
    assert sorted(restarts(calm)) == ["jobs:one", "jobs:three", "jobs:two"]


class UnconfirmedKind(QuietKind):
    """A kind that knows the running jobs, and not whether a worker is quiet."""

    traits = Traits(quiets=True)

    def _read(self, target: Target) -> Reading:
        reading = super()._read(target)
        return dataclasses.replace(reading, quiet=None, idle=reading.busy == 0)


@pytest.mark.parametrize("place", ["quieting.saved", "quieting.acted"])
def test_restart_goes_on_when_the_listener_died_before_it_knew_of_the_quiet(
    calm: World, path: Path, place: str
) -> None:
    """Nothing can tell whether the worker is quiet: it is stopped while others are in service."""
    first = Life(calm, path, kind=UnconfirmedKind, die_at=place)
    first.listener.request(request(Act.RESTART))
    first.run_to_death()
    second = Life(calm, path, kind=UnconfirmedKind)
    second.run(120)
    assert sorted(restarts(calm)) == ["jobs:one", "jobs:three", "jobs:two"]
    assert calm.broken_promises == []


def test_cancel_withdraws_what_has_not_begun(calm: World, path: Path) -> None:
    for worker in calm.workers.values():
        worker.jobs = 1
    life = Life(calm, path)
    life.listener.request(request(Act.RESTART))
    name = life.run_to(State.DRAINING)
    life.listener.request(request(Act.CANCEL, number=2))
    life.run(5)
    assert life.only_drain() == (name, State.DRAINING)
    calm.finish_jobs()
    life.run(120)
    assert restarts(calm) == [name]


def test_request_that_expires_names_the_workers_that_were_not_restarted(calm: World, path: Path) -> None:
    life = Life(calm, path, config=pool_config(min_available=3))
    life.listener.request(request(Act.RESTART, lasts=30.0))
    life.run(60)
    (line,) = life.stream.having("request.expired")
    assert "jobs:one" in line and "jobs:two" in line
    assert not life.journal.load().contents.requests
    assert restarts(calm) == []


def test_pause_begins_nothing_and_lasts_over_the_listeners_death(world: World, path: Path) -> None:
    world.finish_jobs()
    life = Life(world, path)
    life.listener.request(request(Act.PAUSE, lasts=None))
    life.run(60)
    life.die()
    life = Life(world, path)
    life.run(60)
    assert world.happened == []
    assert any("cause=paused" in line for line in life.stream.having("worker.held"))
    life.listener.request(request(Act.UNPAUSE, number=2))
    life.run(200)
    assert len(restarts(world)) == 3
    assert len(life.stream.having("pool.unpaused")) == 1


def test_pause_with_an_end_ends_by_itself(world: World, path: Path) -> None:
    world.finish_jobs()
    life = Life(world, path)
    life.listener.request(request(Act.PAUSE, lasts=100.0))
    life.run(90)
    assert world.happened == []
    life.run(200)
    assert len(restarts(world)) == 3


def test_drain_under_way_goes_on_in_a_paused_pool(world: World, path: Path) -> None:
    life = Life(world, path)
    name = life.run_to(State.DRAINING)
    life.listener.request(request(Act.PAUSE, lasts=None))
    life.run(5)
    world.finish_jobs()
    life.run(120)
    assert restarts(world) == [name]


@pytest.mark.parametrize(("except_hard", "count"), [(False, 0), (True, 1)])
def test_pause_holds_the_hard_limit_unless_asked_otherwise(
    world: World, path: Path, except_hard: bool, count: int
) -> None:
    world.workers["jobs:one"].memory *= 10
    life = Life(world, path, config=pool_config(hard_max_rss=Size(exact_bytes=3 * LIMIT)))
    life.listener.request(request(Act.PAUSE, lasts=None, hard=except_hard))
    life.run(60)
    assert len(restarts(world)) == count


def test_pause_that_lasts_is_reported_once_a_day(calm: World, path: Path) -> None:
    life = Life(calm, path)
    life.listener.request(request(Act.PAUSE, lasts=None))
    life.run(60)
    assert len(life.stream.having("pool.paused")) == 1
    calm.advance(86400)
    life.run(60)
    assert len(life.stream.having("pool.paused")) == 2


def test_dry_run_takes_no_request(calm: World, path: Path) -> None:
    life = Life(calm, path, dry_run=True)
    life.listener.request(request(Act.RESTART))
    life.run(30)
    assert "dry run" in life.stream.having("request.refused")[0]
    assert calm.happened == []


def test_request_waits_for_a_journal_that_can_be_written(calm: World, path: Path) -> None:
    life = Life(calm, path)
    life.run(5)
    blocker = path.with_name(path.name + ".new")
    blocker.mkdir()
    life.listener.request(request(Act.RESTART))
    life.run(30)
    assert restarts(calm) == [] and not life.stream.having("request.taken")
    blocker.rmdir()
    life.run(120)
    assert len(restarts(calm)) == 3


def test_newcomer_beyond_the_most_open_restarts_is_refused_and_nothing_is_lost(
    calm: World, path: Path
) -> None:
    life = Life(calm, path, config=pool_config(min_available=3))
    for number in range(MAX_OPEN + 3):
        life.listener.request(request(Act.RESTART, number=number))
        life.listener.turn(ticked=False)
        calm.advance(1)
    kept = life.journal.load().contents.requests
    assert list(kept) == [f"{number:08x}" for number in range(MAX_OPEN)]
    (line,) = life.stream.having("request.refused")
    assert "wait for them, or withdraw some" in line
    life.listener.request(request(Act.RESTART, number=MAX_OPEN))  # The refused one comes again.
    life.listener.request(request(Act.CANCEL, number=1000))
    life.run(20)
    assert not any(taken.workers for taken in life.journal.load().contents.requests.values())
    life.listener.request(request(Act.RESTART, number=2000))
    life.run(20)
    assert len(life.stream.having("request.taken")) == MAX_OPEN + 2


def test_served_requests_make_room_the_oldest_first(calm: World, path: Path) -> None:
    life = Life(calm, path, config=pool_config(min_available=3))
    life.listener.request(request(Act.RESTART, number=9999))
    for number in range(MAX_SERVED_KEPT + 5):
        life.listener.request(request(Act.UNPAUSE, number=number))
        life.listener.turn(ticked=False)
        calm.advance(1)
    kept = life.journal.load().contents.requests
    assert len(kept) == MAX_SERVED_KEPT + 1
    assert f"{0:08x}" not in kept and f"{9999:08x}" in kept and f"{MAX_SERVED_KEPT + 4:08x}" in kept
