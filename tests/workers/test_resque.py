"""Resque: its job, and how it is paused and resumed. On fakes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from supervisor_memkill.errors import NotSent
from supervisor_memkill.testing.contract_suite import ContractSuite
from supervisor_memkill.testing.fakes import (
    FakeRedis,
    program_info,
    tools,
)
from supervisor_memkill.workers.contract import Kind, Note, Target
from supervisor_memkill.workers.resque.kind import Resque
from supervisor_memkill.workers.resque.records import ACTIVE_JOB
from tests.workers.records_redis import RecordsRedis
from tests.workers.resque_machine import (
    HOST,
    IDENTITY,
    PAUSED,
    PHP_ALONE,
    PHP_LISTENING,
    PID,
    WAITING,
    WORKING,
    Machine,
    job,
)


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
