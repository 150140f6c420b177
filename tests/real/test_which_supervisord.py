"""The listener acts on the supervisord that started it, by its configuration; by hand on the one asked."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from supervisor_memkill.commands.configuration import find_configuration
from supervisor_memkill.commands.context import build
from supervisor_memkill.commands.which import journal_of_living
from supervisor_memkill.listener.journal import Journal
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.journal_place import place
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State, StopAnswer
from supervisor_memkill.world.supervisord import Supervisord, SupervisordError
from tests.builders import drain
from tests.command_line import environment
from tests.conftest import StartSupervisord
from tests.harness import PATIENCE_SECONDS, free_port, wait_for
from tests.real.pool import LISTENER
from tests.real_supervisord import RealSupervisord, program

pytestmark = pytest.mark.real

COMMAND = f"{sys.executable} -m supervisor_memkill"
SLEEPER = f"{sys.executable} -c 'import time; time.sleep(600)'"
POOL = "[memkill:{name}]\nprograms = {programs}\nmax_rss = {limit}\n"


def listener(command: str = COMMAND, name: str = "memkill", **settings: object) -> str:
    given = {"events": "TICK_5", "stderr_logfile": "%(here)s/memkill.log", "startretries": 1, **settings}
    return program(name, command, "eventlistener", **given)


def pool(name: str, programs: str = "job", limit: str = "1TB") -> str:
    return POOL.format(name=name, programs=programs, limit=limit)


def start_line(supervisord: RealSupervisord) -> str:
    """The line that the listener writes when it starts."""

    def line() -> list[str]:
        text = supervisord.log("memkill.log")
        return [one for one in text.splitlines() if "listener.started" in one and text.endswith("\n")]

    found: list[str] = wait_for(line, message=lambda: supervisord.log("memkill.log") + supervisord.log())
    return found[-1]


def by_hand(
    directory: Path, *arguments: str, changes: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "supervisor_memkill", "--dry-run", "--json", *arguments],
        cwd=directory,
        env=environment(changes or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def read_by_hand(directory: Path, *arguments: str, changes: dict[str, str] | None = None) -> Any:
    done = by_hand(directory, *arguments, changes=changes)
    assert done.returncode == 0, done
    return json.loads(done.stdout)


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A directory with the configuration of another supervisord at a place where it is looked for."""
    server = "[supervisord]\n[unix_http_server]\nfile = /nowhere/s.sock\n"
    (tmp_path / "supervisord.conf").write_text(f"{server}{listener()}{pool('foreign', '*', '1MB')}")
    return tmp_path


# --- whose configuration ------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["whole", "relative", "not at all"])
def test_configuration_is_that_of_the_supervisord_that_started_it(
    start_supervisord: StartSupervisord, foreign: Path, named: str
) -> None:
    """However its command line names it, and though another one stands in the listener's own directory."""
    arguments = {"whole": ["-c", "{config}"], "relative": ["-c", "supervisord.conf"], "not at all": []}
    sections = (
        "[memkill]\njournal = %(here)s/own/x.journal\n"
        f"{pool('mine')}{listener(directory=foreign)}{program('job', SLEEPER)}"
    )
    supervisord = start_supervisord(sections, arguments=arguments[named])
    line = start_line(supervisord)
    assert f"files={supervisord.config} " in line
    assert "pools=mine " in line

    read = read_by_hand(foreign, "--serverurl", supervisord.url)
    assert read["files"] == [str(supervisord.config)]
    assert [worker["pool"] for worker in read["workers"]] == ["mine"]


