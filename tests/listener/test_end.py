"""The listener ends: nothing happens afterwards, and the next one finds the journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor_memkill.rules.drain import State
from tests.listener_world import (
    Life,
    World,
    pool_config,
)


@pytest.mark.parametrize("ended_in", [1, 5, 30])
def test_nothing_happens_after_the_end(world: World, path: Path, ended_in: int) -> None:
    life = Life(world, path)
    life.run(ended_in)
    before = list(world.happened)
    life.listener.ended = True
    life.run(30)
    assert world.happened == before
    assert list(life.drains()) == ["jobs:one"], "the next listener finds it in the journal"


def test_end_during_one_drains_step_holds_the_next_drain(world: World, path: Path) -> None:
    life = Life(world, path, config=pool_config(max_draining=2))

    def end_after_a_stop(place: str) -> None:
        life.listener.ended = life.listener.ended or place == "stopping.acted"

    life.at = end_after_a_stop
    life.run(10)
    assert [one.state for one in life.drains().values()] == [State.DRAINING] * 2
    world.finish_jobs()
    life.run(10)
    assert sorted(one.state.value for one in life.drains().values()) == ["draining", "stopping"]
    assert len([act for act in world.happened if act.startswith("stop")]) == 1


def test_ending_listener_logs_the_drains_that_it_leaves(world: World, path: Path) -> None:
    life = Life(world, path)
    life.run_to(State.DRAINING)
    life.listener.report_left()
    (line,) = life.stream.having("drain.left")
    assert life.only_drain()[0] in line and "state=draining" in line
