"""A dry run logs what would happen, and changes nothing."""

from __future__ import annotations

from pathlib import Path

from supervisor_memkill.processes import ProcessState
from tests.listener_world import (
    Life,
    World,
)


def test_dry_run_logs_what_it_would_do_and_changes_nothing(world: World, path: Path) -> None:
    life = Life(world, path, dry_run=True)
    life.run(60)
    assert world.happened == []
    assert not path.exists()
    assert any("would be drained now" in line for line in life.stream.having("dry_run.verdict"))


def test_dry_run_logs_the_drain_that_it_leaves_unfinished(world: World, path: Path) -> None:
    world.finish_jobs()
    name = Life(world, path, die_at="starting.saved").run_to_death()
    life = Life(world, path, dry_run=True)
    life.run(600)
    assert world.workers[name].state is ProcessState.STOPPED
    assert any(name in line for line in life.stream.lines), life.stream.lines
