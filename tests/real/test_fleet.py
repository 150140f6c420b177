"""Several supervisords agree through one Redis: as careful together as one of them alone."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from supervisor_memkill.world.supervisord import Supervisord
from tests.harness import PATIENCE_SECONDS
from tests.real.fleet import FAT, FATTER, KEY, SLIM, Fleet, running_fleet
from tests.real.host import Host
from tests.real.sidekiq_fleet import Fleet as SidekiqFleet
from tests.real.sidekiq_fleet import bloated, feeding, sampling
from tests.real.sidekiq_fleet import running_fleet as running_sidekiqs
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real

SECRET = "hunter2-is-secret"
PATIENT: Mapping[str, str] = {"heartbeat": "120s", "slot_ttl": "600s"}
"""What a listener told counts long after it has ended."""


def most_drains_at_once(fleet: Fleet) -> int:
    """By the stream, in which every drain leaves its first step and its last."""
    most, under_way = 0, set[str]()
    for entry in fleet.stream():
        (under_way.discard if entry["event"] == "drain.done" else under_way.add)(entry["worker"])
        most = max(most, len(under_way))
    return most


@pytest.mark.parametrize(("hosts", "max_draining"), [("ab", 1), ("abc", 1), ("abc", 2)])
def test_all_workers_of_a_fleet_are_replaced_under_a_steady_feed(
    redis_server: RealRedis, hosts: str, max_draining: int
) -> None:
    """From the pool's very first moment on, never more of them are out than `max_draining`."""
    pool = {"max_draining": max_draining}
    with running_fleet(redis_server, {name: [FAT, FAT] for name in hosts}, pool=pool, settles=True) as fleet:
        fleet.start()
        before = fleet.pids()
        with fleet.feeding(0.3, every_seconds=0.15), fleet.observing() as samples:
            fleet.wait_until_replaced(before)
        fleet.assert_each_job_once()
        assert 1 <= max(len(sample) for sample in samples) <= max_draining
        assert fleet.most_out() <= max_draining
        assert most_drains_at_once(fleet) == max_draining
        assert len(fleet.leaky.facts("up")) == 2 * len(before), "each was replaced once"


def test_nobody_is_drained_while_fewer_are_up_than_must_be(redis_server: RealRedis) -> None:
    hosts = {"a": [FAT, SLIM], "b": [SLIM], "c": [SLIM]}
    with running_fleet(redis_server, hosts, "a", "b", pool={"min_available": 3}) as fleet:
        fleet.wait_for_event("a", "worker.held_for_ever", "min_available is 3")
        fleet.wait_for_heartbeats("a")
        assert not fleet.told()
        assert len(fleet["a"].events("worker.held_for_ever", "min_available is 3")) == 1, "said once"
        fat = fleet["a"].process("a_0:a_0").pid
        fleet.start("c")
        fleet.wait_until_replaced({"a_0:a_0": fat})
        assert fleet.told() == {fat}


def test_strictest_of_the_listeners_settings_is_in_force(redis_server: RealRedis) -> None:
    hosts = {"a": [FAT, SLIM], "b": [SLIM]}
    with running_fleet(redis_server, hosts, pools={"b": {"min_available": 5}}) as fleet:
        fleet.start("b")
        fleet.wait_for_heartbeats("b", 1)
        fleet.start("a")
        fleet.wait_for_event("a", "worker.held_for_ever", "2 others are in service and min_available is 5")
        assert not fleet.told()
        fat = fleet["a"].process("a_0:a_0").pid
        fleet["b"].stop_listener()
        fleet.wait_until_replaced({"a_0:a_0": fat})


def test_sidekiqs_of_two_hosts_never_leave_their_queue_alone(redis_server: RealRedis) -> None:
    """Each host has one worker: the peer that must stay in service is the other host's."""
    with (
        running_sidekiqs(redis_server, bloated("east")) as east,
        running_sidekiqs(redis_server, bloated("west")) as west,
    ):
        before = [(fleet, fleet.wait_until_in_service()) for fleet in (east, west)]
        proxies = {fleet: Supervisord(fleet.supervisord.url, timeout_seconds=10) for fleet in (east, west)}

        def look() -> set[str]:
            return set().union(*(fleet.out_of_service(proxy) for fleet, proxy in proxies.items()))

        with feeding(east, 0.8, every_seconds=0.4), sampling(look) as samples:
            for fleet in (east, west):
                share(fleet, redis_server.url)
                fleet.listen()
            for fleet, old in before:
                fleet.wait_until_replaced(old)
        east.wait_until_finished()
        east.assert_each_job_once()
        assert {len(sample) for sample in samples} == {0, 1}
        assert set().union(*samples) == {"east", "west"}


