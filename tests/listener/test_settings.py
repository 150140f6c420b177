"""Settings of a program that would lose jobs hold its drains."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from supervisor_memkill.listener.journal import Contents
from supervisor_memkill.processes import ProgramInfo
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


def test_worker_whose_settings_would_lose_jobs_is_left_alone_until_they_are_mended(
    world: World, path: Path
) -> None:
    world.finish_jobs()
    world.advice = (Advice("stopsignal=TERM must be INT", refuses=True), Advice("and exec is missing"))
    life = Life(world, path)
    life.run(60)
    assert world.happened == []
    refused, other = life.stream.having("worker.hint")[:2]
    assert "stopsignal=TERM" in refused and "none while this is so" in refused
    assert "exec is missing" in other and "drains=" not in other
    assert len(life.stream.having("worker.held")) == 3, "said once for each"
    world.advice = ()
    run_until_replaced(life, world)


def test_settings_that_became_unsafe_after_the_check_are_noticed_before_the_drain(
    world: World, path: Path
) -> None:
    """`supervisorctl update` may have come between."""

    class Updated(QuietKind):
        def advice(self, program: ProgramInfo, drain_timeout_seconds: float) -> Sequence[Advice]:
            asked = self._world.times_programs_were_told
            return [Advice("stopsignal=TERM must be INT", refuses=True)] if asked > 1 else []

    world.finish_jobs()
    life = Life(world, path, kind=Updated)
    life.run(60)
    assert world.happened == [] and world.times_programs_were_told > 1


class Particular(StopKind):
    """Refuses a worker whose stopsignal is TERM."""

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float) -> list[Advice]:
        return [Advice("stopsignal=TERM must be INT", refuses=True)] if program.stopsignal == 15 else []


def test_settings_that_were_only_reread_are_not_in_force(world: World, path: Path) -> None:
    """supervisord tells of its files as it read them last; what runs, it stops by those of before."""
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


def test_worker_whose_settings_supervisord_does_not_tell_is_left_alone(world: World, path: Path) -> None:
    world.finish_jobs()
    world.tells_programs = False
    life = Life(world, path)
    life.run(60)
    assert world.happened == []
    assert "does not tell its settings" in life.stream.having("worker.held")[0]


def test_setting_that_could_not_be_found_out_at_first_is_asked_for_again(world: World, path: Path) -> None:
    """What was not known is nothing to keep to."""

    class Careful(StopKind):
        def advice(self, program: ProgramInfo, drain_timeout_seconds: float) -> list[Advice]:
            return [Advice("unknown", refuses=True)] if program.stopasgroup is None else []

    programs, known = world.programs, dict[str, bool]()
    world.programs = lambda: [dataclasses.replace(one, killasgroup=True) for one in programs()]  # type: ignore[method-assign]
    world.finish_jobs()
    life = Life(world, path, kind=Careful)
    life.listener._surveyor._stop_as_group = lambda: known
    life.run(60)
    assert world.happened == []
    known["jobs"] = False
    work(life, world, 120)
    assert any_is_fresh(world), life.stream.lines


def test_settings_that_are_to_be_asked_for_again_are_not_forgotten_by_a_look_at_another_pool(
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
