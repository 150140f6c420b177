"""Real Celery workers that its remote control does not reach at its usual place, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness import OLD_WORKERS_PYTHON, PROGRAMS, WORKERS_PYTHON, interpreter
from tests.real.frameworks import replace_each_twice
from tests.real.test_celery import STEADY, assert_held, fleet_of, two, version
from tests.real_redis import RealRedis
from tests.redis_servers import sentinel

pytestmark = pytest.mark.real
BY_STOP: dict[str, Any] = {"drain": "stop", "drain_timeout": "60s"}
WITHOUT_CONTROL = {"APP_WITHOUT_CONTROL": "1"}
RUNS_ONCE = {
    "CELERY_CUSTOM_WORKER_POOL": "memkill_pool:Prefork",
    "PYTHONPATH": f"{PROGRAMS}:{PROGRAMS.parents[1] / 'contrib' / 'celery'}",
}
"""With Celery's own prefork pool, a task that begins in the moment of the stop may run twice."""
BUSY = {"job_seconds": 0.5, "feed_every_seconds": 0.2, "bloat_seconds": 1}
"""More than two solo workers do: each always has a task."""


@pytest.mark.parametrize(
    ("variable", "words", "feed", "environment"),
    [
        pytest.param(WORKERS_PYTHON, "-c 2 -P custom", STEADY, RUNS_ONCE, id="newest prefork"),
        pytest.param(WORKERS_PYTHON, "-P solo", BUSY, {}, id="newest solo"),
        pytest.param(OLD_WORKERS_PYTHON, "-c 2", STEADY, {}, id="oldest prefork"),
    ],
)
def test_without_remote_control_each_job_runs_once_while_workers_are_replaced(
    redis_server: RealRedis,
    variable: str,
    words: str,
    feed: dict[str, Any],
    environment: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    python = interpreter(variable)
    options: dict[str, Any] = {
        **feed,
        "pool": BY_STOP,
        "environment": {**WITHOUT_CONTROL, **environment},
    }
    with fleet_of(redis_server, python, two(python, words), **options) as fleet:
        replace_each_twice(fleet)
        with capsys.disabled():
            print("\n" + fleet.row(f"Celery {words}, drain = stop", version(python)))


@pytest.mark.parametrize(
    ("worker", "environment", "said"),
    [
        ({"stopwaitsecs": 30}, {}, "stopwaitsecs=30 is below drain_timeout"),
        ({}, {"REMAP_SIGTERM": "SIGQUIT"}, "REMAP_SIGTERM makes TERM cut running tasks"),
    ],
    ids=["stopwaitsecs", "remapped"],
)
def test_settings_that_would_cut_tasks_at_the_stop_are_refused_before_harm(
    redis_server: RealRedis, worker: dict[str, object], environment: dict[str, str], said: str
) -> None:
    python = interpreter(WORKERS_PYTHON)
    options: dict[str, Any] = {"worker": worker, "pool": BY_STOP, "bloat_seconds": 0.1}
    environment = {**WITHOUT_CONTROL, **environment}
    with fleet_of(redis_server, python, two(python, "-c 1"), environment=environment, **options) as fleet:
        assert_held(fleet, said)


def test_a_worker_that_never_answers_is_held_with_the_way_out(redis_server: RealRedis) -> None:
    python = interpreter(WORKERS_PYTHON)
    options: dict[str, Any] = {"environment": WITHOUT_CONTROL, "bloat_seconds": 0.1}
    with fleet_of(redis_server, python, two(python, "-c 1"), **options) as fleet:
        assert_held(fleet, "if it never answers, set drain = stop")


@pytest.mark.parametrize(
    ("variable", "is_pool_redis"),
    [
        pytest.param(WORKERS_PYTHON, False, id="newest, Celery's own URLs"),
        pytest.param(OLD_WORKERS_PYTHON, True, id="oldest, the pool's redis"),
    ],
)
def test_behind_sentinels_each_job_runs_once_while_workers_are_replaced(
    redis_server: RealRedis,
    short_path: Path,
    variable: str,
    is_pool_redis: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """kombu below 5.4, as in the oldest, has another name for the exchange there."""
    python = interpreter(variable)
    monitor = [f"sentinel monitor main 127.0.0.1 {redis_server.port} 1"]
    with sentinel(short_path, monitor) as first, sentinel(short_path, monitor) as second:
        broker = f"sentinel://127.0.0.1:{first}/0;sentinel://127.0.0.1:{second}/0"
        given = json.dumps({"master_name": "main", "global_keyprefix": "app:"})
        pool: dict[str, Any] = {"broker": broker, "broker_transport_options": given}
        if is_pool_redis:
            url = f"redis+sentinel://127.0.0.1:{first},127.0.0.1:{second}/main/0"
            pool = {"redis": url, "key_namespace": "app:"}
        environment = {"APP_BROKER_URL": broker, "APP_TRANSPORT_OPTIONS": given}
        options: dict[str, Any] = {**STEADY, "pool": pool, "environment": environment}
        with fleet_of(redis_server, python, two(python), **options) as fleet:
            replace_each_twice(fleet)
            with capsys.disabled():
                print("\n" + fleet.row("Celery -c 2, Sentinel", version(python)))


def test_with_a_renamed_control_exchange_each_job_runs_once(
    redis_server: RealRedis, capsys: pytest.CaptureFixture[str]
) -> None:
    """The broker is the second one of a list, and the first does not answer."""
    python = interpreter(WORKERS_PYTHON)
    broker = f"redis://127.0.0.1:1/0;{redis_server.url}"
    options: dict[str, Any] = {
        **STEADY,
        "pool": {"broker": broker, "control_exchange": "shop"},
        "environment": {"APP_BROKER_URL": broker, "APP_CONTROL_EXCHANGE": "shop"},
    }
    with fleet_of(redis_server, python, two(python), **options) as fleet:
        replace_each_twice(fleet)
        with capsys.disabled():
            print("\n" + fleet.row("Celery -c 2, control_exchange", version(python)))
