"""The journal's directory is swept of old files while the listener works."""

from __future__ import annotations

import shutil
from pathlib import Path

from supervisor_memkill.listener.journal import Journal
from supervisor_memkill.rules.drain import State
from tests.listener.situations import run_until_replaced
from tests.listener_world import Life, World


def test_drain_under_way_is_in_the_journal_again_after_the_next_turn(world: World, path: Path) -> None:
    life = Life(world, path)
    life.run_to(State.DRAINING)
    left = life.drains()
    shutil.rmtree(path.parent)
    life.listener.turn(ticked=False)
    assert life.drains().keys() == left.keys()
    life.die()
    world.finish_jobs()
    run_until_replaced(Life(world, path), world)


def test_nothing_is_done_while_another_listener_has_the_lock(world: World, path: Path) -> None:
    life = Life(world, path)
    life.run_to(State.DRAINING)
    world.finish_jobs()
    shutil.rmtree(path.parent)
    other = Journal(path, "boot")
    other.lock()
    happened = list(world.happened)
    life.run(30)
    assert world.happened == happened
    assert "held by another listener" in life.stream.having("journal.away")[0]
    other.unlock()
    run_until_replaced(life, world)
    assert life.stream.having("journal.back")
