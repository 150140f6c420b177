"""What a close reading found: configurations that change round a drain, faults of one pool or one host."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.coordination.contract import CoordinationUnknown
from supervisor_memkill.coordination.in_process import InProcessCoordinator
from supervisor_memkill.drain import State
from supervisor_memkill.errors import NotSent
from supervisor_memkill.journal import Contents, Journal
from supervisor_memkill.processes import ProcessState, ProgramInfo
from supervisor_memkill.supervisord import NoAnswer
from supervisor_memkill.survey import Pool
from supervisor_memkill.units import Size
from supervisor_memkill.workers.contract import Advice, Tools, Traits
from tests.test_listener import drains, first_drain, run_to
from tests.world import BLOATED, FRESH, Killed, Life, QuietKind, StopKind, World, pool_config

RENAMED = pool_config(name="work")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "own" / "here.journal"


class ResumeKind(QuietKind):
    traits = Traits(quiets=True, confirms_quiet=True, repeat_quiet_after_seconds=5.0, can_resume=True)


def run_to_death(life: Life) -> str:
    with pytest.raises(Killed):
        life.run(120)
    life.die()
    return first_drain(life)[0]


def others_stop(world: World, name: str) -> None:
    for other in world.workers:
        if other != name:
            world.operator_stops(other)
    world.advance(5)


def work(life: Life, world: World, seconds: int) -> None:
    for _ in range(seconds):
        life.run(1)
        world.finish_jobs()


def any_is_fresh(world: World) -> bool:
    return any(worker.memory == FRESH for worker in world.workers.values())


def test_renamed_pool_takes_no_second_one_out(world: World, path: Path) -> None:
    life = Life(world, path)
    run_to(life, State.DRAINING)
    life.die()
    Life(world, path, config=RENAMED).run(60)
    assert not world.broken_promises, world.broken_promises


@pytest.mark.parametrize(
    ("kind", "place", "seconds"), [(StopKind, "stopping.saved", 60), (QuietKind, "quieting.saved", 2 * 3600)]
)
def test_drain_of_a_renamed_pool_does_not_take_the_last_one(
    world: World, path: Path, kind: type[QuietKind], place: str, seconds: int
) -> None:
    name = run_to_death(Life(world, path, kind=kind, die_at=place))
    others_stop(world, name)
    life = Life(world, path, kind=kind, config=RENAMED)
    life.run(seconds, until=lambda: bool(world.broken_promises))
    assert not world.broken_promises, world.broken_promises


def test_renamed_pool_keeps_its_protected_jobs(world: World, path: Path) -> None:
    config = pool_config(protect_jobs=("Job",), drain_timeout_seconds=20.0)
    world.finish_jobs()
    name = run_to_death(Life(world, path, config=config, die_at="quieting.acted"))
    world.workers[name].jobs = 1  # taken just before the quiet
    life = Life(world, path, config=config)
    life.run(60)
    assert first_drain(life)[1] is State.DRAINING, "a protected job runs"
    life.die()
    Life(world, path, config=dataclasses.replace(config, name="work")).run(30)
    assert f"stop {name}" not in world.happened, world.happened


@pytest.mark.parametrize(("kind", "place"), [(QuietKind, "quieting.saved"), (StopKind, "stopping.saved")])
def test_worker_that_left_its_pool_keeps_no_slot_for_ever(
    world: World, path: Path, kind: type[QuietKind], place: str
) -> None:
    name = run_to_death(Life(world, path, kind=kind, die_at=place))
    rest = tuple(other for other in world.workers if other != name)
    life = Life(world, path, kind=kind, config=pool_config(programs=rest))
    work(life, world, 2 * 3600)
    assert name not in drains(life), first_drain(life)
    assert all(world.workers[other].memory == FRESH for other in rest)


@pytest.mark.parametrize("change", ["pool renamed", "no resume any more"])
def test_resuming_comes_to_an_end(world: World, path: Path, change: str) -> None:
    config = pool_config(on_timeout="resume", drain_timeout_seconds=20.0)
    name = run_to_death(Life(world, path, kind=ResumeKind, config=config, die_at="resuming.saved"))
    assert world.workers[name].quiet

    class NoResume(QuietKind):
        def resume(self, target: Any, table: Any) -> None:
            raise NotSent("no resume_signal is set")

    kind = ResumeKind if change == "pool renamed" else NoResume
    config = dataclasses.replace(config, name="work") if change == "pool renamed" else config
    life = Life(world, path, kind=kind, config=config)
    life.run(2 * 3600, until=lambda: not world.workers[name].quiet)
    assert not world.workers[name].quiet, life.stream.lines


def test_worker_that_cannot_be_quieted_keeps_no_other_waiting(world: World, path: Path) -> None:
    class Unable(QuietKind):
        def quiet(self, target: Any, table: Any) -> Any:
            if target.process.name == "one":
                raise NotSent("never")
            return super().quiet(target, table)

    world.workers["jobs:one"].memory = BLOATED + 1
    life = Life(world, path, kind=Unable)
    work(life, world, 4000)
    assert world.workers["jobs:two"].memory == FRESH, life.stream.lines[:20]


def test_slow_disk_does_not_keep_a_worker_quiet_for_ever(world: World, path: Path) -> None:
    life = Life(world, path)
    run_to(life, State.DRAINING)
    save = life.journal.save

    def slowly(contents: Contents) -> None:
        save(contents)
        world.advance(3.2)

    life.journal.save = slowly  # type: ignore[method-assign]
    world.finish_jobs()
    life.run(600, until=lambda: any_is_fresh(world))
    assert any_is_fresh(world), life.stream.lines


def test_pool_that_coordination_fails_for_stops_no_other(world: World, path: Path) -> None:
    class Half(InProcessCoordinator):
        is_shared = True

        def publish(self, pool: str, *rest: Any) -> Any:
            if pool == "broken":
                raise CoordinationUnknown("WRONGTYPE")
            return super().publish(pool, *rest)

    broken = pool_config(name="broken", programs=("other",))
    life = Life(world, path, config=broken, coordinate=lambda contents: Half(world.clock))
    tools = Tools(redis=lambda: None, signal=world.signal, clock=world.clock, host="here")
    pools = (*life.pools, Pool(pool_config(), QuietKind({}, tools, world)))
    life.listener._pools = {pool.name: pool for pool in pools}
    life.listener._surveyor._pools = pools
    work(life, world, 300)
    assert any_is_fresh(world), life.stream.lines


def test_cooldown_of_an_earlier_boot_does_not_hold(path: Path) -> None:
    """Where the system gives its boots no id (macOS, FreeBSD), a clock that had run longer tells."""
    Journal(path, "", lambda: 1e6).save(Contents(drain_ended_at={"jobs": 1e6}, instance="x"))
    loaded = Journal(path, "", lambda: 100.0).load()
    assert loaded.other_boot and not loaded.contents.drain_ended_at
    assert Journal(path, "", lambda: 1e6 + 1).load().contents.drain_ended_at


def test_pause_ends_with_the_limit_it_was_for(world: World, path: Path) -> None:
    life = Life(world, path, config=pool_config(max_rss=Size(exact_bytes=FRESH)))
    work(life, world, 120)
    assert life.stream.having("limit.below_baseline")
    life.die()
    life = Life(world, path)  # max_rss raised, as the hint says
    for worker in world.workers.values():
        worker.memory = BLOATED
    work(life, world, 300)
    assert all(worker.memory == FRESH for worker in world.workers.values()), life.stream.lines


@pytest.mark.parametrize("what", ["request lost", "listener restarted"])
def test_adoption_is_tried_again(world: World, path: Path, what: str) -> None:
    for worker in world.workers.values():
        worker.memory = FRESH
    world.workers["jobs:one"].quiet = True
    world.finish_jobs()
    path.parent.mkdir(mode=0o700)
    path.write_text("rubbish")
    programs = world.programs

    def second_is_lost() -> Any:
        if world.times_programs_were_told == 1:
            world.times_programs_were_told += 1
            raise NoAnswer("no answer")
        return programs()

    life = Life(world, path)
    if what == "request lost":
        world.programs = second_is_lost  # type: ignore[method-assign]
    else:
        world.records_away = True
        life.run(60)
        life.die()
        world.records_away = False
        life = Life(world, path)
    life.run(300)
    assert not world.workers["jobs:one"].quiet, life.stream.lines


def test_dry_run_says_what_it_leaves(world: World, path: Path) -> None:
    world.finish_jobs()
    name = run_to_death(Life(world, path, die_at="starting.saved"))
    life = Life(world, path, dry_run=True)
    life.run(600)
    assert world.workers[name].state is ProcessState.STOPPED
    assert any(name in line for line in life.stream.lines), life.stream.lines


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


def test_listener_that_ends_names_what_it_leaves(world: World, path: Path) -> None:
    life = Life(world, path)
    run_to(life, State.DRAINING)
    life.listener.say_left()
    (line,) = life.stream.having("drain.left")
    assert first_drain(life)[0] in line and "state=draining" in line


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
