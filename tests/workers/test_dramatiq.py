"""Dramatiq: recognition, and advice on settings. On fakes."""

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
from supervisor_memkill.workers.dramatiq import Dramatiq

TITLE = "/srv/venv/bin/python3 /srv/venv/bin/dramatiq app.tasks -p 2"
GOOD = replace(program_info("/srv/venv/bin/dramatiq app.tasks -p 2", stopwaitsecs=620), stopasgroup=False)


def make(**values: object) -> Dramatiq:
    return Dramatiq({"command_has": None, **values}, tools())


def advice(program: ProgramInfo, drain_timeout: float = 600.0) -> list[tuple[str, bool]]:
    return [(one.text, one.refuses) for one in make().advice(program, drain_timeout)]


class TestContract(ContractSuite):
    kind = Dramatiq
    values: ClassVar[Mapping[str, Any]] = {}
    title = TITLE


@pytest.mark.parametrize(
    "title",
    [
        TITLE,
        "python -m dramatiq app",
        "/srv/venv/bin/python dramatiq-gevent app",
        "python manage.py rundramatiq",
    ],
)
def test_it_is_known_however_it_is_started(title: str) -> None:
    reading = read_one(make(), Target(process()), FakeProcesses({100: title}).table)
    assert (reading.recognised, reading.in_service, reading.busy, reading.idle) == (True, True, None, False)


@pytest.mark.parametrize(
    ("title", "expected"), [("sh -c dramatiq app; true", "exec"), ("celery -A app", "dramatiq")]
)
def test_another_process_is_not(title: str, expected: str) -> None:
    reading = read_one(make(), Target(process()), FakeProcesses({100: title}).table)
    assert (reading.recognised, reading.in_service) == (False, False)
    assert expected in reading.why


def test_its_memory_is_that_of_its_processes_with_shared_pages_once() -> None:
    kind = make()
    assert kind.memory_in_children(process(), FakeProcesses({100: TITLE}).table)
    assert (kind.traits.quiets, kind.traits.measure) == (False, "pss")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"stopsignal": signal.SIGINT},
        {"command": "dramatiq app --worker-shutdown-timeout=700000", "stopwaitsecs": 705},
    ],
)
def test_good_settings_need_no_advice(changes: dict[str, Any]) -> None:
    assert advice(replace(GOOD, **changes)) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"stopsignal": signal.SIGHUP}, "stopsignal=HUP must be INT or TERM"),
        ({"stopsignal": signal.SIGQUIT}, "stopsignal=QUIT must be INT or TERM"),
        ({"stopasgroup": True}, "remove stopasgroup=true"),
        ({"command": "sh -c 'dramatiq app; true'"}, "a shell without exec"),
    ],
)
def test_settings_that_would_cut_jobs_are_refused(changes: dict[str, Any], expected: str) -> None:
    ((text, refuses),) = advice(replace(GOOD, **changes))
    assert expected in text and refuses


def test_a_short_wait_is_refused() -> None:
    (refused, hint) = advice(replace(GOOD, stopwaitsecs=10))
    assert refused[1] and "stopwaitsecs=10 is below drain_timeout=10m00s" in refused[0]
    assert not hint[1] and "--worker-shutdown-timeout" in hint[0]


def test_stopwaitsecs_below_the_own_limit_gives_a_hint_if_it_covers_drain_timeout() -> None:
    ((text, refuses),) = advice(replace(GOOD, stopwaitsecs=70), drain_timeout=60.0)
    assert "stopwaitsecs=70 must be above --worker-shutdown-timeout of 600 s" in text and not refuses


@pytest.mark.parametrize(
    ("command", "drain_timeout", "expected"),
    [
        ("dramatiq app --worker-shutdown-timeout 599999", 600.0, "=599999 (milliseconds) is below"),
        ("dramatiq app", 601.0, "=600000 (milliseconds, default) is below drain_timeout=10m01s"),
    ],
)
def test_the_own_limit_is_in_milliseconds_and_must_cover_drain_timeout(
    command: str, drain_timeout: float, expected: str
) -> None:
    ((text, refuses),) = advice(replace(GOOD, command=command), drain_timeout)
    assert f"--worker-shutdown-timeout{expected}" in text and refuses


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"stopasgroup": True, "stopsignal": signal.SIGINT}, "processes that running jobs have started"),
        ({"killasgroup": False}, "killasgroup=false should be true"),
    ],
)
def test_settings_that_may_lose_jobs_give_a_hint(changes: dict[str, Any], expected: str) -> None:
    """Worker processes ignore INT: a group's INT stops them once, by their parent."""
    ((text, refuses),) = advice(replace(GOOD, **changes))
    assert expected in text and not refuses


def test_an_unknown_stopasgroup_is_refused() -> None:
    """Unknown means hold: at a second TERM every job in hand is dropped."""
    ((text, refuses),) = advice(replace(GOOD, stopasgroup=None))
    assert "stopasgroup is unknown" in text and refuses


@pytest.mark.parametrize(
    "command",
    [
        "su - app -c 'exec dramatiq app'",
        "/usr/sbin/runuser -u app -- dramatiq app",
        "timeout 6h dramatiq app",
        "sudo -u app dramatiq app",
        "/srv/venv/bin/python /srv/venv/bin/dotenv run dramatiq app",
    ],
)
def test_a_wrapper_that_does_not_pass_the_stop_signal_is_refused(command: str) -> None:
    """Tried: su and runuser kill their child 2 s after TERM, timeout signals the whole group."""
    ((text, refuses),) = advice(replace(GOOD, command=command))
    assert "does not pass the stop signal unchanged" in text and refuses
    title = command.replace("'", "")
    reading = read_one(
        Dramatiq({"command_has": None}, tools()), Target(process()), FakeProcesses({100: title}).table
    )
    assert reading.recognised is False and "does not pass the stop signal unchanged" in reading.why


@pytest.mark.parametrize(
    ("stopwaitsecs", "refused"), [(10, ["stopwaitsecs=10 (supervisord's default)"]), (620, []), (60, [])]
)
def test_stopwaitsecs_is_the_timeout_that_nobody_set(stopwaitsecs: int, refused: list[str]) -> None:
    """Neither an hour nor Dramatiq's own limit, which should be below stopwaitsecs, refuses a drain."""
    found = make().advice(replace(GOOD, stopwaitsecs=stopwaitsecs), None)
    assert [one.text.split(",")[0] for one in found if one.refuses] == refused
