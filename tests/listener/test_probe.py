"""One reading of the machine's memory per second, for all that watch it between two checks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from supervisor_memkill.listener.probe import Probe
from supervisor_memkill.units import Size
from tests.listener.test_former_looks import NamelessKind
from tests.listener_world import FRESH, LIMIT, FakeMachine, Life, World, pool_config

NEVER = 10**9


@dataclass
class FakeWatch:
    is_watching: bool


@pytest.mark.parametrize("watching", [(True, False), (False, True), (True, True)])
def test_one_watch_is_enough_for_a_reading_each_second(watching: tuple[bool, bool]) -> None:
    now = 100.0
    probe = Probe(lambda: now, *map(FakeWatch, watching))
    assert (probe.wait_seconds, probe.begins()) == (0.0, True)
    now = 100.25
    assert (probe.wait_seconds, probe.begins()) == (0.75, False)
    now = 101.0
    assert (probe.wait_seconds, probe.begins()) == (0.0, True)
    now = 107.5
    assert (probe.wait_seconds, probe.begins()) == (0.0, True)


def test_without_a_watch_nothing_is_due_and_with_one_at_once() -> None:
    watch = FakeWatch(False)
    probe = Probe(lambda: 5.0, watch)
    assert (probe.wait_seconds, probe.begins()) == (None, False)
    watch.is_watching = True
    assert (probe.wait_seconds, probe.begins()) == (0.0, True)


def test_growth_and_shortage_wake_the_listener_together(path: Path) -> None:
    world = World(["one", "two", "three"])
    for worker in world.workers.values():
        worker.memory = FRESH
    config = pool_config(hard_max_rss=Size(exact_bytes=3 * LIMIT))
    life = Life(
        world,
        path,
        kind=NamelessKind,
        config=config,
        machine=FakeMachine(world),
        min_free=Size(exact_bytes=LIMIT),
    )
    life.run(2, tick_seconds=NEVER)
    turns = 0
    for _ in range(100):
        world.advance(0.1)
        if life.listener.wait_seconds() == 0.0:
            life.listener.turn(ticked=False)
            turns += 1
    assert turns in (10, 11)
