"""Sidekiq: which record is a process's own, and what it says. On fakes."""

from __future__ import annotations

import pytest
import redis

from supervisor_memkill.errors import MemkillError
from supervisor_memkill.testing.fakes import (
    STARTED,
    process,
    tools,
)
from supervisor_memkill.workers.contract import Target
from supervisor_memkill.workers.sidekiq.kind import Sidekiq
from tests.workers.sidekiq_machine import HOST, IDENTITY, PID, TITLE, Machine


def test_a_worker_with_a_fresh_record_is_in_service_with_its_queues_and_jobs() -> None:
    machine = Machine()
    machine.beat(busy=1)
    reading = machine.read()
    assert (reading.recognised, reading.in_service, reading.quiet, reading.busy) == (True, True, False, 1)
    assert (reading.jobs, reading.queues, reading.why) == (("Report",), frozenset({"default"}), "")
    assert not reading.idle


def test_a_worker_without_known_queues_has_no_peer_and_its_refusal_says_why() -> None:
    """Sidekiq 9 is to write them in another place; one that nobody knows must not cover every other."""
    machine = Machine()
    machine.beat(queues=None)
    reading = machine.read()
    assert (reading.recognised, reading.in_service) == (True, True)
    assert reading.queues and not reading.queues & {"default"}
    assert "set queues = any" in reading.why_no_peers
    machine.beat()
    assert (machine.read().queues, machine.read().why_no_peers) == (frozenset({"default"}), "")


def test_queues_are_not_compared_where_any_worker_takes_from_all() -> None:
    machine = Machine(queues="any")
    for queues in (None, ["default"]):
        machine.beat(queues=queues)
        assert (machine.read().queues, machine.read().why_no_peers) == (frozenset(), "")


@pytest.mark.parametrize("end", [" stopping", " leader", " leader stopping"])
def test_titles_with_more_words_contradict_no_record(end: str) -> None:
    machine = Machine()
    machine.beat(quiet="stopping" in end)
    machine.processes.titles[PID] = f"sidekiq 7.3.2 queues:default,mailers [0 of 20 busy]{end}"
    assert machine.read().recognised


def test_keys_stand_in_the_namespace() -> None:
    machine = Machine(namespace="app")
    machine.beat()
    assert machine.read().recognised
    assert "app:processes" in machine.redis.data


def test_without_a_record_a_process_is_not_recognised() -> None:
    machine = Machine()
    reading = machine.read()
    assert reading.recognised is False and not reading.in_service
    assert "booting" in reading.why


def test_a_record_that_ran_out_is_no_record() -> None:
    machine = Machine()
    machine.beat()
    del machine.redis.data[IDENTITY]
    assert machine.read().recognised is False


def test_a_record_of_another_host_with_the_same_pid_is_not_its_own() -> None:
    machine = Machine()
    machine.beat(identity=f"web2.example:{PID}:0a1b2c3d4e5f", started_at=STARTED - 9)
    reading = machine.read()
    assert reading.recognised is False and "web2" not in reading.why


@pytest.mark.parametrize("seconds", [-3600.0, -1.0, 7200.0])
def test_a_record_of_the_same_host_and_pid_but_another_start_is_not_believed(seconds: float) -> None:
    """It may say that the worker is quiet and idle: the worker would be stopped at its jobs."""
    machine = Machine()
    machine.beat(quiet=True, started_at=STARTED + seconds)
    machine.processes.titles[PID] = TITLE
    reading = machine.read({})
    assert (reading.recognised, reading.in_service, reading.quiet, reading.idle) == (False, None, None, False)
    assert IDENTITY in reading.why and "same host name" in reading.why
    with pytest.raises(MemkillError):
        machine.quiet()
    assert machine.signals.sent == []


def test_its_own_record_counts_although_another_has_the_same_host_and_pid() -> None:
    machine = Machine()
    machine.beat(busy=1)
    machine.beat(quiet=True, identity=f"{HOST}:{PID}:ffffffffffff", started_at=STARTED - 3600)
    reading = machine.read()
    assert (reading.recognised, reading.in_service, reading.busy) == (True, True, 1)


def test_two_records_of_one_pid_and_start_are_unknown() -> None:
    """Two containers of one host name that began together."""
    machine = Machine()
    machine.beat()
    machine.beat(quiet=True, identity=f"{HOST}:{PID}:ffffffffffff")
    reading = machine.read()
    assert reading.recognised is None and "give each its own host name" in reading.why


def test_a_record_that_the_process_title_contradicts_is_unknown() -> None:
    """Its own record is lost, and that of a container which began at the same time is there."""
    machine = Machine()
    machine.beat(quiet=True)
    machine.processes.titles[PID] = TITLE
    reading = machine.read({})
    assert (reading.recognised, reading.quiet, reading.idle) == (None, None, False)
    assert "at work by its process title" in reading.why


