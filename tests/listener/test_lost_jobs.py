"""Stops that would lose jobs wait for them; stops that did are errors; settings are those in force."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from supervisor_memkill.processes import ProcessState, ProgramInfo
from supervisor_memkill.rules.drain import State
from supervisor_memkill.units import Size
from supervisor_memkill.workers.advice import advise_on_stopwaitsecs
from supervisor_memkill.workers.contract import Advice
from supervisor_memkill.world.supervisord import NoAnswer
from tests.listener.situations import only_one_is_bloated
from tests.listener_world import BLOATED, EPOCH, Life, QuietKind, StopKind, World, pool_config

OWN_SECONDS = 25


class GivesBack(QuietKind):
    """Gives its running jobs back 25 s after the stop signal, like Sidekiq."""

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Sequence[Advice]:
        way = "start it with -t 5"
        return list(
            advise_on_stopwaitsecs(program, OWN_SECONDS, "its own timeout", other_way=way, cuts_jobs=True)
        )


@pytest.fixture
def endless(world: World) -> World:
    """One worker over its limit; its job never ends, and it needs 25 s for its stop."""
    only_one_is_bloated(world)
    for worker in world.workers.values():
        worker.stop_seconds = OWN_SECONDS
    return world


def life_of(world: World, path: Path, **values: object) -> Life:
    config = pool_config(**{"drain_timeout_seconds": 20.0, **values})
    return Life(world, path, kind=GivesBack, config=config)


def test_worker_that_would_lose_its_jobs_is_not_stopped_at_the_timeout(endless: World, path: Path) -> None:
    life = life_of(endless, path)
    life.run(600)
    assert "stop jobs:one" not in endless.happened
    assert life.only_drain() == ("jobs:one", State.DRAINING)
    (held,) = life.stream.having("drain.held_at_timeout")
    assert "stopwaitsecs = 30" in held and "start it with -t 5" in held, "both lines to change"
    assert "busy=1" in held and "jobs=Job" in held
    endless.finish_jobs()
    endless.workers["jobs:one"].stop_seconds = 1.0
    life.run(60, until=lambda: not life.drains())
    assert life.stream.having("drain.done") and not life.stream.having("drain.killed")


def test_settings_that_an_update_put_in_force_are_gone_by(endless: World, path: Path) -> None:
    """`supervisorctl update` gives the worker another process, and its drain starts from there."""
    life = life_of(endless, path)
    life.run(60, until=lambda: bool(life.stream.having("drain.held_at_timeout")))
    endless.stopwaitsecs = 60
    endless.operator_restarts("jobs:one")
    life.run(60, until=lambda: not life.drains())
    endless.workers["jobs:one"].memory = BLOATED
    life.run(300, until=lambda: "stop jobs:one" in endless.happened)
    assert "stop jobs:one" in endless.happened
    assert life.drains()["jobs:one"].stop.wait_seconds == 60.0


def test_new_listener_goes_by_the_stopwaitsecs_in_force_at_the_stop(endless: World, path: Path) -> None:
    life = life_of(endless, path)
    life.run_to(State.DRAINING)
    life.die()
    endless.stopwaitsecs = 60
    life = life_of(endless, path)
    life.run(120, until=lambda: "stop jobs:one" in endless.happened)
    assert life.drains()["jobs:one"].stop.wait_seconds == 60.0


def test_new_listener_holds_the_stop_too(endless: World, path: Path) -> None:
    """It looks at no pool before its first step, and finds the drain past its timeout."""
    life = life_of(endless, path)
    life.run(60, until=lambda: bool(life.stream.having("drain.held_at_timeout")))
    life.die()
    life = life_of(endless, path)
    life.run(60)
    assert "stop jobs:one" not in endless.happened
    (held,) = life.stream.having("drain.held_at_timeout")
    assert "stopwaitsecs = 30" in held


@pytest.mark.parametrize("answers", [True, False])
def test_stop_is_held_while_the_settings_are_unknown(endless: World, path: Path, answers: bool) -> None:
    endless.stopwaitsecs = 60
    life = life_of(endless, path)
    life.run_to(State.DRAINING)
    life.die()
    endless.tells_programs = False
    programs = endless.programs

    def no_answer() -> list[ProgramInfo]:
        raise NoAnswer("HTTP status 500")

    life = life_of(endless, path)
    # A look at the pools would fail as a whole: only the drain's own question is meant here.
    life.listener._surveyor.learn_programs()
    endless.programs = programs if answers else no_answer  # type: ignore[method-assign]
    life.run(60)
    assert "stop jobs:one" not in endless.happened
    assert "did not report the settings" in life.stream.having("drain.held_at_timeout")[0]
    endless.tells_programs, endless.programs = True, programs  # type: ignore[method-assign]
    life.run(60, until=lambda: "stop jobs:one" in endless.happened)
    assert "stop jobs:one" in endless.happened


def test_kind_that_fails_to_check_the_settings_holds_the_stop(endless: World, path: Path) -> None:
    endless.stopwaitsecs = 60

    class Fails(GivesBack):
        def advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Sequence[Advice]:
            if self._world.now > 1030:
                raise RuntimeError("odd")
            return ()

    life = Life(endless, path, kind=Fails, config=pool_config(drain_timeout_seconds=40.0))
    life.run(120)
    assert "stop jobs:one" not in endless.happened
    assert "RuntimeError: odd" in life.stream.having("kind.failed")[0]
    assert "could not check" in life.stream.having("drain.held_at_timeout")[0]


def test_hard_limit_acts_and_its_cost_is_reported(endless: World, path: Path) -> None:
    life = life_of(endless, path, hard_max_rss=Size(exact_bytes=2 * BLOATED))
    life.run_to(State.DRAINING)
    endless.workers["jobs:one"].memory = 3 * BLOATED
    life.run(120, until=lambda: not life.drains())
    (stopping,) = life.stream.having("drain.stopping")
    assert "busy=1" in stopping and "jobs=Job" in stopping
    (killed,) = life.stream.having("drain.killed")
    assert "busy=1" in killed and "jobs=Job" in killed and "stopwaitsecs=10" in killed
    assert life.stream.having("drain.done") == [], "an error in place of the good news"
    assert endless.workers["jobs:one"].state is ProcessState.RUNNING, "started as ever"


def test_kill_survives_a_restart_of_the_listener(endless: World, path: Path) -> None:
    endless.stopwaitsecs = 10
    life = Life(endless, path, config=pool_config(drain_timeout_seconds=20.0), die_at="starting.saved")
    life.run_to_death()
    life = Life(endless, path, config=pool_config(drain_timeout_seconds=20.0))
    life.run(120, until=lambda: not life.drains())
    (killed,) = life.stream.having("drain.killed")
    assert "busy=1" in killed and not life.stream.having("drain.done")


def test_kill_is_reported_even_if_the_operator_keeps_the_worker_stopped(endless: World, path: Path) -> None:
    life = Life(endless, path, config=pool_config(drain_timeout_seconds=20.0))
    life.run(120, until=lambda: bool(life.drains()) and life.only_drain()[1] is State.SETTLING)
    endless.operator_stops("jobs:one")
    life.run(60, until=lambda: not life.drains())
    assert life.stream.having("drain.killed") and life.stream.having("drain.let_go")


def test_kill_of_a_worker_that_drains_by_stopping_is_an_error(endless: World, path: Path) -> None:
    life = Life(endless, path, kind=StopKind)
    life.run(120, until=lambda: bool(life.stream.having("drain.killed")))
    assert life.stream.having("drain.killed")


def test_worker_that_ends_in_time_is_no_error(endless: World, path: Path) -> None:
    endless.stopwaitsecs = 60
    life = life_of(endless, path)
    life.run(200, until=lambda: bool(life.stream.having("drain.done")))
    assert life.stream.having("drain.done") and not life.stream.having("drain.killed")


def test_timeout_that_nobody_set_is_an_hour_for_a_worker_that_can_be_quieted(
    endless: World, path: Path
) -> None:
    life = life_of(endless, path, drain_timeout_seconds=None)
    life.run_to(State.DRAINING)
    drain = life.drains()["jobs:one"]
    assert drain.deadline - drain.began_at == 3600.0


@pytest.mark.parametrize(("given", "expected"), [(None, None), (60.0, 60.0)])
def test_timeout_that_nobody_set_is_no_number_for_a_kind_that_drains_by_stopping(
    world: World, path: Path, given: float | None, expected: float | None
) -> None:
    told: list[float | None] = []

    class Asked(StopKind):
        def advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Sequence[Advice]:
            told.append(drain_timeout_seconds)
            return ()

    Life(world, path, kind=Asked, config=pool_config(drain_timeout_seconds=given)).tick()
    assert set(told) == {expected}


@pytest.mark.parametrize("hours", [-5, 5])
def test_clock_that_was_set_holds_no_drain(world: World, path: Path, hours: int) -> None:
    """Each process is an hour old, and supervisord's clock says otherwise."""
    world.finish_jobs()
    for worker in world.workers.values():
        worker.began_at = worker.start - EPOCH
        worker.start -= hours * 3600
    life = Life(world, path, config=pool_config(min_uptime_seconds=300.0))
    life.run(120)
    assert "quiet jobs:one" in world.happened, life.stream.lines


