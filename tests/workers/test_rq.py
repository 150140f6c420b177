"""RQ: readings from records, and advice on settings. On fakes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, ClassVar

import pytest
import redis

from supervisor_memkill.errors import MemkillError
from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.testing.contract_suite import ContractSuite
from supervisor_memkill.testing.fakes import (
    STARTED,
    FakeProcesses,
    FakeRedis,
    process,
    program_info,
    read_one,
    tools,
)
from supervisor_memkill.workers.contract import Kind, Note, Reading, Target
from supervisor_memkill.workers.rq.advice import is_pool
from supervisor_memkill.workers.rq.kind import RQ
from tests.workers.records_redis import RecordsRedis

HOST = "web1.example"
PID = 100
TITLE = "/srv/venv/bin/python /srv/venv/bin/rq worker high default"
POOL = "/srv/venv/bin/python /srv/venv/bin/rq worker-pool -n 2 high default"
SHELL = "sh -c rq worker high; true"


def moment(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Machine:
    """A supervised process with workers' records in Redis, and the kind that reads them."""

    def __init__(self, title: str = TITLE, *children: int, namespace: str = "") -> None:
        self.prefix = namespace or "rq"
        self.processes = FakeProcesses(
            {PID: title, **dict.fromkeys(children, TITLE)}, dict.fromkeys(children, PID)
        )
        self.store = FakeRedis()
        self.kind = RQ(
            {},
            tools(lambda: RecordsRedis(self.store), namespace=namespace),
            hostname=HOST,
            wall=lambda: STARTED + 500.0,
        )

    def record(self, pid: int = PID, state: str = "idle", **fields: str) -> str:
        """A worker writes its hash; its key."""
        key = f"{self.prefix}:worker:name-of-{pid}"
        self.store.data.setdefault(f"{self.prefix}:workers", set()).add(key)
        self.store.data[key] = {
            "hostname": HOST,
            "pid": str(pid),
            "state": state,
            "birth": moment(STARTED + 5),
            "last_heartbeat": moment(STARTED + 400),
            "queues": "high,default",
            **fields,
        }
        return key

    def read(self, note: Note | None = None) -> Reading:
        return read_one(self.kind, Target(process(PID), note), self.processes.table)


class TestContract(ContractSuite):
    kind = RQ
    values: ClassVar[Mapping[str, Any]] = {}
    title = TITLE
    reads_redis = True

    def make(self, store: FakeRedis) -> Kind:
        return RQ({}, tools(lambda: RecordsRedis(store)), hostname=HOST)

    def plant(self, store: FakeRedis, garbage: str | None) -> None:
        machine = Machine()
        machine.store = store
        key = machine.record()
        for field in store.data[key]:
            if field != "hostname":
                store.data[key][field] = garbage


# --- recognising


def test_a_worker_with_a_record_is_in_service_with_its_queues() -> None:
    machine = Machine()
    machine.record(state="busy")
    reading = machine.read()
    assert (reading.recognised, reading.in_service, reading.busy) == (True, True, 1)
    assert (reading.queues, reading.why) == (frozenset({"high", "default"}), "")
    assert (reading.quiet, reading.idle, reading.jobs) == (None, False, None), "its stop is its drain"


def test_keys_stand_in_the_namespace() -> None:
    machine = Machine(namespace="{app}.rq")
    machine.record()
    assert machine.read().recognised
    machine.store.data["rq:suspended"] = "1"
    assert machine.read().in_service, "that is another namespace's"


@pytest.mark.parametrize(
    "fields",
    [
        {"hostname": "web2.example", "birth": moment(STARTED - 9)},
        {"pid": "101"},
        {"death": moment(STARTED + 6)},
    ],
    ids=["another host", "another pid", "dead"],
)
def test_without_a_record_of_its_own_a_process_is_not_recognised(fields: dict[str, str]) -> None:
    machine = Machine()
    key = machine.record()
    machine.store.data[key].update(fields)
    reading = machine.read()
    assert (reading.recognised, reading.in_service) == (False, None)
    assert "no RQ record" in reading.why