def share(fleet: SidekiqFleet, url: str) -> None:
    """Let this fleet's listener coordinate through this Redis, under the name of its first worker."""
    main = f"[memkill]\nredis = {url}\nhost = {fleet.names[0]}\nslot_ttl = 5s\n"
    fleet.config.write_text(fleet.config.read_text().replace("[memkill]\n", main))


def test_stream_tells_each_step_of_a_drain_once_and_in_order(redis_server: RealRedis) -> None:
    with running_fleet(redis_server, {"a": [FAT], "b": [SLIM]}, "a", "b") as fleet:
        fat = fleet["a"].process("a_0:a_0").pid
        fleet.wait_until_replaced({"a_0:a_0": fat})
        fresh = fleet["a"].process("a_0:a_0").pid
        entries = fleet.stream()
        steps = ["quieting", "draining", "stopping", "starting", "settling", "done"]
        assert [entry["event"] for entry in entries] == [f"drain.{step}" for step in steps]
        assert [int(entry["pid"]) for entry in entries] == [fat] * 4 + [fresh] * 2
        for entry in entries:
            assert entry["worker"] == "a_0:a_0"
            assert entry["host"] == "a/supervisor"
            assert entry["reason"] == "max_rss"


def dump(fleet: Fleet) -> dict[bytes, object]:
    """Everything in Redis."""
    with contextlib.closing(redis.Redis.from_url(fleet.redis.url)) as raw:
        return {key: raw.dump(key) for key in raw.scan_iter()}


def dry_run(host: Host, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "supervisor_memkill", "--config", str(host.config), "--dry-run"]
    command += ["--serverurl", host.supervisord.url, *options]
    env = {**os.environ, **environment}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, env=env, check=False
    )


def rows(host: Host) -> dict[str, dict[str, Any]]:
    done = dry_run(host, "--json")
    assert done.returncode == 0, done.stderr
    return {row["worker"]: row for row in json.loads(done.stdout)["workers"]}


def is_told_in_service(fleet: Fleet, worker: str) -> bool:
    told = fleet.client.hget(KEY, f"w:{worker}")
    return bool(told and json.loads(told)["in_service"])


def test_dry_run_shows_the_peers_of_other_hosts_and_writes_nothing(redis_server: RealRedis) -> None:
    hosts = {"a": [FAT], "b": [FATTER, SLIM]}
    with running_fleet(redis_server, hosts, main=PATIENT, pool={"min_available": 2}) as fleet:
        fleet.start("b")
        fleet.wait_for_event("b", "worker.held_for_ever", "min_available is 2")
        fleet["b"].stop_listener()
        fleet.start("a")
        fleet.wait_for(lambda: is_told_in_service(fleet, "a/supervisor/a_0:a_0"))
        fleet["a"].stop_listener()
        before = dump(fleet)

        row = rows(fleet["a"])["a_0:a_0"]
        assert row["peers_in_service"] == 2
        assert "a more urgent worker drains first (b/supervisor/b_0:b_0)" in row["verdict"]
        assert rows(fleet["b"])["b_0:b_0"]["would_drain"]
        assert dump(fleet) == before

        fleet["b"].write_memkill(
            {"redis": redis_server.url, **PATIENT, "dry_run": "yes"}, {"min_available": 2}
        )
        fleet["b"].start_listener()
        fleet.wait_for_event("b", "dry_run.verdict", "would be drained now")
        assert dump(fleet) == before
        assert not fleet.told()


# --- names ------------------------------------------------------------------------------------------


