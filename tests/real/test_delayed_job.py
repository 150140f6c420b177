"""Real Delayed Job workers under a real supervisord: replaced while they work."""

from __future__ import annotations

import shlex
import subprocess
from typing import Any

import pytest

from tests.harness import PROGRAMS, missing, require_program
from tests.real.debian import version_of
from tests.real.frameworks import replace_each_twice, running_fleet
from tests.real.stop_then_wait import assert_refused_before_harm
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real
APP = PROGRAMS / "delayed_job"
GOOD = {"stopwaitsecs": 70}


def words(*parts: object) -> str:
    return shlex.join(map(str, parts))


SCRIPT = words("ruby", APP / "delayed_job", "run")
RAKE = words("rake", "-f", APP / "Rakefile", "jobs:work")


def fleet_of(redis_server: RealRedis, **options: Any) -> Any:
    """A worker by the script and one by rake, on one database, unless `commands` says otherwise."""
    require_program("rake")
    needed = 'require "delayed_job_active_record"; require "daemons"'
    if subprocess.run(["ruby", "-e", needed], capture_output=True, check=False).returncode:
        missing("Delayed Job is not installed (Debian: ruby-delayed-job-active-record, ruby-daemons)")
    options.setdefault("worker", GOOD)
    options.setdefault("commands", {"script": SCRIPT, "rake": RAKE})
    return running_fleet(redis_server, kind="delayed_job", feed=words("ruby", APP / "feed.rb"), **options)


def test_each_job_runs_once_while_workers_are_replaced(
    redis_server: RealRedis, capsys: pytest.CaptureFixture[str]
) -> None:
    with fleet_of(redis_server, feed_every_seconds=0.3) as fleet:
        replace_each_twice(fleet)
        assert not fleet.events("worker.hint") + fleet.events("worker.unsafe_settings"), fleet.story()
        with capsys.disabled():
            print("\n" + fleet.row("Delayed Job, SQLite", version_of("ruby-delayed-job", None)))


def test_one_pool_of_one_worker_is_drained_like_a_worker_without_a_pool(redis_server: RealRedis) -> None:
    """And so is ``-n 1``."""
    script = "ruby", APP / "delayed_job"
    commands = {"pool": words(*script, "--pool=*:1", "run"), "number": words(*script, "-n", 1, "run")}
    with fleet_of(redis_server, feed_every_seconds=0.3, commands=commands) as fleet:
        replace_each_twice(fleet)
        assert not fleet.events("worker.hint") + fleet.events("worker.unsafe_settings"), fleet.story()


@pytest.mark.parametrize(
    ("changes", "more", "said"),
    [
        ({"stopsignal": "QUIT"}, "", "stopsignal=QUIT must be INT or TERM"),
        ({}, " -n 2", "-n and --pool run several workers one after the other"),
        ({}, " --pool=*:1 --pool=*:1", "-n and --pool run several workers one after the other"),
    ],
    ids=["stopsignal", "several", "two pools"],
)
def test_settings_that_would_cut_jobs_are_refused_before_harm(
    redis_server: RealRedis, changes: dict[str, object], more: str, said: str
) -> None:
    options = {"worker": {**GOOD, **changes}, "bloat_seconds": 0.1, "commands": {"script": SCRIPT + more}}
    with fleet_of(redis_server, **options) as fleet:
        assert_refused_before_harm(fleet, said)
