"""Sidekiq behind a wrapper: it is quieted through Redis, and stopped itself. On fakes."""

from __future__ import annotations

import pytest
import redis

from supervisor_memkill.errors import MemkillError
from supervisor_memkill.testing.fakes import (
    FakeProcesses,
    process,
)
from tests.workers.sidekiq_machine import IDENTITY, PID, TITLE, Machine


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
