"""arq: readings from health records, and advice on settings. On fakes."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import redis

from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.testing.contract_suite import ContractSuite
from supervisor_memkill.testing.fakes import FakeProcesses, FakeRedis, process, program_info, read_one, tools
from supervisor_memkill.workers.arq import Arq
from supervisor_memkill.workers.contract import Kind, Reading, Target

TITLE = "/srv/venv/bin/python3 /srv/venv/bin/arq app.WorkerSettings"
KEY = "arq:health:web1:100:jobs:jobs_0"
VALUES: Mapping[str, Any] = {
    "command_has": None,
    "job_completion_wait": 600.0,
    "health_check_key": "arq:health:%(host)s:%(pid)s:%(group)s:%(name)s",
}
RECORD = "Nov-24 02:47:10 j_complete=8 j_failed=0 j_retried=0 j_ongoing=3 queued=18"
GOOD = replace(program_info("/srv/venv/bin/arq app.WorkerSettings", stopwaitsecs=610), stopasgroup=False)


class HealthRedis:
    """The store's keys with the time that each has left."""

    def __init__(self, store: FakeRedis, milliseconds: object = 5000) -> None:
        self._store = store
        self._milliseconds = milliseconds
        self._answers: list[object] = []

    def pipeline(self, transaction: bool) -> HealthRedis:
        return self

    def get(self, key: str) -> None:
        self._answers.append(self._store.data.get(key))

    def pttl(self, key: str) -> None:
        self._answers.append(self._milliseconds if key in self._store.data else -2)

    def execute(self) -> list[object]:
        self._store.travel()
        answers, self._answers = self._answers, []
        return answers


def make(store: FakeRedis | None = None, milliseconds: object = 5000, **values: object) -> Arq:
    found = store or FakeRedis()
    return Arq({**VALUES, **values}, tools(lambda: HealthRedis(found, milliseconds)))


def read(kind: Arq, title: str = TITLE) -> Reading:
    return read_one(kind, Target(process(), {"kept": 1}), FakeProcesses({100: title}).table)


class TestContractWithRecord(ContractSuite):
    kind = Arq
    values = VALUES
    title = TITLE
    reads_redis = True

    def make(self, store: FakeRedis) -> Kind:
        return make(store)

    def plant(self, store: FakeRedis, garbage: str | None) -> None:
        store.data = {f"arq:health:web1:100:jobs:{name}": garbage for name in ("plain", "fresh", "quieted")}


class TestContractWithoutRecord(ContractSuite):
    kind = Arq
    values: ClassVar[Mapping[str, Any]] = {"job_completion_wait": 600.0}
    title = TITLE


# --- configuration


def problems(**values: object) -> list[str]:
    return list(Arq.problems({**VALUES, "redis": "redis://localhost", **values}))


def test_job_completion_wait_is_required_and_the_problem_says_why() -> None:
    (problem,) = problems(job_completion_wait=None)
    assert "needs job_completion_wait" in problem and "WorkerSettings" in problem
    assert problems() == []


def test_health_check_key_needs_redis() -> None:
    assert problems(redis=None) == ["health_check_key needs redis, and redis is not set"]
    assert problems(redis=None, health_check_key=None) == []


@pytest.mark.parametrize("text", ["0", "0s", "-1", "soon", ""])
def test_a_wait_of_zero_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a duration such as"):
        Arq.options["job_completion_wait"].parse(text)


# --- readings


def test_a_health_record_gives_the_number_of_running_jobs() -> None:
    reading = read(make(FakeRedis({KEY: RECORD})))
    assert (reading.recognised, reading.in_service, reading.busy) == (True, True, 3)
    assert (reading.idle, reading.quiet, reading.why, reading.remark) == (False, None, "", "")
    assert reading.note == {"kept": 1}


def test_zero_running_jobs_do_not_make_it_idle() -> None:
    """Its stop is its drain: nothing is ever stopped on this number."""
    reading = read(make(FakeRedis({KEY: RECORD.replace("j_ongoing=3", "j_ongoing=0")})))
    assert (reading.busy, reading.idle) == (0, False)


@pytest.mark.parametrize(
    ("data", "milliseconds", "expected"),
    [
        ({}, 5000, "no health record: arq is still booting"),
        ({KEY: "j_complete=8"}, 5000, "not a health record of arq: 'j_complete=8'"),
        ({KEY: RECORD}, -1, "the health record has no TTL"),
        ({KEY: RECORD}, None, "the health record has no TTL"),
    ],
)
def test_without_a_fresh_record_all_is_unknown(
    data: dict[str, Any], milliseconds: object, expected: str
) -> None:
    reading = read(make(FakeRedis(data), milliseconds))
    assert (reading.recognised, reading.in_service, reading.busy, reading.idle) == (None, None, None, False)
    assert reading.why.startswith(KEY) and expected in reading.why
    assert reading.note == {"kept": 1}


