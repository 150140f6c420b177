"""What the operator does to a worker during its drain is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State, StopAnswer
from supervisor_memkill.world.supervisord import NoAnswer
from tests.listener.situations import STATES, P, run_to, run_until_replaced
from tests.listener_world import BLOATED, EPOCH, FRESH, Killed, Life, StopKind, World


@pytest.mark.parametrize("state", STATES)
def test_worker_that_the_operator_stops_stays_stopped(world: World, path: Path, state: State) -> None:
    life = Life(world, path)
    name = run_to(state, life, world)
    world.operator_stops(name)
    if not world.workers[name].stopped_by_operator:
        return  # Stopped or STOPPING by us already: supervisord refuses the operator's stop.
    world.finish_jobs()
    life.run(120)
    assert world.workers[name].state is P.STOPPED
    assert not world.broken_promises
    assert not life.drains()


@pytest.mark.parametrize("listener_away", [False, True])
def test_clock_that_was_set_back_is_no_restart_by_the_operator(
    world: World, path: Path, listener_away: bool
) -> None:
    """supervisord then moves the start of a young process back: the same process has another start."""
    life = Life(world, path)
    name = life.run_to(State.DRAINING)
    if listener_away:
        life.die()
        life = Life(world, path)
    worker = world.workers[name]
    worker.began_at = worker.start - EPOCH
    worker.start -= 20
    life.run(3)
    assert not life.stream.having("drain.settling"), life.stream.lines
    assert life.only_drain() == (name, State.DRAINING)
    world.finish_jobs()
    run_until_replaced(life, world)
    assert not world.broken_promises


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("listener_away", [False, True])
def test_worker_that_the_operator_restarts_is_only_watched(
    world: World, path: Path, state: State, listener_away: bool
) -> None:
    life = Life(world, path)
    name = run_to(state, life, world)
    if listener_away:
        life.die()
        life = Life(world, path)
    world.operator_restarts(name)
    pid = world.workers[name].pid
    life.run(30, until=lambda: name not in life.drains())
    assert world.workers[name].pid == pid
    world.finish_jobs()
    run_until_replaced(life, world)


def test_stop_by_the_operator_while_the_listener_is_away_is_kept(world: World, path: Path) -> None:
    """The listener is killed right before its stop is sent; the operator stops the worker minutes later."""
    world.finish_jobs()
    life = Life(world, path, die_at="stopping.saved")
    with pytest.raises(Killed):
        life.run(60)
    life.die()
    world.advance(120.0)
    world.operator_stops("jobs:one")
    world.advance(5.0)
    Life(world, path).run(60)
    assert world.workers["jobs:one"].state is P.STOPPED
    assert not world.broken_promises


def test_worker_under_its_limit_that_the_operator_quiets_stays_quiet(world: World, path: Path) -> None:
    for worker in world.workers.values():
        worker.memory = FRESH
    world.workers["jobs:one"].quiet = True
    life = Life(world, path)
    life.run(60)
    assert world.happened == []


def test_worker_that_the_operator_quieted_and_ended_is_not_started(world: World, path: Path) -> None:
    """autorestart=unexpected leaves it EXITED, and no action of ours had reached it."""
    for name, worker in world.workers.items():
        worker.memory, worker.quiet = (BLOATED, True) if name == "jobs:one" else (FRESH, False)
    life = Life(world, path)
    life.run(10)
    assert life.only_drain() == ("jobs:one", State.DRAINING)
    world.end(world.workers["jobs:one"], ProcessState.EXITED)
    life.run(60)
    assert world.happened == []


def test_worker_that_ended_before_our_stop_was_sent_is_not_started(world: World, path: Path) -> None:
    life = Life(world, path, kind=StopKind)
    look, ended = world.process, list[str]()

    def look_then_end(name: str) -> Any:
        drain = life.listener._ledger.drains.get(name)
        if drain is not None and drain.state is State.STOPPING and not ended:
            ended.append(name)
            world.end(world.workers[name], ProcessState.EXITED)
            raise NoAnswer("it hangs")
        return look(name)

    world.process = look_then_end  # type: ignore[method-assign]
    life.run(5)
    assert ended and f"start {ended[0]}" not in world.happened


def test_process_that_the_stop_reached_is_looked_at_at_once(world: World, path: Path) -> None:
    """An operator may restart the worker before the next beat, and stop it again."""
    world.finish_jobs()
    life = Life(world, path)
    name = life.run_to(State.STOPPING)
    stop = life.drains()[name].stop
    assert (stop.answer, stop.accepted_at) == (StopAnswer.ACCEPTED, None)


def test_worker_without_autostart_is_not_started_after_supervisord_restarted(
    world: World, path: Path
) -> None:
    world.finish_jobs()
    life = Life(world, path)
    name = life.run_to(State.STOPPING)
    life.die()
    worker = world.workers[name]
    worker.state, worker.pid, worker.start, worker.stop = P.STOPPED, 0, 0, 0
    worker.stopped_by_operator = True
    life = Life(world, path)
    life.run(30, until=lambda: name not in life.drains())
    assert worker.state is P.STOPPED
    assert not world.broken_promises