def test_a_record_under_another_name_of_this_machine_is_named_or_accepted() -> None:
    """DYNO in the worker's environment, an initializer that changes the name, a host that was renamed."""
    machine = Machine()
    machine.beat(identity=f"worker.1:{PID}:0a1b2c3d4e5f")
    assert "set record_hosts = worker.1" in machine.read().why
    machine.kind = Sidekiq(
        {"record_hosts": ("old-name", "worker.*")},
        tools(lambda: machine.redis, machine.signals),
        hostname=HOST,
        wall=lambda: machine.now,
    )
    assert machine.read().recognised
    machine.quiet()
    assert machine.signals.sent == [("jobs:jobs_0", "TSTP")]


def test_other_names_are_looked_for_only_where_a_worker_has_no_record() -> None:
    machine = Machine()
    machine.beat()
    machine.beat(identity=f"worker.1:{PID}:0a1b2c3d4e5f")
    machine.read()
    assert machine.redis.round_trips == 2


def test_a_record_that_cannot_be_read_concerns_its_own_process_alone() -> None:
    machine = Machine()
    machine.beat()
    machine.processes.titles[200] = "sidekiq 6.4.1 myapp [0 of 2 busy]"
    other = f"{HOST}:200:0a1b2c3d4e5f"
    machine.beat(identity=other)
    machine.redis.data[other]["info"] = "garbage"
    targets = [Target(machine.supervised), Target(process(200, "other"))]
    readings = machine.kind.read(targets, machine.processes.table)
    assert readings["jobs:jobs_0"].recognised is True
    assert readings["jobs:other"].recognised is None and not readings["jobs:other"].source_away


def test_a_sidekiq_that_nobody_supervises_is_named_and_left_alone() -> None:
    """supervisord killed the shell before it: Sidekiq lives on and takes jobs."""
    machine = Machine()
    machine.kind = Sidekiq(
        {},
        tools(lambda: machine.redis, machine.signals, clock=lambda: 640.0),
        hostname=HOST,
        wall=lambda: machine.now,
    )
    machine.processes.titles[200] = TITLE
    machine.processes.leaders[200] = 199
    orphan = f"{HOST}:200:0a1b2c3d4e5f"
    machine.beat()
    machine.beat(identity=orphan, started_at=machine.now - 430)
    table = machine.processes.table
    (found,) = machine.kind.left_behind({PID}, table)
    assert (found.pid, found.record, found.queues) == (200, orphan, frozenset({"default"}))
    assert machine.kind.left_behind({PID, 199, 200}, table) == []
    machine.beat(identity=orphan, started_at=machine.now - 4300)
    assert machine.kind.left_behind({PID}, table) == [], "the record is of an earlier process"
    machine.redis.error = redis.ConnectionError("away")
    assert machine.kind.left_behind({PID}, table) == ()
    assert machine.signals.sent == [] and machine.waiting_signals() == []


def test_a_stale_record_is_unknown() -> None:
    machine = Machine()
    machine.beat()
    machine.now += 16
    reading = machine.read()
    assert reading.recognised is None and not reading.in_service
    assert "no beat from Sidekiq for 16 s" in reading.why


def test_the_slower_beat_of_sidekiq_7_stays_fresh_for_longer() -> None:
    machine = Machine(title="sidekiq 7.3.10 myapp [0 of 2 busy]")
    machine.beat(version="7.3.10", embedded=False)
    machine.now += 16
    assert machine.read().in_service


def test_an_embedded_sidekiq_is_never_signalled() -> None:
    """The signal would reach the program round it, which TSTP suspends."""
    machine = Machine(title="puma 6.4.2 (tcp://0.0.0.0:3000) [app]")
    machine.beat(version="7.3.10", embedded=True)
    assert machine.read().recognised is False
    with pytest.raises(MemkillError):
        machine.quiet()
    assert machine.signals.sent == []


def test_a_quiet_worker_that_nobody_drains_is_out_of_service_with_a_reason() -> None:
    machine = Machine()
    machine.beat(quiet=True)
    reading = machine.read()
    assert (reading.recognised, reading.in_service, reading.quiet) == (True, False, True)
    assert "until it is restarted" in reading.why


def test_a_process_that_is_gone_is_unknown() -> None:
    machine = Machine()
    machine.beat()
    del machine.processes.titles[PID]
    assert machine.read().recognised is None


def test_only_the_records_of_the_pools_own_processes_are_fetched() -> None:
    machine = Machine()
    machine.beat()
    for pid in range(1000, 1100):
        machine.beat(identity=f"{HOST}:{pid}:0a1b2c3d4e5f")
    machine.redis.data[f"{HOST}:1000:0a1b2c3d4e5f"]["info"] = "garbage that is none of its business"
    assert machine.read().recognised
    assert machine.redis.round_trips == 2
