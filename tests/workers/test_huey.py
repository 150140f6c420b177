"""Huey: recognition, and advice on settings. On fakes."""

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
from supervisor_memkill.workers.huey import Huey

TITLE = "/srv/venv/bin/python3 /srv/venv/bin/huey_consumer app.huey -w 4"
GOOD = replace(
    program_info("/srv/venv/bin/huey_consumer app.huey -w 4", stopwaitsecs=600, stopsignal=signal.SIGINT),
    stopasgroup=False,
)
SWAPPED = replace(GOOD, command=f"{GOOD.command} -g TERM", stopsignal=signal.SIGTERM)


def make(**values: object) -> Huey:
    return Huey({"command_has": None, **values}, tools())


def advice(program: ProgramInfo, drain_timeout: float = 600.0) -> list[tuple[str, bool]]:
    return [(one.text, one.refuses) for one in make().advice(program, drain_timeout)]


class TestContract(ContractSuite):
    kind = Huey
    values: ClassVar[Mapping[str, Any]] = {}
    title = TITLE


@pytest.mark.parametrize(
    "title",
    [
        TITLE,
        "python huey_consumer.py app",
        "python -m huey.bin.huey_consumer",
        "python manage.py run_huey",
        "python manage.py djangohuey --queue email",
    ],
)
def test_it_is_known_however_it_is_started(title: str) -> None:
    reading = read_one(make(), Target(process()), FakeProcesses({100: title}).table)
    assert (reading.recognised, reading.in_service, reading.busy, reading.idle) == (True, True, None, False)


def test_it_is_known_by_the_text_that_the_operator_names() -> None:
    table = FakeProcesses({100: "python jobs.py"}).table
    assert read_one(make(), Target(process()), table).recognised is False
    assert read_one(make(command_has="jobs.py"), Target(process()), table).recognised is True


@pytest.mark.parametrize(
    ("title", "queues"),
    [
        (TITLE, frozenset()),
        ("python manage.py run_huey --queue email", frozenset()),
        ("python manage.py djangohuey --queue email", {"email"}),
        ("python manage.py djangohuey --queue=email", {"email"}),
        ("tini -- python manage.py djangohuey --queue email", {"email"}),
        ("python manage.py djangohuey", {"the default of settings.DJANGO_HUEY"}),
    ],
)
def test_consumers_of_django_huey_stand_in_for_those_of_the_same_queue(title: str, queues: set[str]) -> None:
    """Each of its consumers takes from one queue; other consumers of Huey do not name theirs."""
    reading = read_one(make(), Target(process()), FakeProcesses({100: title}).table)
    assert reading.recognised and reading.queues == queues


def test_its_memory_is_that_of_its_processes_with_shared_pages_once() -> None:
    kind = make()
    assert kind.memory_in_children(process(), FakeProcesses({100: TITLE}).table)
    assert (kind.traits.quiets, kind.traits.measure) == (False, "pss")


@pytest.mark.parametrize(
    "program",
    [
        GOOD,
        SWAPPED,
        replace(SWAPPED, command="huey_consumer app.huey --graceful-signal=TERM"),
        replace(GOOD, killasgroup=False),
        replace(GOOD, command="huey_consumer app.huey -k process"),
        replace(GOOD, command="huey_consumer app.huey -t 600", stopwaitsecs=605),
    ],
)
def test_good_settings_need_no_advice(program: ProgramInfo) -> None:
    """killasgroup matters to worker processes alone."""
    assert advice(program) == []


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (
            replace(GOOD, stopsignal=signal.SIGTERM),
            "stopsignal=TERM must be INT: at any other signal Huey loses the running jobs",
        ),
        (replace(SWAPPED, stopsignal=signal.SIGINT), "stopsignal=INT must be TERM"),
        (replace(GOOD, stopsignal=signal.SIGHUP), "stopsignal=HUP must be INT"),
        (replace(GOOD, stopwaitsecs=10), "stopwaitsecs=10 is below drain_timeout=10m00s"),
        (replace(GOOD, command="huey_consumer app -t 30"), "--shutdown-timeout=30 is below drain_timeout"),
        (replace(GOOD, command="sh -c 'huey_consumer app; true'"), "a shell without exec"),
    ],
)
def test_settings_that_would_lose_jobs_are_refused(program: ProgramInfo, expected: str) -> None:
    ((text, refuses),) = advice(program)
    assert expected in text and refuses


def test_the_way_to_take_term_is_named_where_it_is_not_taken() -> None:
    assert "-g TERM" in advice(replace(GOOD, stopsignal=signal.SIGTERM))[0][0]
    assert "-g TERM" not in advice(replace(SWAPPED, stopsignal=signal.SIGINT))[0][0]


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (replace(GOOD, stopasgroup=True), "processes that running jobs have started"),
        (replace(GOOD, command="huey_consumer app -k process", killasgroup=False), "killasgroup=false"),
        (
            replace(GOOD, command="huey_consumer app -t 600"),
            "stopwaitsecs=600 must be above --shutdown-timeout",
        ),
    ],
)
def test_settings_that_may_lose_jobs_give_a_hint(program: ProgramInfo, expected: str) -> None:
    ((text, refuses),) = advice(program)
    assert expected in text and not refuses


def test_uv_is_refused_with_int_because_it_may_swallow_it() -> None:
    """Tried: 0.5 and 0.6 do, 0.7 and later do not; TERM gets through all."""
    by_uv = replace(GOOD, command=f"uv run {GOOD.command}")
    ((text, refuses),) = advice(by_uv)
    assert "swallows the first INT" in text and refuses
    assert advice(replace(SWAPPED, command=f"uv run {SWAPPED.command}")) == []


def test_options_in_django_settings_give_a_hint_because_they_are_not_visible() -> None:
    ((text, refuses),) = advice(replace(GOOD, command="/srv/venv/bin/python manage.py run_huey"))
    assert "settings.HUEY['consumer']" in text and not refuses
    by_term = replace(GOOD, command="/srv/venv/bin/python manage.py run_huey", stopsignal=signal.SIGTERM)
    assert any("stopsignal=TERM must be INT" in text for text, _ in advice(by_term))
    texts = [one.text for one in make(graceful_signal="TERM").advice(by_term, 600.0)]
    assert not any("stopsignal" in one and "must be INT" in one for one in texts)


def test_options_in_the_settings_of_django_huey_give_a_hint_too() -> None:
    ((text, refuses),) = advice(replace(GOOD, command="/venv/bin/python manage.py djangohuey --queue email"))
    assert "Django's settings.DJANGO_HUEY are not visible" in text and not refuses


def test_the_beginning_of_an_option_name_is_accepted() -> None:
    """As optparse takes it."""
    ((text, refuses), *_) = advice(replace(GOOD, command=f"{GOOD.command} --shutdown 30"))
    assert "--shutdown-timeout=30 is below drain_timeout" in text and refuses


@pytest.mark.parametrize(("text", "parsed"), [("TERM", "TERM"), ("sigint", "INT")])
def test_graceful_signal_is_int_or_term(text: str, parsed: str) -> None:
    assert Huey.options["graceful_signal"].parse(text) == parsed
    with pytest.raises(ValueError, match="INT or TERM"):
        Huey.options["graceful_signal"].parse("HUP")
