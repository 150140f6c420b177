"""Celery with ``drain = stop``: recognition, queues, and what is refused. On fakes, without a broker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from supervisor_memkill.errors import Unknown
from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.testing.contract_suite import ContractSuite
from supervisor_memkill.testing.fakes import FakeProcesses, process, program_info, read_one, tools
from supervisor_memkill.workers.celery.kind import Celery
from supervisor_memkill.workers.celery.stop import DEFAULT_QUEUES
from supervisor_memkill.workers.contract import Reading, Target

TITLE = "/srv/venv/bin/python /srv/venv/bin/celery -A app worker -Q high,low"
GOOD = replace(program_info("celery -A app worker -Q low -P custom", stopwaitsecs=600), stopasgroup=False)
"""With the pool of contrib/celery."""


def make(**values: object) -> Celery:
    defaults = {name: option.default for name, option in Celery.options.items()}
    return Celery({**defaults, "drain": "stop", **values}, tools())


def read(title: str, **values: object) -> Reading:
    return read_one(make(**values), Target(process()), FakeProcesses({100: title}).table)


def advice(
    program: ProgramInfo, drain_timeout: float | None = 600.0, kind: Celery | None = None
) -> list[tuple[str, bool]]:
    return [(one.text, one.refuses) for one in (kind or make()).advice(program, drain_timeout)]


class TestContract(ContractSuite):
    kind = Celery
    values: ClassVar[Mapping[str, Any]] = {"drain": "stop"}
    title = TITLE


@pytest.mark.parametrize(
    ("title", "is_known"),
    [
        (TITLE, True),
        ("python -m celery --app=proj.app worker", True),
        ("celery -A worker worker", True),
        ("[celeryd: one@web1:MainProcess] -active- (-A app worker)", True),
        ("celery -A worker beat", False),
        ("celery --app worker flower", False),
        ("celery -A app beat -l info", False),
        ("[celeryd: one@web1:ForkPoolWorker-1]", False),
        ("sh -c celery -A app worker; true", False),
        ("celery -A app worker --detach", False),
        ("python run.py", False),
    ],
)
def test_a_worker_is_known_by_its_command_line(title: str, is_known: bool) -> None:
    reading = read(title)
    assert (reading.recognised, reading.in_service) == (is_known, is_known)
    assert bool(reading.why) is not is_known


def test_a_program_that_starts_celery_itself_is_named_by_its_own_text() -> None:
    assert read("python run.py", command_has="run.py").recognised
    assert "set command_has to a text" in read("python run.py").why
    assert read("python run.py").queues == frozenset(), "nothing is known of a stranger"


def test_a_peer_must_take_from_the_same_queues() -> None:
    assert read(TITLE).queues == {"high", "low"}
    assert read("celery -A app worker --queues=high").queues == {"high"}
    assert read("celery -A app worker").queues == {DEFAULT_QUEUES}
    assert read("celery -q -A app worker").queues == {DEFAULT_QUEUES}, "it is quiet"
    assert read("celery -A app worker -X low").queues == {f"{DEFAULT_QUEUES} without low"}
    assert read("airflow celery worker -q bulk").queues == {"bulk"}
    titled = "[celeryd: celery@web1:MainProcess] -active- (celery worker -q bulk -c 2)"
    assert read(titled).queues == {"bulk"}


def test_its_stop_is_its_drain_and_the_memory_is_that_of_its_pool() -> None:
    kind = make()
    assert (kind.traits.quiets, kind.traits.can_resume, kind.traits.measure) == (False, False, "pss")
    assert kind.memory_in_children(process(), FakeProcesses({100: TITLE}).table)
    with pytest.raises(Exception, match="drains by stopping"):
        kind.quiet(Target(process()), FakeProcesses({100: TITLE}).table)


def test_a_worker_that_nobody_supervises_is_left_behind() -> None:
    processes = FakeProcesses({100: TITLE, 200: TITLE, 201: "python run.py"})
    processes.leaders |= {200: 199, 201: 199}
    assert [one.pid for one in make().left_behind({100}, processes.table)] == [200]


# --- settings


def test_good_settings_need_no_advice() -> None:
    assert advice(GOOD) == []
    assert advice(replace(GOOD, stopsignal=2)) == [], "INT does what TERM does"
    assert advice(GOOD, None) == [], "stopwaitsecs is the time that tasks have"
    for pool in ("threads", "solo"):
        assert advice(replace(GOOD, command=f"{GOOD.command} -P {pool}", stopasgroup=True)) == []


@pytest.mark.parametrize(
    ("changes", "timeout", "expected"),
    [
        ({"stopsignal": 3}, 600.0, "stopsignal=QUIT must be INT or TERM"),
        ({"stopsignal": 10}, 600.0, "stopsignal=USR1 must be INT or TERM"),
        ({"stopasgroup": True}, 600.0, "remove stopasgroup=true: the processes of the prefork pool"),
        ({"stopasgroup": None}, 600.0, "stopasgroup is unknown"),
        ({"stopwaitsecs": 599}, 600.0, "stopwaitsecs=599 is below drain_timeout"),
        ({"stopwaitsecs": 10}, None, "stopwaitsecs=10 (supervisord's default), and drain_timeout is not set"),
        ({"command": "sh -c 'celery -A app worker -P custom; true'"}, 600.0, "a shell without exec"),
        ({"command": "celery -A app worker -P custom --detach"}, 600.0, "--detach: remove it"),
    ],
)
def test_settings_that_cut_tasks_at_the_stop_are_refused(
    changes: dict[str, Any], timeout: float | None, expected: str
) -> None:
    ((text, refuses),) = advice(replace(GOOD, **changes), timeout)
    assert expected in text and refuses


@pytest.mark.parametrize("words", ["", " -P prefork", " --pool=processes"])
def test_prefork_pool_gets_a_hint_that_a_task_may_run_twice(words: str) -> None:
    command = f"celery -A app worker{words}"
    ((text, refuses),) = advice(replace(GOOD, command=command))
    assert "runs a task twice" in text and "contrib/celery/memkill_pool.py" in text and not refuses


def test_remapped_term_is_refused_and_int_is_not() -> None:
    processes = FakeProcesses({100: TITLE})
    processes.environments[100] = {"REMAP_SIGTERM": "SIGQUIT"}
    kind = make()
    kind.read([Target(process(100, GOOD.name))], processes.table)
    ((text, refuses),) = advice(GOOD, kind=kind)
    assert "set stopsignal = INT" in text and refuses
    assert advice(replace(GOOD, stopsignal=2), kind=kind) == []


class HiddenProcesses(FakeProcesses):
    """Those of another user."""

    def environment(self, pid: int) -> Mapping[str, str]:
        raise Unknown("Permission denied")


def test_hidden_environment_gets_a_hint() -> None:
    kind = make()
    assert advice(GOOD, kind=kind) == [], "a worker that does not run yet"
    kind.read([Target(process(100, GOOD.name))], HiddenProcesses({100: TITLE}).table)
    ((text, refuses),) = advice(GOOD, kind=kind)
    assert "REMAP_SIGTERM" in text and not refuses
    assert advice(replace(GOOD, stopsignal=2), kind=kind) == []
