"""Real Laravel workers under a real supervisord: replaced while they work."""

from __future__ import annotations

import pytest

from tests.real.frameworks import replace_each_twice
from tests.real.php import GOOD, LARAVEL_WORKER, OWN, SUITES
from tests.real.stop_then_wait import assert_refused_before_harm
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real


@pytest.mark.parametrize("suite", SUITES)
def test_each_job_runs_once_while_workers_are_replaced(
    redis_server: RealRedis, suite: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By 8, 10 and 13, each with the default of one try: a job that is cut would fail for good."""
    with LARAVEL_WORKER.fleet(redis_server, suite) as fleet:
        replace_each_twice(fleet)
        assert not fleet.events("worker.hint") + fleet.events("worker.unsafe_settings"), fleet.story()
        with capsys.disabled():
            print("\n" + fleet.row("Laravel queue:work", LARAVEL_WORKER.version(suite)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stopsignal": "INT"}, "stopsignal=INT must be TERM"),
        ({"stopwaitsecs": 10}, "stopwaitsecs=10 is below drain_timeout=1m00s"),
    ],
    ids=["stopsignal", "stopwaitsecs"],
)
def test_settings_that_would_cut_jobs_are_refused_before_harm(
    redis_server: RealRedis, changes: dict[str, object], said: str
) -> None:
    options = {"worker": {**GOOD, **changes}, "bloat_seconds": 0.1}
    with LARAVEL_WORKER.fleet(redis_server, OWN, **options) as fleet:
        assert_refused_before_harm(fleet, said)


def test_the_last_worker_of_a_queue_is_not_drained(redis_server: RealRedis) -> None:
    command = LARAVEL_WORKER.command(OWN)
    commands = {"one": f"{command} --queue=high,default", "two": command}
    with LARAVEL_WORKER.fleet(redis_server, OWN, commands=commands, bloat_seconds=0.1) as fleet:
        assert_refused_before_harm(fleet, "for the queues", event="worker.held_for_ever")


def test_a_php_that_does_not_ask_for_signals_is_not_recognised(redis_server: RealRedis) -> None:
    """As a worker without pcntl: PHP itself catches TERM, and dies of it."""
    php = " ".join(LARAVEL_WORKER.words(OWN))
    commands = dict.fromkeys(["one", "two"], f"{php} -r 'sleep(999);' -- artisan queue:work --memory=2048")
    with LARAVEL_WORKER.fleet(redis_server, OWN, commands=commands, pool={"max_rss": "1MB"}) as fleet:
        assert_refused_before_harm(fleet, "it does not handle signals")