def test_relative_path_is_found_after_the_daemon_changed_its_directory(
    short_path: Path, foreign: Path
) -> None:
    """`directory` counts for a daemon; the shell's PWD tells where it was started."""
    config = short_path / "app.conf"
    url = f"unix://{short_path}/s.sock"
    config.write_text(
        f"[supervisord]\ndirectory = {foreign}\npidfile = %(here)s/pid\nlogfile = %(here)s/supervisord.log\n"
        "childlogdir = %(here)s\n"
        f"[unix_http_server]\nfile = {short_path}/s.sock\n"
        "[rpcinterface:supervisor]\n"
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n"
        f"[memkill]\njournal = %(here)s/own/x.journal\n{pool('mine')}{listener()}{program('job', SLEEPER)}"
    )
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", "app.conf"]
    subprocess.run(
        command,
        cwd=short_path,
        env=environment({"PWD": str(short_path)}),
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    proxy = Supervisord(url, timeout_seconds=10)
    daemon = psutil.Process(wait_for(lambda: answering_pid(proxy), message="the daemon answers"))
    try:
        log = short_path / "memkill.log"
        wait_for(lambda: log.exists() and "pools=mine " in log.read_text(), message=log.read_text)
        assert f"files={config} " in log.read_text()
        assert Path(daemon.cwd()) == foreign
        assert read_by_hand(foreign, "--serverurl", url)["files"] == [str(config)]
    finally:
        daemon.terminate()
        wait_for(lambda: not daemon.is_running(), message="the daemon ends")


def answering_pid(proxy: Supervisord) -> int:
    with contextlib.suppress(SupervisordError):
        return proxy.pid()
    return 0


def test_file_of_another_supervisord_is_never_taken(
    start_supervisord: StartSupervisord, foreign: Path
) -> None:
    """Where the own one is not found: it was moved, and a foreign one has the same group and pools."""
    ours = listener(directory=foreign, startsecs=100)
    sections = f"[memkill]\njournal = %(here)s/own/x.journal\n{pool('mine')}{ours}"
    supervisord = start_supervisord(sections + program("job", SLEEPER), arguments=["-c", "supervisord.conf"])
    start_line(supervisord)
    supervisord.config.rename(supervisord.directory / "moved.conf")
    read = read_by_hand(foreign, "--serverurl", supervisord.url)
    assert read["files"] == []
    assert any("name the file with --config" in note for note in read["notes"])
    assert {worker["pool"] for worker in read["workers"]} == {"-"}

    psutil.Process(supervisord.process(LISTENER).pid).kill()
    # Not FATAL: on a busy machine the end comes after startsecs.
    last = wait_for(
        lambda: [one for one in supervisord.log("memkill.log").splitlines() if "was not found" in one],
        message=lambda: supervisord.log("memkill.log"),
    )[-1]
    assert f"(pid {supervisord.pid}) was not found" in last
    assert "started with -c supervisord.conf" in last


def test_file_that_was_moved_since_supervisord_began_is_named_with_the_way_out(
    start_supervisord: StartSupervisord,
) -> None:
    """As a deploy does it: supervisord runs on, and its command line names a path that is no more."""
    ours = listener(startsecs=100)
    sections = f"[memkill]\njournal = %(here)s/own/x.journal\n{pool('mine')}{ours}{program('job', SLEEPER)}"
    supervisord = start_supervisord(sections, arguments=["-c", "{config}"])
    start_line(supervisord)
    moved = supervisord.config.rename(supervisord.directory / "moved.conf")
    words = f"{supervisord.config}: does not exist, although supervisord (pid {supervisord.pid}) was started"

    def lines() -> list[str]:
        return [one for one in supervisord.log("memkill.log").splitlines() if words in one]

    psutil.Process(supervisord.process(LISTENER).pid).kill()
    wait_for(lines, message=lambda: supervisord.log("memkill.log"))
    assert "--config FILE in command= of the listener's section" in lines()[-1]
    refused = by_hand(supervisord.directory, "--serverurl", supervisord.url)
    assert refused.returncode == 2
    assert words in refused.stderr and refused.stderr.endswith("name the new file with --config FILE\n")
    named = read_by_hand(supervisord.directory, "--config", str(moved), "--serverurl", supervisord.url)
    assert named["files"] == [str(moved)]


# --- which supervisord --------------------------------------------------------------------------


def test_supervisord_without_a_server_section_leaves_the_one_above_alone(
    start_supervisord: StartSupervisord, tmp_path: Path
) -> None:
    """The listener below it gets the address of the one above, with the same names of programs."""
    inner = tmp_path / "inner.conf"
    inner.write_text(
        "[supervisord]\nnodaemon = true\npidfile = %(here)s/pid\nlogfile = %(here)s/supervisord.log\n"
        f"childlogdir = %(here)s\n[memkill]\njournal = %(here)s/own/x.journal\npoll_interval = 100ms\n"
        f"[memkill:job]\nmax_rss = 1MB\nmin_available = 0\nmin_uptime = 0s\n{listener()}"
    )
    nested = program("nested", f"{sys.executable} -m supervisor.supervisord -n -c {inner}")
    supervisord = start_supervisord(f"{nested}{program('job', SLEEPER)}")
    log = tmp_path / "memkill.log"
    wait_for(lambda: log.exists() and "\n" in log.read_text(), message="the listener says what is wrong")
    (line, *others) = log.read_text().splitlines()
    assert f"another supervisord (pid {supervisord.pid}) answers at {supervisord.url}" in line
    assert set(others) <= {line}
    supervisord.wait_for_state("nested:nested", ProcessState.RUNNING)
    assert "stopped: job" not in supervisord.log()


def test_supervisord_that_took_the_address_is_left_alone(
    start_supervisord: StartSupervisord, tmp_path: Path
) -> None:
    """The socket was swept from /tmp, and somebody started supervisord a second time."""
    willing = "[memkill:job]\nmax_rss = 1MB\nmin_available = 0\nmin_uptime = 0s\n"
    sections = f"[memkill]\njournal = %(here)s/own/x.journal\n{willing}{listener()}"
    first = start_supervisord(f"{sections}{program('job', SLEEPER, autostart='false')}")
    start_line(first)
    first.socket.unlink()
    first.write_config(program("job", SLEEPER))  # its head alone: the same address
    config = tmp_path / "second.conf"
    config.write_text(first.config.read_text())
    second = subprocess.Popen(
        [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=first.environment(),
    )
    try:
        wait_for(lambda: answering_pid(first.proxy) == second.pid, message="the second one answers")
        words = f"another supervisord (pid {second.pid}) answers"
        wait_for(lambda: words in first.log("memkill.log"), message=lambda: first.log("memkill.log"))
        assert "stopped: job" not in (tmp_path / "supervisord.log").read_text()
        assert first.is_alive()
    finally:
        second.terminate()
        second.wait(PATIENCE_SECONDS)


def test_listener_that_a_shell_starts_knows_its_supervisord(start_supervisord: StartSupervisord) -> None:
    """The shell does not exec: supervisord is the parent of the listener's parent."""
    sections = f"[memkill]\njournal = %(here)s/own/x.journal\n{pool('mine')}{program('job', SLEEPER)}"
    shell = shlex.join(["sh", "-c", f"{COMMAND}; exit 3"])
    supervisord = start_supervisord(f"{sections}{listener(shell)}")
    assert f"files={supervisord.config} " in start_line(supervisord)
    wait_for((supervisord.directory / "own" / "x.journal").exists, message="a whole turn")
    assert "supervisord.away" not in supervisord.log("memkill.log")


# --- is it a listener ---------------------------------------------------------------------------

CRON = """
import os, subprocess, sys, time
command = [sys.executable, "-m", "supervisor_memkill", "--dry-run", "--json"]
given = {} if "inherits" in sys.argv else {"input": b""}
done = subprocess.run(command, capture_output=True, **given)
with open(sys.argv[1] + ".new", "wb") as file:
    file.write(done.stdout + done.stderr + b"status %d" % done.returncode)
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(600)
"""


@pytest.mark.parametrize("stdin", ["inherits", "pipe"])
@pytest.mark.parametrize("kind", ["program", "eventlistener"])
def test_dry_run_below_a_program_of_supervisord_is_one_by_hand(
    start_supervisord: StartSupervisord, tmp_path: Path, kind: str, stdin: str
) -> None:
    """cron or telegraf under the same supervisord, or another event listener, asks for the report."""
    script, out = tmp_path / "cron.py", tmp_path / "out"
    script.write_text(CRON)
    command = shlex.join([sys.executable, str(script), str(out), stdin])
    events = {"events": "TICK_3600"} if kind == "eventlistener" else {}
    sections = f"{pool('mine')}{program('job', SLEEPER)}{program('cron', command, kind, **events)}"
    supervisord = start_supervisord(sections)
    wait_for(out.exists, message=supervisord.log)
    text = out.read_text()
    assert text.endswith("status 0"), text
    read = json.loads(text.removesuffix("status 0"))
    assert read["files"] == [str(supervisord.config)]
    assert [worker["worker"] for worker in read["workers"]] == ["job:job"]


def test_listener_in_a_section_of_a_program_is_one_line(start_supervisord: StartSupervisord) -> None:
    """Otherwise it would wait for ever for events that supervisord never sends."""
    settings: dict[str, Any] = {
        "stderr_logfile": "%(here)s/memkill.log",
        "startretries": 0,
        "startsecs": 100,
    }
    section = program("memkill", COMMAND, **settings)
    supervisord = start_supervisord(f"{pool('mine')}{section}{program('job', SLEEPER)}")
    # Not FATAL: on a busy machine the end comes after startsecs.
    wait_for(lambda: "exited: memkill (exit status 2" in supervisord.log(), message=supervisord.log)
    # It may have been started again. Two lines differ in their times only.
    lines = supervisord.log("memkill.log").splitlines()
    assert len({line.partition("supervisor-memkill")[2] for line in lines}) == 1
    assert all("[eventlistener:memkill]" in line for line in lines)


# --- whose journal ------------------------------------------------------------------------------


@pytest.fixture
def journals() -> Iterator[list[Path]]:
    """Journals at their default places, to be removed."""
    paths: list[Path] = []
    yield paths
    for path in paths:
        for one in (path, path.with_name(f"{path.name}.lock")):
            one.unlink(missing_ok=True)


def journal_of(supervisord: RealSupervisord) -> Path:
    found = re.search(r"journal=(\S+)", start_line(supervisord))
    assert found is not None
    return Path(found[1])


def journal_by_hand(url: str, environ: dict[str, str]) -> Path | None:
    """The journal that a person finds who asks at this address."""
    given = {"config": None, "serverurl": url, "username": None, "password": None, "dry_run": True}
    configuration = find_configuration(argparse.Namespace(**given), environ)
    return build(configuration, Supervisord(url), environ, own_group="").journal.existing()


def test_journal_is_found_whatever_the_address_and_the_environment(
    start_supervisord: StartSupervisord, journals: list[Path], tmp_path: Path
) -> None:
    """Two server sections, each spelling of their addresses, and XDG_RUNTIME_DIR at one start alone."""
    port = free_port()
    servers = f"[inet_http_server]\nport = 127.0.0.1:{port}\n"
    sections = f"{servers}{pool('mine')}{{listener}}{program('job', SLEEPER)}"
    supervisord = start_supervisord(sections.format(listener=listener()))
    path = journal_of(supervisord)
    journals.append(path)
    wait_for(path.exists, message="the journal is saved")
    assert journal_of_living(supervisord.proxy, ["memkill"]) == path

    moved = listener(
        environment=f'XDG_RUNTIME_DIR="{tmp_path}",SUPERVISOR_SERVER_URL="http://localhost:{port}"'
    )
    supervisord.write_config(sections.format(listener=moved))
    (supervisord.directory / "memkill.log").unlink()
    supervisord.ctl("update")
    assert journal_of(supervisord) == path
    locked = path.with_name(f"{path.name}.lock")
    pid = str(supervisord.wait_for_state(LISTENER, ProcessState.RUNNING).pid)
    wait_for(lambda: locked.read_text() == pid, message=lambda: supervisord.log("memkill.log"))
    assert "journal.away" not in supervisord.log("memkill.log")

    supervisord.ctl("stop", "memkill")
    (supervisord.directory / "link").symlink_to(".")
    link = f"unix://{supervisord.directory}/link/s.sock"
    for url in (supervisord.url, link, f"http://localhost:{port}", f"http://127.0.0.1:{port}"):
        for environ in ({}, {"XDG_RUNTIME_DIR": str(tmp_path)}):
            assert journal_by_hand(url, environ) == path


def test_drain_in_the_journal_of_an_earlier_version_is_finished(
    start_supervisord: StartSupervisord, journals: list[Path], tmp_path: Path
) -> None:
    """Its listener kept the journal where XDG_RUNTIME_DIR was, and died after it stopped the worker."""
    runtime = f'XDG_RUNTIME_DIR="{tmp_path}"'
    settings = "min_available = 0\nmin_uptime = 0s\nsettle = 1s\n"
    sections = f"[memkill]\npoll_interval = 100ms\n{pool('mine')}{settings}{program('job', SLEEPER)}"
    supervisord = start_supervisord(sections)
    running = supervisord.wait_for_state("job:job", ProcessState.RUNNING)
    (former,) = [
        path
        for path in place([], supervisord.url, {"XDG_RUNTIME_DIR": str(tmp_path)}, os.geteuid()).former
        if path.is_relative_to(tmp_path)
    ]
    stop = {"stop_attempts": 1, "stop_answer": StopAnswer.ACCEPTED}
    left = drain(State.STOPPING, worker="job:job", pool="mine", pid=running.pid, start=running.start, **stop)
    Journal(former).save(Contents({"job:job": left}, instance="earlier"))
    supervisord.stop_by_hand("job:job")
    supervisord.write_config(f"{sections}{listener(environment=runtime)}")
    supervisord.ctl("update")
    journals.append(journal_of(supervisord))
    supervisord.wait_for_state("job:job", ProcessState.RUNNING)
    assert not former.exists()
