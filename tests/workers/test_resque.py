"""Resque: readings from records and titles, and which processes get a signal. On fakes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, ClassVar

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from supervisor_memkill.errors import NotSent, Unknown
from supervisor_memkill.testing.contract_suite import ContractSuite
from supervisor_memkill.testing.fakes import (
    STARTED,
    FakeProcesses,
    FakeRedis,
    Signals,
    process,
    program_info,
    read_one,
    tools,
)
from supervisor_memkill.workers.contract import Kind, Note, Reading, Target
from supervisor_memkill.workers.resque.kind import Resque
from supervisor_memkill.workers.resque.records import ACTIVE_JOB, Turn, owner_in, parse_record, turn_in
from tests.workers.records_redis import RecordsRedis

HOST, PID = "web1.example", 100
IDENTITY = f"{HOST}:{PID}:high,default"
WAITING, PAUSED = "resque-2.7.0: Waiting for high,default", "resque-2.7.0: Paused"
WORKING = "resque-2.7.0: Forked 4711 at 1777629605"
PHP_ALONE, PHP_LISTENING = 0x4004A07, 0x4026A07
"""SigCgt of PHP that asked for no signals, and of one that did: CONT is bit 17."""
SHELL = "sh -c rake resque:work; true"


def ruby_time(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%d %H:%M:%S +0000")


def iso_time(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def job(name: str = "Report", *args: object) -> str:
    payload = {"class": name, "args": args}
    return json.dumps({"queue": "high", "run_at": "2026-05-01T10:00:00Z", "payload": payload})


class Machine:
    """A worker with its record in Redis and its title, and the kind that reads both."""

    def __init__(self, title: str = WAITING, *, namespace: str = "", wrapped: bool = False) -> None:
        self.prefix = namespace or "resque"
        titles, children = ({50: SHELL, PID: title}, {PID: 50}) if wrapped else ({PID: title}, {})
        self.processes = FakeProcesses(titles, children)
        self.supervised = process(50 if wrapped else PID)
        self.store = FakeRedis()
        self.signals = Signals()
        self.kind = self.make()

    def make(self, *record_hosts: str) -> Resque:
        namespace = self.prefix if self.prefix != "resque" else ""
        known = tools(lambda: RecordsRedis(self.store), self.signals, namespace, clock=lambda: 601.0)
        return Resque({"record_hosts": record_hosts}, known, hostname=HOST, wall=lambda: STARTED + 500.0)

    def register(self, identity: str = IDENTITY, started: float = STARTED + 5) -> None:
        self.put("workers", {*self.store.data.get(f"{self.prefix}:workers", ()), identity})
        self.put(f"worker:{identity}:started", ruby_time(started))
        self.beat(STARTED + 480, identity)

    def beat(self, epoch: float, identity: str = IDENTITY) -> None:
        self.put("workers:heartbeat", {identity: iso_time(epoch)})

    def work_on(self, text: str) -> None:
        self.put(f"worker:{IDENTITY}", text)
        self.processes.titles[PID] = WORKING

    def put(self, key: str, value: object) -> None:
        self.store.data[f"{self.prefix}:{key}"] = value

    def read(self, note: Note | None = None) -> Reading:
        return read_one(self.kind, Target(self.supervised, note), self.processes.table)

    def quiet(self) -> Note:
        return self.kind.quiet(Target(self.supervised, {}), self.processes.table)


class TestContract(ContractSuite):
    kind = Resque
    values: ClassVar[Mapping[str, Any]] = {}
    title = PAUSED
    note: ClassVar[Note] = {"told": True}
    reads_redis = True

    def make(self, store: FakeRedis) -> Kind:
        return Resque({}, tools(lambda: RecordsRedis(store)), hostname=HOST)

    def plant(self, store: FakeRedis, garbage: str | None) -> None:
        store.data = {
            "resque:workers": {IDENTITY, garbage or ""},
            "resque:pause-all-workers": garbage,
            f"resque:worker:{IDENTITY}": garbage,
            f"resque:worker:{IDENTITY}:started": garbage,
            "resque:workers:heartbeat": {IDENTITY: garbage},
        }


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
    assert machine.read().recognised is None
    machine.put(f"worker:{HOST}:{PID}:low:started", ruby_time(STARTED - 60))
    assert machine.read().recognised, "one is left over from a dead process"


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


# --- jobs


@pytest.mark.parametrize(
    ("text", "jobs"),
    [
        (job("Report", 1), ("Report",)),
        (job(ACTIVE_JOB, {"job_class": "BillingJob"}), ("BillingJob",)),
        (job(ACTIVE_JOB), None),
        ("[]", None),
        ("{", None),
        (json.dumps({"payload": {"class": 1}}), None),
    ],
)
def test_the_running_job_has_the_name_of_its_class(text: str, jobs: tuple[str, ...] | None) -> None:
    machine = Machine()
    machine.register()
    machine.work_on(text)
    reading = machine.read()
    assert (reading.recognised, reading.busy, reading.jobs) == (True, 1, jobs)


# --- quiet, idle, resume


def test_a_drain_walks_from_work_to_paused_and_idle() -> None:
    machine = Machine()
    machine.register()
    machine.work_on(job())
    note = machine.quiet()
    assert machine.signals.sent == [("jobs:jobs_0", "USR2")]
    working = machine.read(note)
    assert (working.quiet, working.idle, working.busy) == (None, False, 1), (
        "its title says nothing of the pause"
    )

    del machine.store.data[f"resque:worker:{IDENTITY}"]
    between = machine.read(note)
    assert (between.quiet, between.idle, between.busy) == (None, False, 0), "another job may be off its queue"

    machine.processes.titles[PID] = PAUSED
    paused = machine.read(note)
    assert (paused.quiet, paused.idle, paused.in_service) == (True, True, False)
    assert paused.note == note == {"told": True}


def test_a_worker_that_waits_for_jobs_is_not_quiet_whatever_was_sent() -> None:
    machine = Machine()
    machine.register()
    reading = machine.read(machine.quiet())
    assert (reading.quiet, reading.idle) == (False, False)


def test_a_title_that_says_paused_beside_a_job_is_not_idle() -> None:
    machine = Machine(PAUSED)
    machine.register()
    machine.put(f"worker:{IDENTITY}", job())
    assert not machine.read({"told": True}).idle


def test_a_worker_that_an_operator_paused_is_out_of_service_with_a_reason() -> None:
    machine = Machine(PAUSED)
    machine.register()
    reading = machine.read()
    assert (reading.recognised, reading.in_service, reading.quiet, reading.idle) == (True, False, True, False)
    assert "CONT" in reading.why


@pytest.mark.parametrize("title", [PAUSED, WAITING])
def test_while_all_workers_are_paused_nobody_is_in_service_and_no_pause_is_confirmed(title: str) -> None:
    machine = Machine(title)
    machine.register()
    machine.put("pause-all-workers", "True ")
    reading = machine.read()
    assert not reading.in_service and "pause-all-workers" in reading.why
    assert machine.read({"told": True}).quiet is not True


def test_a_php_resque_walks_to_paused_and_idle() -> None:
    """Its loop writes ``Paused`` on a turn without a job, as Ruby's does."""
    machine = Machine("resque-1.2 (high,default): Waiting with interval 5")
    machine.register()
    machine.processes.caught[PID] = PHP_LISTENING
    assert (machine.read().in_service, machine.read().quiet) == (True, False)
    note = machine.quiet()
    machine.processes.titles[PID] = "resque-1.2 (high,default): Forked 7 at 2026-05-01 10:00:00"
    assert (machine.read(note).quiet, machine.read(note).idle) == (None, False)
    machine.processes.titles[PID] = "resque-1.2 (high,default): Paused"
    assert (machine.read(note).quiet, machine.read(note).idle) == (True, True)


