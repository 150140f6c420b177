"""One odd thing does not blind the listener; a listener that hears nothing does not stay so in silence."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
from pathlib import Path

import pytest

from supervisor_memkill.processes import ProcessState
from tests.conftest import StartSupervisord
from tests.harness import PROGRAMS, wait_for
from tests.real.conftest import StartPool
from tests.real_supervisord import RealSupervisord, program

pytestmark = pytest.mark.real

OURS = shlex.join([sys.executable, "-m", "supervisor_memkill"])


def test_number_that_supervisord_cannot_report_does_not_stop_the_drains(start_pool: StartPool) -> None:
    """supervisord answers getAllConfigInfo with an error for ever; its files say the rest."""
    pool = start_pool("custom", worker={"stdout_logfile_maxbytes": "2GB"})
    pool.bloat("first")
    pool.wait_until_whole()
    assert len(pool.events("drain.done")) == 1
    alerts = pool.events("supervisord.alert")
    assert len(alerts) == 2, pool.log()
    for name in ("job_0", "job_1"):
        assert any(f"[program:{name}] stdout_logfile_maxbytes = 2GB: write 2047MB" in one for one in alerts)
    assert not pool.events("supervisord.away")


def test_listener_behind_a_greeting_is_started_anew(start_pool: StartPool) -> None:
    """A login shell writes its greeting where supervisord expects READY: it never sends an event again."""
    dying = shlex.join([sys.executable, str(PROGRAMS / "dying_listener.py")])
    script = f'test -e greeted || {{ touch greeted; echo Welcome; }}; exec {dying} "$@"'
    pool = start_pool("custom", listener=f"sh -c '{script}' listener")
    pool.bloat("first")
    pool.wait_until_whole()
    (deaf,) = pool.events("listener.deaf")
    assert re.search(r"silent=1[2-5]", deaf), "2.5 periods of a TICK, and as much as a busy machine adds"
    assert "has entered the UNKNOWN state" in pool.supervisord.log()
    assert "terminated by SIGTERM; not expected" in pool.supervisord.log()


def listeners(*, command: str = OURS, **settings: object) -> str:
    config = "[memkill]\njournal = %(here)s/own/journal\nheartbeat = 1s\nlog_level = debug\n"
    config += "[memkill:job]\nmax_rss = 1TB\n"
    settings = {"events": "TICK_5", "stderr_logfile": "%(here)s/memkill.log", **settings}
    listener = program("memkill", command, "eventlistener", **settings)
    return "\n".join([config, listener, program("job", "sleep 600")])


def test_of_two_processes_of_the_listener_one_works_and_the_other_takes_over(
    start_supervisord: StartSupervisord,
) -> None:
    """With numprocs = 2 supervisord sends each TICK to one of them alone."""
    supervisord = start_supervisord(
        listeners(
            numprocs=2,
            process_name="memkill_%(process_num)d",
            stderr_logfile="%(here)s/%(program_name)s_%(process_num)d.log",
        )
    )

    def log(number: int) -> str:
        return supervisord.log(f"memkill_{number}.log")

    def working() -> list[int]:
        return [number for number in (0, 1) if "worker.seen" in log(number)]

    (first,) = wait_for(working, message=lambda: log(0) + log(1))
    other = 1 - first
    wait_for(lambda: "listener.stands_by siblings=1" in log(other), message=lambda: log(0) + log(1))
    assert "journal.away" not in log(0) + log(1)
    os.kill(supervisord.process(f"memkill:memkill_{first}").pid, signal.SIGKILL)
    seen = log(0).count("worker.seen") + log(1).count("worker.seen")

    def is_watched() -> bool:
        return log(0).count("worker.seen") + log(1).count("worker.seen") > seen

    wait_for(is_watched, message=lambda: log(0) + log(1))
    assert "listener.deaf" not in log(0) + log(1)


def test_log_that_would_break_the_protocol_is_refused(start_supervisord: StartSupervisord) -> None:
    """``2>&1`` sends the log to supervisord, which takes it for a broken protocol."""
    supervisord = start_supervisord(
        listeners(
            command=f"sh -c 'exec {OURS} 2>&1'",
            startretries=0,
            startsecs=100,
            stdout_logfile="%(here)s/out.log",
        )
    )
    supervisord.wait_for_state("memkill:memkill", ProcessState.FATAL)
    assert "remove 2>&1" in supervisord.log("out.log")


def test_socket_that_is_removed_is_named_and_its_return_ends_the_outage(
    start_supervisord: StartSupervisord,
) -> None:
    """As a sweep of /tmp removes it. supervisord runs on, and its events still reach the listener."""
    supervisord = start_supervisord(listeners())

    def log() -> str:
        return supervisord.log("memkill.log")

    wait_for(lambda: "worker.seen" in log(), message=log)
    socket = Path(supervisord.url.removeprefix("unix://"))
    away = socket.rename(socket.with_name("away"))
    wait_for(lambda: "supervisord.away" in log(), message=log)
    assert f"was removed, although its supervisord runs (pid {supervisord.pid})" in log()
    assert "kill -HUP" in log()
    away.rename(socket)
    wait_for(lambda: "supervisord.back" in log(), message=log)


def test_second_memory_killer_is_named_once(start_supervisord: StartSupervisord) -> None:
    supervisord = start_supervisord(
        listeners()
        + program(
            "memmon",
            f"{sys.executable} -m superlance.memmon -a 1TB",
            "eventlistener",
            events="TICK_60",
        )
    )

    def alerts() -> list[str]:
        return re.findall(r"supervisord\.alert .*memmon:memmon also", supervisord.log("memkill.log"))

    wait_for(alerts, message=lambda: supervisord.log("memkill.log"))
    seen = supervisord.log("memkill.log").count("worker.seen")
    wait_for(lambda: supervisord.log("memkill.log").count("worker.seen") > seen)
    assert len(alerts()) == 1


def test_odd_names_and_priorities_are_watched(start_supervisord: StartSupervisord) -> None:
    """What supervisord accepts: letters of any language, and a priority that event listeners have."""
    names = ["жук", "größe", "队列", "a-b.c+d@e", "[x]"]
    programs = [program(name, "sleep 600", priority=-1, stopwaitsecs=-1) for name in names]
    supervisord = start_supervisord(
        listeners().replace("[memkill:job]", "[memkill:job]\nprograms = *") + "\n".join(programs)
    )
    _assert_seen(supervisord, [f"{name}:{name}" for name in names])


def _assert_seen(supervisord: RealSupervisord, workers: list[str]) -> None:
    def log() -> str:
        return supervisord.log("memkill.log")

    for worker in workers:
        wait_for(lambda worker=worker: f"worker={worker} " in log(), message=log)  # type: ignore[misc]
    assert "supervisord.away" not in log()
