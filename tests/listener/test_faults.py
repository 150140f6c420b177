"""A fault in the code of one kind, or in the step of one worker, harms no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.rules.drain import State
from supervisor_memkill.units import Size
from tests.listener_world import (
    BLOATED,
    FRESH,
    Life,
    QuietKind,
    StopKind,
    World,
    pool_config,
)


def test_fault_in_the_step_of_one_worker_does_not_stop_the_others(path: Path) -> None:
    world = World(["one", "two", "three", "four"])
    world.max_draining = 2

    class Faulty(QuietKind):
        def quiet(self, target: Any, table: Any) -> Any:
            if target.process.name == "one":
                raise ZeroDivisionError("a bug")
            return super().quiet(target, table)

    life = Life(world, path, kind=Faulty, config=pool_config(max_draining=2))
    world.workers["jobs:one"].memory = 2 * BLOATED
    life.run(10)
    assert world.happened
    assert "quiet jobs:one" not in world.happened
    (line,) = life.stream.having("failed")
    assert "worker jobs:one" in line
    assert "ZeroDivisionError" in line


def test_fault_of_a_kind_is_logged_with_its_pool(path: Path) -> None:
    world = World()

    class Faulty(QuietKind):
        def read(self, targets: Any, table: Any) -> Any:
            raise ZeroDivisionError("a bug")

    life = Life(world, path, kind=Faulty)
    life.run(20)
    assert world.happened == []
    (line,) = life.stream.having("failed")
    assert "pool jobs" in line
    assert "ZeroDivisionError" in line


@pytest.mark.parametrize("method", ["read", "before_stop", "memory_in_children"])
def test_kind_that_raises_leaves_no_worker_quiet(
    world: World, path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kind may come from anybody."""

    def fail(*arguments: Any) -> Any:
        raise KeyError("a fault of this kind")

    config = pool_config(drain_timeout_seconds=60.0, hard_max_rss=Size(exact_bytes=10 * BLOATED))
    life = Life(world, path, config=config)
    name = life.run_to(State.DRAINING)
    monkeypatch.setattr(QuietKind, method, fail)
    life.run(120)
    assert f"start {name}" in world.happened, life.stream.lines
    told = {"read": "kind.failed", "before_stop": "drain.stop_help_failed"}.get(method)
    if told:
        (line,) = life.stream.having(told)
        assert name in line and "a fault of this kind" in line


def test_drain_is_kept_while_its_pool_cannot_be_looked_at(world: World, path: Path) -> None:
    class Faulty(StopKind):
        def read(self, targets: Any, table: Any) -> Any:
            if is_faulty[0] and len(targets) > 1:
                raise ZeroDivisionError("a bug that another worker meets")
            return super().read(targets, table)

    is_faulty = [False]
    name = Life(world, path, kind=Faulty, die_at="stopping.saved").run_to_death()
    life = Life(world, path, kind=Faulty)
    is_faulty[0] = True
    life.run(20)
    assert life.only_drain() == (name, State.STOPPING) and life.stream.having("failed")
    is_faulty[0] = False
    life.run(60, until=lambda: bool(life.stream.having("drain.done")))
    assert world.workers[name].memory == FRESH
