"""A listener takes up the drains of the one before it, wherever that one died."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor_memkill.rules.drain import State
from tests.listener.situations import (
    run_until_replaced,
)
from tests.listener_world import (
    Killed,
    Life,
    QuietKind,
    StopKind,
    World,
)
from tests.places import PLACES


@pytest.mark.parametrize("kind", [QuietKind, StopKind])
@pytest.mark.parametrize("place", PLACES)
def test_killed_anywhere_the_drain_goes_on(
    world: World, path: Path, place: str, kind: type[QuietKind]
) -> None:
    world.finish_jobs()
    life = Life(world, path, die_at=place, kind=kind)
    try:
        life.run(60)
    except Killed:
        life.die()
    else:
        assert kind is StopKind, f"{place} was not reached"
        assert place.startswith(("quieting", "draining"))
        return
    world.advance(30.0)
    run_until_replaced(Life(world, path, kind=kind), world)


@pytest.mark.parametrize("place", PLACES)
def test_killed_at_every_turn_anew_the_drain_still_ends(world: World, path: Path, place: str) -> None:
    """Each life dies at its first such place: what is saved before acting must lead on."""
    world.finish_jobs()
    for _ in range(3):
        life = Life(world, path, die_at=place)
        try:
            life.run(60)
        except Killed:
            life.die()
            world.advance(7.0)
    run_until_replaced(Life(world, path), world)


def test_drain_of_the_same_pool_is_taken_up_as_it_is(world: World, path: Path) -> None:
    life = Life(world, path)
    name = life.run_to(State.DRAINING)
    life.die()
    life = Life(world, path)
    life.listener.turn(ticked=False)
    assert name in life.drains()
    assert life.stream.having("drain.taken_up") and not life.stream.having("drain.pool_changed")


def test_drain_that_only_asked_is_not_taken_up(world: World, path: Path) -> None:
    """Whether the worker still asks is for a check to say; nothing was done to it."""
    life = Life(world, path, die_at="asking.saved")
    with pytest.raises(Killed):
        life.run(5)
    life.die()
    life = Life(world, path)
    life.listener.turn(ticked=False)
    assert life.drains() == {}
    assert life.stream.having("drain.taken_up") == []


def test_second_listener_stands_by_and_takes_over(world: World, path: Path) -> None:
    first, second = Life(world, path), Life(world, path)
    first.tick()
    second.run(20)
    assert world.happened == ["quiet jobs:one"]
    assert "held by another listener" in second.stream.having("journal.away")[0]
    first.die()
    world.finish_jobs()
    run_until_replaced(second, world)


def test_supervisord_restarted_in_mid_drain_leaves_fresh_workers(world: World, path: Path) -> None:
    """Its restart starts every worker anew, and the listener with it."""
    life = Life(world, path)
    life.run_to(State.DRAINING)
    life.die()
    for worker in world.workers.values():
        world.spawn(worker)
    run_until_replaced(Life(world, path), world)
