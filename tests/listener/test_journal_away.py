"""The journal cannot be written."""

from __future__ import annotations

from pathlib import Path

from supervisor_memkill.rules.drain import State
from tests.listener.situations import (
    run_until_replaced,
)
from tests.listener_world import (
    Life,
    World,
)


def test_unwritable_journal_holds_the_quiet_and_the_stop(world: World, path: Path) -> None:
    world.finish_jobs()
    life = Life(world, path)
    path.parent.mkdir(mode=0o700)
    blocker = path.with_name(path.name + ".new")
    blocker.mkdir()
    life.run(60)
    assert world.happened == []
    assert len(life.stream.having("journal.away")) == 1, "said once"
    blocker.rmdir()
    run_until_replaced(life, world)
    assert len(life.stream.having("journal.back")) == 1


def test_unwritable_journal_does_not_hold_the_start(world: World, path: Path) -> None:
    """A start restores capacity, and the older journal leads to the same end."""
    world.finish_jobs()
    life = Life(world, path)
    name = life.run_to(State.STOPPING)
    blocker = path.with_name(path.name + ".new")
    blocker.mkdir()
    life.run(20)
    assert world.in_service(world.workers[name])
    blocker.rmdir()
    run_until_replaced(life, world)
