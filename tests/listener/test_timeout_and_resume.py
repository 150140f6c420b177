"""The deadline of a drain, and the resume of a worker that did not become idle in time."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.errors import NotSent
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.back_off import BACK_OFF_SECONDS, BackOffCause
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.step import OnTimeout
from tests.listener.situations import (
    ResumeKind,
    is_replaced,
    is_whole,
    only_one_is_bloated,
)
from tests.listener_world import (
    BLOATED,
    FRESH,
    Life,
    QuietKind,
    World,
    pool_config,
)


def test_restarts_of_the_listener_do_not_move_the_deadline(world: World, path: Path) -> None:
    """Its job never ends, and every listener is killed before drain_timeout is over."""
    only_one_is_bloated(world)
    config = pool_config(drain_timeout_seconds=60.0)
    life = Life(world, path, config=config)
    life.run_to(State.DRAINING)
    quieted_at = life.drains()["jobs:one"].quiet_sent_at
    assert quieted_at is not None
    worker = world.workers["jobs:one"]
    while worker.state is ProcessState.RUNNING and world.now < quieted_at + 120:
        life.die()
        life = Life(world, path, config=config)
        life.run(10, until=lambda: worker.state is not ProcessState.RUNNING)
    assert "stop jobs:one" in world.happened
    assert 60 <= world.now - quieted_at <= 65


def test_fresh_process_hit_by_a_late_quiet_gets_a_new_deadline(world: World, path: Path) -> None:
    """The drain is older than drain_timeout by then, and the fresh process runs its first job."""
    life = Life(world, path, config=pool_config(drain_timeout_seconds=30.0))
    name = life.run_to(State.DRAINING)
    life.run(120, until=lambda: life.drains()[name].state is State.SETTLING)
    worker = world.workers[name]
    worker.quiet, worker.jobs, since = True, 1, world.now
    life.run(120, until=lambda: world.happened.count(f"stop {name}") == 2)
    assert world.now - since >= 30.0


def test_resumed_worker_is_not_drained_again_during_its_pause(world: World, path: Path) -> None:
    """Drained again at once, it would time out again and be out of service most of the time."""

    class Resumable(QuietKind):
        traits = dataclasses.replace(QuietKind.traits, can_resume=True)

    config = pool_config(on_timeout=OnTimeout.RESUME, drain_timeout_seconds=5.0)
    life = Life(world, path, kind=Resumable, config=config)
    life.run(100)
    assert sorted(act for act in world.happened if act.startswith("resume")) == [
        f"resume jobs:{name}" for name in ("one", "three", "two")
    ], "each once, though all are over their limit and none ever gets idle"
    assert BackOffCause.AFTER_RESUME.words in life.stream.having("worker.held")[-1]
    world.finish_jobs()
    life.run(BACK_OFF_SECONDS + 60)
    assert is_replaced(world) and is_whole(world)


def test_worker_that_the_operator_quieted_is_not_resumed(world: World, path: Path) -> None:
    """Its drain gives up at drain_timeout, and others have their turn."""
    world.workers["jobs:one"].quiet, world.workers["jobs:one"].memory = True, 2 * BLOATED
    world.workers["jobs:two"].memory, world.workers["jobs:two"].jobs = BLOATED, 0
    world.workers["jobs:three"].memory = FRESH
    config = pool_config(on_timeout=OnTimeout.RESUME, drain_timeout_seconds=20.0)
    life = Life(world, path, kind=ResumeKind, config=config)
    life.run(60)
    assert world.workers["jobs:one"].quiet
    assert world.happened == ["quiet jobs:two", "stop jobs:two", "start jobs:two"]
    assert BackOffCause.AFTER_RESUME.words in life.stream.having("worker.held")[-1]


@pytest.mark.parametrize("change", ["pool renamed", "no resume any more"])
def test_interrupted_resume_is_finished_after_a_change_of_configuration(
    world: World, path: Path, change: str
) -> None:
    config = pool_config(on_timeout=OnTimeout.RESUME, drain_timeout_seconds=20.0)
    name = Life(world, path, kind=ResumeKind, config=config, die_at="resuming.saved").run_to_death()
    assert world.workers[name].quiet

    class NoResume(QuietKind):
        def resume(self, target: Any, table: Any) -> None:
            raise NotSent("no resume_signal is set")

    kind = ResumeKind if change == "pool renamed" else NoResume
    config = dataclasses.replace(config, name="work") if change == "pool renamed" else config
    life = Life(world, path, kind=kind, config=config)
    life.run(2 * 3600, until=lambda: not world.workers[name].quiet)
    assert not world.workers[name].quiet, life.stream.lines
