"""What a person requests on the command line: restarts and pauses, with a real supervisord."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from typing import Any

import pytest

from supervisor_memkill.listener import state_file
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State
from tests.harness import PATIENCE_SECONDS, wait_for
from tests.leaky_workers import LeakyWorkers
from tests.real.conftest import StartPool
from tests.real.pool import LISTENER, LeakyPool
from tests.signals import none_ignored

pytestmark = pytest.mark.real

IDLE = {"busy_command": "echo 0"}
"""No worker has a running job: a drain goes through at once."""
NO_LIMIT = {"max_rss": "4GB"}
"""The jobs make the workers heavy: with a limit, a drain could begin before the request is there."""


def words(pool: LeakyPool, *arguments: str) -> list[str]:
    server = ("--config", f"{pool.directory}/memkill.conf", "--serverurl", pool.supervisord.url)
    return [sys.executable, "-m", "supervisor_memkill", *arguments, *server]


def run(pool: LeakyPool, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words(pool, *arguments), capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )


def begin(pool: LeakyPool, *arguments: str) -> subprocess.Popen[str]:
    with none_ignored():
        return subprocess.Popen(
            words(pool, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )


def pids(pool: LeakyPool) -> dict[str, int]:
    return {worker: pool.process(worker).pid for worker in pool.workers}


def spawns(pool: LeakyPool) -> int:
    return len(pool.spawned())


def start_draining(start_pool: StartPool) -> tuple[LeakyPool, str]:
    """A pool, and its worker that drains because of a request, until its job may end."""
    pool = start_pool("custom", pool=NO_LIMIT)
    pool.hold()
    pool.give("first")
    pool.give("second")
    run(pool, "restart", "job")
    return pool, pool.wait_for_drain(State.DRAINING)


@pytest.fixture
def idle_pool(start_pool: StartPool) -> LeakyPool:
    pool = start_pool(count=3, pool=IDLE)
    pool.wait_for_event("listener.started")
    return pool


def test_restart_replaces_each_worker_once_and_one_at_a_time(idle_pool: LeakyPool) -> None:
    before = pids(idle_pool)
    done = run(idle_pool, "restart", "job", "--wait", "--timeout", "100s")
    assert done.returncode == 0, done.stdout + done.stderr + idle_pool.story()
    assert done.stdout.startswith("requested: 3 to be replaced")
    assert done.stdout.endswith("replaced: all 3\n")
    after = pids(idle_pool)
    assert all(after[worker] != before[worker] for worker in before)
    assert spawns(idle_pool) == 6
    assert idle_pool.least_in_service() == 2
    idle_pool.wait_for_event("request.served")


def test_restart_of_one_worker_leaves_the_others_alone(idle_pool: LeakyPool) -> None:
    before, name = pids(idle_pool), idle_pool.workers[1]
    assert run(idle_pool, "restart", name, "--wait").returncode == 0
    after = pids(idle_pool)
    assert [worker for worker in before if after[worker] != before[worker]] == [name]


@pytest.mark.parametrize("place", ["asking.saved", "draining.saved", "stopping.acted", "starting.saved"])
def test_restart_survives_the_death_of_the_listener(start_pool: StartPool, place: str) -> None:
    pool = start_pool(count=3, pool=IDLE, die_at=place)
    pool.wait_for_event("listener.started")
    done = run(pool, "restart", "job", "--wait", "--timeout", "100s")
    assert done.returncode == 0, done.stdout + done.stderr + pool.story()
    assert pool.died.exists()
    assert spawns(pool) == 6, "each was restarted once"
    assert pool.least_in_service() == 2


def test_broken_release_costs_one_worker_and_is_named(start_pool: StartPool) -> None:
    """After the mend the rest is replaced, without a second request."""

    def wrap(leaky: LeakyWorkers, name: str, command: str) -> str:
        check = f"if [ -e {leaky.directory}/broken ]; then exit 1; fi; exec {command}"
        return f"/bin/sh -c {shlex.quote(check)}"

    pool = start_pool(count=3, pool=IDLE, wrap=wrap, worker={"startsecs": 1, "startretries": 1})
    broken = pool.directory / "broken"
    broken.touch()
    before = pids(pool)
    done = run(pool, "restart", "job", "--wait", "--timeout", "100s")
    assert done.returncode == 1
    (out,) = [worker for worker in before if pids(pool)[worker] != before[worker]]
    assert re.search(rf"not replaced: .*{out}: failed \(its start failed", done.stderr), done.stderr
    broken.unlink()
    pool.wait_for_event("request.served")
    assert all(pids(pool)[worker] != before[worker] for worker in before)


def test_ctrl_c_stops_the_watching_and_not_the_request(start_pool: StartPool) -> None:
    pool = start_pool("custom", pool=NO_LIMIT)
    pool.hold()
    pool.give("first")
    with begin(pool, "restart", "job", "--wait") as watching:
        assert watching.stdout is not None and watching.stderr is not None
        assert watching.stdout.readline().startswith("requested: 2")
        pool.wait_for_drain(State.DRAINING)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(PATIENCE_SECONDS) == 130
        out, errors = watching.stdout.read(), watching.stderr.read()
    assert "the restart goes on" in out and "restart --cancel job" in out
    assert errors == ""
    pool.release()
    pool.wait_for_event("request.served")


def test_cancel_withdraws_what_has_not_begun_and_finishes_what_has(start_pool: StartPool) -> None:
    pool = start_pool("custom", pool=NO_LIMIT)
    before = pids(pool)
    pool.hold()
    pool.give("first")
    pool.give("second")
    watching = begin(pool, "restart", "job", "--wait")
    drained = pool.wait_for_drain(State.DRAINING)
    done = run(pool, "restart", "job", "--cancel")
    assert done.returncode == 0, done.stderr
    waiting = next(worker for worker in before if worker != drained)
    assert done.stdout == f"withdrawn: {waiting}; a drain under way is finished\n"
    again = run(pool, "restart", "job", "--cancel")
    assert again.stdout.startswith("nothing is withdrawn: no restart of job waits"), again.stderr
    pool.wait_for_event("request.taken", text="act=cancel")
    assert pool.drains()[drained].state is State.DRAINING
    pool.kill_listener()
    pool.release()
    _, errors = watching.communicate(timeout=PATIENCE_SECONDS)
    assert watching.returncode == 1
    assert "withdrawn" in errors
    after = pids(pool)
    assert [worker for worker in before if after[worker] != before[worker]] == [drained]


def test_paused_pool_begins_nothing_until_the_pause_ends(start_pool: StartPool) -> None:
    pool = start_pool("custom")
    pool.wait_for_event("listener.started")
    assert run(pool, "pause", "job").returncode == 0
    pool.bloat("first")
    pool.wait_for_event("worker.held", text="cause=paused")
    pool.wait_for_event("pool.paused")
    pool.kill_listener()
    pool.wait_for_event("worker.held", text="cause=paused", times=2)
    assert not pool.told()
    assert run(pool, "unpause", "job").returncode == 0
    pool.wait_until_whole()


def test_pause_that_is_too_short_names_what_drains(start_pool: StartPool) -> None:
    pool, drained = start_draining(start_pool)
    done = run(pool, "pause", "job", "--wait", "--timeout", "1s")
    assert done.returncode == 1
    assert done.stderr == f"supervisor-memkill: a drain is still under way: {drained}\n"
    pool.release()


def test_request_to_a_listener_that_does_not_run_is_not_sent(idle_pool: LeakyPool) -> None:
    """supervisord would keep it, and deliver it when somebody starts the listener days later."""
    before = pids(idle_pool)
    idle_pool.supervisord.ctl("stop", LISTENER, check=True)
    done = run(idle_pool, "restart", "job")
    assert done.returncode == 1
    assert "the listener does not run" in done.stderr and "start it with supervisorctl" in done.stderr
    idle_pool.supervisord.ctl("start", LISTENER, check=True)
    assert run(idle_pool, "restart", idle_pool.workers[0], "--wait").returncode == 0, idle_pool.story()
    assert [one for one, pid in pids(idle_pool).items() if pid != before[one]] == [idle_pool.workers[0]]


def test_pause_during_a_drain_waits_for_its_end(start_pool: StartPool) -> None:
    """From then on the listener can be stopped, and owes nobody anything. Its own restart does not matter."""
    pool, _ = start_draining(start_pool)
    with begin(pool, "pause", "job", "--wait") as waiting:
        assert waiting.stdout is not None and waiting.stderr is not None
        assert waiting.stdout.readline().startswith("paused until unpause: job")
        pool.kill_listener()
        pool.wait_for_event("drain.taken_up")
        assert waiting.poll() is None
        pool.release()
        assert waiting.wait(PATIENCE_SECONDS) == 0, waiting.stderr.read()
        assert waiting.stdout.read() == "no drain is under way\n"
    assert not pool.drains()
    assert sum(pool.process(worker).pid in _bloated(pool) for worker in pool.workers) == 1


def _bloated(pool: LeakyPool) -> set[int]:
    return {int(fact.split()[1]) for fact in pool.leaky.facts("start")}


def test_listener_that_subscribes_to_ticks_alone_is_named_with_the_line_to_change(
    start_pool: StartPool,
) -> None:
    pool = start_pool(pool=IDLE, events="TICK_5")
    pool.wait_for_event("listener.started")
    done = run(pool, "restart", "job")
    assert done.returncode == 1
    assert "events = TICK_60,REMOTE_COMMUNICATION,PROCESS_STATE" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["restart", "nobody"], 1, "no worker that runs has the name nobody; the pools are job"),
        (["restart", "nobody", "--cancel"], 1, "no worker that runs has the name nobody; the pools are job"),
        (["restart", "job", "nobody"], 1, "no worker that runs has the name nobody; the pools are job"),
        (["pause", "job", "nobody"], 1, "no pool has the name nobody; the pools are job"),
        (["pause", "nobody"], 1, "no pool has the name nobody; the pools are job"),
        (["restart", "job", "--timeout", "1s"], 2, "--timeout needs --wait"),
        (["restart", "job", "--expires", "never"], 2, "--expires: 'never' is not a duration"),
        (["restart", "x" * 300], 2, "is too long"),
        (["restart"], 2, "NAME"),
    ],
)
def test_wrong_request_is_one_line(
    idle_pool: LeakyPool, arguments: list[str], status: int, text: str
) -> None:
    state = state_file.path_beside(idle_pool.journal)
    wait_for(lambda: state.exists() and state_file.read(state).pools, message=idle_pool.story)
    done = run(idle_pool, *arguments)
    assert done.returncode == status
    assert text in done.stderr
    assert done.stderr.count("\n") == 1
    assert not idle_pool.events("request.taken"), "also nothing for a name that is right"


def test_hostile_request_changes_nothing(idle_pool: LeakyPool) -> None:
    proxy: Any = idle_pool.supervisord.proxy
    before = pids(idle_pool)
    for payload in ("", "{", "[]", '{"version": 1}', '{"version": 9}', "x" * 100_000, "READY\nRESULT 2\nOK"):
        proxy.send_event("supervisor-memkill", payload)
    proxy.send_event("somebody-else", '{"version": 1, "act": "restart"}')
    idle_pool.wait_for_event("request.refused", times=4)
    assert run(idle_pool, "restart", idle_pool.workers[0], "--wait").returncode == 0, idle_pool.story()
    assert sum(pids(idle_pool)[worker] != before[worker] for worker in before) == 1
    assert idle_pool.process(LISTENER).state is ProcessState.RUNNING
