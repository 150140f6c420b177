"""Resque: titles and records, and whose they are. On fakes."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from supervisor_memkill.errors import NotSent, Unknown
from supervisor_memkill.testing.fakes import (
    STARTED,
    FakeRedis,
    process,
)
from supervisor_memkill.workers.contract import Target
from supervisor_memkill.workers.resque.records import Turn, owner_in, parse_record, turn_in
from tests.workers.resque_machine import (
    HOST,
    IDENTITY,
    PAUSED,
    PID,
    WAITING,
    Machine,
    iso_time,
    job,
    ruby_time,
)

# --- titles and records


@pytest.mark.parametrize(
    ("title", "turn"),
    [
        ("resque-1.20.0: Waiting for *", Turn.WAITING),
        ("resque-3.0.0: Paused", Turn.PAUSED),
        ("resque-3.0.0: Paused   ", Turn.PAUSED),
        ("resque-2.7.0: Processing high since 1777629605 [Report]", Turn.WORKING),
        ("resque-2.7.0: Forked 12 at 1777629605", Turn.WORKING),
        ("production resque-2.7.0.pre: Waiting for high", Turn.WAITING),
        ("resque-1.2 (high,default): Waiting with interval 5", Turn.WAITING),
        ("resque-1.2 (high): Waiting", Turn.WAITING),
        ("resque-1.2 (*): Paused", Turn.PAUSED),
        ("resque-1.2 (*): Forked 12 at 2026-05-01 10:00:00", Turn.WORKING),
        ("resque-1.2 (*): Waiting with blocking timeout 5", None),
        ("resque-1.2 (*): Starting", None),
        ("resque: Starting", None),
        ("ruby /usr/bin/rake resque:work", None),
        ("resque-scheduler-4.10.2: Paused", None),
        ("resque-2.7.0: Paused for lunch", None),
        ("vim resque-2.7.0", None),
        ("", None),
    ],
)
def test_only_a_title_that_the_loop_writes_shows_the_turn(title: str, turn: Turn | None) -> None:
    assert turn_in(title) is turn


@pytest.mark.parametrize(
    ("identity", "owner"),
    [
        (IDENTITY, (HOST, PID)),
        (f"{HOST}:{PID}:*", (HOST, PID)),
        (f"{HOST}:{PID}:a:b", (HOST, PID)),
        (f"{HOST}:{PID}", None),
        (f":{PID}:high", None),
        (f"{HOST}:x:high", None),
        ("", None),
    ],
)
def test_an_identity_holds_the_host_and_the_pid(identity: str, owner: tuple[str, int] | None) -> None:
    assert owner_in(identity) == owner


@given(st.lists(st.none() | st.text() | st.builds(job, st.text()), min_size=3, max_size=3))
def test_any_value_becomes_a_record_or_none_or_unknown(values: list[Any]) -> None:
    try:
        record = parse_record(IDENTITY, PID, values)
    except Unknown:
        return
    assert record is None or record.pid == PID


@pytest.mark.parametrize(
    "started",
    [
        "2026-05-01 10:00:00 +0000",
        "2026-05-01 12:00:00 +0200",
        "2026-05-01 10:00:00 UTC",
        "2026-05-01T10:00:00+00:00",
    ],
)
def test_times_of_ruby_and_php_are_read(started: str) -> None:
    record = parse_record(IDENTITY, PID, (started, "2026-05-01T12:00:30+02:00", None))
    assert record is not None
    assert (record.started, record.heartbeat) == (1777629600.0, 1777629630.0)


# --- recognising


def test_a_registered_worker_that_waits_is_in_service_with_its_queues() -> None:
    machine = Machine()
    machine.register()
    reading = machine.read()
    assert (reading.recognised, reading.in_service, reading.quiet, reading.busy) == (True, True, False, 0)
    assert (reading.queues, reading.jobs, reading.why) == (frozenset({"high", "default"}), (), "")


def test_keys_stand_in_the_namespace() -> None:
    machine = Machine(namespace="app:resque")
    machine.register()
    assert machine.read().recognised


def test_below_1_26_there_is_no_heartbeat_and_none_is_asked_for() -> None:
    machine = Machine()
    machine.register()
    del machine.store.data["resque:workers:heartbeat"]
    assert machine.read().recognised


def test_a_heartbeat_that_others_would_prune_is_unknown() -> None:
    machine = Machine()
    machine.register()
    machine.beat(STARTED + 500 - 301)
    reading = machine.read()
    assert reading.recognised is None and "no heartbeat" in reading.why


@pytest.mark.parametrize(
    ("identity", "started", "title"),
    [
        ("", 5, WAITING),
        (f"web2.example:{PID}:high", 5, WAITING),
        (f"{HOST}:101:high", 5, WAITING),
        (IDENTITY, -10, WAITING),
        (IDENTITY, -3600, PAUSED),
        (IDENTITY, 7200, PAUSED),
        (IDENTITY, 5, "resque: Starting"),
        (IDENTITY, 5, "rake resque:work"),
    ],
    ids=[
        "nothing",
        "another host",
        "another pid",
        "of a dead one with its pid",
        "of one with the same host name",
        "of a later one",
        "it boots",
        "another title",
    ],
)
def test_a_process_that_may_not_be_resque_in_its_loop_gets_no_signal(
    identity: str, started: float, title: str
) -> None:
    """USR2 kills whatever does not handle it."""
    machine = Machine(title)
    if identity:
        machine.register(identity, STARTED + started)
    reading = machine.read()
    assert (reading.recognised, reading.in_service, reading.idle) == (False, None, False)
    with pytest.raises(NotSent):
        machine.quiet()
    assert machine.signals.sent == []


def test_a_record_under_another_name_of_this_machine_is_named_or_accepted() -> None:
    machine = Machine()
    machine.register(f"worker.1:{PID}:high")
    machine.register(f"far:{PID}:high", STARTED - 3600)
    assert "set record_hosts = worker.1" in machine.read().why and "far" not in machine.read().why
    machine.kind = machine.make("worker.*")
    assert machine.read().recognised


def test_a_record_that_cannot_be_read_concerns_its_own_process_alone() -> None:
    machine = Machine()
    machine.register()
    machine.register(f"{HOST}:200:high")
    machine.put(f"worker:{HOST}:200:high:started", "garbage")
    machine.processes.titles[200] = WAITING
    targets = [Target(machine.supervised), Target(process(200, "other"))]
    readings = machine.kind.read(targets, machine.processes.table)
    assert [reading.recognised for reading in readings.values()] == [True, None]


def test_a_worker_that_nobody_supervises_is_named_with_its_queues() -> None:
    machine = Machine()
    machine.register()
    machine.register(f"{HOST}:200:low", STARTED + 105)
    machine.processes.titles[200], machine.processes.leaders[200] = WAITING, 199
    (found,) = machine.kind.left_behind({PID}, machine.processes.table)
    assert (found.pid, found.queues) == (200, frozenset({"low"}))
    machine.processes.titles[200] = "resque-web"
    assert machine.kind.left_behind({PID}, machine.processes.table) == []


def test_behind_a_shell_it_gets_no_signal_and_exec_is_named() -> None:
    machine = Machine(wrapped=True)
    machine.register()
    reading = machine.read()
    assert reading.recognised is False and "with exec" in reading.why
    with pytest.raises(NotSent):
        machine.quiet()
    assert machine.signals.sent == []


def test_a_record_of_a_process_below_is_not_its_own_though_its_title_is_resques() -> None:
    machine = Machine(wrapped=True)
    machine.processes.titles[50] = WAITING
    machine.register()
    assert machine.read().recognised is False


def test_two_records_of_one_process_cannot_be_told_apart() -> None:
    machine = Machine()
    machine.register()
    machine.register(f"{HOST}:{PID}:low")
    assert machine.read().recognised is None and "its own host name" in machine.read().why
    machine.put(f"worker:{HOST}:{PID}:low:started", ruby_time(STARTED - 60))
    assert machine.read().recognised, "one is left over from a dead process"


def test_a_record_that_nobody_writes_any_more_hides_no_live_one() -> None:
    """Of a container that ended: no worker removes its record until another worker starts."""
    machine = Machine()
    for identity in (IDENTITY, f"{HOST}:{PID}:low"):
        machine.register(identity)
    machine.put(
        "workers:heartbeat",
        {IDENTITY: iso_time(STARTED + 480), f"{HOST}:{PID}:low": iso_time(STARTED + 100)},
    )
    assert machine.read().recognised and machine.read().queues == {"high", "default"}


def test_several_workers_below_one_supervised_process_are_not_drained_with_the_way_out() -> None:
    machine = Machine(wrapped=True)
    machine.processes.titles[51] = WAITING
    machine.processes.children[51] = 50
    for pid in (PID, 51):
        machine.register(f"{HOST}:{pid}:high")
    beats = {f"{HOST}:{pid}:high": iso_time(STARTED + 480) for pid in (PID, 51)}
    machine.put("workers:heartbeat", beats)
    reading = machine.read()
    assert not reading.recognised and "start each as a process of supervisord" in reading.why


class AwayAtTheThirdQuestion(FakeRedis):
    def travel(self) -> None:
        super().travel()
        if self.round_trips % 3 == 0:
            raise redis.ConnectionError("away")


@pytest.mark.parametrize("store", [FakeRedis(), AwayAtTheThirdQuestion()], ids=["there", "away"])
def test_other_names_are_asked_for_once_for_all_workers_and_their_loss_hides_no_reading(
    store: FakeRedis,
) -> None:
    machine = Machine()
    machine.store = store
    machine.register()
    targets = [Target(machine.supervised)]
    for pid in (200, 201, 202):
        machine.processes.titles[pid] = WAITING
        machine.register(f"worker.1:{pid}:high", STARTED + pid - PID + 5)
        targets.append(Target(process(pid, f"other{pid}")))
    machine.beat(STARTED + 480)
    readings = list(machine.kind.read(targets, machine.processes.table).values())
    assert machine.store.round_trips == 3
    assert [one.recognised for one in readings] == [True, False, False, False]
    is_named = type(store) is FakeRedis
    assert ["set record_hosts" in one.why for one in readings] == [False, is_named, is_named, is_named]


def test_a_process_that_is_gone_and_an_outage_are_unknown_and_keep_the_note() -> None:
    machine = Machine()
    machine.register()
    machine.store.error = redis.ConnectionError("away")
    assert (machine.read({"told": True}).recognised, machine.read({"told": True}).note) == (
        None,
        {"told": True},
    )
    machine.store.error = None
    del machine.processes.titles[PID]
    assert machine.read({"told": True}).recognised is None
    with pytest.raises(NotSent):
        machine.quiet()