def test_second_listener_of_one_name_drains_nothing_and_says_so(redis_server: RealRedis) -> None:
    hosts = {"a": [FAT, SLIM], "b": [FATTER, SLIM]}
    mains = {"b": {"host": "a"}}
    with running_fleet(redis_server, hosts, "a", mains=mains) as fleet:
        fleet.wait_for(lambda: fleet.client.hget(KEY, "l:a/supervisor"))
        fleet.start("b")
        newcomer = fleet["b"].process("b_0:b_0").pid
        fleet.wait_for_event("b", "listener.name_is_taken", "set host")
        fleet.wait_for_event("b", "worker.held", "another listener has the same name")
        fleet.wait_for_event("a", "drain.done", "a_0:a_0")
        fleet.wait_for_heartbeats("a")
        assert newcomer not in fleet.told()
        assert len(fleet["b"].events("listener.name_is_taken")) == 1, "said once"

        fleet["a"].supervisord.stop()
        fleet.wait_until_replaced({"b_0:b_0": newcomer})


LONG_SLOT = 30.0
"""Longer than a busy machine takes to start a listener again: a slot that ran out meanwhile is another's."""


def test_restarted_listener_goes_on_at_once_under_its_name(redis_server: RealRedis) -> None:
    main = {"slot_ttl": "300s"}
    with running_fleet(redis_server, {"a": [FAT], "b": [SLIM], "c": [FAT]}, main=main) as fleet:
        before = fleet.hold_a_drain()
        fleet["a"].kill_listener()
        fleet.wait_for_event("a", "drain.taken_up")
        fleet.release()
        fleet.wait_until_replaced(before)
        fleet.assert_each_job_once()
        assert not fleet["a"].events("listener.name_is_taken")
        assert fleet.most_out() == 1


def test_restarted_listener_keeps_its_slot_before_its_first_tick(redis_server: RealRedis) -> None:
    """A TICK may be an hour away: the others must hear of its drain sooner than that."""
    main = {"slot_ttl": f"{LONG_SLOT:g}s"}
    with running_fleet(redis_server, {"a": [FAT], "b": [SLIM], "c": [FAT]}, main=main) as fleet:
        before = fleet.hold_a_drain()
        fleet["a"].supervisord.write_config(fleet["a"].sections(events="TICK_3600"))
        fleet["a"].supervisord.ctl("update", "memkill")
        fleet.wait_for_event("a", "drain.taken_up")
        restarted_ms = fleet.redis_ms()
        fleet.wait_for(lambda: fleet.redis_ms() > restarted_ms + 1500 * LONG_SLOT)
        assert fleet.told() == {before["a_0:a_0"]}
        fleet.release()
        fleet.wait_until_replaced(before)
        fleet.assert_each_job_once()
        assert fleet.most_out() == 1


# --- secrets ----------------------------------------------------------------------------------------


def locked_redis(directory: Path) -> RealRedis:
    server = RealRedis(directory, "--requirepass", SECRET)
    server.url = f"redis://:{SECRET}@127.0.0.1:{server.port}/0"
    return server


@pytest.mark.parametrize("where", ["file", "environment"])
def test_password_of_redis_is_never_shown(tmp_path: Path, where: str) -> None:
    server = locked_redis(tmp_path)
    server.start()
    try:
        in_file = {"redis": server.url if where == "file" else None}
        environment = {"MEMKILL_REDIS": server.url} if where == "environment" else {}
        with running_fleet(server, {"a": [FAT]}, "a", main=in_file, environment=environment) as fleet:
            host = fleet["a"]
            shown = [" ".join(psutil.Process(host.listener_pid()).cmdline())]
            fleet.wait_for_event("a", "worker.held_for_ever", "min_available")
            shown += run_both_ways(host, environment)
            assert '"peers_in_service": 0' in shown[-1]

            fleet.client.config_set("requirepass", "another")
            fleet.client.client_kill_filter(_type="normal")
            fleet.wait_for_event("a", "coordination.away", "invalid username-password")
            shown += run_both_ways(host, environment)
            assert "invalid username-password" in shown[-1]

            server.kill()
            fleet.wait_for_event("a", "coordination.away", "refused")
            shown += run_both_ways(host, environment)
            assert "refused" in shown[-1]
            assert SECRET not in "\n".join([*shown, host.log()])
    finally:
        server.stop()


def run_both_ways(host: Host, environment: Mapping[str, str]) -> list[str]:
    """All that a dry run by hand prints, as a table and as JSON."""
    runs = [dry_run(host, *options, **environment) for options in ((), ("--json",))]
    return [run.stdout + run.stderr for run in runs]
