"""A source of readings that is away, and processes that nobody supervises, are reported once."""

from __future__ import annotations

from pathlib import Path

from supervisor_memkill.workers.contract import LeftBehind
from tests.listener_world import FRESH, Life, QuietKind, World, pool_config


def all_are_fresh(world: World) -> None:
    for worker in world.workers.values():
        worker.memory = FRESH


def test_source_that_is_away_is_reported_though_no_worker_is_over_its_limit(world: World, path: Path) -> None:
    all_are_fresh(world)
    life = Life(world, path)
    life.run(10)
    assert not life.stream.having("readings.away")
    world.records_away = True
    life.run(60)
    world.records_away = False
    life.run(60)
    (away,), (back,) = life.stream.having("readings.away"), life.stream.having("readings.back")
    assert 'error="Redis is away" pool=jobs' in away
    assert "pool=jobs" in back and "after=1m" in back


def test_outage_of_one_pool_does_not_hide_that_of_another(world: World, path: Path) -> None:
    all_are_fresh(world)
    other = pool_config(name="other", programs=("jobs:three",))
    config = pool_config(programs=("jobs:one", "jobs:two"))
    life = Life(world, path, config=config, also=[(other, QuietKind)])
    world.records_away = True
    life.run(30)
    assert len(life.stream.having("readings.away")) == 2


def test_source_is_neither_away_nor_back_while_nobody_asks_it(world: World, path: Path) -> None:
    """No worker runs, so that there is nothing to read."""
    life = Life(world, path)
    world.records_away = True
    life.run(10)
    for name in world.workers:
        world.operator_stops(name)
    world.records_away = False
    life.run(60)
    assert len(life.stream.having("readings.away")) == 1 and not life.stream.having("readings.back")


def test_process_that_nobody_supervises_is_named_once_and_left_alone(world: World, path: Path) -> None:
    all_are_fresh(world)
    world.left_behind = (LeftBehind(812, "web1:812:0a1b", frozenset({"mail", "default"})),)
    life = Life(world, path)
    life.run(120)
    (line,) = life.stream.having("worker.left_behind")
    assert "pid=812" in line and "queues=default,mail" in line and "killasgroup=true" in line
    assert world.happened == []
    world.left_behind = (LeftBehind(812, "web1:812:ffff"),)
    life.run(10)
    assert len(life.stream.having("worker.left_behind")) == 2, "another process has its pid"


def test_nothing_more_is_asked_of_a_source_that_is_away(world: World, path: Path) -> None:
    all_are_fresh(world)
    world.records_away = True
    world.left_behind = (LeftBehind(812, "web1:812:0a1b"),)
    life = Life(world, path)
    life.run(60)
    assert not life.stream.having("worker.left_behind")
