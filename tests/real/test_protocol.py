"""supervisord's protocol is kept, whatever comes and whatever is away; strangers are left alone."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State
from tests.conftest import StartSupervisord
from tests.harness import PATIENCE_SECONDS, PROGRAMS, wait_for
from tests.real.conftest import StartPool
from tests.real.listener_process import AnsweringSupervisord, ListenerProcess, listener_under
from tests.real.pool import LISTENER
from tests.real_supervisord import program

pytestmark = pytest.mark.real


@pytest.fixture
def listener(supervisord: AnsweringSupervisord, tmp_path: Path) -> Iterator[ListenerProcess]:
    with listener_under(supervisord, tmp_path) as process:
        yield process


def wait_for_checks(supervisord: AnsweringSupervisord, count: int) -> None:
    wait_for(lambda: supervisord.checks >= count, message=f"{count} checks")
    assert supervisord.checks == count


def test_each_event_is_acknowledged_while_a_check_waits_and_a_burst_is_one_check(
    supervisord: AnsweringSupervisord, listener: ListenerProcess
) -> None:
    supervisord.gate.clear()
    listener.say()
    wait_for_checks(supervisord, 1)
    for _ in range(12):
        listener.say()
    assert supervisord.checks == 1
    assert "supervisord.away" not in listener.log(), "the first check still waits for its answer"
    supervisord.gate.set()
    wait_for_checks(supervisord, 2)
    listener.say()
    wait_for_checks(supervisord, 3)


def test_no_event_is_lost_when_many_come_in_one_piece(
    supervisord: AnsweringSupervisord, listener: ListenerProcess
) -> None:
    for _ in range(3):
        listener.say("PROCESS_STATE_RUNNING")
    listener.say()
    wait_for_checks(supervisord, 1)


def test_stale_unasked_and_repeated_events_call_for_no_check(
    supervisord: AnsweringSupervisord, listener: ListenerProcess
) -> None:
    first = listener.say()
    wait_for_checks(supervisord, 1)
    listener.say(serial=first)
    listener.say(age=60)
    listener.say("PROCESS_STATE_EXITED")
    listener.say("REMOTE_COMMUNICATION")
    assert not supervisord.is_checked_within(0.5)
    listener.say()
    wait_for_checks(supervisord, 2)


@pytest.mark.parametrize("waits", [False, True])
def test_it_ends_when_its_input_ends(
    supervisord: AnsweringSupervisord, listener: ListenerProcess, waits: bool
) -> None:
    """supervisord is gone; also while a check waits for an answer, for as long as a call may take."""
    if waits:
        supervisord.gate.clear()
        listener.say()
        wait_for_checks(supervisord, 1)
    assert listener.popen.stdin is not None
    listener.popen.stdin.close()
    assert listener.popen.wait(PATIENCE_SECONDS) == 0
    assert "listener.ended" in listener.log()
    assert "Traceback" not in listener.log()


def test_it_ends_when_nobody_hears_its_answers(listener: ListenerProcess) -> None:
    assert listener.popen.stdout is not None
    listener.popen.stdout.close()
    listener.send()
    assert listener.popen.wait(PATIENCE_SECONDS) == 0
    assert "Traceback" not in listener.log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_when_it_is_told_to(listener: ListenerProcess, number: signal.Signals) -> None:
    listener.popen.send_signal(number)
    assert listener.popen.wait(PATIENCE_SECONDS) == -number, (
        "by status 0 supervisord would take it for an expected end"
    )
    assert "listener.ended" in listener.log()
    assert "Traceback" not in listener.log()


def test_library_that_prints_does_not_break_the_protocol(start_pool: StartPool) -> None:
    noisy = shlex.join([sys.executable, str(PROGRAMS / "noisy_listener.py")])
    settings = {"busy_command": "sh -c 'echo noise >&2; cat %(here)s/busy-%(name)s'"}
    pool = start_pool("custom", listener=noisy, pool=settings)
    pool.bloat("first")
    pool.wait_until_whole()
    assert "noise at settling.saved" in pool.log()
    pool.bloat("second")  # only a TICK that comes after all the noise can find it
    pool.wait_until_whole()
    assert len(pool.events("drain.done")) == 2


def test_second_listener_of_one_supervisord_stands_by(start_supervisord: StartSupervisord) -> None:
    """Two sections with the same configuration: one works, the other says so and waits."""
    config = "[memkill]\njournal = %(here)s/own/journal\n[memkill:job]\nmax_rss = 1TB\n"
    command = f"{sys.executable} -m supervisor_memkill"
    listeners = [
        program(name, command, "eventlistener", events="TICK_5", stderr_logfile=f"%(here)s/{name}.log")
        for name in ("first", "second")
    ]
    supervisord = start_supervisord("\n".join([config, *listeners, program("job", "sleep 600")]))

    def standing_by() -> list[str]:
        return [
            name
            for name in ("first", "second")
            if "held by another listener of this supervisord" in supervisord.log(f"{name}.log")
        ]

    (name,) = wait_for(standing_by, message="one of them stands by")
    other = {"first": "second", "second": "first"}[name]
    supervisord.wait_for_state(f"{name}:{name}", ProcessState.RUNNING)
    assert f"pid {supervisord.process(f'{other}:{other}').pid}" in supervisord.log(f"{name}.log")
    supervisord.ctl("stop", f"{other}:{other}")
    wait_for(lambda: "journal.back" in supervisord.log(f"{name}.log"), message="it takes over")


def test_it_never_touches_itself_nor_another_listener(start_supervisord: StartSupervisord) -> None:
    """With programs = * and a limit that everything is over; one listener has a program's priority."""
    config = (
        "[memkill]\njournal = %(here)s/own/journal\nheartbeat = 1s\npoll_interval = 200ms\n"
        "[memkill:all]\nprograms = *\nmax_rss = 1MB\nmin_available = 0\nmin_uptime = 0s\nsettle = 0s\n"
    )
    command = f"{sys.executable} -m supervisor_memkill"
    listener = program(
        "memkill", command, "eventlistener", events="TICK_5", stderr_logfile="%(here)s/memkill.log"
    )
    other = program(
        "other",
        f"{sys.executable} {PROGRAMS / 'print_events.py'}",
        "eventlistener",
        events="TICK_5",
        priority=10,
    )
    worker = program("job", f"{sys.executable} -c 'import time; time.sleep(600)'")
    supervisord = start_supervisord(f"{config}\n{listener}\n{other}\n{worker}")
    names = [LISTENER, "other:other"]
    before = [supervisord.wait_for_state(name, ProcessState.RUNNING).pid for name in names]

    def log() -> str:
        return supervisord.log("memkill.log")

    wait_for(lambda: "limit.below_baseline worker=job:job" in log(), message=log)
    wait_for(lambda: "worker.held worker=job:job" in log(), message=log)  # a later check
    assert [supervisord.process(name).pid for name in names] == before
    assert not any(name in log() for name in names)


def test_supervisord_that_answers_late_is_waited_for(start_pool: StartPool) -> None:
    """Stopped in mid-drain and woken again: said once when it goes and once when it is back."""
    command = shlex.join([sys.executable, str(PROGRAMS / "dying_listener.py")])
    # A stopped supervisord writes no log, so the listener writes its own here.
    pool = start_pool("custom", listener=f"sh -c 'exec {command} \"$@\" 2>>memkill.log' listener")
    pool.hold()
    pool.give("first")
    pool.wait_for_drain(State.DRAINING)
    pool.supervisord.pause()
    pool.wait_for_event("supervisord.away")
    pool.supervisord.resume()
    pool.wait_for_event("supervisord.back")
    pool.release()
    pool.wait_until_whole()
    assert len(pool.events("supervisord.away")) == 1
    assert pool.ups() == 3
