"""Sidekiq: readings from records, and which processes get a signal. On fakes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import redis

from supervisor_memkill.errors import MemkillError
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
from supervisor_memkill.workers.sidekiq.kind import Sidekiq

HOST = "web1.example"
PID = 100
IDENTITY = f"{HOST}:{PID}:0a1b2c3d4e5f"
TITLE = "sidekiq 6.4.1 myapp [0 of 2 busy]"
JOB = json.dumps({"queue": "default", "payload": json.dumps({"class": "Report"})})


class Machine:
    """A worker with its record in Redis, and the kind that reads it at a wall clock of its own."""

    def __init__(
        self, *, wrapped: bool = False, title: str = TITLE, namespace: str = "", queues: str = "same"
    ) -> None:
        self.prefix = f"{namespace}:" if namespace else ""
        self.title = title
        self.processes = FakeProcesses({PID: title})
        if wrapped:
            self.processes = FakeProcesses({PID: title, 50: "sh -c bundle exec sidekiq; true"}, {PID: 50})
        self.supervised = process(50 if wrapped else PID)
        self.redis = FakeRedis()
        self.signals = Signals()
        self.now = STARTED + 500.0
        self.kind = Sidekiq(
            {"queues": queues},
            tools(lambda: self.redis, self.signals, namespace),
            hostname=HOST,
            wall=lambda: self.now,
        )

    def beat(
        self,
        busy: int = 0,
        quiet: bool = False,
        identity: str = IDENTITY,
        work: Mapping[str, str] | None = None,
        **info: object,
    ) -> None:
        """One heartbeat, now."""
        self.redis.data.setdefault(f"{self.prefix}processes", set()).add(identity)
        self.redis.data[self.prefix + identity] = {
            "info": json.dumps({"queues": ["default"], "started_at": STARTED + 60.5, **info}),
            "busy": str(busy),
            "beat": str(self.now),
            "quiet": str(quiet).lower(),
        }
        if identity == IDENTITY and "busy]" in self.processes.titles.get(PID, ""):
            self.processes.titles[PID] = self.title + (" stopping" if quiet else "")
        self.redis.data[f"{self.prefix}{identity}:workers"] = dict(
            work or {f"t{n}": JOB for n in range(busy)}
        )

    def read(self, note: Note | None = None) -> Reading:
        return read_one(self.kind, Target(self.supervised, note), self.processes.table)

    def quiet(self, note: Note | None = None) -> Note:
        return self.kind.quiet(Target(self.supervised, note or {}), self.processes.table)

    def before_stop(self, note: Note | None = None) -> None:
        self.kind.before_stop(Target(self.supervised, note or {}), self.processes.table)

    def waiting_signals(self) -> list[str]:
        return list(self.redis.data.get(f"{self.prefix}{IDENTITY}-signals", ()))


class TestContract(ContractSuite):
    kind = Sidekiq
    values: ClassVar[Mapping[str, Any]] = {}
    title = TITLE
    note: ClassVar[Note] = {"identity": IDENTITY, "signalled": "TSTP", "quiet_beat": 1.5}
    reads_redis = True

    def make(self, store: FakeRedis) -> Kind:
        return Sidekiq({}, tools(lambda: store), hostname=HOST, wall=lambda: STARTED + 1)

    def plant(self, store: FakeRedis, garbage: str | None) -> None:
        store.data = {
            "processes": {IDENTITY, garbage or ""},
            IDENTITY: {"info": garbage, "busy": "1", "beat": str(STARTED), "quiet": "true"},
            f"{IDENTITY}:work": {"tid": garbage},
        }


# --- recognising


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


# --- idle


def test_idle_is_believed_only_in_a_beat_after_the_first_quiet_one() -> None:
    """The first may have counted its jobs before the quiet."""
    machine = Machine()
    machine.beat()
    note = machine.quiet()

    assert not machine.read(note).idle, "busy 0, not quiet yet"
    machine.now += 5
    machine.beat(busy=0, quiet=True)
    first = machine.read(note)
    assert first.quiet and first.busy == 0 and not first.idle
    assert not machine.read(first.note).idle, "the same beat read twice"

    machine.now += 5
    machine.beat(busy=1, quiet=True)
    second = machine.read(first.note)
    assert second.busy == 1 and not second.idle
    machine.now += 5
    machine.beat(busy=0, quiet=True)
    assert machine.read(second.note).idle


def test_a_worker_that_was_quiet_before_follows_the_same_rule() -> None:
    machine = Machine()
    machine.beat(quiet=True)
    adopted = machine.read({})
    assert not adopted.idle
    machine.now += 5
    machine.beat(quiet=True)
    assert machine.read(adopted.note).idle


def test_the_later_beat_must_be_fresh() -> None:
    machine = Machine()
    machine.beat(quiet=True)
    note = machine.read({}).note
    machine.now += 5
    machine.beat(quiet=True)
    machine.now += 15
    reading = machine.read(note)
    assert not reading.idle and reading.recognised is None
    assert reading.note == note


def test_another_process_under_the_same_pid_starts_anew() -> None:
    machine = Machine()
    machine.beat(quiet=True)
    note = machine.read(machine.quiet()).note
    machine.redis.data.clear()
    machine.now += 5
    machine.beat(quiet=True, identity=f"{HOST}:{PID}:ffffffffffff")
    reading = machine.read(note)
    assert not reading.idle
    assert reading.note == {"identity": f"{HOST}:{PID}:ffffffffffff", "quiet_beat": machine.now}


@pytest.mark.parametrize("quiet", [True, False])
def test_an_older_record_after_a_failover_starts_the_rule_anew(quiet: bool) -> None:
    machine = Machine()
    machine.beat(quiet=True)
    note = machine.read({}).note
    machine.now -= 5
    machine.beat(quiet=quiet)
    older = machine.read(note)
    assert not older.idle
    assert older.note.get("quiet_beat") == (machine.now if quiet else None)


def test_an_entry_of_a_running_job_holds_back_idle_whatever_busy_says() -> None:
    machine = Machine()
    machine.beat(quiet=True)
    note = machine.read({}).note
    machine.now += 5
    machine.beat(busy=0, quiet=True, work={"tid": JOB})
    assert not machine.read(note).idle


def test_an_outage_keeps_the_note() -> None:
    machine = Machine()
    machine.beat(quiet=True)
    note = machine.read(machine.quiet()).note
    machine.redis.error = redis.ConnectionError("away")
    assert machine.read(note).note == note


# --- quiet


def test_a_supervised_sidekiq_is_quieted_by_supervisord() -> None:
    machine = Machine()
    machine.beat()
    note = machine.quiet()
    assert machine.signals.sent == [("jobs:jobs_0", "TSTP")]
    assert note == {"identity": IDENTITY, "signalled": "TSTP"}


@pytest.mark.parametrize(
    ("title", "info", "name"),
    [
        ("sidekiq 4.1.0 myapp [0 of 2 busy]", {}, "USR1"),
        ("sidekiq 7.3.10 myapp [0 of 2 busy]", {"version": "7.3.10"}, "TSTP"),
        ("an application's own title", {}, "TSTP"),
    ],
)
def test_usr1_goes_only_to_a_version_that_says_it_is_old(title: str, info: dict[str, str], name: str) -> None:
    machine = Machine(title=title)
    machine.beat(**info)  # type: ignore[arg-type]  # mypy takes them for the named arguments
    machine.quiet()
    assert machine.signals.sent == [("jobs:jobs_0", name)]


@pytest.mark.parametrize("case", ["no record", "stale", "redis away"])
def test_without_a_fresh_record_nobody_is_signalled(case: str) -> None:
    """TSTP freezes a Sidekiq that is still booting, and whatever is no Sidekiq."""
    for machine in (Machine(), Machine(wrapped=True)):
        if case != "no record":
            machine.beat()
        if case == "stale":
            machine.now += 60
        if case == "redis away":
            machine.redis.error = redis.TimeoutError("Timeout reading from socket")
        with pytest.raises(MemkillError):
            machine.quiet()
        assert machine.signals.sent == [] and machine.waiting_signals() == []


def test_repeating_the_quiet_keeps_what_was_noted() -> None:
    machine = Machine()
    machine.beat(quiet=True)
    note = machine.read(machine.quiet()).note
    machine.now += 5
    machine.beat(quiet=True)
    assert machine.quiet(note) == note


def test_a_worker_that_our_signal_suspended_is_frozen() -> None:
    machine = Machine()
    machine.beat()
    note = machine.quiet()
    machine.processes.suspended.add(PID)
    assert machine.read(note).frozen
    assert not machine.read({}).frozen and not machine.read().frozen, "that was not us"
    machine.redis.error = redis.ConnectionError("away")
    assert machine.read(note).frozen, "whether or not Redis is there"


# --- behind a wrapper


@pytest.mark.parametrize("namespace", ["", "app"])
def test_behind_a_wrapper_sidekiq_is_quieted_through_redis_once(namespace: str) -> None:
    machine = Machine(wrapped=True, namespace=namespace)
    machine.beat()
    machine.quiet(machine.quiet())
    assert machine.signals.sent == []
    assert machine.waiting_signals() == ["TSTP"]
    assert machine.redis.expires == {f"{machine.prefix}{IDENTITY}-signals": 60}


def test_behind_a_wrapper_it_is_in_service_with_a_remark() -> None:
    machine = Machine(wrapped=True)
    machine.beat()
    reading = machine.read()
    assert reading.in_service and reading.why == ""
    assert "without exec" in reading.remark and "sh -c" in reading.remark


def test_behind_a_wrapper_the_stop_reaches_sidekiq_too() -> None:
    machine = Machine(wrapped=True)
    machine.beat()
    machine.before_stop()
    assert machine.waiting_signals() == ["TERM"]


def test_behind_a_wrapper_a_drained_sidekiq_gets_term_although_its_record_is_lost() -> None:
    machine = Machine(wrapped=True)
    machine.before_stop({"identity": IDENTITY})
    assert machine.waiting_signals() == ["TERM"]


def test_a_wrapper_without_a_known_sidekiq_behind_it_is_reported() -> None:
    with pytest.raises(MemkillError):
        Machine(wrapped=True).before_stop()


def test_a_direct_sidekiq_is_stopped_by_supervisord_alone() -> None:
    machine = Machine()
    machine.redis.error = redis.ConnectionError("away")
    machine.before_stop()
    assert machine.waiting_signals() == [] and machine.signals.sent == []

    untitled = Machine(title="an application's own title")
    untitled.beat()
    untitled.before_stop()
    assert untitled.waiting_signals() == []


def test_memory_is_below_a_wrapper_and_nowhere_else() -> None:
    direct, wrapped = Machine(), Machine(wrapped=True)
    assert not direct.kind.memory_in_children(direct.supervised, direct.processes.table)
    assert wrapped.kind.memory_in_children(wrapped.supervised, wrapped.processes.table)
    forked = FakeProcesses({PID: TITLE, 101: TITLE}, {101: PID})
    assert not direct.kind.memory_in_children(process(PID), forked.table)


# --- its own timeout


def test_timeout_is_that_of_the_process_that_runs(tmp_path: Path) -> None:
    """Learnt once per process: what its file says later is not in force."""
    config = tmp_path / "config" / "sidekiq.yml"
    config.parent.mkdir()
    config.write_text(":timeout: 60\n")
    os.utime(config, (STARTED - 5, STARTED - 5))
    machine, program = Machine(), program_info("bundle exec sidekiq", stopwaitsecs=40)
    machine.beat()
    assert list(machine.kind.advice(program, 3600.0)) == [], "25 s by default, while nothing is known"
    machine.processes.directories[PID] = str(tmp_path)
    machine.read()
    (advice,) = machine.kind.advice(program, 3600.0)
    assert f"the timeout in {config} of 60 s" in advice.text and advice.cuts_jobs
    config.write_text(":timeout: 5\n")
    os.utime(config, (STARTED + 5, STARTED + 5))
    machine.read()
    assert list(machine.kind.advice(program, 3600.0)) == [advice]
    machine.supervised = process(PID, start=STARTED + 10)
    machine.now += 60
    machine.beat()
    machine.read()
    assert list(machine.kind.advice(program, 3600.0)) == []


def test_old_version_has_its_own_default() -> None:
    machine, program = Machine(title="sidekiq 5.2.10 myapp [0 of 2 busy]"), program_info("sidekiq", 10)
    assert [one.cuts_jobs for one in machine.kind.advice(program, 3600.0)] == [True]
    machine.beat()
    machine.read()
    assert list(machine.kind.advice(program, 3600.0)) == [], "8 s"
