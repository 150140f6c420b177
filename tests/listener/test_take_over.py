"""A listener takes up the drains of the one before it, wherever that one was killed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.notices.drain_events import DrainDone, DrainTakenUp
from supervisor_memkill.notices.event import Event
from supervisor_memkill.rules.drain import State
from supervisor_memkill.workers.contract import Reading, Target
from supervisor_memkill.world.supervisord import NoAnswer
from tests.listener.situations import (
    only_one_is_bloated,
    run_until_replaced,
)
from tests.listener_world import (
    Killed,
    Life,
    QuietKind,
    StopKind,
    World,
    pool_config,
)
from tests.places import PLACES


@pytest.mark.parametrize("kind", [QuietKind, StopKind])
@pytest.mark.parametrize("place", PLACES)
def test_drain_continues_after_a_kill_at_any_place(
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
def test_drain_ends_even_if_each_listener_is_killed_at_the_same_place(
    world: World, path: Path, place: str
) -> None:
    """What is saved before an action must be enough to continue."""
    world.finish_jobs()
    for _ in range(3):
        life = Life(world, path, die_at=place)
        try:
            life.run(60)
        except Killed:
            life.die()
            world.advance(7.0)
    run_until_replaced(Life(world, path), world)


def test_drain_of_an_unchanged_pool_is_taken_up_unchanged(world: World, path: Path) -> None:
    life = Life(world, path)
    name = life.run_to(State.DRAINING)
    life.die()
    life = Life(world, path)
    life.listener.turn(ticked=False)
    assert name in life.drains()
    assert life.stream.having("drain.taken_up") and not life.stream.having("drain.pool_changed")


def test_drain_that_only_asked_is_not_taken_up(world: World, path: Path) -> None:
    """Nothing was done to the worker yet; the next check decides whether it asks again."""
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


def test_drain_ends_after_supervisord_restarted_all_workers(world: World, path: Path) -> None:
    """A restart of supervisord restarts every worker, and the listener too."""
    life = Life(world, path)
    life.run_to(State.DRAINING)
    life.die()
    for worker in world.workers.values():
        world.spawn(worker)
    run_until_replaced(Life(world, path), world)


@pytest.mark.parametrize("state", [State.DRAINING, State.STOPPING])
def test_drain_of_a_journal_of_format_1_goes_on_where_it_stood(
    world: World, path: Path, state: State
) -> None:
    """The journal was written by the version before format 2, in this very world."""
    if state is State.STOPPING:
        world.finish_jobs()
    moment = "saved" if state is State.DRAINING else "acted"
    name = Life(world, path, die_at=f"{state.value}.{moment}").run_to_death()
    former = Path(__file__).parent / "journals" / f"format-1-{state.value}.journal"
    path.write_bytes(former.read_bytes())
    world.finish_jobs()
    life = Life(world, path)
    assert life.drains()[name].state is state
    run_until_replaced(life, world)
    assert life.stream.having("drain.taken_up")[0].endswith(f"state={state.value}")


def test_history_has_each_event_once_if_supervisord_is_away_at_first(world: World, path: Path) -> None:
    world.finish_jobs()
    Life(world, path, die_at="draining.saved").run_to_death()
    history = History()
    life = Life(world, path, history=history)
    world.away = NoAnswer("no answer")
    for _ in range(3):
        life.tick()
        world.advance(1.0)
    world.away = None
    life.run(60, until=lambda: bool(life.stream.having("drain.done")))
    assert [type(event) for event in history.of(DrainTakenUp, DrainDone)] == [DrainTakenUp, DrainDone]


@pytest.mark.parametrize(
    ("found", "cause"),
    [
        ({"recognised": False, "why": "it is already stopping"}, "not_drainable_now"),
        ({"recognised": None, "jobs": None}, "not_drainable_now"),
        ({"hold": "its scheduler ends too slowly"}, "not_drainable_now"),
        ({"jobs": ("Import",)}, "protected_job"),
        ({"jobs": None}, "protected_job"),
    ],
)
def test_stop_that_was_not_sent_is_sent_only_if_the_drain_could_begin_now(
    world: World, path: Path, found: Mapping[str, Any], cause: str
) -> None:
    """The listener died before the stop, and the worker went on: a stop would cost its job."""
    only_one_is_bloated(world)
    config = pool_config(protect_jobs=("Imp*",))
    Life(world, path, kind=StopKind, config=config, die_at="stopping.saved").run_to_death()

    class Changed(StopKind):
        def _read(self, target: Target) -> Reading:
            return dataclasses.replace(super()._read(target), **found)

    life = Life(world, path, kind=Changed, config=config)
    life.run(60)
    assert world.happened == [] and not life.drains()
    assert f"cause={cause}" in life.stream.having("drain.let_go")[0]


class History:
    """Keeps every event."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def take(self, event: Event) -> None:
        self._events.append(event)

    def of(self, *types: type[Event]) -> list[Event]:
        return [event for event in self._events if isinstance(event, types)]
