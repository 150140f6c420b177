"""A host, a listener or Redis dies or stops for a while: the rest goes on, and never takes too much."""

from __future__ import annotations

import time

import pytest

from tests.places import PLACES
from tests.real.fleet import FAT, SLIM, Fleet, running_fleet
from tests.real.host import SLOT_TTL_SECONDS
from tests.real.redis_gate import RedisGate
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real

HOSTS = {"a": [FAT], "b": [SLIM], "c": [FAT]}
GOES_ON_SECONDS = SLOT_TTL_SECONDS + 30
"""How long a dead host's slot lasts, and what a busy machine needs to notice."""

HOLDING_PLACES = [place for place in PLACES if place != "asking.saved"]
"""Where a drain has its slot."""


# --- a host -----------------------------------------------------------------------------------------


def test_dead_host_frees_its_slot(redis_server: RealRedis) -> None:
    with running_fleet(redis_server, HOSTS) as fleet:
        fat = fleet.hold_a_drain()["c_0:c_0"]
        fleet["a"].die()
        fleet.wait_for(lambda: fat in fleet.told(), GOES_ON_SECONDS)
        fleet.wait_until_replaced({"c_0:c_0": fat})


def test_dead_hosts_workers_do_not_count_as_in_service(redis_server: RealRedis) -> None:
    """When it is up again, what it had begun is ended, and then the others go on."""
    hosts = {"a": [FAT, SLIM], "b": [SLIM], "c": [FAT]}
    with running_fleet(redis_server, hosts, pool={"min_available": 2}) as fleet:
        before = fleet.hold_a_drain()
        fleet["a"].die()
        fleet.wait_for_event("c", "worker.held", "1 others are in service and min_available is 2")
        fleet.wait_for(lambda: not fleet.holders(), GOES_ON_SECONDS)
        fleet.wait_for_heartbeats("c")
        assert before["c_0:c_0"] not in fleet.told()
        fleet.start("a")
        fleet.wait_until_replaced(before)
        assert fleet["a"].events("drain.taken_up", "a_0:a_0")


# --- a listener -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "place"), [("custom", "quieting.saved"), ("plain", "stopping.saved")])
@pytest.mark.parametrize("wakes", ["as it was", "killed"])
def test_listener_paused_before_its_act_finds_its_slot_gone(
    redis_server: RealRedis, kind: str, place: str, wakes: str
) -> None:
    """It had all it needed but the act itself; meanwhile its slot went to another host."""
    with running_fleet(redis_server, HOSTS, kind=kind, pause_at={"a": place}) as fleet:
        fleet.start("c")
        fleet.keep_busy()
        fleet["c"].stop_listener()
        fleet.start("a", "b")
        before = fleet.pids("a", "c")
        fleet.wait_for_pause("a")
        fleet["c"].start_listener()
        fleet.wait_for(fleet.told)
        if wakes == "killed":
            fleet["a"].kill_listener()
        else:
            fleet["a"].resume_listener()
            fleet.wait_for(lambda: "is too old" in fleet["a"].log())
        fleet.wait_for_heartbeats("a", 6)
        assert fleet.told() == {before["c_0:c_0"]}
        fleet.release()
        fleet.wait_until_replaced(before)
        fleet.wait_until_finished()
        fleet.assert_each_job_once()
        assert fleet.most_out() == 1
        if wakes == "as it was":
            assert_stream_tells_only_what_was_done(fleet, "a_0:a_0")


def assert_stream_tells_only_what_was_done(fleet: Fleet, worker: str) -> None:
    """Each drain that the stream tells of was ended, and what was never done is not in it."""
    told = [entry["event"] for entry in fleet.stream() if entry["worker"] == worker]
    assert told[-1] == "drain.done"
    assert len(told) == len(set(told)) and "drain.let_go" not in told


# --- Redis ------------------------------------------------------------------------------------------


def assert_told_once(fleet: Fleet) -> None:
    """Each listener said that Redis went, that it came back, and after how long.

    A request that is cut off has words of its own, and the next ones may have others.
    """
    for host in fleet.hosts.values():
        words = [line.partition("error=")[2] for line in host.events("coordination.away")]
        assert 1 <= len(words) == len(set(words)) <= 2, host.log()
        assert len(host.events("coordination.back", "after=")) == 1, host.log()


