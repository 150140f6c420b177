"""``worker = auto`` with real workers: the kind is recognised, and drains them as if it had been named."""

from __future__ import annotations

import pytest

from tests.harness import WORKERS_PYTHON, interpreter
from tests.real.frameworks import replace_each_twice
from tests.real.sidekiq_fleet import bloated, bursting
from tests.real.sidekiq_fleet import running_fleet as running_sidekiqs
from tests.real.stop_then_wait import fleet_of, worker
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real
AUTO = {"worker": "auto"}


def test_workers_that_drain_by_stopping_run_each_message_once(redis_server: RealRedis) -> None:
    python = interpreter(WORKERS_PYTHON)
    command = worker(python, "dramatiq", "dramatiq_app -p 1 -t 2 --worker-shutdown-timeout 60000")
    good = {"stopwaitsecs": 70, "killasgroup": "true"}
    options = {"pool": AUTO, "worker": good, "feed_every_seconds": 0.2}
    with fleet_of(redis_server, python, "dramatiq", command, **options) as fleet:
        replace_each_twice(fleet)


def test_workers_that_can_be_quieted_run_each_job_once(redis_server: RealRedis) -> None:
    """A drain that took the kind for one without a quiet would cut the jobs of the burst."""
    sidekiqs = [bloated(f"sidekiq_{number}", concurrency=2) for number in range(2)]
    with running_sidekiqs(redis_server, *sidekiqs, pool=AUTO) as fleet:
        before = fleet.wait_until_in_service()
        with bursting(fleet, jobs=3, seconds=2.5):
            fleet.listen()
            fleet.wait_until_replaced(before)
        fleet.wait_until_finished()
        fleet.assert_each_job_once()
        assert fleet.events("drain.quieting")
