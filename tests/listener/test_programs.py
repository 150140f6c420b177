"""The settings of programs: asked for when processes are others, and had from the files where need be."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.config.program_files import NOTHING, ProgramFiles
from supervisor_memkill.config.supervisord_sections import unknown_stop_as_group
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.programs import Programs
from supervisor_memkill.processes import ProcessInfo, ProcessState, ProgramInfo
from supervisor_memkill.workers.contract import Advice
from supervisor_memkill.world.supervisord import CallFailed, Unreachable
from tests.listener.situations import run_until_replaced
from tests.listener_world import Life, StopKind, World

FAILED = CallFailed("HTTP status 500")
TOO_LARGE = "/etc/a.conf:3: [program:other] stdout_logfile_maxbytes = 2GB: write 2047MB or less"


def in_files(world: World, *names: str, **values: Any) -> ProgramFiles:
    programs = [
        ProgramInfo("jobs", name, "cmd", 15, 10, False, 999, stopasgroup=False)
        for name in names or [worker.name for worker in world.workers.values()]
    ]
    return ProgramFiles(**{"programs": tuple(programs), "too_large": (TOO_LARGE,), **values})


def fail(world: World) -> None:
    """supervisord answers every call but getAllConfigInfo."""

    def programs() -> list[ProgramInfo]:
        world.times_programs_were_told += 1
        raise FAILED.with_traceback(None)

    world.programs = programs  # type: ignore[method-assign]


def life_with(world: World, path: Path, files: ProgramFiles, **options: Any) -> Life:
    life = Life(world, path, **options)
    life.listener._surveyor._programs._in_files = lambda: files
    return life


def test_files_count_where_supervisord_cannot_report(world: World, path: Path) -> None:
    fail(world)
    world.finish_jobs()
    life = life_with(world, path, in_files(world))
    run_until_replaced(life, world)
    (alert,) = life.stream.having("supervisord.alert")
    assert "[program:other] stdout_logfile_maxbytes = 2GB" in alert
    assert not life.stream.having("supervisord.away")


def test_worker_whose_settings_cannot_be_had_is_held_alone(world: World, path: Path) -> None:
    fail(world)
    world.finish_jobs()
    life = life_with(world, path, in_files(world, "two", "three"))
    life.run(120)
    assert {event.split(":")[1] for event in world.happened if event.startswith("stop")} == {"two", "three"}
    (held,) = [line for line in life.stream.having("worker.held") if "settings" in line]
    assert "worker=jobs:one" in held


def test_without_files_every_worker_is_held_and_the_cause_is_logged_once(world: World, path: Path) -> None:
    fail(world)
    world.finish_jobs()
    life = life_with(world, path, NOTHING)
    life.run(120)
    assert world.happened == []
    (alert,) = life.stream.having("supervisord.alert")
    assert "HTTP status 500" in alert and "cannot be read either" in alert


def test_failure_without_a_number_that_is_too_large_points_to_supervisords_log(
    world: World, path: Path
) -> None:
    fail(world)
    life = life_with(world, path, in_files(world, too_large=()))
    life.run(30)
    assert "see supervisord's own log" in life.stream.having("supervisord.alert")[0]


def test_settings_that_were_known_before_stay_in_force(world: World, path: Path) -> None:
    """supervisorctl reread brought the large number: the processes are the ones that were started before."""
    for worker in world.workers.values():
        worker.memory = 1
    life = life_with(world, path, NOTHING)
    life.run(30)
    fail(world)
    life.listener._surveyor.learn_programs()
    assert life.listener._surveyor.program("jobs:one") is not None
    assert not any(
        one.advice for pool in life.listener._surveyor.check(Contents()).pools for one in pool.findings
    )


def test_alert_is_logged_again_when_it_comes_back(world: World, path: Path) -> None:
    whole = world.programs
    fail(world)
    life = life_with(world, path, in_files(world))
    failing = world.programs
    for programs in (failing, whole, failing):
        world.programs = programs  # type: ignore[method-assign]
        world.operator_restarts("jobs:one")
        life.run(10)
    assert len(life.stream.having("supervisord.alert")) == 2


def test_failing_call_is_not_repeated_at_each_look(world: World, path: Path) -> None:
    """Each one leaves a traceback in supervisord's own log."""
    for worker in world.workers.values():
        worker.memory = 1
    fail(world)
    life = life_with(world, path, in_files(world))
    life.run(600)
    assert world.times_programs_were_told <= 2


def test_supervisord_that_is_away_is_no_failing_call(world: World, path: Path) -> None:
    def programs() -> list[ProgramInfo]:
        raise Unreachable("refused")

    world.programs = programs  # type: ignore[method-assign]
    life = life_with(world, path, in_files(world))
    life.run(30)
    assert life.stream.having("supervisord.away")
    assert world.happened == []


