"""Real taskiq workers under a real supervisord: replaced while they work."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import WORKERS_PYTHON, interpreter
from tests.real.frameworks import LISTENER, FrameworkFleet
from tests.real.stop_then_wait import assert_refused_before_harm, fleet_of, version, worker
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real
GOOD = {"stopwaitsecs": 70, "killasgroup": "true"}


def taskiq_fleet(redis_server: RealRedis, python: str, words: str = "-w 1", **options: Any) -> Any:
    command = worker(python, "taskiq", f"worker taskiq_app:broker {words}")
    return fleet_of(redis_server, python, "taskiq", command, **{"worker": GOOD, **options})


def wait_until_claimed(fleet: FrameworkFleet) -> None:
    """What a stop left unacknowledged is claimed by a worker that gets another (RedisStreamBroker.listen)."""
    pushed = set(fleet.pushed())
    fleet.wait_for(lambda: not pushed & set(fleet.lost()))


@pytest.mark.parametrize("processes", [1, 2])
def test_each_task_runs_once_while_workers_are_replaced(
    redis_server: RealRedis, processes: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """By RedisStreamBroker: a ListQueueBroker may lose a task at any stop."""
    python = interpreter(WORKERS_PYTHON)
    with taskiq_fleet(redis_server, python, f"-w {processes}") as fleet:
        with fleet.feeding():
            fleet.listen()
            fleet.wait_until_each_replaced_and_one_at_work()
            fleet.supervisord.stop_by_hand(LISTENER)  # a further drain could leave a task to the last feed
            wait_until_claimed(fleet)
        fleet.wait_until_all_finished()
        fleet.assert_each_job_once()
        assert not fleet.events("worker.hint") + fleet.events("worker.unsafe_settings"), fleet.story()
        with capsys.disabled():
            print("\n" + fleet.row(f"taskiq -w {processes}, stream", version(python, "taskiq")))


def test_idle_workers_are_replaced_within_their_brokers_read(redis_server: RealRedis) -> None:
    with taskiq_fleet(redis_server, interpreter(WORKERS_PYTHON)) as fleet:
        fleet.listen()
        fleet.wait_until_each_replaced(1)
        assert "killing" not in fleet.supervisord.log()


@pytest.mark.parametrize(
    ("changes", "words", "said"),
    [
        ({"stopsignal": "HUP"}, "", "stopsignal=HUP must be INT or TERM"),
        ({"stopwaitsecs": 10}, "", "stopwaitsecs=10 is below drain_timeout=1m00s"),
        ({}, "--wait-tasks-timeout 5", "--wait-tasks-timeout=5 is below drain_timeout"),
        ({"stopasgroup": "true"}, "--hardkill-count 0", "remove stopasgroup=true"),
    ],
    ids=["stopsignal", "stopwaitsecs", "wait-tasks-timeout", "stopasgroup"],
)
def test_settings_that_would_cut_jobs_are_refused_before_harm(
    redis_server: RealRedis, changes: dict[str, object], words: str, said: str
) -> None:
    python = interpreter(WORKERS_PYTHON)
    options = {"worker": {**GOOD, **changes}, "bloat_seconds": 0.1}
    with taskiq_fleet(redis_server, python, f"-w 1 {words}", **options) as fleet:
        assert_refused_before_harm(fleet, said)


def test_a_missing_killasgroup_is_told(redis_server: RealRedis) -> None:
    settings = {**GOOD, "killasgroup": "false"}
    with taskiq_fleet(redis_server, interpreter(WORKERS_PYTHON), worker=settings, bloat_seconds=99) as fleet:
        fleet.listen()
        fleet.wait_for(lambda: fleet.events("worker.hint", "killasgroup=false"))
