"""Real Sidekiqs are replaced while their jobs go on: each job once, and never too few in service."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from tests.harness import PATIENCE_SECONDS
from tests.leaky_workers import LeakyWorkers
from tests.real.redis_gate import RedisGate
from tests.real.sidekiq_fleet import (
    BLOAT_MEGABYTES,
    LISTENER,
    Fleet,
    Sidekiq,
    bloated,
    feeding,
    observing,
    replace_each_among_bursts,
    running_fleet,
)
from tests.real_redis import RealRedis
from tests.real_supervisord import program

pytestmark = pytest.mark.real


def test_three_bloated_sidekiqs_are_replaced_one_at_a_time_under_a_steady_feed(
    redis_server: RealRedis,
) -> None:
    with running_fleet(redis_server, *(bloated(f"sidekiq_{n}", concurrency=2) for n in range(3))) as fleet:
        before = fleet.wait_until_in_service()
        with feeding(fleet, 0.8, every_seconds=0.2), observing(fleet) as samples:
            fleet.wait_for(lambda: len(fleet.jobs.running()) >= 3)
            fleet.listen()
            fleet.wait_until_replaced(before)
        fleet.wait_until_finished()
        fleet.assert_each_job_once()
        assert {len(sample) for sample in samples} == {0, 1}, "never two out of service at once"
        assert set().union(*samples) == set(fleet.names), "the observer saw each of them go"
        assert fleet.drains() == {}
        assert len(fleet.events("drain.done")) == 3


def test_jobs_that_come_at_the_moment_of_the_quiet_are_run_once(redis_server: RealRedis) -> None:
    """The jobs outlast Sidekiq's own wait, so that each stop on a stale busy count would run one twice."""
    sidekiqs = [bloated(f"sidekiq_{n}", concurrency=2, timeout_seconds=1) for n in range(4)]
    with running_fleet(redis_server, *sidekiqs, pool={"max_draining": 3}) as fleet:
        replace_each_among_bursts(fleet)


def test_a_record_that_counted_its_jobs_before_the_quiet_is_not_believed(redis_server: RealRedis) -> None:
    """It says quiet and busy 0 while a job runs; a stop on it would run that job twice."""
    with RedisGate(redis_server) as gate:
        sidekiqs = [bloated("torn", redis_url=gate.url), Sidekiq("peer")]
        with running_fleet(redis_server, *sidekiqs) as fleet:
            fleet.wait_until_in_service()
            jid = quiet_in_the_middle_of_a_beat(fleet, gate, "torn", job_seconds=25)
            quiet = fleet.wait_for_beat("torn", lambda beat: beat.quiet)
            assert quiet.busy == 0 and jid in fleet.jobs.running(), "the record is a lie, as it was meant"
            fleet.wait_for_event("drain.done", "torn")
            fleet.wait_until_finished()
            fleet.assert_each_job_once()


def quiet_in_the_middle_of_a_beat(fleet: Fleet, gate: RedisGate, worker: str, job_seconds: float) -> str:
    """Give the worker a job and then its quiet between the two halves of one beat; the job's id.

    A beat counts the jobs, asks Redis for a PING, and only then writes, with the quiet as it is by
    then (Sidekiq's lib/sidekiq/launcher.rb). The gate holds the PING back. The listener starts when all is
    ready, and finds a record that is a few seconds old. A much older one it would not believe: on a machine
    that is slow just then, all begins once more.
    """
    for _ in range(5):
        fleet.wait_for_beat(worker, lambda beat: beat.busy == 0)
        gate.hold(b"ping")
        assert gate.held.wait(PATIENCE_SECONDS), "a beat every 5 s"
        jid = fleet.give_each(job_seconds)[worker]
        fleet.listen()
        is_quiet = gets_quiet(fleet, worker, RECORD_COUNTS_SECONDS)
        if not is_quiet:
            fleet.supervisord.stop_by_hand(LISTENER)  # Later the quiet would not be within the beat.
        gate.open()
        if is_quiet:
            return jid
        fleet.wait_until_finished()
    pytest.fail("the machine is too slow for a quiet within one beat")


RECORD_COUNTS_SECONDS = 20.0
"""Longer than three beats: from then on the listener believes nothing of the record."""


def gets_quiet(fleet: Fleet, worker: str, seconds: float) -> bool:
    """Whether the worker gets its quiet within this time."""
    end = time.monotonic() + seconds
    while "Received TSTP" not in fleet.supervisord.log(f"{worker}.log"):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_a_protected_job_is_not_drained_around_and_not_timed_out(redis_server: RealRedis) -> None:
    """Its first job is waited for before the drain; its second one was taken too late for that."""
    with RedisGate(redis_server) as gate:
        sidekiqs = [bloated("late", redis_url=gate.url), Sidekiq("peer")]
        pool = {"protect_jobs": "Sleep*", "drain_timeout": "12s"}
        with running_fleet(redis_server, *sidekiqs, pool=pool) as fleet:
            fleet.wait_until_in_service()
            fleet.give_each(20)
            fleet.wait_for_beat("late", lambda beat: beat.busy == 1)
            fleet.listen()
            fleet.wait_for_event("worker.held", "a protected job is running (SleepJob)")
            fleet.supervisord.stop_by_hand(LISTENER)
            assert not fleet.events("drain.quieting")
            fleet.wait_until_finished()

            late = quiet_in_the_middle_of_a_beat(fleet, gate, "late", job_seconds=25)
            fleet.wait_for_event("drain.done", "late")
            assert "cause=idle" in fleet.wait_for_event("drain.stopping"), "it outlasted its timeout"
            assert late in fleet.jobs.finished()
            fleet.wait_until_finished()
            fleet.assert_each_job_once()


