"""Settings of a Celery program that are refused, and settings that get a hint."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.testing.fakes import STARTED, FakeProcesses, process, program_info
from supervisor_memkill.workers.celery.advice import Remapped, advice_on, advise_on_child_limit
from supervisor_memkill.workers.contract import Target

GOOD = replace(program_info("celery -A app worker -n one@%h", stopwaitsecs=300), stopasgroup=False)


def advice(program: ProgramInfo) -> list[tuple[str, bool]]:
    return [(one.text, one.refuses) for one in advice_on(program)]


def test_good_settings_need_no_advice() -> None:
    assert advice(GOOD) == []
    assert advice(replace(GOOD, stopsignal=2)) == [], "INT does what TERM does"
    for pool in ("threads", "solo"):
        assert advice(replace(GOOD, command=f"{GOOD.command} -P {pool}", stopasgroup=True)) == []


@pytest.mark.parametrize(
    ("changes", "expected", "is_refused"),
    [
        ({"stopsignal": 3}, "stopsignal=QUIT must be INT or TERM", True),
        ({"stopasgroup": True}, "remove stopasgroup=true", True),
        ({"stopasgroup": None}, "stopasgroup is unknown", True),
        ({"stopwaitsecs": 10}, "stopwaitsecs=10 must be above", False),
        ({"command": "sh -c 'celery -A app worker; true'"}, "a shell without exec", False),
    ],
)
def test_settings_that_cut_tasks_are_refused_and_others_give_a_hint(
    changes: dict[str, Any], expected: str, is_refused: bool
) -> None:
    ((text, refuses),) = advice(replace(GOOD, **changes))
    assert expected in text and refuses is is_refused


@pytest.mark.parametrize(
    ("stopwaitsecs", "options", "expected"),
    [
        (10, "", True),
        (11, "", False),
        (10, " --time-limit 5", False),
        (10, " --time-limit=10", True),
        (10, " --time-limit 3600", True),
    ],
)
def test_stop_that_gives_a_task_no_time_would_cut_it(stopwaitsecs: int, options: str, expected: bool) -> None:
    program = replace(GOOD, stopwaitsecs=stopwaitsecs, command=GOOD.command + options)
    assert [one.cuts_jobs for one in advice_on(program)] == ([True] if expected else [])


def test_remapped_term_cuts_running_tasks() -> None:
    processes = FakeProcesses({100: "celery worker", 200: "celery worker"})
    processes.environments[100] = {"REMAP_SIGTERM": "SIGQUIT"}
    remapped = Remapped()
    remapped.learn([Target(process(100, "jobs_0")), Target(process(200, "jobs_1"))], processes.table)
    assert remapped.is_remapped("jobs:jobs_0") and not remapped.is_remapped("jobs:jobs_1")
    assert not remapped.is_remapped("jobs:jobs_2")
    (advice,) = advice_on(GOOD, is_remapped=True)
    assert "set stopsignal = INT" in advice.text and advice.cuts_jobs and not advice.refuses
    assert list(advice_on(replace(GOOD, stopsignal=2), is_remapped=True)) == []


def test_environment_of_a_new_process_is_read_again_and_one_that_is_hidden_changes_nothing() -> None:
    processes = FakeProcesses({100: "celery worker"})
    processes.environments[100] = {"REMAP_SIGTERM": "SIGQUIT"}
    remapped = Remapped()
    remapped.learn([Target(process(100))], processes.table)
    processes.environments[100] = {}
    remapped.learn([Target(process(100))], processes.table)
    assert remapped.is_remapped("jobs:jobs_0"), "the same process"
    remapped.learn([Target(process(100, start=STARTED + 9))], processes.table)
    assert not remapped.is_remapped("jobs:jobs_0")
    remapped.learn([Target(process(999))], processes.table)
    assert not remapped.is_remapped("jobs:jobs_0")


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--max-memory-per-child=200000", "--max-memory-per-child=200000 (195.3MB) is not above max_rss=1GB"),
        ("--max-memory-per-child 1048576", "--max-memory-per-child=1048576 (1GB)"),
        ("--max-memory-per-child=1048577", ""),
        ("", ""),
    ],
)
def test_celerys_own_limit_below_the_pools_is_a_note(option: str, expected: str) -> None:
    """Celery counts in kilobytes, and replaces one process after its task: no job is lost by it."""
    found = list(advise_on_child_limit(replace(GOOD, command=f"{GOOD.command} {option}"), 1024**3))
    assert len(found) == (1 if expected else 0)
    for one in found:
        assert one.text.startswith(expected)
        assert one.is_note and one.comes_first and not one.refuses and not one.cuts_jobs
    assert list(advise_on_child_limit(replace(GOOD, command=f"{GOOD.command} {option}"), None)) == []