def test_a_php_resque_without_pcntl_gets_no_signal() -> None:
    """PHP itself handles USR2 in any case, and dies of it."""
    machine = Machine("resque-1.2 (high): Waiting with interval 5")
    machine.register()
    machine.processes.caught[PID] = PHP_ALONE
    assert machine.read().recognised is False and "pcntl" in machine.read().why
    with pytest.raises(NotSent):
        machine.quiet()
    assert machine.signals.sent == []


@pytest.mark.parametrize(
    ("title", "environment"),
    [("Waiting with blocking timeout 5", {}), ("Forked 7 at 2026-05-01 10:00:00", {"BLOCKING": "1"})],
)
def test_a_php_resque_that_would_not_show_its_pause_gets_no_signal(
    title: str, environment: Mapping[str, str]
) -> None:
    machine = Machine(f"resque-1.2 (high): {title}")
    machine.register()
    machine.processes.environments[PID] = environment
    assert machine.read().recognised is False and "BLOCKING" in machine.read().why


def test_resume_is_cont() -> None:
    machine = Machine(PAUSED)
    machine.register()
    assert machine.kind.traits.can_resume
    machine.kind.resume(Target(machine.supervised, {"told": True}), machine.processes.table)
    assert machine.signals.sent == [("jobs:jobs_0", "CONT")]


# --- memory and settings


def test_memory_is_the_workers_own_unless_a_shell_is_in_between() -> None:
    direct, wrapped = Machine(WORKING), Machine(wrapped=True)
    assert not direct.kind.memory_in_children(direct.supervised, direct.processes.table)
    assert wrapped.kind.memory_in_children(wrapped.supervised, wrapped.processes.table)


def test_settings_that_may_lose_jobs_at_another_stop_give_a_hint() -> None:
    good = replace(program_info("bundle exec rake resque:work", stopsignal=3), stopasgroup=False)
    kind = Machine().kind
    assert list(kind.advice(good, 600.0)) == []
    for changes, expected in (
        ({"stopsignal": 15}, "stopsignal=TERM must be QUIT"),
        ({"stopasgroup": True}, "remove stopasgroup=true"),
        ({"command": "sh -c 'rake resque:work; true'"}, "a shell without exec"),
        ({"stopwaitsecs": 10}, "stopwaitsecs=10 must be above the time of a stop that waits for a job"),
    ):
        (advice,) = kind.advice(replace(good, **changes), 600.0)
        assert expected in advice.text and not advice.refuses
        assert advice.cuts_jobs is ("stopsignal" in changes or "stopwaitsecs" in changes)
