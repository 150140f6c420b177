"""RQ: readings from records. On fakes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import redis

from supervisor_memkill.errors import MemkillError
from supervisor_memkill.testing.contract_suite import ContractSuite
from supervisor_memkill.testing.fakes import (
    STARTED,
    FakeRedis,
    process,
    tools,
)
from supervisor_memkill.workers.contract import Kind, Target
from supervisor_memkill.workers.rq.kind import RQ
from tests.workers.records_redis import RecordsRedis
from tests.workers.rq_machine import HOST, PID, POOL, SHELL, TITLE, Machine, moment


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


def test_record_that_ran_out_and_was_written_again_in_part_is_no_record() -> None:
    """The worker was frozen for longer than its TTL: its next heartbeat writes no pid and no birth."""
    machine = Machine()
    machine.store.data[machine.record()] = {"state": "busy", "last_heartbeat": moment(STARTED + 450)}
    reading = machine.read()
    assert (reading.recognised, reading.busy) == (False, None)
    assert "its record expired in Redis" in reading.why and "restart the worker by hand" in reading.why


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