@pytest.mark.parametrize("reads_log", [True, False])
def test_kill_is_known_by_supervisords_log_where_the_time_misleads(
    endless: World, path: Path, reads_log: bool
) -> None:
    """supervisord's stopwaitsecs was raised by hand after the process began: 10 s are in force, not 60."""
    endless.stopwaitsecs = 60
    life = Life(endless, path, config=pool_config(drain_timeout_seconds=20.0))
    life.run_to(State.DRAINING)
    endless.workers["jobs:one"].stop_seconds = 90
    endless.workers["jobs:one"].jobs = 0

    def no_answer(size_bytes: int) -> str:
        raise NoAnswer("the log is not kept")

    if not reads_log:
        endless.log_end = no_answer  # type: ignore[method-assign]
    life.run(20, until=lambda: "stop jobs:one" in endless.happened)
    endless.workers["jobs:one"].changes_at = endless.now + 10
    life.run(60, until=lambda: not life.drains())
    assert bool(life.stream.having("drain.killed")) is reads_log
    assert bool(life.stream.having("drain.done")) is not reads_log


def test_log_of_supervisord_is_read_only_after_a_signal(world: World, path: Path) -> None:
    world.finish_jobs()
    asked = list[int]()

    def ask(size_bytes: int) -> str:
        asked.append(size_bytes)
        return ""

    world.log_end = ask  # type: ignore[method-assign]
    life = Life(world, path)
    life.run(120, until=lambda: len(life.stream.having("drain.done")) == 3)
    assert not asked
