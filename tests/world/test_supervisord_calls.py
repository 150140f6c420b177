"""Each call, made of a real supervisord of each version."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.processes import ProcessState, ProgramInfo
from supervisor_memkill.world.supervisord import (
    AlreadyStarted,
    BadSignal,
    CannotStart,
    NoAnswer,
    NoSuchProcess,
    NotRunning,
    Refused,
    ShuttingDown,
    Supervisord,
    Unreachable,
    from_environment,
)
from tests.another_user import as_another_user
from tests.conftest import StartSupervisord
from tests.harness import wait_for
from tests.real_supervisord import program

pytestmark = pytest.mark.real

SLEEP = f'{sys.executable} -c "import time; time.sleep(600)"'
COLOURED = (
    "import sys; sys.stderr.write(chr(27) + '[31m' + chr(0x20AC) * 20); sys.stderr.flush(); sys.stdin.read()"
)
COLOURS = f'{sys.executable} -c "{COLOURED}"'
IGNORES_TERM = "sh -c 'trap \"\" TERM; echo up; exec sleep 600'"


def test_a_worker_is_seen_signalled_stopped_and_started(start_any_supervisord: StartSupervisord) -> None:
    settings: dict[str, Any] = {
        "numprocs": 2,
        "process_name": "%(program_name)s_%(process_num)s",
        "stopwaitsecs": 7,
    }
    supervisord = start_any_supervisord(
        program("w", SLEEP, stopsignal="INT", killasgroup="true", **settings)
        + program("listener", SLEEP, "eventlistener", events="TICK_3600")
    )
    proxy = supervisord.proxy
    before = supervisord.wait_for_state("w:w_0", ProcessState.RUNNING)
    assert proxy.pid() == supervisord.pid
    assert {process.worker for process in proxy.all_processes()} == {
        "w:w_0",
        "w:w_1",
        "listener:listener",
    }
    programs = {info.worker: info for info in proxy.programs()}
    assert programs["w:w_1"] == ProgramInfo(
        group="w",
        name="w_1",
        command=SLEEP,
        stopsignal=signal.SIGINT,
        stopwaitsecs=7,
        killasgroup=True,
        group_priority=999,
    )
    assert programs["listener:listener"].group_priority < 0

    proxy.signal("w:w_0", "STOP")
    proxy.signal("w:w_0", "CONT")
    proxy.stop("w:w_0")
    stopped = supervisord.wait_for_state("w:w_0", ProcessState.STOPPED)
    assert (stopped.pid, stopped.start) == (0, before.start)
    assert stopped.stop >= before.start
    proxy.start("w:w_0")
    after = supervisord.wait_for_state("w:w_0", ProcessState.RUNNING)
    assert after.pid not in (0, before.pid)


def test_what_supervisord_will_not_do_is_told_apart(
    start_any_supervisord: StartSupervisord, tmp_path: Path
) -> None:
    not_executable = tmp_path / "plain"
    not_executable.touch(mode=0o644)
    supervisord = start_any_supervisord(
        program("w", SLEEP, startsecs=0)
        + program("missing", "/no/such/program", autostart="false")
        + program("plain", not_executable.as_posix(), autostart="false")
        + program("failing", "false", startretries=0)
        + program("trying", "false", startretries=100)
    )
    proxy = supervisord.proxy
    supervisord.wait_for_state("w", ProcessState.RUNNING)
    with pytest.raises(AlreadyStarted):
        proxy.start("w")
    with pytest.raises(BadSignal, match=r"w: .*BAD_SIGNAL"):
        proxy.signal("w", "NONSENSE")
    for call in (proxy.start, proxy.stop):
        with pytest.raises(NoSuchProcess):
            call("w:none")
    assert proxy.process("w:none") is None
    with pytest.raises(CannotStart, match=r"missing: its command does not exist \(NO_FILE"):
        proxy.start("missing")
    with pytest.raises(CannotStart, match="plain: its command is not executable"):
        proxy.start("plain")

    supervisord.wait_for_state("failing", ProcessState.FATAL)
    with pytest.raises(NotRunning):
        proxy.stop("failing")
    with pytest.raises(NotRunning):
        proxy.signal("failing", "TERM")
    with contextlib.suppress(CannotStart):
        # FATAL can be started; supervisord says SPAWN_ERROR when it has ended before the answer.
        proxy.start("failing")

    supervisord.wait_for_state("trying", ProcessState.BACKOFF)
    with pytest.raises(AlreadyStarted):
        # BACKOFF and STARTING take turns, and so say both of them.
        proxy.start("trying")


def test_while_stopping_a_second_stop_is_refused_and_a_start_does_nothing(
    start_any_supervisord: StartSupervisord,
) -> None:
    supervisord = start_any_supervisord(
        program("w", IGNORES_TERM, stopwaitsecs=300, startsecs=0, stdout_logfile="%(here)s/w.out")
    )
    wait_for(lambda: supervisord.log("w.out"))
    supervisord.proxy.stop("w")
    stopping = supervisord.wait_for_state("w", ProcessState.STOPPING)
    with pytest.raises(NotRunning):
        supervisord.proxy.stop("w")
    supervisord.proxy.start("w")
    assert supervisord.process("w").state is ProcessState.STOPPING
    supervisord.proxy.signal("w", "KILL")
    supervisord.wait_for_state("w", ProcessState.STOPPED)
    assert stopping.pid > 0


def test_a_supervisord_that_shuts_down_refuses_every_call(start_any_supervisord: StartSupervisord) -> None:
    supervisord = start_any_supervisord(
        program("w", IGNORES_TERM, stopwaitsecs=300, startsecs=0, stdout_logfile="%(here)s/w.out")
    )
    wait_for(lambda: supervisord.log("w.out"))
    supervisord.begin_shutdown()

    def shuts_down() -> bool:
        with contextlib.suppress(ShuttingDown):
            supervisord.proxy.pid()
            return False
        return True

    wait_for(shuts_down)
    proxy = supervisord.proxy
    for call in (proxy.start, proxy.stop, proxy.process):
        with pytest.raises(ShuttingDown):
            call("w")
    supervisord.kill()
    with pytest.raises(Unreachable):
        proxy.pid()


def test_a_password_is_needed_where_one_is_set(start_any_supervisord: StartSupervisord) -> None:
    supervisord = start_any_supervisord(inet=True, password="päss:word")
    assert supervisord.proxy.pid() == supervisord.pid
    env = {"SUPERVISOR_SERVER_URL": supervisord.url, "SUPERVISOR_USERNAME": "user"}
    assert from_environment({**env, "SUPERVISOR_PASSWORD": "päss:word"}).pid() == supervisord.pid
    for wrong in ({}, {"SUPERVISOR_PASSWORD": "word"}):
        with pytest.raises(Refused, match="SUPERVISOR_PASSWORD"):
            from_environment({**env, **wrong}).pid()


def test_a_missing_rpcinterface_is_named(start_any_supervisord: StartSupervisord) -> None:
    supervisord = start_any_supervisord(rpcinterface=False)
    with pytest.raises(Refused, match=r"\[rpcinterface:supervisor\]"):
        supervisord.proxy.pid()


def test_a_supervisord_that_hangs_is_given_up(start_supervisord: StartSupervisord) -> None:
    supervisord = start_supervisord()
    supervisord.pause()
    with pytest.raises(NoAnswer, match=r"within 0\.3 s"):
        Supervisord(supervisord.url, timeout_seconds=0.3).pid()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_users_socket_says_what_to_change(start_supervisord: StartSupervisord) -> None:
    supervisord = start_supervisord()
    supervisord.directory.chmod(0o755)
    words = as_another_user(lambda: str(supervisord.proxy.pid()))
    assert words.startswith("permission denied on unix://")
    assert "chown= and chmod=" in words


def test_the_end_of_a_log_is_read_wherever_it_begins(start_any_supervisord: StartSupervisord) -> None:
    """Also within a character of three bytes, and with control characters."""
    supervisord = start_any_supervisord(program("w", COLOURS, stderr_logfile="%(here)s/w.log"))
    supervisord.wait_for_state("w:w", ProcessState.RUNNING)
    proxy = supervisord.proxy
    wait_for(lambda: len(proxy.stderr_end("w:w", 1000)) == 25)
    assert proxy.stderr_end("w:w", 1000) == "?[31m" + "\u20ac" * 20
    for size in range(6, 20):
        assert proxy.stderr_end("w:w", size) == "\u20ac" * (size // 3)
