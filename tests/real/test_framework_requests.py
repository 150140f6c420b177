"""A deploy with ``restart --wait`` on one host: every worker is replaced once, every job runs once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness import PATIENCE_SECONDS, WORKERS_PYTHON, interpreter
from tests.real.frameworks import FrameworkFleet
from tests.real.php import LARAVEL_WORKER, OWN
from tests.real.test_celery import STEADY, fleet_of, two
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real

SLIM = {"max_rss": "8GB"}
"""No worker is over its limit: only the request drains."""


def of_celery(redis_server: RealRedis) -> Any:
    """Quiets its workers first."""
    python = interpreter(WORKERS_PYTHON)
    return fleet_of(redis_server, python, two(python), pool=SLIM, **STEADY)


def of_laravel(redis_server: RealRedis) -> Any:
    """Drains by the stop alone."""
    return LARAVEL_WORKER.fleet(redis_server, OWN, pool=SLIM)


@pytest.mark.parametrize("made", [of_celery, of_laravel], ids=["Celery", "Laravel"])
def test_each_worker_is_replaced_once_under_a_steady_feed(
    redis_server: RealRedis, made: Callable[[RealRedis], Any]
) -> None:
    fleet: FrameworkFleet
    with made(redis_server) as fleet:
        with fleet.feeding():
            fleet.listen()
            options = ["--config", str(fleet.config), "--serverurl", fleet.supervisord.url]
            command = [sys.executable, "-m", "supervisor_memkill", "restart", "jobs", "--wait", *options]
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
            )
        assert done.returncode == 0, done.stdout + done.stderr + fleet.story()
        assert done.stdout.endswith("replaced: all 2\n")
        fleet.wait_until_each_replaced(1)
        assert fleet.replaced() == dict.fromkeys(fleet.names, 1)
        fleet.wait_until_all_finished()
        fleet.assert_each_job_once()
