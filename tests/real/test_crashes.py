"""Whatever dies, and whenever, the drain goes on, and no job is lost or run twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State
from supervisor_memkill.world.supervisord import SupervisordError
from tests.places import PLACES
from tests.real.conftest import StartPool
from tests.real.pool import GATE, LISTENER, LeakyPool

pytestmark = pytest.mark.real

PLAIN_PLACES = [place for place in PLACES if not place.startswith(("quieting", "draining"))]
"""A plain worker's stop is its drain."""
STATES = [State.QUIETING, State.DRAINING, State.STOPPING, State.STARTING, State.SETTLING]
PLAIN_STATES = [State.STOPPING, State.STARTING, State.SETTLING]
CASES = [("custom", state) for state in STATES] + [("plain", state) for state in PLAIN_STATES]


def hold_in(pool: LeakyPool, state: State) -> str:
    """Let a worker be drained as far as this state; the worker.

    From the quiet to the stop it has a job in hand: `pool.release` lets it end.
    """
    pool.hold()
    pool.give("first")
    if state not in (State.QUIETING, State.DRAINING):
        pool.wait_for(pool.told)
        if state is not State.STOPPING:
            pool.release()
        elif pool.leaky.facts("quiet"):
            pool.gate(0)
    return pool.wait_for_drain(state)


@pytest.mark.parametrize(
    ("kind", "place"),
    [("custom", place) for place in PLACES] + [("plain", place) for place in PLAIN_PLACES],
)
def test_killed_at_any_place_the_drain_goes_on(start_pool: StartPool, kind: str, place: str) -> None:
    pool = start_pool(kind, die_at=place)
    pool.hold()
    for job in ("first", "second"):
        pool.give(job)  # so that both workers want to be drained at once
    # A quiet that was saved and never sent is not sent later: a second one could do harm (custom).
    pool.wait_for(lambda: pool.told() or pool.died.exists())
    pool.release()
    pool.wait_until_whole()
    assert pool.died.exists()
    assert pool.least_in_service() == 1
    assert pool.ups() == 4, "each of the two workers was replaced once"


@pytest.mark.parametrize(("kind", "state"), CASES)
def test_killed_while_a_state_lasts_the_drain_goes_on(start_pool: StartPool, kind: str, state: State) -> None:
    gate = GATE if (kind, state) == ("custom", State.STOPPING) else {}
    pool = start_pool(kind, main={"poll_interval": "500ms"}, pool=gate)
    worker = hold_in(pool, state)
    pool.kill_listener()
    pool.wait_for_event("drain.taken_up", text=worker)
    pool.release()
    pool.wait_until_whole()
    assert pool.least_in_service() == 1
    assert pool.ups() == 3


def test_listener_killed_again_and_again_gets_there_in_the_end(start_pool: StartPool) -> None:
    pool = start_pool("custom")
    hold_in(pool, State.DRAINING)
    for _ in range(3):
        pool.kill_listener()
    pool.release()
    pool.wait_until_whole()
    assert pool.ups() == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_listener_that_somebody_terminates_in_mid_drain_is_started_again(
    start_pool: StartPool, number: signal.Signals
) -> None:
    pool = start_pool("custom")
    hold_in(pool, State.DRAINING)
    os.kill(pool.listener_pid(), number)
    pool.wait_for_event("listener.started", times=2)
    pool.release()
    pool.wait_until_whole()
    assert pool.ups() == 3
    assert "Traceback" not in pool.log()


def test_listener_that_is_stopped_in_mid_drain_stays_stopped_and_leaves_its_journal(
    start_pool: StartPool,
) -> None:
    pool = start_pool("custom")
    worker = hold_in(pool, State.DRAINING)
    pool.supervisord.ctl("stop", LISTENER)
    pool.supervisord.wait_for_state(LISTENER, ProcessState.STOPPED)
    assert pool.drains()[worker].state is State.DRAINING
    assert "Traceback" not in pool.log()
    pool.release()
    pool.supervisord.ctl("start", LISTENER)
    pool.wait_until_whole()
    assert pool.ups() == 3


# --- the journal ----------------------------------------------------------------------------------


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def fill_with_garbage(path: Path) -> None:
    path.write_bytes(b"\xff\x00 not a journal")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def kill_listener_and_damage_journal(pool: LeakyPool, damage: Callable[[Path], None]) -> None:
    """The next listener finds the damage: the dying one, frozen first, writes no journal after it."""
    listener = psutil.Process(pool.listener_pid())
    listener.suspend()
    pool.wait_for(lambda: listener.status() == psutil.STATUS_STOPPED)
    damage(pool.journal)
    pool.kill_listener()


