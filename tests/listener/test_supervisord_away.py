"""supervisord cannot be reached, or does not answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.rules.drain import State
from supervisor_memkill.world.supervisord import ShuttingDown, SupervisordError, Unreachable
from tests.listener.situations import STATES, run_to, run_until_replaced
from tests.listener_world import FRESH, Life, QuietKind, SharedCoordinator, World, pool_config


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("error", [Unreachable("refused"), ShuttingDown("shutting down")])
def test_drain_waits_while_supervisord_is_away(world: World, path: Path, state: State, error: Any) -> None:
    life = Life(world, path)
    run_to(state, life, world)
    before = list(world.happened)
    world.away = error
    life.run(60)
    assert world.happened == before
    assert len(life.drains()) == 1
    world.away = None
    world.finish_jobs()
    run_until_replaced(life, world)


@pytest.mark.parametrize("error", [ShuttingDown("SHUTDOWN_STATE"), Unreachable("refused"), RuntimeError("?")])
def test_failing_turns_do_not_spin(world: World, path: Path, error: Exception) -> None:
    redis = SharedCoordinator(world)
    life = Life(world, path, coordinate=lambda contents: redis)
    life.run_to(State.DRAINING)
    world.away = error  # type: ignore[assignment]
    turns = 0
    end = world.now + 600
    while world.now < end:
        turns += 1
        life.tick()
        wait = life.listener.wait_seconds()
        assert wait is not None and wait > 0
        world.advance(wait)
    assert turns <= 2 * 600, "at most two per poll_interval, because a TICK may come in between"


@pytest.mark.parametrize("error", [ShuttingDown("SHUTDOWN_STATE"), Unreachable("refused")])
def test_slot_is_renewed_while_supervisord_is_away(world: World, path: Path, error: SupervisordError) -> None:
    """A shutdown takes as long as its slowest worker, and the drain is still under way."""
    redis = SharedCoordinator(world)
    life = Life(world, path, coordinate=lambda contents: redis)
    life.run_to(State.DRAINING)
    world.away = error
    life.run(10)
    redis.told.clear()
    life.run(600)
    assert len(redis.told) >= 600 / 10 - 1, "heartbeat is 10 s"


def test_pool_without_a_drain_is_not_reported_while_supervisord_is_away(world: World, path: Path) -> None:
    """Nothing is known about it; its last report counts until it is too old."""
    coordinator = SharedCoordinator(world)
    also = [(pool_config(name="other", programs=("jobs:three",)), QuietKind)]
    config = pool_config(programs=("jobs:one", "jobs:two"))
    world.workers["jobs:three"].memory = FRESH
    life = Life(world, path, config=config, also=also, coordinate=lambda contents: coordinator)
    life.run_to(State.DRAINING)
    world.away = Unreachable("refused")
    life.run(1)
    coordinator.told.clear()
    life.run(60)
    assert {told.pool for told in coordinator.told} == {"jobs"}
