"""Processes of the old worker that outlive its stop."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.errors import Unknown
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State
from tests.listener.situations import (
    is_whole,
    run_until_replaced,
)
from tests.listener_world import (
    FRESH,
    Life,
    World,
    WorldTable,
)


def test_old_process_delays_the_start_only_for_stopwaitsecs_and_is_logged(world: World, path: Path) -> None:
    """The drain is done only when the old process is gone: until then its memory is not free."""
    world.finish_jobs()
    world.workers["jobs:one"].orphans = (9999,)
    world.alive_orphans = {9999}
    life = Life(world, path)
    life.run(60)
    assert any("9999" in line for line in life.stream.having("drain.starting"))
    assert world.workers["jobs:one"].memory == FRESH and is_whole(world)
    assert life.only_drain() == ("jobs:one", State.SETTLING)
    assert "pids=9999" in life.stream.having("drain.old_processes_live")[0]
    world.alive_orphans = set()
    run_until_replaced(life, world)


def test_old_processes_are_waited_for_at_most_stopwaitsecs(world: World, path: Path) -> None:
    programs = world.programs
    world.programs = lambda: [dataclasses.replace(one, stopwaitsecs=30) for one in programs()]  # type: ignore[method-assign]
    world.finish_jobs()
    world.workers["jobs:one"].orphans, world.alive_orphans = (9999,), {9999}
    life = Life(world, path)
    life.run_to(State.STOPPING)
    life.run(25)
    assert life.only_drain() == ("jobs:one", State.STOPPING)
    life.run(10)
    assert "start jobs:one" in world.happened


def test_process_that_a_job_started_after_the_stop_counts_as_old_too(world: World, path: Path) -> None:
    world.finish_jobs()
    worker = world.workers["jobs:one"]
    worker.stop_seconds = 5.0
    life = Life(world, path)
    life.run(60, until=lambda: worker.state is ProcessState.STOPPING)
    life.run(1)
    worker.orphans, world.alive_orphans = (9999,), {9999}
    life.run(60)
    assert any("9999" in line for line in life.stream.having("drain.starting"))


def test_old_process_that_cannot_be_looked_at_is_waited_for(
    world: World, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.finish_jobs()
    world.workers["jobs:one"].orphans = (9999,)

    def unknown(self: WorldTable, process: Any) -> bool:
        if process.pid == 9999:
            raise Unknown("no permission")
        return is_alive(self, process)

    is_alive = WorldTable.is_alive
    monkeypatch.setattr(WorldTable, "is_alive", unknown)
    life = Life(world, path)
    life.run(60)
    assert life.only_drain() == ("jobs:one", State.SETTLING)
    assert "pids=9999" in life.stream.having("drain.old_processes_live")[0]


def test_background_process_of_the_fresh_worker_is_not_waited_for(world: World, path: Path) -> None:
    """Only children of the old process count as old processes."""
    world.finish_jobs()
    life = Life(world, path)
    fresh = world.workers[life.run_to(State.SETTLING)]
    fresh.orphans, world.alive_orphans = (9999,), {9999}
    life.run(1)
    fresh.orphans = ()  # It left the tree of the worker.
    life.run(60, until=lambda: bool(life.stream.having("drain.done")))
    assert life.stream.having("drain.done")
