"""How many workers drain at once, and which worker waits for a slot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.errors import NotSent
from supervisor_memkill.rules.drain import State
from tests.listener.situations import (
    Meanwhile,
    is_replaced,
    is_whole,
    run_until_replaced,
    work,
)
from tests.listener_world import (
    BLOATED,
    FRESH,
    Killed,
    Life,
    QuietKind,
    SharedCoordinator,
    StopKind,
    World,
    pool_config,
)


@pytest.mark.parametrize("kind", [QuietKind, StopKind])
def test_all_bloated_workers_are_replaced_one_at_a_time(
    world: World, path: Path, kind: type[QuietKind]
) -> None:
    life = Life(world, path, kind=kind)
    most_out = 0
    for _ in range(200):
        life.run(1)
        most_out = max(most_out, len(world.out_of_service()))
        world.finish_jobs()
    assert is_replaced(world)
    assert is_whole(world)
    assert most_out == 1
    assert not world.broken_promises
    assert len(life.stream.having("drain.done")) == 3
    assert "before=400MB after=50MB" in life.stream.having("drain.done")[0]


def test_second_tick_during_a_drain_begins_no_other(world: World, path: Path) -> None:
    life = Life(world, path)
    for _ in range(20):
        life.tick()
    assert world.happened == ["quiet jobs:one"]
    assert len(life.drains()) == 1


def test_two_workers_drain_at_once_if_max_draining_allows_it(path: Path) -> None:
    world = World(["one", "two", "three"])
    world.max_draining = 2
    life = Life(world, path, config=pool_config(max_draining=2))
    life.tick()
    assert len(world.out_of_service()) == 2
    world.finish_jobs()
    run_until_replaced(life, world)


def test_each_pool_has_its_own_slots(path: Path) -> None:
    world = World(["one", "two", "three", "four"])
    other = pool_config(name="other", programs=("jobs:three", "jobs:four"))
    config = pool_config(programs=("jobs:one", "jobs:two"))
    life = Life(world, path, config=config, also=[(other, QuietKind)])
    life.run(20)
    assert world.happened == ["quiet jobs:one", "quiet jobs:four"], "one of each pool, max_draining is 1"


@pytest.mark.parametrize("moment", ["while it drains", "while it asks"])
def test_resumed_worker_waits_for_a_slot_like_any_other(path: Path, moment: str) -> None:
    """S1: it got its slot without waiting, because it was already out of service."""
    world = World(["one", "two", "three", "four"])
    one, two = world.workers["jobs:one"], world.workers["jobs:two"]
    for worker in world.workers.values():
        worker.memory = BLOATED if worker is two else FRESH

    def put_back(world: World) -> None:
        if moment == "while it asks":
            one.quiet = False

    coordinator = Meanwhile(world, put_back)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    assert life.run_to(State.DRAINING) == "jobs:two"
    one.quiet, one.memory = True, BLOATED
    life.run(20)
    one.quiet = False
    life.run(60)
    assert not world.broken_promises, world.broken_promises
    world.finish_jobs()
    life.run(120)
    assert one.memory == two.memory == FRESH


def test_two_workers_that_outgrow_each_other_do_not_wait_for_each_other(world: World, path: Path) -> None:
    """Whenever one of them asks, the other one has grown larger."""
    world.workers["jobs:three"].memory = FRESH
    one, two = world.workers["jobs:one"], world.workers["jobs:two"]
    asked = list[float]()

    def grow(place: str) -> None:
        if place == "asking.saved" and len(asked) < 3:
            asked.append(world.now)
            larger, smaller = (one, two) if one.memory > two.memory else (two, one)
            smaller.memory = larger.memory + 1024

    one.memory += 1024
    life = Life(world, path)
    life.at = grow
    life.run(20, until=lambda: bool(world.happened))
    assert len(asked) == 3 and world.now - asked[0] <= 5.0, "poll_interval is 1 s, heartbeat 10 s"
    assert life.stream.having("drain.not_begun") == [], "a refusal is told as worker.held"


def test_worker_that_cannot_be_quieted_blocks_no_other(world: World, path: Path) -> None:
    class Unable(QuietKind):
        def quiet(self, target: Any, table: Any) -> Any:
            if target.process.name == "one":
                raise NotSent("never")
            return super().quiet(target, table)

    world.workers["jobs:one"].memory = BLOATED + 1
    life = Life(world, path, kind=Unable)
    work(life, world, 4000)
    assert world.workers["jobs:two"].memory == FRESH, life.stream.lines[:20]


def test_slot_is_renewed_before_the_first_step_after_a_take_over(world: World, path: Path) -> None:
    """Steps take time, and the listener may be killed during each of them: the worker keeps its slot."""
    coordinator = SharedCoordinator(world)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    life.run(60, until=lambda: bool(life.stream.having("drain.draining")))
    life.die()
    world.finish_jobs()
    coordinator.told.clear()
    life = Life(world, path, coordinate=lambda contents: coordinator, die_at="stopping.saved")
    with pytest.raises(Killed):
        life.run(1)
    assert [[claim.worker for claim in told.slot_claims] for told in coordinator.told] == [["jobs:one"]]
