"""The operator's word stands, and a worker with troubles of its own comes back all the same."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
from pathlib import Path

import psutil
import pytest

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State
from supervisor_memkill.world.supervisord import NotRunning
from tests.harness import PROGRAMS
from tests.leaky_workers import LeakyWorkers
from tests.real.conftest import StartPool
from tests.real.pool import GATE, TICKS_ALONE, LeakyPool

pytestmark = pytest.mark.real

STATES = [State.QUIETING, State.DRAINING, State.STOPPING, State.STARTING, State.SETTLING]
SLOW = {"poll_interval": "800ms"}
"""QUIETING and STARTING last for one poll: long enough for an operator to come in between, and short
enough that the next TICK, which is a turn as well, comes later than STARTING."""
STUBBORN = {"worker_options": ["--ignore-term"], "worker": {"stopwaitsecs": 3}}
"""STOPPING lasts until supervisord's SIGKILL."""


def pool_for(start_pool: StartPool, state: State) -> LeakyPool:
    """Three workers that stay in this state long enough to be caught in it."""
    settings = {**GATE, "settle": "6s"} if state is State.SETTLING else GATE
    stubborn = STUBBORN if state is State.STOPPING else {}
    main = SLOW if state in (State.QUIETING, State.STARTING) else {}
    # An event would end STARTING before the poll.
    return start_pool("custom", count=3, pool=settings, main=main, events=TICKS_ALONE, **stubborn)


def catch_in(pool: LeakyPool, state: State) -> str:
    """Make one worker bloated and let its drain come to this state; the worker."""
    worker = pool.bloat("first")
    if state not in (State.QUIETING, State.DRAINING):
        pool.gate(0)
    assert pool.wait_for_drain(state) == worker
    # Each of these is journalled before it is asked for.
    if state is State.QUIETING:
        pool.wait_for(lambda: pool.leaky.facts("quiet"))
    if state is State.STOPPING:
        pool.wait_for(lambda: pool.leaky.facts("term"))
    if state is State.STARTING:
        pool.wait_for(lambda: starts(pool, worker) == 2)
    return worker


def starts(pool: LeakyPool, worker: str) -> int:
    """How often supervisord started this worker."""
    return [name for name, _ in pool.spawned()].count(worker)


def assert_slot_is_free(pool: LeakyPool, *, but: str = "") -> None:
    """The next bloated worker gets its turn, which also shows that later TICKs were worked on."""
    pool.gate(0)
    pool.wait_for(lambda: not pool.drains())
    before = finished_drains(pool)
    pool.bloat("next")
    pool.wait_for(lambda: finished_drains(pool) > before)
    pool.wait_until_whole(but=but)


def finished_drains(pool: LeakyPool) -> int:
    """How many drains ended with a new process in service; a STUBBORN worker's ends in SIGKILL."""
    return len(pool.events("drain.done")) + len(pool.events("drain.killed"))


@pytest.mark.parametrize("state", [State.QUIETING, State.DRAINING, State.STARTING, State.SETTLING])
def test_what_the_operator_stops_stays_stopped(start_pool: StartPool, state: State) -> None:
    pool = pool_for(start_pool, state)
    worker = catch_in(pool, state)
    pool.supervisord.stop_by_hand(worker)
    stopped = pool.process(worker)
    pool.wait_for_event("drain.let_go", text=worker)
    assert_slot_is_free(pool, but=worker)
    after = pool.process(worker)
    assert after.state is ProcessState.STOPPED
    assert (after.start, after.stop) == (stopped.start, stopped.stop), "nobody started it meanwhile"


def test_stop_that_supervisord_refuses_the_operator_is_none(start_pool: StartPool) -> None:
    """While the worker is STOPPING already, supervisord says "not running": it comes back."""
    pool = pool_for(start_pool, State.STOPPING)
    worker = catch_in(pool, State.STOPPING)
    with pytest.raises(NotRunning):
        pool.supervisord.stop_by_hand(worker)
    pool.wait_until_whole()


@pytest.mark.parametrize("state", STATES)
def test_what_the_operator_restarts_is_not_restarted_again(start_pool: StartPool, state: State) -> None:
    pool = pool_for(start_pool, state)
    worker = catch_in(pool, state)
    with contextlib.suppress(NotRunning):  # supervisorctl goes on to the start as well
        pool.supervisord.stop_by_hand(worker)
    pool.supervisord.proxy.start(worker)
    pool.wait_until_whole()
    ours = 1 if state in (State.STARTING, State.SETTLING) else 0
    assert len(pool.spawned()) == 3 + 1 + ours
    assert_slot_is_free(pool)


