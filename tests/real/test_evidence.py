"""The command before the stop, under a real supervisord: once, ended in time, and at no job's cost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from supervisor_memkill.rules.drain import State
from tests.harness import PATIENCE_SECONDS, wait_for
from tests.real.conftest import StartPool
from tests.real.pool import GATE, LeakyPool
from tests.real.test_deliveries import executable
from tests.real.test_requests import run

pytestmark = pytest.mark.real


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def drains(pool: LeakyPool) -> list[Any]:
    """The drains under way, as ``status --json`` shows them."""
    (shown,) = json.loads(run(pool, "status", "--json").stdout)["pools"]
    return [one["drain"] for one in shown["workers"] if one["drain"] is not None]


def order_of(pool: LeakyPool, *names: str) -> list[str]:
    """These events of the log, in their order."""
    words = [line.split(" ")[3] for line in pool.log().splitlines() if len(line.split(" ")) > 3]
    return [word for word in words if word in names]


def test_command_sees_the_idle_worker_and_the_history_says_so(start_pool: StartPool, tmp_path: Path) -> None:
    """Its words are filled in, and it runs before the stop: the process is there, and its job has ended."""
    dump = executable(tmp_path / "dump", f'cat /proc/$1/status > "{tmp_path}/$2"')
    pool = start_pool(count=2, pool={"before_stop": f"{dump} %(pid)s '%(name)s in %(pool)s'"})
    worker = pool.bloat("first")
    pid = next(pid for name, pid in pool.spawned() if name == worker)
    pool.wait_until_whole()
    name = worker.partition(":")[2]
    status = (tmp_path / f"{name} in job").read_text()
    assert f"\nPid:\t{pid}\n" in status
    names = ("drain.evidence_begins", "drain.evidence", "drain.stopping", "drain.done")
    pool.wait_for_event("drain.done")
    assert order_of(pool, *names) == list(names)
    command = [sys.executable, "-m", "supervisor_memkill", "history", "--json"]
    config = ["--config", str(pool.directory / "memkill.conf")]
    shown = subprocess.run([*command, *config], capture_output=True, text=True, check=True)
    assert [record["evidence"] for record in json.loads(shown.stdout)["records"]] == ["taken"]


def test_command_that_hangs_is_ended_with_its_tree_and_the_drain_goes_on(
    start_pool: StartPool, tmp_path: Path
) -> None:
    """It suspends the worker and never continues it: the listener does, so that it can end by itself."""
    pids = tmp_path / "pids"
    hang = executable(
        tmp_path / "hang",
        f"trap '' TERM INT HUP; kill -STOP $1; echo $$ >> {pids}; setsid sleep 600 & echo $! >> {pids}; wait",
    )
    settings = {"before_stop": f"{hang} %(pid)s", "before_stop_timeout": "3s"}
    pool = start_pool(count=2, pool=settings)
    pool.bloat("first")
    pool.wait_until_whole()
    pool.wait_for_event("drain.done", text="evidence=failed")
    pool.wait_for_event("drain.evidence_failed", text="not done within 3 s")
    assert not pool.events("drain.killed"), "the worker ended by itself"
    assert len(pids.read_text().split()) == 2, "it ran once"
    assert not any(is_running(int(pid)) for pid in pids.read_text().split())
    assert pool.least_in_service() == 1


def test_job_that_comes_while_the_command_runs_is_waited_for(start_pool: StartPool, tmp_path: Path) -> None:
    begun, may_end = tmp_path / "begun", tmp_path / "may end"
    slow = executable(
        tmp_path / "slow", f"echo 1 >> {begun}; while [ ! -e '{may_end}' ]; do sleep 0.05; done"
    )
    pool = start_pool(count=2, pool={**GATE, "before_stop": slow})
    pool.bloat("first")
    pool.wait_for_drain(State.DRAINING)
    pool.gate(0)
    wait_for(begun.exists, message="the command")
    (drain,) = drains(pool)
    assert 0 <= drain["before_stop_for_seconds"] < PATIENCE_SECONDS
    assert "before_stop has run for" in run(pool, "status").stdout
    pool.gate(1)
    may_end.touch()
    pool.wait_for_event("drain.evidence")
    polls = len(pool.events("drain.busy"))
    pool.wait_for(lambda: "busy=1" in pool.events("drain.busy")[-1])
    assert polls
    pool.wait_for(lambda: [one["before_stop_for_seconds"] for one in drains(pool)] == [None])
    assert not pool.events("drain.stopping")
    pool.gate(0)
    pool.wait_for_event("drain.done", text="evidence=taken")
    assert begun.read_text() == "1\n"


def test_listener_that_is_killed_leaves_neither_the_command_nor_the_drain(
    start_pool: StartPool, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    hang = executable(tmp_path / "hang", f"trap '' TERM INT HUP; echo $$ >> {pids}; sleep 600")
    pool = start_pool(count=2, pool={"before_stop": hang, "before_stop_timeout": "1h"})
    pool.bloat("first")
    wait_for(lambda: pids.exists() and pids.read_text(), message="the command")
    command = psutil.Process(int(pids.read_text()))
    tree = [command, *command.children(recursive=True)]
    before = time.monotonic()
    pool.kill_listener()
    wait_for(lambda: not any(one.is_running() for one in tree), message="the end of the command")
    pool.wait_until_whole()
    pool.wait_for_event("drain.done", text="evidence=lost")
    assert time.monotonic() - before < 600
    assert len(pids.read_text().split()) == 1, "the next listener did not run it again"
