"""While the machine has less memory left than min_free, the largest worker that may yield is replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.shortage import Yields
from supervisor_memkill.units import Size
from tests.listener_world import (
    FRESH,
    LIMIT,
    FakeMachine,
    Life,
    QuietKind,
    SharedCoordinator,
    World,
    pool_config,
)

MIN_FREE = 10 * LIMIT
NEVER = 10**9


@pytest.fixture
def world() -> World:
    world = World(["one", "two", "three"])
    for number, worker in enumerate(world.workers.values()):
        worker.memory = FRESH + number
    return world


@pytest.fixture
def machine(world: World) -> FakeMachine:
    return FakeMachine(world)


def life_of(world: World, path: Path, machine: FakeMachine, **settings: object) -> Life:
    config = pool_config(**{"min_uptime_seconds": 0.0, **settings})
    life = Life(world, path, config=config, machine=machine, min_free=Size(exact_bytes=MIN_FREE))
    life.listener.turn(ticked=False)
    return life


def leave(machine: FakeMachine, free_bytes: int) -> None:
    """Other processes use all but this."""
    machine.others += machine.free_bytes() - free_bytes


def turns(world: World, life: Life, seconds: int) -> None:
    """Turns as they are due, without a TICK."""
    for _ in range(seconds):
        world.advance(1.0)
        wait = life.listener.wait_seconds()
        assert wait is not None
        if wait <= 1.0:
            life.listener.turn(ticked=False)


def test_largest_worker_is_drained_while_there_is_time(
    world: World, path: Path, machine: FakeMachine
) -> None:
    life = life_of(world, path, machine)
    turns(world, life, 3)
    leave(machine, MIN_FREE * 3 // 4)
    turns(world, life, 10)
    assert world.happened == ["quiet jobs:three"]
    assert len(life.stream.having("machine.short")) == 1
    leave(machine, 2 * MIN_FREE)
    world.finish_jobs()
    turns(world, life, 30)
    assert "stop jobs:three" in world.happened, "a drain under way is finished"
    assert len(life.stream.having("machine.recovered")) == 1
    assert not {"stop jobs:one", "stop jobs:two"} & set(world.happened)
    assert not world.broken_promises


def test_largest_worker_is_stopped_with_its_jobs_when_no_time_is_left(
    world: World, path: Path, machine: FakeMachine
) -> None:
    life = life_of(world, path, machine)
    leave(machine, MIN_FREE // 4)
    turns(world, life, 5)
    assert world.happened[0] == "stop jobs:three"
    assert "reason=min_free_now" in life.stream.having("drain.stopping")[0]


def test_restarts_that_give_nothing_back_are_not_repeated(
    world: World, path: Path, machine: FakeMachine
) -> None:
    """Another program uses the memory."""
    life = life_of(world, path, machine)
    world.finish_jobs()
    for _ in range(120):
        leave(machine, MIN_FREE // 4)
        turns(world, life, 5)
    stops = [one for one in world.happened if one.startswith("stop")]
    assert sorted(stops) == ["stop jobs:one", "stop jobs:three", "stop jobs:two"], "each one once"
    assert "gave no memory back" in life.stream.having("worker.held")[-1]


@pytest.mark.parametrize("begins", ["for its limit", "for the machine"])
def test_worker_that_does_not_come_back_keeps_no_other_from_the_relief(path: Path, begins: str) -> None:
    """Its memory was given back long ago, and nobody knows when its release is mended."""
    world = World(["one", "two", "three", "four"])
    for number, worker in enumerate(world.workers.values()):
        worker.memory = FRESH + number
    broken = world.workers["jobs:four"]
    broken.broken = True
    world.finish_jobs()
    machine = FakeMachine(world)
    life = life_of(world, path, machine)
    if begins == "for its limit":
        broken.memory = 2 * LIMIT
        life.tick()
    else:
        leave(machine, MIN_FREE // 4)
    turns(world, life, 3)
    assert "stop jobs:four" in world.happened
    leave(machine, 2 * MIN_FREE)
    turns(world, life, 20)
    leave(machine, MIN_FREE // 4)
    turns(world, life, 3)
    assert "stop jobs:three" in world.happened
    assert "stop jobs:two" not in world.happened, "one at a time"


def test_drain_for_the_machine_stops_waiting_when_no_time_is_left(
    world: World, path: Path, machine: FakeMachine
) -> None:
    life = life_of(world, path, machine)
    leave(machine, MIN_FREE * 3 // 4)
    turns(world, life, 5)
    assert world.happened == ["quiet jobs:three"]
    leave(machine, MIN_FREE // 4)
    turns(world, life, 3)
    assert "stop jobs:three" in world.happened
    assert "cause=machine_is_short" in life.stream.having("drain.stopping")[0]


def test_fast_decline_leaves_no_time(world: World, path: Path, machine: FakeMachine) -> None:
    life = life_of(world, path, machine)
    leave(machine, MIN_FREE + 2 * LIMIT)
    turns(world, life, 3)
    for _ in range(4):
        machine.others += LIMIT
        turns(world, life, 1)
    assert world.happened[0] == "stop jobs:three", "what is left lasts for less than 10 s"


def test_burst_is_no_trend(world: World, path: Path, machine: FakeMachine) -> None:
    life = life_of(world, path, machine)
    leave(machine, MIN_FREE + LIMIT)
    turns(world, life, 3)
    leave(machine, MIN_FREE - 2 * LIMIT)
    turns(world, life, 5)
    assert world.happened == ["quiet jobs:three"]


def test_stalled_machine_has_no_time(world: World, path: Path, machine: FakeMachine) -> None:
    life = life_of(world, path, machine)
    leave(machine, MIN_FREE - 1)
    machine.stalled = 20.0
    turns(world, life, 5)
    assert world.happened[0] == "stop jobs:three"


def test_one_at_a_time(world: World, path: Path, machine: FakeMachine) -> None:
    """The next one follows when the first is back, if memory is still short."""
    life = life_of(world, path, machine, min_available=0, max_draining=3)
    leave(machine, MIN_FREE * 3 // 4)
    turns(world, life, 30)
    assert world.happened == ["quiet jobs:three"]


@pytest.mark.parametrize("yields", Yields)
def test_last_worker_is_taken_only_where_the_machine_comes_first(path: Path, yields: Yields) -> None:
    world = World(["one"])
    world.workers["jobs:one"].memory = FRESH
    machine = FakeMachine(world)
    life = life_of(world, path, machine, yields=yields)
    leave(machine, MIN_FREE // 4)
    turns(world, life, 5)
    assert ("stop jobs:one" in world.happened) == (yields is Yields.ALWAYS)


def test_last_worker_is_never_drained_while_there_is_time(path: Path) -> None:
    world = World(["one"])
    world.workers["jobs:one"].memory = FRESH
    machine = FakeMachine(world)
    life = life_of(world, path, machine, yields=Yields.ALWAYS)
    leave(machine, MIN_FREE * 3 // 4)
    turns(world, life, 20)
    assert not world.happened


def test_pool_that_does_not_yield_is_left_alone(world: World, path: Path, machine: FakeMachine) -> None:
    """Of two pools the one that yields gives its largest worker, though the other's are larger."""
    world.workers["jobs:three"].memory = LIMIT - 1
    keeps = pool_config(name="keeps", programs=("jobs:three",), yields=Yields.NO)
    config = pool_config(programs=("jobs:one", "jobs:two"))
    life = Life(
        world,
        path,
        config=config,
        also=[(keeps, QuietKind)],
        machine=machine,
        min_free=Size(exact_bytes=MIN_FREE),
    )
    life.listener.turn(ticked=False)
    leave(machine, MIN_FREE // 4)
    turns(world, life, 5)
    assert world.happened[0] == "stop jobs:two"
    assert "stop jobs:three" not in world.happened


def test_worker_whose_settings_are_unknown_is_left_alone(
    world: World, path: Path, machine: FakeMachine
) -> None:
    life = life_of(world, path, machine)
    world.tells_programs = False
    leave(machine, MIN_FREE // 4)
    turns(world, life, 20)
    assert not world.happened


def test_unreadable_memory_is_no_shortage(world: World, path: Path, machine: FakeMachine) -> None:
    life = life_of(world, path, machine)
    leave(machine, MIN_FREE // 4)
    machine.is_unreadable = True
    turns(world, life, 10)
    assert not world.happened
    (report,) = life.stream.having("machine.unreadable")
    assert 'why="no /proc/meminfo"' in report
    machine.is_unreadable = False
    leave(machine, 2 * MIN_FREE)
    turns(world, life, 2)
    machine.is_unreadable = True
    turns(world, life, 2)
    assert len(life.stream.having("machine.unreadable")) == 2


def test_reading_that_fails_is_no_recovery(world: World, path: Path, machine: FakeMachine) -> None:
    life = life_of(world, path, machine)
    leave(machine, MIN_FREE * 3 // 4)
    turns(world, life, 2)
    machine.is_unreadable = True
    turns(world, life, 5)
    assert not life.stream.having("machine.recovered")
    machine.is_unreadable = False
    leave(machine, 2 * MIN_FREE)
    turns(world, life, 2)
    assert len(life.stream.having("machine.short")) == 1
    assert len(life.stream.having("machine.recovered")) == 1


def test_without_min_free_nothing_is_probed(world: World, path: Path, machine: FakeMachine) -> None:
    life = Life(world, path, machine=machine)
    leave(machine, 0)
    life.run(60)
    assert not world.happened
    assert life.listener.wait_seconds() is None


def test_slot_that_comes_after_the_shortage_is_not_used(
    world: World, path: Path, machine: FakeMachine
) -> None:
    life = life_of(world, path, machine)

    def recover(place: str) -> None:
        if place == "asking.saved":
            leave(machine, 2 * MIN_FREE)
            world.advance(1.0)

    life.at = recover
    leave(machine, MIN_FREE * 3 // 4)
    turns(world, life, 1)
    turns(world, life, 10)
    assert "stop jobs:three" not in world.happened


def test_stop_that_takes_an_hour_keeps_no_other_worker_from_the_relief(path: Path) -> None:
    """Until it ends, or supervisord kills it after stopwaitsecs, it gives no memory back."""
    world = World(["one", "two", "three", "four"])
    for number, worker in enumerate(world.workers.values()):
        worker.memory = FRESH + number
    world.stopwaitsecs = 3600
    world.workers["jobs:four"].stop_seconds = 3599
    machine = FakeMachine(world)
    life = life_of(world, path, machine)
    leave(machine, MIN_FREE // 4)
    turns(world, life, 20)
    assert [one for one in world.happened if one.startswith("stop")] == ["stop jobs:four"], "one at a time"
    turns(world, life, 20)
    assert "stop jobs:three" in world.happened


class Deaf(QuietKind):
    """Its worker takes no notice of the quiet."""

    def quiet(self, target: Any, table: Any) -> Any:
        return {"sent": True}


def last_one(path: Path, before: int, after: int, **settings: Any) -> tuple[World, Life, SharedCoordinator]:
    """A worker in QUIETING that still takes jobs; then no other is in service, and so much memory is left.

    Its pool says that the machine comes first.
    """
    world = World(["one", "two"])
    world.workers["jobs:one"].memory, world.workers["jobs:two"].memory = FRESH + 1, FRESH
    machine = FakeMachine(world)
    coordinator = SharedCoordinator(world)
    config = pool_config(yields=Yields.ALWAYS, **settings)
    life = Life(
        world,
        path,
        kind=Deaf,
        config=config,
        machine=machine,
        min_free=Size(exact_bytes=MIN_FREE),
        coordinate=lambda contents: coordinator,
    )
    if settings:
        world.workers["jobs:one"].memory = 2 * LIMIT
        life.tick()
        turns(world, life, 15)
    else:
        life.listener.turn(ticked=False)
        leave(machine, before)
        turns(world, life, 3)
    assert life.only_drain() == ("jobs:one", State.QUIETING)
    world.operator_stops("jobs:two")
    leave(machine, after)
    return world, life, coordinator


def test_drain_for_the_machine_needs_other_workers_while_there_is_time(path: Path) -> None:
    world, life, _ = last_one(path, MIN_FREE * 3 // 4, MIN_FREE * 3 // 4)
    turns(world, life, 20)
    assert "cause=quiet_lost" in life.stream.having("drain.let_go")[0]
    assert "stop jobs:one" not in world.happened


def test_drain_for_another_reason_needs_other_workers_though_the_machine_comes_first(path: Path) -> None:
    """The worker may be stopped for the machine, by a drain that says so."""
    hard = Size(exact_bytes=2 * LIMIT + 1)
    world, life, _ = last_one(path, 0, MIN_FREE // 4, hard_max_rss=hard)
    world.workers["jobs:one"].memory = 3 * LIMIT
    turns(world, life, 20)
    reasons = {line.partition("reason=")[2].split()[0] for line in life.stream.having("drain.stopping")}
    assert reasons <= {"min_free_now"}


def test_answer_that_does_not_come_takes_no_last_worker(path: Path) -> None:
    world, life, coordinator = last_one(path, MIN_FREE * 3 // 4, MIN_FREE // 4)
    coordinator.is_away = True
    turns(world, life, 20)
    assert "stop jobs:one" not in world.happened
    assert not life.stream.having("failed")
    coordinator.is_away = False
    turns(world, life, 20)
    assert "stop jobs:one" in world.happened
