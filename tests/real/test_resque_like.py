"""The kind of Resque against a stand-in, made by what Resque's source says: not against Resque itself."""

from __future__ import annotations

import shlex
import subprocess
import sys
from typing import Any

import pytest

from tests.harness import PROGRAMS, missing, require_program
from tests.real.frameworks import FrameworkFleet, field, replace_each_twice, running_fleet
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real
QUICK = {"INTERVAL": "0.2"}


def fleet_of(redis_server: RealRedis, commands: dict[str, str] | None = None, **options: Any) -> Any:
    ruby = require_program("ruby")
    if subprocess.run([ruby, "-e", 'require "redis"'], capture_output=True, check=False).returncode:
        missing("Ruby's redis is not installed (Debian: ruby-redis)")
    command = shlex.join([ruby, str(PROGRAMS / "resque_like.rb"), "default"])
    settings = {"stopsignal": "QUIT", **options.pop("worker", {})}
    return running_fleet(
        redis_server,
        kind="resque",
        commands={name: words % command for name, words in (commands or {"one": "%s", "two": "%s"}).items()},
        feed=shlex.join([sys.executable, str(PROGRAMS / "resque_feed.py")]),
        worker=settings,
        environment=QUICK,
        **options,
    )


def wait_until_registered(fleet: FrameworkFleet) -> None:
    fleet.wait_for(lambda: fleet.client.scard("resque:workers") == len(fleet.names))


def test_each_job_runs_once_while_workers_are_replaced(
    redis_server: RealRedis, capsys: pytest.CaptureFixture[str]
) -> None:
    with fleet_of(redis_server, job_seconds=0.6, feed_every_seconds=0.3) as fleet:
        replace_each_twice(fleet)
        causes = {field(line, "cause") for line in fleet.events("drain.stopping")}
        assert causes == {"idle"}, "each was paused, and seen without a job"
        with capsys.disabled():
            print("\n" + fleet.row("Resque's stand-in", "2.7"))


def test_a_drain_that_is_given_up_leaves_the_worker_at_work(redis_server: RealRedis) -> None:
    """drain_timeout ends before the job does: CONT, and the same process takes jobs again."""
    pool = {"drain_timeout": "1s", "on_timeout": "resume", "cooldown": "1h"}
    with fleet_of(redis_server, pool=pool, job_seconds=20, feed_every_seconds=2) as fleet:
        before = {name: fleet.process(name).pid for name in fleet.names}
        with fleet.feeding():
            fleet.wait_for(lambda: len(fleet.runs()) == 2)
            fleet.listen()
            fleet.wait_for(lambda: fleet.events("drain.let_go"))
            worker = field(fleet.events("drain.let_go")[0], "worker").partition(":")[2]
            pid, begun = before[worker], len(fleet.runs())
            fleet.wait_for(lambda: any(pid in run.process for run in fleet.runs()[begun:]))
        assert fleet.events("drain.stopping") == []
        assert fleet.process(worker).pid == pid


def test_another_stopsignal_and_a_shell_in_between_are_told_of(redis_server: RealRedis) -> None:
    commands = {"wrapped": "sh -c '%s; true'", "one": "%s"}
    with fleet_of(redis_server, commands, worker={"stopsignal": "TERM"}, bloat_seconds=0.1) as fleet:
        wait_until_registered(fleet)
        before = fleet.process("wrapped").pid
        fleet.listen()
        fleet.wait_for(lambda: fleet.events("worker.held", "with exec"))
        assert "worker=wrapped:wrapped" in fleet.events("worker.held", "with exec")[0]
        fleet.wait_for(lambda: fleet.events("worker.hint", "stopsignal=TERM must be QUIT"))
        assert "stopsignal=TERM must be QUIT" in fleet.dry_run()
        assert fleet.process("wrapped").pid == before