@pytest.mark.parametrize("seconds", [-3600, -1, 7200])
def test_a_record_of_another_start_belongs_to_another_process(seconds: int) -> None:
    """Of one that had the pid before, or of one in another container with the same host name."""
    machine = Machine()
    machine.record(state="busy", birth=moment(STARTED + seconds))
    reading = machine.read()
    assert (reading.recognised, reading.busy) == (False, None)
    assert "same host name" in reading.why


def test_a_record_under_another_name_of_this_machine_is_named_or_accepted() -> None:
    machine = Machine()
    machine.record(hostname="worker.1")
    machine.store.data["rq:workers"].add("rq:worker:far")
    machine.store.data["rq:worker:far"] = {
        **machine.store.data["rq:worker:name-of-100"],
        "hostname": "far",
        "birth": moment(STARTED - 9),
    }
    assert "set record_hosts = worker.1" in machine.read().why and "far" not in machine.read().why
    machine.kind = RQ(
        {"record_hosts": ("worker.*",)}, tools(lambda: RecordsRedis(machine.store)), hostname=HOST
    )
    assert machine.read().recognised


def test_a_worker_that_nobody_supervises_is_named_with_its_queues() -> None:
    """supervisord killed the shell before it, and the worker lives on."""
    machine = Machine(TITLE, 101)
    machine.processes.children, machine.processes.leaders = {}, {101: 60}
    machine.kind = RQ(
        {},
        tools(lambda: RecordsRedis(machine.store), clock=lambda: 601.0),
        hostname=HOST,
        wall=lambda: STARTED + 500.0,
    )
    machine.record()
    machine.record(101)
    (found,) = machine.kind.left_behind({PID}, machine.processes.table)
    assert (found.pid, found.queues) == (101, frozenset({"high", "default"}))
    machine.store.error = redis.ConnectionError("away")
    assert machine.kind.left_behind({PID}, machine.processes.table) == ()


def test_a_record_that_ran_out_is_no_record() -> None:
    machine = Machine()
    del machine.store.data[machine.record()]
    assert machine.read().recognised is False


def test_a_process_that_is_gone_is_unknown() -> None:
    machine = Machine()
    machine.record()
    del machine.processes.titles[PID]
    assert machine.read().recognised is None


def test_a_record_of_this_host_that_cannot_be_read_is_unknown() -> None:
    """It may be the very one that is meant."""
    machine = Machine()
    machine.record()
    machine.record(101, state="dozing")
    assert machine.read().recognised is True, "that is another process's"
    machine.store.data["rq:worker:name-of-101"]["pid"] = "x"
    assert machine.read().recognised is None
    machine.store.data["rq:worker:name-of-101"]["hostname"] = "web2.example"
    assert machine.read().recognised is True


def test_a_stopping_worker_gets_no_second_signal() -> None:
    """A second signal, more than a second after the first, kills the job in hand."""
    machine = Machine()
    machine.record(state="busy", shutdown_requested_date=moment(STARTED + 7))
    reading = machine.read()
    assert (reading.recognised, reading.in_service) == (False, None)
    assert "second signal" in reading.why


@pytest.mark.parametrize("by", ["key", "state"])
def test_a_suspended_worker_is_not_in_service(by: str) -> None:
    machine = Machine()
    machine.record(state="suspended" if by == "state" else "idle")
    if by == "key":
        machine.store.data["rq:suspended"] = "1"
    reading = machine.read()
    assert (reading.recognised, reading.in_service) == (True, False)
    assert "rq resume" in reading.why


def test_all_workers_are_read_in_two_round_trips() -> None:
    machine = Machine()
    for pid in range(PID, PID + 50):
        machine.record(pid)
    machine.read()
    assert machine.store.round_trips == 2


