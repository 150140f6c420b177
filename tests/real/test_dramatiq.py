"""Real Dramatiq workers under a real supervisord: replaced while they work."""

from __future__ import annotations

import pytest

from tests.harness import WORKERS_PYTHON, interpreter
from tests.real.frameworks import replace_each_twice
from tests.real.stop_then_wait import assert_refused_before_harm, fleet_of, version, worker
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real
GOOD = {"stopwaitsecs": 70, "killasgroup": "true"}


def dramatiq(python: str, words: str = "-p 1 -t 2 --worker-shutdown-timeout 60000") -> str:
    return worker(python, "dramatiq", f"dramatiq_app {words}")


@pytest.mark.parametrize("processes", [1, 2])
def test_each_message_runs_once_while_workers_are_replaced(
    redis_server: RealRedis, processes: int, capsys: pytest.CaptureFixture[str]
) -> None:
    python = interpreter(WORKERS_PYTHON)
    command = dramatiq(python, f"-p {processes} -t 2 --worker-shutdown-timeout 60000")
    with fleet_of(redis_server, python, "dramatiq", command, worker=GOOD, feed_every_seconds=0.2) as fleet:
        replace_each_twice(fleet)
        assert not fleet.events("worker.hint") + fleet.events("worker.unsafe_settings"), fleet.story()
        with capsys.disabled():
            print("\n" + fleet.row(f"Dramatiq -p {processes}", version(python, "dramatiq")))


@pytest.mark.parametrize(
    ("changes", "words", "said"),
    [
        ({"stopasgroup": "true"}, "", "remove stopasgroup=true"),
        ({"stopsignal": "HUP"}, "", "stopsignal=HUP must be INT or TERM"),
        ({"stopwaitsecs": 10}, "", "stopwaitsecs=10 is below drain_timeout=1m00s"),
        ({}, "--worker-shutdown-timeout 5000", "--worker-shutdown-timeout=5000 (milliseconds) is below"),
    ],
    ids=["stopasgroup", "stopsignal", "stopwaitsecs", "shutdown-timeout"],
)
def test_settings_that_would_cut_jobs_are_refused_before_harm(
    redis_server: RealRedis, changes: dict[str, object], words: str, said: str
) -> None:
    python = interpreter(WORKERS_PYTHON)
    command = dramatiq(python, f"-p 1 -t 2 {words}")
    settings = {**GOOD, **changes}
    with fleet_of(redis_server, python, "dramatiq", command, worker=settings, bloat_seconds=0.1) as fleet:
        assert_refused_before_harm(fleet, said)
