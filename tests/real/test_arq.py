"""Real arq workers under a real supervisord: replaced while they work."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import OLD_WORKERS_PYTHON, interpreter
from tests.real.frameworks import replace_each_twice
from tests.real.stop_then_wait import assert_refused_before_harm, fleet_of, version, worker
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real
GOOD = {"stopwaitsecs": 70, "killasgroup": "true"}
POOL = {"job_completion_wait": "60s", "health_check_key": "arq:health:%(pid)s"}
"""As tests/programs/arq_app.py has them."""


def arq_fleet(redis_server: RealRedis, python: str, **options: Any) -> Any:
    command = worker(python, "arq", "arq_app.WorkerSettings")
    return fleet_of(redis_server, python, "arq", command, **{"worker": GOOD, "pool": POOL, **options})


def test_each_job_runs_once_while_workers_are_replaced(
    redis_server: RealRedis, capsys: pytest.CaptureFixture[str]
) -> None:
    python = interpreter(OLD_WORKERS_PYTHON)
    with arq_fleet(redis_server, python) as fleet:
        replace_each_twice(fleet)
        assert not fleet.events("worker.hint") + fleet.events("worker.unsafe_settings"), fleet.story()
        with capsys.disabled():
            print("\n" + fleet.row("arq", version(python, "arq")))


def test_the_health_record_tells_the_jobs_in_hand(redis_server: RealRedis) -> None:
    python = interpreter(OLD_WORKERS_PYTHON)
    with arq_fleet(redis_server, python, job_seconds=60, feed_every_seconds=0.2, bloat_seconds=99) as fleet:
        with fleet.feeding():
            fleet.wait_for(lambda: len(fleet.runs()) >= 4)
        fleet.wait_for(lambda: busy(fleet.dry_run()) >= 4)


def busy(table: str) -> int:
    """The sum of a dry run's column BUSY."""
    head, *rows = [line.split() for line in table.splitlines() if line.startswith(("POOL", "jobs"))]
    cells = [row[head.index("BUSY")] for row in rows]
    return sum(int(cell) for cell in cells if cell.isdecimal())


def test_without_its_health_record_nothing_is_stopped_and_the_key_is_named(redis_server: RealRedis) -> None:
    python = interpreter(OLD_WORKERS_PYTHON)
    pool = {**POOL, "health_check_key": "arq:other:%(pid)s"}
    with arq_fleet(redis_server, python, pool=pool, bloat_seconds=0.1) as fleet:
        assert_refused_before_harm(fleet, "no health record")


@pytest.mark.parametrize(
    ("changes", "wait", "said"),
    [
        ({"stopsignal": "QUIT"}, "60s", "stopsignal=QUIT must be INT or TERM"),
        ({"stopwaitsecs": 60}, "60s", "stopwaitsecs=60 must be above job_completion_wait of 60 s"),
        ({}, "20s", "job_completion_wait=20s is below drain_timeout=1m00s"),
    ],
    ids=["stopsignal", "stopwaitsecs", "job_completion_wait"],
)
def test_settings_that_would_cut_jobs_are_refused_before_harm(
    redis_server: RealRedis, changes: dict[str, object], wait: str, said: str
) -> None:
    python = interpreter(OLD_WORKERS_PYTHON)
    options = {"worker": {**GOOD, **changes}, "pool": {**POOL, "job_completion_wait": wait}}
    with arq_fleet(redis_server, python, bloat_seconds=0.1, **options) as fleet:
        assert_refused_before_harm(fleet, said)