def test_what_is_not_recognised_as_sidekiq_gets_no_signal(redis_server: RealRedis) -> None:
    """A Sidekiq that still boots is left alone until its record is there, and a stranger for good."""
    with running_fleet(
        redis_server,
        bloated("booting", boot_seconds=14),
        Sidekiq("peer"),
        others=program("stranger", "sh %(here)s/stranger.sh"),
    ) as fleet:
        leaky = LeakyWorkers(fleet.supervisord.directory)
        script = fleet.supervisord.directory / "stranger.sh"
        script.write_text(f"exec {leaky.command('--megabytes', str(BLOAT_MEGABYTES))}\n")
        stranger = fleet.wait_for(lambda: leaky.facts("up") and fleet.process("stranger").pid)
        fleet.wait_until_in_service("peer")
        booting = psutil.Process(fleet.process("booting").pid)
        fleet.listen()

        for name in ("booting", "stranger"):
            assert "not recognised" in fleet.wait_for_event("worker.held", f"{name}:{name}")
        fleet.wait_for(lambda: is_booted(fleet, booting))
        fleet.wait_until_replaced({"booting": booting.pid})

        assert fleet.process("stranger").pid == stranger
        assert psutil.Process(stranger).status() != psutil.STATUS_STOPPED
        assert leaky.record.read_text().split() == ["up", str(stranger)], "no signal came"
        assert not fleet.events("drain.quieting", "stranger")


def is_booted(fleet: Fleet, sidekiq: psutil.Process) -> bool:
    """It has a record; until then nothing may have been done to it."""
    told = fleet.events("drain.quieting")
    assert sidekiq.status() != psutil.STATUS_STOPPED
    booted = sidekiq.pid in fleet.beats()
    assert booted or not told
    return booted


def test_a_pool_of_one_is_drained_only_when_it_may_be_empty_or_is_quiet_already(
    redis_server: RealRedis,
) -> None:
    pools = {
        "needed": {"programs": "needed", "min_available": 1},
        "spare": {"programs": "spare", "min_available": 0},
    }
    with running_fleet(redis_server, bloated("needed"), bloated("spare"), pools=pools) as fleet:
        before = fleet.wait_until_in_service()
        fleet.listen()
        fleet.wait_until_replaced({"spare": before["spare"]})
        assert "min_available is 1" in fleet.wait_for_event("worker.held_for_ever", "needed")
        assert fleet.process("needed").pid == before["needed"]
        assert not fleet.events("drain.quieting", "needed")

        fleet.supervisord.proxy.signal("needed:needed", "TSTP")
        fleet.wait_until_replaced({"needed": before["needed"]})
        assert not fleet.events("drain.quieting", "needed"), "an operator had quieted it"


@pytest.mark.parametrize("by_hand", [False, True], ids=["under_supervisord", "by_hand"])
def test_a_dry_run_shows_the_decision_and_touches_nothing(redis_server: RealRedis, by_hand: bool) -> None:
    with running_fleet(redis_server, bloated("fat"), Sidekiq("slim"), options="--dry-run") as fleet:
        pids = fleet.wait_until_in_service()
        before = still(fleet)
        if by_hand:
            rows = {row["worker"]: row for row in dry_run_by_hand(fleet)}
            assert rows["fat:fat"]["would_drain"] and rows["fat:fat"]["pid"] == pids["fat"]
            assert not rows["slim:slim"]["over"] and rows["slim:slim"]["busy"] == 0
        else:
            fleet.listen()
            fleet.wait_for_event("dry_run.verdict", "would be drained now")
            beats = fleet.beats()
            fleet.wait_for(lambda: all(fleet.beats()[pid].at > beats[pid].at for pid in pids.values()))
            assert not [line for line in fleet.log().splitlines() if " drain." in line]
        assert still(fleet) == before
        assert {name: fleet.process(name).pid for name in pids} == pids
        # A listener that only looks keeps a state, for people who ask. It has no journal.
        own = fleet.journal.parent
        assert {file.suffix for file in own.glob("*")} == (set() if by_hand else {".state"})


def dry_run_by_hand(fleet: Fleet) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "supervisor_memkill", "--config", str(fleet.config), "--dry-run"]
    command += ["--json", "--serverurl", fleet.supervisord.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True)
    rows = json.loads(done.stdout)["workers"]
    assert isinstance(rows, list)
    return rows


def still(fleet: Fleet) -> dict[str, object]:
    """Everything in Redis that stays as it is while no job runs and nobody interferes."""
    read: dict[str, Callable[[str], Any]] = {
        "hash": fleet.client.hgetall,
        "list": lambda key: fleet.client.lrange(key, 0, -1),
        "set": fleet.client.smembers,
        "string": fleet.client.get,
    }
    found = {}
    for key in map(str, fleet.client.scan_iter()):
        value = read[str(fleet.client.type(key))](key)
        if isinstance(value, dict):
            value = {name: value[name] for name in value if name not in ("beat", "rtt_us", "rss")}
        if not key.startswith("stat:"):  # these have a date in their names
            found[key] = value
    return found