class Particular(StopKind):
    """Has a hint about the stopsignal."""

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> list[Advice]:
        return [Advice(f"stopsignal={program.stopsignal}")]


def test_hints_follow_the_next_processes_and_need_no_drain(world: World, path: Path) -> None:
    """supervisorctl update restarts a changed program under the same name."""
    programs, number = world.programs, [15]
    world.programs = lambda: [dataclasses.replace(one, stopsignal=number[0]) for one in programs()]  # type: ignore[method-assign]
    for worker in world.workers.values():
        worker.memory = 1
    life = Life(world, path, kind=Particular)
    life.run(30)
    number[0] = 2
    world.operator_restarts("jobs:one")
    life.run(30)
    hints = life.stream.having("worker.hint")
    assert [hint for hint in hints if "stopsignal=2" in hint and "jobs:one" in hint]
    assert not [hint for hint in hints if "stopsignal=2" in hint and "jobs:two" in hint]


@pytest.mark.parametrize(
    ("files", "listeners"),
    [
        (NOTHING, {"low"}),
        (ProgramFiles((ProgramInfo("low", "low", "c", 15, 10, False, -1),)), set()),
        (ProgramFiles((ProgramInfo("low", "low", "c", 15, 10, False, 999),)), {"low"}),
        (
            ProgramFiles(
                (ProgramInfo("low", "low", "c", 15, 10, False, -1),), events={"low": frozenset({"TICK_5"})}
            ),
            {"low"},
        ),
    ],
)
def test_program_with_the_priority_of_a_listener_is_one_only_if_the_files_do_not_show_it(
    world: World, files: ProgramFiles, listeners: set[str]
) -> None:
    """Never an event listener: an edited file whose priority is not the one in force proves nothing."""
    world.programs = lambda: [ProgramInfo("low", "low", "c", 15, 10, False, -1)]  # type: ignore[method-assign]
    programs = Programs(world, lambda: unknown_stop_as_group, lambda: files)  # type: ignore[arg-type]
    programs.learn([])
    assert programs.listener_groups() == listeners


def program(name: str = "one", **values: Any) -> ProgramInfo:
    return dataclasses.replace(ProgramInfo("jobs", name, "cmd", 15, 10, True, 999), **values)


def process(name: str = "one", pid: int = 7, start: int = 100) -> ProcessInfo:
    state = ProcessState.RUNNING if pid else ProcessState.STOPPED
    return ProcessInfo("jobs", name, state, pid, start, 0, 200)


class Asked:
    """A supervisord whose answer a test changes; stopasgroup is unknown where killasgroup is true."""

    def __init__(self) -> None:
        self.answer: list[ProgramInfo] | CallFailed = [program()]
        self.known = Programs(self, lambda: unknown_stop_as_group, lambda: NOTHING)  # type: ignore[arg-type]

    def programs(self) -> list[ProgramInfo]:
        if isinstance(self.answer, CallFailed):
            raise self.answer
        return self.answer


def test_settings_known_before_are_kept_when_none_can_be_had_even_if_they_are_not_whole() -> None:
    asked = Asked()
    asked.known.learn([process()])
    asked.answer = FAILED
    asked.known.learn([process()])
    assert asked.known.of("jobs:one") == program()
    asked.known.learn([process(pid=8)])
    assert asked.known.of("jobs:one") is None, "another process may have other settings"


def test_program_that_supervisord_does_not_report_any_more_is_forgotten() -> None:
    asked = Asked()
    asked.answer = [program(killasgroup=False)]
    asked.known.learn([process()])
    asked.answer = []
    asked.known.learn([process()])
    assert asked.known.of("jobs:one") is None


def test_settings_of_a_stopped_process_are_the_newest() -> None:
    """The next start uses them."""
    asked = Asked()
    asked.answer = [program(killasgroup=False)]
    asked.known.learn([process(pid=0)])
    asked.answer = [program(killasgroup=False, stopsignal=2)]
    asked.known.learn([process(pid=0)])
    found = asked.known.of("jobs:one")
    assert found is not None and found.stopsignal == 2


def test_what_is_unknown_is_asked_for_again_unless_nothing_is_reported() -> None:
    asked = Asked()
    two = [process(), process("two")]
    asked.known.learn(two)
    assert asked.known.are_of_other(two), "the second one was not reported"
    asked.answer = FAILED
    asked.known.learn(two)
    assert not asked.known.are_of_other(two), "each question leaves a traceback in supervisord's log"
    assert asked.known.are_of_other([process(), process("two", pid=8)])


def test_priority_of_zero_is_that_of_a_program() -> None:
    asked = Asked()
    asked.answer = [program(group_priority=0)]
    asked.known.learn([process()])
    assert asked.known.listener_groups() == frozenset()