@pytest.mark.parametrize("state", [State.DRAINING, State.STOPPING, State.SETTLING])
def test_worker_that_the_operator_removes_is_let_go(start_pool: StartPool, state: State) -> None:
    pool = pool_for(start_pool, state)
    worker = catch_in(pool, state)
    name = worker.partition(":")[0]
    pool.supervisord.write_config(pool.sections(without=name))

    def is_removed() -> bool:
        """Refused as long as something runs there, and then the operator tries again."""
        pool.supervisord.ctl("update")
        return pool.supervisord.proxy.process(worker) is None

    pool.wait_for(is_removed)
    pool.wait_for_event("drain.let_go", text=worker)
    pool.workers.remove(worker)
    assert_slot_is_free(pool)
    assert pool.supervisord.proxy.process(worker) is None


@pytest.mark.parametrize("killer", [signal.SIGKILL, signal.SIGTERM])
def test_worker_that_ends_by_itself_while_draining_comes_back(
    start_pool: StartPool, killer: signal.Signals
) -> None:
    """Killed, supervisord brings it back; ended with status 0, only we do (autorestart=unexpected)."""
    pool = pool_for(start_pool, State.DRAINING)
    worker = catch_in(pool, State.DRAINING)
    os.kill(pool.process(worker).pid, killer)
    pool.wait_for_event("drain.done", text=worker)
    assert pool.process(worker).state is ProcessState.RUNNING
    assert len(pool.spawned()) == 4
    assert_slot_is_free(pool)


def test_worker_that_ignores_the_stop_is_killed_by_supervisord_and_comes_back(start_pool: StartPool) -> None:
    pool = pool_for(start_pool, State.STOPPING)
    worker = catch_in(pool, State.STOPPING)
    pool.wait_until_whole()
    assert f"killing '{worker.partition(':')[0]}'" in pool.supervisord.log()
    assert pool.ups() == 4


# --- a worker that cannot be started --------------------------------------------------------------


def script(leaky: LeakyWorkers, name: str, command: str) -> str:
    """The command in a file of its own, so that a test can break it."""
    path = leaky.directory / f"run-{name}"
    path.write_text(f"#!/bin/sh\nexec {command}\n")
    path.chmod(0o755)
    return str(path)


def make_unexecutable(path: Path) -> None:
    path.chmod(0o644)


def take_away(path: Path) -> None:
    path.unlink()


def make_failing(path: Path) -> None:
    """supervisord gives up: FATAL."""
    path.write_text("#!/bin/sh\nexit 1\n")


@pytest.mark.parametrize("damage", [make_unexecutable, take_away, make_failing])
def test_worker_that_cannot_be_started_comes_back_when_it_can_and_its_peers_stay(
    start_pool: StartPool, damage: object
) -> None:
    assert callable(damage)
    pool = start_pool("custom", pool=GATE, worker={"startretries": 0}, wrap=script)
    worker = catch_in(pool, State.DRAINING)
    path = pool.directory / f"run-{worker.partition(':')[0]}"
    intact = path.read_text()
    damage(path)
    pool.gate(0)
    pool.bloat("second")
    pool.wait_for_event("worker.held", text="a restarted worker does not come back")
    pool.wait_for_event("drain.again", text="action=start")
    assert pool.least_in_service() == 1
    assert pool.ups() == 2
    path.write_text(intact)
    path.chmod(0o755)
    pool.wait_until_whole()
    assert pool.least_in_service() == 1
    assert pool.ups() == 4


def orphaning(leaky: LeakyWorkers, name: str, command: str) -> str:
    orphan = leaky.directory / f"orphan-{name}"
    return f"{shlex.quote(str(PROGRAMS / 'orphaning_worker.sh'))} {orphan} {command}"


def test_process_that_outlives_its_worker_is_named_and_left_and_no_drain_is_done_before_it_ends(
    start_pool: StartPool,
) -> None:
    """It holds memory, and perhaps a job: never killed, and its worker comes back meanwhile."""
    pool = start_pool("custom", pool=GATE, worker={"stopwaitsecs": 2}, wrap=orphaning)
    worker = catch_in(pool, State.DRAINING)
    orphan = int((pool.directory / f"orphan-{worker.partition(':')[0]}").read_text())
    pool.gate(0)
    pool.wait_for_event("drain.starting", text=str(orphan))
    pool.wait_for_event("drain.old_processes_live", text=str(orphan))
    pool.wait_for(lambda: pool.process(worker).state is ProcessState.RUNNING)
    assert worker in pool.drains(), "its slot is kept, so that the pool drains no other"
    assert not pool.events("drain.done")
    sleeps = psutil.Process(orphan).children()
    os.kill(orphan, signal.SIGKILL)
    for sleep in sleeps:
        sleep.kill()
    pool.wait_for_event("drain.done")
    pool.wait_until_whole()