def test_behind_a_wrapper_it_is_not_recognised_and_exec_is_named() -> None:
    machine = Machine(SHELL, 101)
    machine.record(101)
    reading = machine.read()
    assert reading.recognised is False
    assert "with exec" in reading.why and "RQ 101" in reading.why


def test_an_outage_keeps_the_note() -> None:
    machine = Machine()
    machine.record()
    assert machine.read({"kept": 1}).note == {"kept": 1}
    machine.store.error = redis.ConnectionError("away")
    assert machine.read({"kept": 1}).note == {"kept": 1}


# --- its scheduler


@pytest.mark.parametrize(
    ("version", "state", "children", "drainable"),
    [
        ("1.16.2", "idle", (101,), False),
        ("1.16.2", "busy", (101, 102), True),
        ("1.16.2", "idle", (), True),
        ("3.0.0", "idle", (101,), True),
    ],
    ids=["idle with its scheduler", "at work", "without a scheduler", "from 3.0 on"],
)
def test_below_3_0_a_worker_with_a_scheduler_is_drained_only_while_a_job_runs(
    version: str, state: str, children: tuple[int, ...], drainable: bool
) -> None:
    """While such a one ends its scheduler, it takes jobs and drops them."""
    machine = Machine(TITLE, *children)
    machine.record(state=state, version=version)
    reading = machine.read()
    assert (reading.recognised, reading.in_service) == (True, True), "a peer it is all the same"
    assert ("scheduler" in reading.hold) is not drainable


# --- worker-pool


def test_a_pool_is_known_by_its_workers_records() -> None:
    machine = Machine(POOL, 101, 102)
    assert machine.read().recognised is False, "none yet"
    machine.record(101, state="busy")
    machine.record(102, state="busy")
    machine.record(103)
    reading = machine.read()
    assert (reading.recognised, reading.in_service, reading.busy) == (True, True, 2)


def test_a_pool_with_one_worker_that_is_stopping_gets_no_stop() -> None:
    machine = Machine(POOL, 101, 102)
    machine.record(101)
    machine.record(102, state="busy", shutdown_requested_date=moment(STARTED + 7))
    assert machine.read().recognised is False


def test_the_memory_of_children_counts_for_a_pool_alone() -> None:
    for title, counts in (
        (TITLE, False),
        ("rq:worker:ab12: Listening on high", False),
        (POOL, True),
        (SHELL, True),
    ):
        machine = Machine(title, 101)
        assert machine.kind.memory_in_children(process(PID), machine.processes.table) is counts, title


# --- the stop


def test_it_has_no_quiet_and_no_resume() -> None:
    machine = Machine()
    machine.record()
    target, table = Target(process(PID), {}), machine.processes.table
    assert not machine.kind.traits.quiets
    with pytest.raises(MemkillError, match="it drains by stopping"):
        machine.kind.quiet(target, table)
    with pytest.raises(MemkillError):
        machine.kind.resume(target, table)
    machine.kind.before_stop(target, table)
    assert "rq:suspended" not in machine.store.data, "it would suspend every worker of this Redis"


GOOD = replace(program_info("/srv/venv/bin/rq worker high", stopwaitsecs=600), stopasgroup=False)


def advice(program: ProgramInfo, drain_timeout: float = 600.0) -> list[tuple[str, bool]]:
    return [(one.text, one.refuses) for one in RQ({}, tools()).advice(program, drain_timeout)]


def test_good_settings_need_no_advice() -> None:
    assert advice(GOOD) == []
    assert advice(replace(GOOD, stopsignal=2)) == [], "INT does what TERM does"
    assert advice(replace(GOOD, stopasgroup=True)) == [], "a work horse has a process group of its own"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"stopsignal": 3}, "stopsignal=QUIT must be INT or TERM"),
        ({"stopwaitsecs": 10}, "stopwaitsecs=10 is below drain_timeout=10m00s"),
        ({"command": "sh -c 'rq worker; true'"}, "a shell without exec"),
        (
            {"command": "rq worker -w rq.worker.HerokuWorker high"},
            "rq.worker.HerokuWorker cuts the running job",
        ),
        ({"command": "rq worker --worker-class=rq.worker.HerokuWorker"}, "use rq.worker.Worker"),
    ],
)
def test_settings_that_would_cut_jobs_are_refused(changes: dict[str, Any], expected: str) -> None:
    ((text, refuses),) = advice(replace(GOOD, **changes))
    assert expected in text and refuses


