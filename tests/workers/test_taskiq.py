"""taskiq: recognition, and advice on settings. On fakes."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.testing.contract_suite import ContractSuite
from supervisor_memkill.testing.fakes import FakeProcesses, process, program_info, read_one, tools
from supervisor_memkill.workers.contract import Target
from supervisor_memkill.workers.taskiq import Taskiq

TITLE = "/srv/venv/bin/python3 /srv/venv/bin/taskiq worker app:broker"
GOOD = replace(program_info("/srv/venv/bin/taskiq worker app:broker", stopwaitsecs=600), stopasgroup=False)


def with_words(words: str, **changes: Any) -> ProgramInfo:
    return replace(GOOD, command=f"{GOOD.command} {words}", **changes)


def make(**values: object) -> Taskiq:
    return Taskiq({"command_has": None, **values}, tools())


def advice(program: ProgramInfo, drain_timeout: float = 600.0) -> list[tuple[str, bool]]:
    return [(one.text, one.refuses) for one in make().advice(program, drain_timeout)]


class TestContract(ContractSuite):
    kind = Taskiq
    values: ClassVar[Mapping[str, Any]] = {}
    title = TITLE


@pytest.mark.parametrize(
    ("title", "is_known"),
    [
        (TITLE, True),
        ("python -m taskiq worker app:broker", True),
        ("/srv/venv/bin/taskiq scheduler app:scheduler", False),
        ("sh -c taskiq worker app:broker; true", False),
    ],
)
def test_a_worker_is_known_and_a_scheduler_is_none(title: str, is_known: bool) -> None:
    reading = read_one(make(), Target(process()), FakeProcesses({100: title}).table)
    assert (reading.recognised, reading.in_service, reading.busy) == (is_known, is_known, None)
    assert bool(reading.why) is not is_known


def test_its_memory_is_that_of_its_processes_with_shared_pages_once() -> None:
    kind = make()
    assert kind.memory_in_children(process(), FakeProcesses({100: TITLE}).table)
    assert (kind.traits.quiets, kind.traits.measure) == (False, "pss")


@pytest.mark.parametrize(
    "program",
    [
        GOOD,
        replace(GOOD, stopsignal=signal.SIGINT),
        with_words("--wait-tasks-timeout 600", stopwaitsecs=610),
        with_words("--wait-tasks-timeout 600 --shutdown-timeout 1", stopwaitsecs=602),
        with_words("--shutdown-timeout 5000"),
    ],
)
def test_good_settings_need_no_advice(program: ProgramInfo) -> None:
    """By itself taskiq waits for ever; --shutdown-timeout is for what comes after the jobs."""
    assert advice(program) == []


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (replace(GOOD, stopsignal=signal.SIGHUP), "stopsignal=HUP must be INT or TERM"),
        (replace(GOOD, stopwaitsecs=10), "stopwaitsecs=10 is below drain_timeout=10m00s"),
        (with_words("--wait-tasks-timeout 30"), "--wait-tasks-timeout=30 is below drain_timeout"),
        (with_words("--hardkill-count 0", stopasgroup=True), "remove stopasgroup=true"),
        (replace(GOOD, command="sh -c 'taskiq worker app; true'"), "a shell without exec"),
    ],
)
def test_settings_that_would_cut_jobs_are_refused(program: ProgramInfo, expected: str) -> None:
    ((text, refuses),) = advice(program)
    assert expected in text and refuses


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (replace(GOOD, stopasgroup=True), "processes that running jobs have started"),
        (with_words("--hardkill-count 1", stopasgroup=True), "processes that running jobs have started"),
        (replace(GOOD, killasgroup=False), "killasgroup=false should be true"),
        (with_words("--wait-tasks-timeout 600"), "stopwaitsecs=600 must be above --wait-tasks-timeout and"),
        (
            with_words("--wait-tasks-timeout 600 --shutdown-timeout 9", stopwaitsecs=609),
            "together of 609 s",
        ),
    ],
)
def test_settings_that_may_lose_jobs_give_a_hint(program: ProgramInfo, expected: str) -> None:
    ((text, refuses),) = advice(program)
    assert expected in text and not refuses
