"""The history of real drains: what the command shows of them, also when supervisord has gone."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from supervisor_memkill.commands.history_fleet import records_of
from supervisor_memkill.coordination.events import read_events
from supervisor_memkill.coordination.redis import RedisCoordinator
from supervisor_memkill.listener.history_file import paths_beside
from supervisor_memkill.notices.records import DrainRecord
from supervisor_memkill.notices.stream import StreamSink
from tests.harness import PATIENCE_SECONDS
from tests.notices.recorded import DONE, KILLED, LET_GO, QUIETING, STOPPING
from tests.real.conftest import StartPool
from tests.real.pool import LeakyPool
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real


def history(pool: LeakyPool, *arguments: str) -> str:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "supervisor_memkill", "history", *arguments),
            *("--config", f"{pool.directory}/memkill.conf", "--serverurl", pool.supervisord.url),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done
    return done.stdout


def records(pool: LeakyPool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(history(pool, "--json"))["records"]
    return found


def test_worker_that_ignores_term_is_in_the_history_with_the_job_that_it_lost(start_pool: StartPool) -> None:
    """Its drain ends by supervisord's SIGKILL with a running job; the peer's drain ends in good order."""
    pool = start_pool(
        pool={"drain_timeout": "1s"}, worker={"stopwaitsecs": 2}, worker_options=["--ignore-term"]
    )
    pool.wait_for_event("listener.started")
    pool.hold()
    worker = pool.give("lost")
    pool.wait_for_event("drain.killed", text=worker)
    (line,) = pool.events("drain.killed")
    assert " ERROR " in line and "busy=1" in line and "cause=drain_timeout" in line
    assert not pool.events("drain.done")
    assert f"killing '{worker.partition(':')[2]}'" in pool.supervisord.log()

    pool.wait_for(lambda: records(pool))
    (record,) = records(pool)
    assert (record["worker"], record["outcome"], record["jobs_cut"]) == (worker, "killed", 1)
    assert (record["kind"], record["reason"], record["cause"]) == ("custom", "max_rss", "drain_timeout")
    assert record["before_bytes"] > record["after_bytes"] > 0
    assert record["stopped_seconds"] >= 2 and record["curve"]
    screen = history(pool, "--since", "all")  # The beginning of a span moves with the clock.
    assert "KILLED" in screen and "1 job cut; stopped because drain_timeout is over" in screen

    pool.supervisord.stop(seconds=3)
    assert history(pool, "--since", "all") == screen, "the same when supervisord has gone"
    path, _ = paths_beside(pool.journal)
    assert path.stat().st_mode & 0o777 == 0o600


def test_stream_of_a_real_redis_gives_back_what_was_sent(redis_server: RealRedis) -> None:
    """Also of many pools' hosts, as long as the stream is kept."""
    client = redis_server.client()

    def coordinator(host: str) -> RedisCoordinator:
        return RedisCoordinator(
            lambda: client, f"{host}/supervisor", host, prefix="p", heartbeat_seconds=10, slot_ttl_seconds=60
        )

    for host, events in (("web-1", (QUIETING, STOPPING, DONE)), ("web-2", (STOPPING, KILLED, LET_GO))):
        sink = StreamSink(coordinator(host).record)
        for event in events:
            sink.take(event)
    found = records_of("jobs", read_events(lambda: client, "p", "jobs", 0.0))
    assert found.not_understood == 0
    assert [(one.host, one.outcome) for one in found.records if isinstance(one, DrainRecord)] == [
        ("web-1", "done"),
        ("web-2", "killed"),
    ]
    now = client.time()[0]
    assert all(abs(one.at - now) < 60 for one in found.records)
    assert read_events(lambda: client, "p", "jobs", now + 3600) == []
    assert read_events(lambda: client, "p", "other", 0.0) == []
    client.close()
