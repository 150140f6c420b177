"""Real Huey consumers under a real supervisord, oldest and newest release: replaced while they work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import OLD_WORKERS_PYTHON, WORKERS_PYTHON, interpreter
from tests.real.frameworks import replace_each_twice
from tests.real.stop_then_wait import assert_refused_before_harm, fleet_of, version, worker
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real
GOOD = {"stopsignal": "INT", "stopwaitsecs": 70, "killasgroup": "true"}


def huey(python: str, words: str = "-w 2") -> str:
    program = "huey_consumer.py" if (Path(python).parent / "huey_consumer.py").exists() else "huey_consumer"
    return worker(python, program, f"huey_app.huey {words}")


@pytest.mark.parametrize("worker_type", ["thread", "process"])
@pytest.mark.parametrize("variable", [WORKERS_PYTHON, OLD_WORKERS_PYTHON], ids=["newest", "oldest"])
def test_each_task_runs_once_while_consumers_are_replaced(
    redis_server: RealRedis, variable: str, worker_type: str, capsys: pytest.CaptureFixture[str]
) -> None:
    python = interpreter(variable)
    command = huey(python, f"-w 2 -k {worker_type}")
    with fleet_of(redis_server, python, "huey", command, worker=GOOD, feed_every_seconds=0.2) as fleet:
        replace_each_twice(fleet)
        assert not fleet.events("worker.hint") + fleet.events("worker.unsafe_settings"), fleet.story()
        with capsys.disabled():
            print("\n" + fleet.row(f"Huey -k {worker_type}", version(python, "huey")))


def test_with_its_signals_swapped_each_task_runs_once_too(redis_server: RealRedis) -> None:
    python = interpreter(WORKERS_PYTHON)
    settings = {**GOOD, "stopsignal": "TERM"}
    command = huey(python, "-w 2 -g TERM")
    with fleet_of(redis_server, python, "huey", command, worker=settings, feed_every_seconds=0.2) as fleet:
        with fleet.feeding():
            fleet.listen()
            fleet.wait_until_each_replaced(1)
        fleet.wait_until_all_finished()
        fleet.assert_each_job_once()


@pytest.mark.parametrize(
    ("changes", "words", "said"),
    [
        ({"stopsignal": "TERM"}, "", "stopsignal=TERM must be INT"),
        ({"stopsignal": "INT"}, "-g TERM", "stopsignal=INT must be TERM"),
        ({"stopwaitsecs": 10}, "", "stopwaitsecs=10 is below drain_timeout=1m00s"),
        ({}, "-t 5", "--shutdown-timeout=5 is below drain_timeout"),
    ],
    ids=["TERM", "INT with -g TERM", "stopwaitsecs", "shutdown-timeout"],
)
def test_settings_that_would_lose_jobs_are_refused_before_harm(
    redis_server: RealRedis, changes: dict[str, object], words: str, said: str
) -> None:
    python = interpreter(WORKERS_PYTHON)
    command, settings = huey(python, f"-w 2 {words}"), {**GOOD, **changes}
    with fleet_of(redis_server, python, "huey", command, worker=settings, bloat_seconds=0.1) as fleet:
        assert_refused_before_harm(fleet, said)
