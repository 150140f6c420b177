"""Sidekiq: when it is idle, and how it is quieted. On fakes."""

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
    tools,
)
from supervisor_memkill.workers.contract import Kind, Note
from supervisor_memkill.workers.sidekiq.kind import Sidekiq
from tests.workers.sidekiq_machine import HOST, IDENTITY, JOB, PID, TITLE, Machine


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