@pytest.mark.parametrize("damage", [cut, fill_with_garbage, empty])
def test_quiet_worker_of_a_damaged_journal_comes_back_when_the_operator_restarts_it(
    start_pool: StartPool, damage: Callable[[Path], None]
) -> None:
    """Nothing shows which custom worker is quiet: none counts as in service, and none is taken out."""
    pool = start_pool("custom")
    worker = hold_in(pool, State.DRAINING)
    kill_listener_and_damage_journal(pool, damage)
    pool.wait_for_event("journal.damaged", text="set aside")
    assert worker not in pool.drains()
    pool.release()
    pool.wait_for_event("worker.held", text="cause=too_few_in_service")
    assert len(pool.events("drain.quieting")) == 1, "before the damage"
    for name in pool.workers:
        pool.supervisord.ctl("restart", name)
    pool.wait_until_whole()


def test_stopped_worker_of_a_damaged_journal_holds_its_pool(start_pool: StartPool) -> None:
    """Nobody can tell any more who stopped it: it is left, the operator is told, its peer is kept."""
    pool = start_pool("plain")
    worker = hold_in(pool, State.STOPPING)
    kill_listener_and_damage_journal(pool, cut)
    pool.wait_for_event("journal.damaged", text="start STOPPED workers that nobody stopped")
    pool.release()
    pool.supervisord.wait_for_state(worker, ProcessState.STOPPED)
    pool.bloat("second")
    pool.wait_for_event("worker.held", text="0 others are in service")
    assert pool.process(worker).state is ProcessState.STOPPED
    assert pool.least_in_service() == 1
    pool.supervisord.ctl("start", worker)
    pool.wait_until_whole()


def test_journal_that_cannot_be_written_holds_the_stop(start_pool: StartPool) -> None:
    pool = start_pool("custom")
    hold_in(pool, State.DRAINING)
    blocker = pool.journal.with_name(pool.journal.name + ".new")
    blocker.mkdir()
    pool.kill_listener()
    pool.wait_for_event("drain.taken_up")
    pool.release()
    pool.wait_for_event("journal.away")
    assert not pool.leaky.facts("term")
    blocker.rmdir()
    pool.wait_until_whole()
    assert pool.events("journal.back")
    assert pool.ups() == 3


def test_journal_whose_directory_is_a_file_holds_everything(start_pool: StartPool) -> None:
    pool = start_pool("custom")
    hold_in(pool, State.DRAINING)
    directory, aside = pool.journal.parent, pool.directory / "aside"
    directory.rename(aside)
    directory.touch()
    pool.kill_listener()
    pool.wait_for_event("journal.away")
    pool.release()
    assert not pool.leaky.facts("term")
    directory.unlink()
    aside.rename(directory)
    pool.wait_until_whole()
    assert pool.ups() == 3


# --- supervisord ----------------------------------------------------------------------------------

SUPERVISORD_STATES = [State.QUIETING, State.DRAINING, State.STOPPING, State.STARTING]


def reload_supervisord(pool: LeakyPool) -> None:
    before = pool.listener_pid()
    pool.supervisord.ctl("reload")
    pool.release()
    pool.wait_for(lambda: _is_up_again(pool, before))


def _is_up_again(pool: LeakyPool, before: int) -> bool:
    try:
        return pool.process(LISTENER).pid not in (0, before)
    except SupervisordError:
        return False


def restart_supervisord(pool: LeakyPool) -> None:
    pool.supervisord.begin_shutdown()
    pool.release()
    pool.supervisord.restart()


@pytest.mark.parametrize("restart", [reload_supervisord, restart_supervisord])
@pytest.mark.parametrize("state", SUPERVISORD_STATES)
def test_supervisord_restarted_in_mid_drain_leaves_nothing_behind(
    start_pool: StartPool, state: State, restart: Callable[[LeakyPool], None]
) -> None:
    gate = GATE if state is State.STOPPING else {}
    pool = start_pool("custom", main={"poll_interval": "500ms"}, pool=gate)
    hold_in(pool, state)
    restart(pool)
    pool.wait_until_whole()
    assert "Traceback" not in pool.log()


@pytest.mark.parametrize("state", [State.DRAINING, State.STOPPING])
def test_supervisord_killed_in_mid_drain_takes_the_listener_along(
    start_pool: StartPool, state: State
) -> None:
    """Its workers live on as orphans, as they always do; the next supervisord's workers are all fresh."""
    gate = GATE if state is State.STOPPING else {}
    pool = start_pool("custom", pool=gate)
    hold_in(pool, state)
    listener = pool.listener_pid()
    orphans = [pool.process(worker).pid for worker in pool.workers]
    pool.supervisord.kill()
    pool.wait_for(lambda: listener not in {process.pid for process in pool.supervisord.offspring()})
    assert pool.drains()
    pool.release()
    pool.wait_for(lambda: pool.leaky.finished()["first"])
    for orphan in orphans:
        os.kill(orphan, signal.SIGTERM)
    pool.supervisord.start()
    pool.wait_until_whole()
    assert "Traceback" not in pool.log()
