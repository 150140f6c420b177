"""A request to supervisord, or its answer, is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State
from supervisor_memkill.world.supervisord import NoAnswer
from tests.listener.situations import (
    others_stop,
    run_until_replaced,
)
from tests.listener_world import (
    Life,
    World,
)


@pytest.mark.parametrize("call", ["stop", "start", "signal"])
def test_drain_continues_after_a_lost_answer(world: World, path: Path, call: str) -> None:
    world.finish_jobs()
    world.lose_answer_of = call
    run_until_replaced(Life(world, path), world)


def test_lost_quiet_is_sent_again(world: World, path: Path) -> None:
    world.finish_jobs()
    world.workers["jobs:one"].ignores_quiet = True
    life = Life(world, path)
    life.run(20)
    assert world.happened.count("quiet jobs:one") > 1
    world.workers["jobs:one"].ignores_quiet = False
    run_until_replaced(life, world)


def test_stop_by_the_operator_after_our_lost_stop_is_kept(world: World, path: Path) -> None:
    """S5: our stop had no answer, and the next look showed that it had not arrived."""
    stop, sent = world.stop, list[str]()

    def lose(name: str) -> None:
        sent.append(name)
        raise NoAnswer("the request got lost")

    life = Life(world, path)
    name = life.run_to(State.DRAINING)
    others_stop(world, name)
    world.stop = lose  # type: ignore[method-assign]
    world.finish_jobs()
    life.run(10, until=lambda: bool(sent))
    world.workers[name].quiet = False  # Somebody resumed it, and it is the last worker in service.
    life.run(60)
    assert sent == [name] and life.only_drain() == (name, State.STOPPING)
    world.stop = stop  # type: ignore[method-assign]
    world.operator_stops(name)
    life.run(30)
    assert world.workers[name].state is ProcessState.STOPPED
    assert not world.broken_promises, world.broken_promises
