"""Real Sidekiqs under a constant feed, each replaced twice: nothing lost, nothing twice."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from tests.harness import PROGRAMS, require_program
from tests.real.frameworks import replace_each_twice, running_fleet
from tests.real_redis import RealRedis
from tests.workers.sidekiq_app import sidekiq_command

pytestmark = pytest.mark.real


def version() -> str:
    done = subprocess.run(
        [require_program("sidekiq"), "--version"], capture_output=True, text=True, check=True
    )
    return done.stdout.split()[1]


def test_each_of_two_sidekiqs_is_replaced_twice_and_every_job_runs_once(redis_server: RealRedis) -> None:
    command = sidekiq_command(concurrency=2, timeout=2)
    feed = shlex.join([sys.executable, str(PROGRAMS / "sidekiq_feed.py")])
    with running_fleet(
        redis_server,
        kind="sidekiq",
        commands={"sidekiq_0": command, "sidekiq_1": command},
        feed=feed,
        environment={"REDIS_URL": redis_server.url},
    ) as fleet:
        replace_each_twice(fleet)
        print(fleet.row("sidekiq", version()))
