"""What the other hosts learn about a listener, its workers and their drains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.coordination.contract import PoolView
from supervisor_memkill.errors import NotSent
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.pool_sizes import SECONDS_PER_WORKER
from supervisor_memkill.rules.causes import StepCause
from supervisor_memkill.rules.drain import State
from tests.builders import report
from tests.listener.situations import (
    only_one_is_bloated,
)
from tests.listener_world import (
    Life,
    QuietKind,
    SharedCoordinator,
    StopKind,
    World,
    pool_config,
)


def test_listener_reports_its_workers_at_once(world: World, path: Path) -> None:
    """Other hosts may wait for its slots and its peers, and the first TICK may be a minute away."""
    coordinator = SharedCoordinator(world)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    life.listener.turn(ticked=False)
    assert len(coordinator.told) > 0
    assert world.happened == []


def test_report_is_as_old_as_its_look(world: World, path: Path) -> None:
    """The listener was frozen before it sent the report: a worker may have ended since."""

    class Freezing(QuietKind):
        def read(self, *arguments: Any) -> Any:
            readings = super().read(*arguments)
            world.advance(90.0)
            return readings

    coordinator = SharedCoordinator(world)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    life.listener.turn(ticked=False)
    assert coordinator.told[-1].age_seconds == 0.0
    life.die()
    Life(world, path, kind=Freezing, coordinate=lambda contents: coordinator).listener.turn(ticked=False)
    assert coordinator.told[-1].age_seconds == 90.0


def test_each_step_of_a_drain_is_reported_to_the_other_hosts_once(world: World, path: Path) -> None:
    only_one_is_bloated(world)
    coordinator = SharedCoordinator(world)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    life.run(20)
    world.finish_jobs()
    life.run(60, until=lambda: bool(life.stream.having("drain.done")))
    steps = ["quieting", "draining", "stopping", "starting", "settling", "done"]
    assert [event for event, fields in coordinator.events] == [f"drain.{step}" for step in steps]


def test_drain_whose_quiet_was_never_sent_is_not_reported_to_the_other_hosts(
    world: World, path: Path
) -> None:
    class Unable(QuietKind):
        def quiet(self, target: Any, table: Any) -> Any:
            raise NotSent("never")

    coordinator = SharedCoordinator(world)
    life = Life(world, path, kind=Unable, coordinate=lambda contents: coordinator)
    life.run(60)
    assert life.stream.having("drain.not_begun") and coordinator.events == []
    assert life.stream.having("failed") == []


def test_late_stop_is_reported_to_the_other_hosts_only_when_it_is_sent(world: World, path: Path) -> None:
    only_one_is_bloated(world)
    coordinator = SharedCoordinator(world)
    life = Life(world, path, kind=StopKind, coordinate=lambda contents: coordinator)
    save = life.journal.save

    def slowly(contents: Contents) -> None:
        save(contents)
        world.advance(4.2)

    life.journal.save = slowly  # type: ignore[method-assign]
    name = life.run_to(State.STOPPING)
    assert life.drains()[name].stop.attempts == 0, "it came too late"
    assert coordinator.events == []
    life.run(20)
    assert [event for event, fields in coordinator.events].count("drain.stopping") == 1


def test_drain_that_is_let_go_is_reported_to_the_other_hosts(world: World, path: Path) -> None:
    coordinator = SharedCoordinator(world)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    world.operator_stops(life.run_to(State.DRAINING))
    life.run(10)
    (let_go,) = [fields for event, fields in coordinator.events if event == "drain.let_go"]
    assert let_go["state"] == "draining" and let_go["cause"] == StepCause.STOPPED_BY_OTHERS.value


@pytest.mark.parametrize("is_away", [False, True])
def test_pool_of_one_here_is_warned_about_only_if_no_other_host_ever_had_a_worker(
    path: Path, is_away: bool
) -> None:
    world = World(["only"])
    coordinator = SharedCoordinator(world)
    views: list[str] = []

    def view(pool: str) -> PoolView:
        views.append(pool)
        others = (report("web2/jobs:one", in_service=False),) if is_away else ()
        return PoolView((report("here/jobs:only"), *others), silent=frozenset({"web2/jobs:one"}))

    coordinator.view = view  # type: ignore[method-assign]
    life = Life(world, path, coordinate=lambda contents: coordinator)
    life.run(120)
    assert world.happened == []
    assert len(life.stream.having("worker.held_for_ever")) == (0 if is_away else 1)
    assert len(life.stream.having("worker.held")) == (1 if is_away else 0)
    assert len(views) <= 120 / 5, "the whole pool is read at a TICK only"


def test_the_larger_a_pool_the_more_rarely_is_all_of_it_read(path: Path) -> None:
    """All its listeners read it while too few workers are in service: together, work by its square."""
    everybody = tuple(report(f"web{number}/jobs:one", in_service=False) for number in range(600))
    world = World(["one", "two", "three"])  # all of them are over their limit
    coordinator = SharedCoordinator(world)
    read_at: list[float] = []

    def view(pool: str) -> PoolView:
        read_at.append(world.clock())
        return PoolView(everybody)

    coordinator.view = view  # type: ignore[method-assign]
    config = pool_config(min_available=500)
    life = Life(world, path, config=config, coordinate=lambda contents: coordinator)
    life.run(240)
    assert 1 < len(read_at) <= 240 / (600 * SECONDS_PER_WORKER) + 1
    assert len(life.stream.having("worker.held")) == 3