@pytest.mark.parametrize("command", ["rq worker-pool -n 4 high", "rq worker -w rq.worker.SimpleWorker high"])
@pytest.mark.parametrize(
    ("stop_as_group", "expected"), [(True, "remove stopasgroup=true"), (None, "stopasgroup is unknown")]
)
def test_stopasgroup_gives_a_hint_where_jobs_are_in_the_process_group(
    command: str, stop_as_group: bool | None, expected: str
) -> None:
    ((text, refuses),) = advice(replace(GOOD, command=command, stopasgroup=stop_as_group))
    assert expected in text and not refuses


@pytest.mark.parametrize(
    ("command", "pool"),
    [
        ("rq worker-pool high", True),
        ("python manage.py rqworker-pool high --num-workers 4", True),
        ("python manage.py rqpool high", True),
        ("python manage.py rqworker high", False),
    ],
)
def test_pools_are_known_by_their_commands(command: str, pool: bool) -> None:
    assert is_pool(command) is pool


# --- the names of running jobs ------------------------------------------------------------------------------


def test_running_job_of_1_16_is_named_by_its_call() -> None:
    machine = Machine()
    machine.record(state="busy", current_job="j1")
    machine.store.data["rq:job:j1"] = {"description": "shop.tasks.mail('a', to=1)"}
    assert machine.read().jobs == ("shop.tasks.mail",)


def test_running_jobs_of_3_0_are_named_by_their_executions() -> None:
    machine = Machine()
    key = machine.record(state="busy", version="3.0.0")
    machine.store.data[f"{key}:executions"] = {"job:with:colons:x1"}
    machine.store.data["rq:job:job:with:colons"] = {"description": "shop.report()"}
    assert machine.read().jobs == ("shop.report",)


def test_idle_worker_runs_no_job() -> None:
    machine = Machine()
    machine.record()
    before = machine.store.round_trips
    assert machine.read().jobs == ()
    assert machine.store.round_trips - before == 2, "nothing is asked for names"


def test_names_are_asked_for_at_most_every_ten_seconds() -> None:
    machine = Machine()
    machine.record(state="busy", current_job="j1")
    machine.store.data["rq:job:j1"] = {"description": "shop.mail()"}
    assert machine.read().jobs == ("shop.mail",)
    before = machine.store.round_trips
    reading = machine.read()
    assert (reading.jobs, reading.busy) == (None, 1)
    assert machine.store.round_trips - before == 2


@pytest.mark.parametrize("text", ["Mail to bob@example.org", "(x", "1.f()", "a b()"])
def test_description_of_the_application_is_not_taken_for_a_name(text: str) -> None:
    """It may hold names of persons."""
    machine = Machine()
    machine.record(state="busy", current_job="j1")
    machine.store.data["rq:job:j1"] = {"description": text}
    assert machine.read().jobs == ("(with a description of its own)",)


def test_job_that_is_gone_by_now_is_unknown() -> None:
    machine = Machine()
    machine.record(state="busy", current_job="j1")
    assert machine.read().jobs is None


def test_busy_worker_without_a_job_yet_is_unknown_and_no_description_is_asked_for() -> None:
    machine = Machine()
    machine.record(state="busy")
    before = machine.store.round_trips
    assert machine.read().jobs is None
    assert machine.store.round_trips - before == 3


def test_job_with_an_empty_description_is_unknown() -> None:
    machine = Machine()
    machine.record(state="busy", current_job="j1")
    machine.store.data["rq:job:j1"] = {"description": ""}
    assert machine.read().jobs is None
