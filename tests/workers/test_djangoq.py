"""Django-Q2: recognition, and advice on settings. On fakes."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import Any

import pytest

from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.testing.contract_suite import ContractSuite
from supervisor_memkill.testing.fakes import FakeProcesses, process, program_info, read_one, tools
from supervisor_memkill.workers.contract import Target
from supervisor_memkill.workers.djangoq import DjangoQ

TITLE = "/srv/venv/bin/python manage.py qcluster"
GOOD = replace(program_info(TITLE, stopwaitsecs=620), stopasgroup=False)


def make() -> DjangoQ:
    return DjangoQ({"command_has": None}, tools())


def advice(program: ProgramInfo, drain_timeout: float | None = 600.0) -> list[tuple[str, bool]]:
    return [(one.text, one.refuses) for one in make().advice(program, drain_timeout)]


class TestContract(ContractSuite):
    kind = DjangoQ
    title = TITLE


@pytest.mark.parametrize(
    "title", [TITLE, "python -m django qcluster -n high", "qcluster MainProcess moon-blue-ten-seven"]
)
def test_it_is_known_however_it_is_started(title: str) -> None:
    """With setproctitle it gives itself a title."""
    reading = read_one(make(), Target(process()), FakeProcesses({100: title}).table)
    assert (reading.recognised, reading.in_service, reading.busy, reading.idle) == (True, True, None, False)


@pytest.mark.parametrize(
    ("title", "expected"),
    [("python manage.py runserver", "does not contain qcluster"), ("sh -c manage.py qcluster; true", "exec")],
)
def test_another_process_is_not(title: str, expected: str) -> None:
    reading = read_one(make(), Target(process()), FakeProcesses({100: title}).table)
    assert (reading.recognised, reading.in_service) == (False, False)
    assert expected in reading.why


def test_its_memory_is_that_of_its_processes_with_shared_pages_once() -> None:
    assert make().memory_in_children(process(), FakeProcesses({100: TITLE}).table)
    assert (make().traits.quiets, make().traits.measure) == (False, "pss")


@pytest.mark.parametrize("changes", [{}, {"stopsignal": signal.SIGINT}])
def test_good_settings_need_no_advice(changes: dict[str, Any]) -> None:
    assert advice(replace(GOOD, **changes)) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"stopsignal": signal.SIGQUIT}, "stopsignal=QUIT must be INT or TERM: at any other"),
        ({"stopasgroup": True}, "remove stopasgroup=true: the running tasks would be lost"),
        ({"stopasgroup": None}, "stopasgroup is unknown"),
        ({"stopwaitsecs": 60}, "stopwaitsecs=60 is below drain_timeout=10m00s"),
        ({"command": "sh -c 'manage.py qcluster; true'"}, "a shell without exec"),
        ({"command": "sudo -u app manage.py qcluster"}, "does not pass the stop signal unchanged"),
    ],
)
def test_settings_that_would_lose_tasks_are_refused(changes: dict[str, Any], expected: str) -> None:
    ((text, refuses),) = advice(replace(GOOD, **changes))
    assert expected in text and refuses


def test_the_way_out_counts_the_tasks_that_are_fetched_ahead() -> None:
    """All of them run before the cluster ends."""
    ((text, refuses),) = advice(replace(GOOD, stopwaitsecs=10), None)
    assert "set stopwaitsecs to the time for all tasks that a cluster has fetched" in text and refuses
    assert "the longest task x (1 + queue_limit / workers)" in text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"killasgroup": False}, "killasgroup=false should be true"),
        ({"stopasgroup": True, "stopsignal": signal.SIGINT}, "processes that running jobs have started"),
    ],
)
def test_settings_that_may_harm_give_a_hint(changes: dict[str, Any], expected: str) -> None:
    """The processes below the parent ignore INT."""
    ((text, refuses),) = advice(replace(GOOD, **changes))
    assert expected in text and not refuses
