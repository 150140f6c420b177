"""Settings of a program that would lose jobs hold its drains."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.processes import ProcessState, ProgramInfo
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.step import OnTimeout
from supervisor_memkill.workers.contract import Advice
from tests.listener.situations import (
    any_is_fresh,
    run_until_replaced,
    work,
)
from tests.listener_world import (
    BLOATED,
    Life,
    QuietKind,
    StopKind,
    World,
    pool_config,
)


def test_worker_is_not_drained_until_settings_that_would_lose_jobs_are_fixed(
    world: World, path: Path
) -> None:
    world.finish_jobs()
    world.advice = (Advice("stopsignal=TERM must be INT", refuses=True), Advice("and exec is missing"))
    life = Life(world, path)
    life.run(60)
    assert world.happened == []
    refused, other = life.stream.having("worker.unsafe_settings"), life.stream.having("worker.hint")
    assert "stopsignal=TERM" in refused[0] and len(refused) == 3, "reported once for each worker"
    assert "exec is missing" in other[0] and len(other) == 3
    assert len(life.stream.having("worker.held")) == 3, "said once for each"
    world.advice = ()
    run_until_replaced(life, world)


def test_what_is_only_good_to_know_is_not_logged(world: World, path: Path) -> None:
    world.advice = (Advice("the framework replaces its children by itself", is_note=True),)
    life = Life(world, path)
    life.run(60)
    assert life.stream.having("worker.hint") == []


def test_settings_that_are_still_wrong_after_an_update_are_reported_again(world: World, path: Path) -> None:
    """`supervisorctl update` with other settings: the operator sees whether the new ones are good."""
    programs, seconds = world.programs, [10]
    world.programs = lambda: [dataclasses.replace(one, stopwaitsecs=seconds[0]) for one in programs()]  # type: ignore[method-assign]
    world.advice = (Advice("exec is missing"),)
    life = Life(world, path)
    life.run(60)
    assert len(life.stream.having("worker.hint")) == 3
    for name in world.workers:  # A restart with the same settings is no news.
        world.operator_restarts(name)
    life.run(60)
    assert len(life.stream.having("worker.hint")) == 3
    seconds[0] = 20
    for name in world.workers:
        world.operator_restarts(name)
    life.run(60)
    assert len(life.stream.having("worker.hint")) == 6


def test_settings_that_became_unsafe_after_the_check_are_noticed_before_the_drain(
    world: World, path: Path
) -> None:
    """The operator may have run `supervisorctl update` in between."""

    class Updated(QuietKind):
        def advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Sequence[Advice]:
            asked = self._world.times_programs_were_told
            return [Advice("stopsignal=TERM must be INT", refuses=True)] if asked > 1 else []

    world.finish_jobs()
    life = Life(world, path, kind=Updated)
    life.run(60)
    assert world.happened == [] and world.times_programs_were_told > 1


class Particular(StopKind):
    """Advises against draining a worker whose stopsignal is TERM."""

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> list[Advice]:
        return [Advice("stopsignal=TERM must be INT", refuses=True)] if program.stopsignal == 15 else []


def test_reread_settings_are_not_in_force_before_a_restart(world: World, path: Path) -> None:
    """supervisord reports the settings that it read last, but stops a running process by the older ones."""
    programs, number = world.programs, [15]
    world.programs = lambda: [dataclasses.replace(one, stopsignal=number[0]) for one in programs()]  # type: ignore[method-assign]
    world.finish_jobs()
    life = Life(world, path, kind=Particular)
    life.run(60)
    number[0] = 2  # supervisorctl reread
    life.run(600)
    assert world.happened == []
    for name in world.workers:  # supervisorctl update
        world.operator_restarts(name)
    work(life, world, 60)
    for worker in world.workers.values():
        worker.memory = BLOATED
    work(life, world, 120)
    assert any_is_fresh(world), life.stream.lines


def test_worker_is_not_drained_while_supervisord_does_not_report_its_settings(
    world: World, path: Path
) -> None:
    world.finish_jobs()
    world.tells_programs = False
    life = Life(world, path)
    life.run(60)
    assert world.happened == []
    assert "did not report the settings" in life.stream.having("worker.held")[0]
    assert "without supervisorctl update" in life.stream.having("worker.unsafe_settings")[0]


@pytest.mark.parametrize("state", [ProcessState.STOPPING, ProcessState.STOPPED])
def test_nothing_is_reported_about_the_settings_of_a_worker_that_an_update_removes(
    world: World, path: Path, state: ProcessState
) -> None:
    world.tells_programs = False
    for worker in world.workers.values():
        worker.state, worker.changes_at = state, 1e9
    life = Life(world, path)
    life.run(60)
    assert not life.stream.having("worker.unsafe_settings")


def test_unknown_setting_is_asked_for_again(world: World, path: Path) -> None:
    """An unknown setting does not count as the one that the process was started with."""

    class Careful(StopKind):
        def advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> list[Advice]:
            return [Advice("unknown", refuses=True)] if program.stopasgroup is None else []

    programs, known = world.programs, dict[str, bool]()
    world.programs = lambda: [dataclasses.replace(one, killasgroup=True) for one in programs()]  # type: ignore[method-assign]
    world.finish_jobs()
    life = Life(world, path, kind=Careful)
    life.listener._surveyor._programs._stop_as_group = lambda: lambda group, name: known.get(group)
    life.run(60)
    assert world.happened == []
    known["jobs"] = False
    work(life, world, 120)
    assert any_is_fresh(world), life.stream.lines


def test_look_at_one_pool_does_not_cancel_the_next_request_for_another_pools_settings(
    world: World, path: Path
) -> None:
    other = pool_config(name="other", programs=("jobs:two",))
    config = pool_config(programs=("jobs:one",))
    life = Life(world, path, kind=Particular, config=config, also=[(other, QuietKind)])
    surveyor = life.listener._surveyor
    surveyor.check(Contents())
    asked = world.times_programs_were_told
    surveyor.look(Contents(), life.pools[1])
    surveyor.check(Contents())
    assert world.times_programs_were_told == asked + 1


def polls(life: Life, world: World, seconds: int) -> int:
    """How often supervisord is asked for the settings in so many turns without a TICK."""
    before = world.times_programs_were_told
    for _ in range(seconds):
        world.advance(1.0)
        life.listener.turn(ticked=False)
    return world.times_programs_were_told - before


def test_known_settings_are_not_asked_for_again_after_drain_timeout(world: World, path: Path) -> None:
    life = Life(world, path, config=pool_config(drain_timeout_seconds=20.0, on_timeout=OnTimeout.WAIT))
    life.run_to(State.DRAINING)
    assert polls(life, world, 40) == 0
    assert life.drains()


def test_unknown_settings_are_asked_for_at_drain_timeout_and_not_before(world: World, path: Path) -> None:
    """They decide whether the stop would lose the running jobs; until then they do not matter."""
    config = pool_config(drain_timeout_seconds=200.0)
    life = Life(world, path, config=config)
    life.run_to(State.DRAINING)
    life.die()
    world.tells_programs = False
    life = Life(world, path, config=config)
    polls(life, world, 5)  # It takes up the drain, and looks at all workers once.
    assert polls(life, world, 60) == 0
    world.advance(200.0)
    assert polls(life, world, 5) >= 5
    assert not [act for act in world.happened if act.startswith("stop")]
    world.tells_programs = True
    polls(life, world, 3)
    assert "stop jobs:one" in world.happened