def assert_events_were_answered(fleet: Fleet) -> None:
    """supervisord never had to keep events back, and never had to start a listener again."""
    for host in fleet.hosts.values():
        assert "overflow" not in host.supervisord.log() + host.supervisord.output()
        assert len(host.events("listener.started")) == 1


@pytest.mark.parametrize("place", HOLDING_PLACES)
def test_drain_under_way_ends_without_redis_and_no_other_begins(redis_server: RealRedis, place: str) -> None:
    """Redis comes back empty: at first nothing is granted, then the drains go on."""
    with running_fleet(redis_server, HOSTS, "a", "b", pause_at={"a": place}) as fleet:
        fat = fleet["a"].pids()
        fleet.wait_for_pause("a")
        redis_server.kill()
        fleet["a"].resume_listener()
        fleet.start("c")
        waiting = fleet["c"].pids()
        fleet.wait_for_event("a", "drain.done", "a_0:a_0")
        fleet.wait_for_event("c", "coordination.away")
        assert fleet.told() == set(fat.values())

        back_ms = time.time() * 1000  # Redis's clock; a listener may reach it before this test does
        redis_server.start()
        fleet.wait_until_replaced({**fat, **waiting})
        assert_told_once(fleet)
        assert_events_were_answered(fleet)
        began_ms = [int(entry["ms"]) for entry in fleet.stream() if entry["event"] == "drain.quieting"]
        assert len(began_ms) == 1 and began_ms[0] >= back_ms + 1000 * SLOT_TTL_SECONDS
        assert fleet.most_out() == 1


def test_nothing_begins_while_redis_is_out_of_reach(redis_server: RealRedis) -> None:
    """It goes at the last moment: when the listener is about to ask for its slot."""
    with (
        RedisGate(redis_server) as gate,
        running_fleet(
            redis_server,
            {"a": [FAT], "b": [SLIM]},
            "a",
            "b",
            main={"redis": gate.url},
            pause_at={"a": "asking.saved"},
        ) as fleet,
    ):
        fat = fleet["a"].pids()
        fleet.wait_for_pause("a")
        gate.refuse()
        fleet["a"].resume_listener()
        fleet.wait_for_event("a", "coordination.away")
        fleet.wait_for(lambda: gate.refusals >= 20)
        assert not fleet.told()
        gate.open()
        fleet.wait_until_replaced(fat)
        assert_told_once(fleet)
        assert_events_were_answered(fleet)


def test_redis_that_hangs_for_longer_than_a_slot_lasts_is_no_leave_to_drain(redis_server: RealRedis) -> None:
    """A worker that outgrows its limit after that is found at a TICK, as ever."""
    with running_fleet(redis_server, HOSTS) as fleet:
        before = fleet.hold_a_drain()
        redis_server.pause()
        end = time.monotonic() + 1.5 * SLOT_TTL_SECONDS
        for host in fleet.hosts:
            fleet.wait_for_event(host, "coordination.away")
        fleet.wait_for(lambda: time.monotonic() > end)
        fleet.release()
        fleet.wait_for_event("a", "drain.done", "a_0:a_0")
        assert fleet.told() == {before["a_0:a_0"]}
        redis_server.resume()
        fleet.wait_until_replaced(before)
        fleet.wait_until_finished()
        fleet.assert_each_job_once()
        assert_told_once(fleet)
        assert fleet.most_out() == 1
        fleet.wait_until_replaced({"a_0:a_0": fleet["a"].bloat("a_0")})
        assert_events_were_answered(fleet)


@pytest.mark.parametrize("loss", ["flushed", "restarted empty"])
def test_slot_lost_with_redis_data_is_taken_anew_before_anyone_elses(
    redis_server: RealRedis, loss: str
) -> None:
    with running_fleet(redis_server, HOSTS) as fleet:
        before = fleet.hold_a_drain()
        if loss == "flushed":
            fleet.client.flushall()
        else:
            redis_server.restart()
        fleet.wait_for_event("c", "worker.held", "all listeners must report again")
        fleet.wait_for_event("c", "worker.held", "max_draining is reached", times=2)
        assert fleet.told() == {before["a_0:a_0"]}
        fleet.release()
        fleet.wait_until_replaced(before)
        fleet.wait_until_finished()
        fleet.assert_each_job_once()
        assert_events_were_answered(fleet)
        assert fleet.most_out() == 1
