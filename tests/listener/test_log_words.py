"""What is logged once, again, or not at all."""

from __future__ import annotations

from pathlib import Path

from tests.listener.situations import (
    only_one_is_bloated,
)
from tests.listener_world import (
    BLOATED,
    FRESH,
    Life,
    World,
)


def test_worker_over_its_limit_between_two_checks_is_not_logged_yet(world: World, path: Path) -> None:
    """A look between two TICKs counts no strikes; "0 of 1" in the log would only confuse."""
    for name in ("jobs:two", "jobs:three"):
        world.workers[name].memory = FRESH
    world.finish_jobs()
    life = Life(world, path)
    life.tick()
    for worker in world.workers.values():
        worker.memory = BLOATED
    while life.drains():
        world.advance(1.0)
        life.listener.turn(ticked=False)
    life.listener.turn(ticked=False)
    assert not [line for line in life.stream.having("worker.held") if "checks in a row" in line]


def test_second_drain_of_a_worker_is_logged_like_the_first(world: World, path: Path) -> None:
    only_one_is_bloated(world)
    world.finish_jobs()
    life = Life(world, path)
    for _ in range(2):
        world.workers["jobs:one"].memory = BLOATED
        life.run(60)
    assert len(life.stream.having("drain.done")) == 2
    assert len(life.stream.having("drain.busy")) == 2


def test_unexpected_events_are_logged_once(world: World, path: Path) -> None:
    life = Life(world, path)
    for name in ("PROCESS_STATE_EXITED", "PROCESS_STATE_RUNNING"):
        life.listener.report_unexpected(name)
    (line,) = life.stream.having("event.unasked")
    assert "PROCESS_STATE_EXITED" in line and "events = TICK_60" in line
