"""Real Django-Q2 clusters under a real supervisord: replaced while they work."""

from __future__ import annotations

import shlex

import pytest

from tests.harness import PROGRAMS, WORKERS_PYTHON, interpreter
from tests.real.frameworks import replace_each_twice
from tests.real.stop_then_wait import assert_refused_before_harm, fleet_of, version
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real
GOOD = {"stopwaitsecs": 70, "killasgroup": "true"}


def qcluster(python: str) -> str:
    return shlex.join([python, str(PROGRAMS / "djangoq_app.py"), "qcluster"])


def test_each_task_runs_once_while_clusters_are_replaced(
    redis_server: RealRedis, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the Redis broker: a task that is cut would be lost."""
    python = interpreter(WORKERS_PYTHON)
    with fleet_of(
        redis_server, python, "djangoq", qcluster(python), worker=GOOD, feed_every_seconds=0.2
    ) as fleet:
        replace_each_twice(fleet)
        assert not fleet.events("worker.hint") + fleet.events("worker.unsafe_settings"), fleet.story()
        with capsys.disabled():
            print("\n" + fleet.row("Django-Q2, Redis", version(python, "django-q2")))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stopasgroup": "true"}, "remove stopasgroup=true: the running tasks would be lost"),
        ({"stopsignal": "QUIT"}, "stopsignal=QUIT must be INT or TERM"),
    ],
    ids=["stopasgroup", "stopsignal"],
)
def test_settings_that_would_lose_tasks_are_refused_before_harm(
    redis_server: RealRedis, changes: dict[str, object], said: str
) -> None:
    python = interpreter(WORKERS_PYTHON)
    settings = {**GOOD, **changes}
    with fleet_of(
        redis_server, python, "djangoq", qcluster(python), worker=settings, bloat_seconds=0.1
    ) as fleet:
        assert_refused_before_harm(fleet, said)