def test_a_record_that_may_be_old_counts_nothing_and_the_interval_is_named() -> None:
    reading = read(make(FakeRedis({KEY: RECORD}), milliseconds=3_600_000))
    assert (reading.recognised, reading.in_service, reading.busy) == (True, True, None)
    assert "health_check_interval" in reading.remark


def test_a_key_that_several_workers_share_counts_for_none_of_them() -> None:
    kind = make(FakeRedis({"arq:health": RECORD}), health_check_key="arq:health")
    targets = [Target(process(name=name)) for name in ("one", "two")]
    for reading in kind.read(targets, FakeProcesses({100: TITLE}).table).values():
        assert (reading.recognised, reading.in_service, reading.busy) == (True, True, None)
        assert "the same for several workers" in reading.remark


def test_a_record_does_not_replace_the_command_line() -> None:
    reading = read(make(FakeRedis({KEY: RECORD})), title="sh -c arq app.WorkerSettings; true")
    assert (reading.recognised, reading.busy) == (False, None)


def test_all_records_are_read_in_one_round_trip() -> None:
    store = FakeRedis()
    targets = [Target(process(name=f"jobs_{number}")) for number in range(50)]
    assert len(make(store).read(targets, FakeProcesses({100: TITLE}).table)) == 50
    assert store.round_trips == 1


def test_an_outage_is_unknown_and_keeps_the_note() -> None:
    store = FakeRedis({KEY: RECORD})
    store.error = redis.ConnectionError("away")
    reading = read(make(store))
    assert (reading.recognised, reading.note) == (None, {"kept": 1})


def test_without_a_key_redis_is_not_asked() -> None:
    store = FakeRedis()
    reading = read(make(store, health_check_key=None))
    assert (reading.recognised, reading.in_service, reading.busy) == (True, True, None)
    assert store.round_trips == 0


def test_its_memory_is_its_own() -> None:
    assert not make().memory_in_children(process(), FakeProcesses({100: TITLE}).table)
    assert (make().traits.quiets, make().traits.measure) == (False, "rss")


# --- settings


def advice(program: ProgramInfo, drain_timeout: float = 600.0, wait: float = 600.0) -> list[tuple[str, bool]]:
    found = make(job_completion_wait=wait).advice(program, drain_timeout)
    return [(one.text, one.refuses) for one in found]


@pytest.mark.parametrize("changes", [{}, {"stopsignal": signal.SIGINT}, {"killasgroup": False}])
def test_good_settings_need_no_advice(changes: dict[str, Any]) -> None:
    assert advice(replace(GOOD, **changes)) == []


@pytest.mark.parametrize(
    ("changes", "wait", "expected"),
    [
        ({"stopsignal": signal.SIGQUIT}, 600.0, "stopsignal=QUIT must be INT or TERM"),
        ({"stopwaitsecs": 600}, 600.0, "stopwaitsecs=600 must be above job_completion_wait of 600 s"),
        ({}, 599.0, "job_completion_wait=9m59s is below drain_timeout=10m00s"),
        ({"command": "sh -c 'arq app; true'"}, 600.0, "a shell without exec"),
    ],
)
def test_settings_that_would_cut_jobs_are_refused(
    changes: dict[str, Any], wait: float, expected: str
) -> None:
    ((text, refuses),) = advice(replace(GOOD, **changes), wait=wait)
    assert expected in text and refuses


def test_a_wait_far_too_short_is_refused_for_both_its_reasons() -> None:
    found = advice(replace(GOOD, stopwaitsecs=10))
    assert [refuses for _, refuses in found] == [True, True]
    assert "drain_timeout" in found[0][0] and "job_completion_wait" in found[1][0]


def test_stopasgroup_gives_a_hint() -> None:
    ((text, refuses),) = advice(replace(GOOD, stopasgroup=True))
    assert "processes that running jobs have started" in text and not refuses


@pytest.mark.parametrize(
    ("title", "counts"), [("/srv/venv/bin/python /srv/venv/bin/arq app.W", False), ("uv run arq app.W", True)]
)
def test_behind_a_wrapper_the_memory_of_children_counts(title: str, counts: bool) -> None:
    table = FakeProcesses({100: title}).table
    assert make().memory_in_children(process(), table) is counts
