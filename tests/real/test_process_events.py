"""The changes of processes come as events: looks ask for little, and a drain goes on at once."""

from __future__ import annotations

import pytest

from tests.real.conftest import StartPool
from tests.real.pool import TICKS_ALONE, WITH_CHANGES, LeakyPool
from tests.real.test_requests import run

pytestmark = pytest.mark.real

ALL_PROCESSES = "XML-RPC method called: supervisor.getAllProcessInfo()"


def times_asked(pool: LeakyPool) -> int:
    """How often supervisord was asked for all processes."""
    return pool.supervisord.log().count(ALL_PROCESSES)


@pytest.mark.parametrize("events", [TICKS_ALONE, WITH_CHANGES])
def test_idle_listener_asks_for_all_processes_again_only_if_it_is_sent_no_changes(
    start_pool: StartPool, events: str
) -> None:
    pool = start_pool("plain", events=events, loglevel="trace", main={"log_level": "debug"})
    pool.wait_for_event("worker.seen", times=2 * len(pool.workers))
    assert times_asked(pool) == (1 if events is WITH_CHANGES else 2)


def test_drain_takes_each_step_when_its_worker_has_stopped_and_started(start_pool: StartPool) -> None:
    """Neither a TICK nor a poll comes within the hour."""
    events = "TICK_3600,REMOTE_COMMUNICATION,PROCESS_STATE"
    pool = start_pool("plain", events=events, main={"poll_interval": "1h"}, pool={"settle": "300ms"})
    pool.wait_for_event("listener.started")
    done = run(pool, "restart", pool.workers[0], "--wait")
    assert done.returncode == 0, done.stderr
    pool.wait_for_event("drain.done")
    pool.wait_for(lambda: not pool.drains())
    assert len(pool.events("drain.done")) == 1
