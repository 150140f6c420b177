"""What goes wrong round real Sidekiqs: wrappers, timeouts, limits, a Redis that is away, a deaf worker."""

from __future__ import annotations

import os
import signal

import psutil
import pytest

from tests.real.redis_gate import RedisGate
from tests.real.sidekiq_fleet import Sidekiq, bloated, running_fleet
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real


def test_behind_a_shell_without_exec_sidekiq_is_drained_and_leaves_no_orphan(redis_server: RealRedis) -> None:
    with running_fleet(redis_server, bloated("wrapped", wrapped=True), Sidekiq("peer")) as fleet:
        fleet.wait_until_in_service("peer")
        wrapper = psutil.Process(fleet.process("wrapped").pid)
        (orphan,) = fleet.wait_for(wrapper.children)
        fleet.wait_for(lambda: orphan.pid in fleet.beats())
        for _ in fleet.names:
            fleet.push(8)
        fleet.wait_for(lambda: len(fleet.jobs.running()) == len(fleet.names))
        fleet.listen()

        fleet.wait_for_event("drain.done", "wrapped")
        fleet.wait_until_finished()
        fleet.assert_each_job_once()
        assert orphan not in fleet.supervisord.offspring()
        assert fleet.process("wrapped").pid not in (0, wrapper.pid)
        assert "wrapped:wrapped" in fleet.wait_for_event("worker.hint", "without exec")
        fleet.wait_for(lambda: fleet.drains() == {})


def test_a_drain_is_held_while_redis_is_away(redis_server: RealRedis) -> None:
    """Away before the drain, nothing begins; away in the middle of it, nothing is concluded."""
    with (
        RedisGate(redis_server) as gate,
        running_fleet(redis_server, bloated("fat"), Sidekiq("peer"), pool={"redis": gate.url}) as fleet,
    ):
        before = fleet.wait_until_in_service()
        gate.refuse()
        fleet.listen()
        fleet.wait_for_event("worker.held", "fat")
        refusals = gate.refusals
        fleet.wait_for(lambda: gate.refusals > refusals + 2)
        assert len(fleet.events("worker.held")) == 1, "said once"
        assert fleet.drains() == {} and fleet.process("fat").pid == before["fat"]

        job = fleet.give_each_until_ended()["fat"]
        gate.open()
        fleet.wait_for_event("drain.draining", "fat")
        gate.hold()
        fleet.end_jobs()
        fleet.wait_until_finished(job)
        idle = fleet.wait_for_beat("fat", lambda beat: beat.busy == 0)
        fleet.wait_for_beat("fat", lambda beat: beat.at > idle.at)
        # Right after the quiet, the record and the title may differ, which is a why of its own.
        fleet.wait_for_event("drain.busy", 'why="Redis')
        assert not fleet.events("drain.stopping") and fleet.process("fat").pid == before["fat"]

        gate.open()
        fleet.wait_until_replaced({"fat": before["fat"]})
        fleet.assert_each_job_once()


def test_a_sidekiq_that_hears_no_term_comes_back_after_supervisords_kill(redis_server: RealRedis) -> None:
    with running_fleet(
        redis_server, bloated("deaf", stopwaitsecs=3), Sidekiq("peer"), pool={"drain_timeout": "8s"}
    ) as fleet:
        before = fleet.wait_until_in_service()
        fleet.listen()
        fleet.wait_for_event("drain.draining", "deaf")
        os.kill(before["deaf"], signal.SIGSTOP)
        fleet.wait_until_replaced({"deaf": before["deaf"]})
        assert "killing 'deaf'" in fleet.supervisord.log()
        assert fleet.wait_for_event("drain.killed", "deaf")
        assert not fleet.events("drain.done")


@pytest.mark.parametrize("on_timeout", ["stop", "wait"])
def test_when_a_job_outlasts_the_drain_it_is_requeued_or_waited_for(
    redis_server: RealRedis, on_timeout: str
) -> None:
    pool = {"drain_timeout": "3s", "on_timeout": on_timeout}
    with running_fleet(redis_server, bloated("fat"), Sidekiq("peer"), pool=pool) as fleet:
        before = fleet.wait_until_in_service()
        given = fleet.give_each(20) if on_timeout == "wait" else fleet.give_each_until_ended()
        fleet.listen()
        fleet.wait_until_replaced({"fat": before["fat"]})
        fleet.end_jobs()
        fleet.wait_until_finished()
        cause = fleet.wait_for_event("drain.stopping")
        if on_timeout == "wait":
            assert "cause=idle" in cause
            fleet.assert_each_job_once()
        else:
            assert "cause=drain_timeout" in cause
            assert fleet.jobs.started() == {given["fat"]: 2, given["peer"]: 1}, "Sidekiq requeued it"
            assert fleet.jobs.finished() == dict.fromkeys(given.values(), 1)


PAST_A_BEAT = {"drain_timeout": "12s"}
"""Sidekiq says every 5 s what it does; nobody knows it for sure in the beat in which its quiet came."""


def test_job_that_supervisords_default_would_kill_is_waited_for(redis_server: RealRedis) -> None:
    """stopwaitsecs = 10 and Sidekiq's own 25 s: a stop at drain_timeout would lose the running job."""
    fat, pool = bloated("fat", stopwaitsecs=10, timeout_seconds=25), PAST_A_BEAT
    with running_fleet(redis_server, fat, Sidekiq("peer"), pool=pool) as fleet:
        before = fleet.wait_until_in_service()
        fleet.give_each_until_ended()
        fleet.wait_for_beat("fat", lambda beat: beat.busy == 1)
        fleet.listen()
        held = fleet.wait_for_event("drain.held_at_timeout", "fat")
        assert "stopwaitsecs = 30" in held and "-t 5" in held and "jobs=GrowJob" in held
        assert not fleet.events("drain.stopping")
        fleet.end_jobs()
        fleet.wait_until_replaced({"fat": before["fat"]})
        assert "cause=idle" in fleet.wait_for_event("drain.stopping")
        fleet.wait_until_finished()
        fleet.assert_each_job_once()
        assert fleet.events("drain.done") and not fleet.events("drain.killed")


def test_job_that_sigkill_cut_is_reported_by_its_class(redis_server: RealRedis) -> None:
    """Nothing shows that these 25 s are longer than stopwaitsecs: an initializer might have set them."""
    hidden = bloated("fat", stopwaitsecs=3, timeout_seconds=25, shown_timeout_seconds=1)
    pool = PAST_A_BEAT
    with running_fleet(redis_server, hidden, Sidekiq("peer"), pool=pool) as fleet:
        before = fleet.wait_until_in_service()
        given = fleet.give_each(60)
        fleet.wait_for_beat("fat", lambda beat: beat.busy == 1)
        fleet.listen()
        fleet.wait_until_replaced({"fat": before["fat"]})
        killed = fleet.wait_for_event("drain.killed", "fat")
        assert "busy=1" in killed and "jobs=SleepJob" in killed and "stopwaitsecs=3" in killed
        assert "killed" in fleet.wait_for_event("drain.starting", "fat")
        assert not fleet.events("drain.done")
        assert given["fat"] not in fleet.jobs.finished(), "it is lost"


def test_above_its_hard_limit_a_sidekiq_is_not_waited_for(redis_server: RealRedis) -> None:
    """The job in hand grows past the hard limit after the quiet, and is requeued."""
    sidekiqs = [bloated("fat"), Sidekiq("peer", autostart=False)]
    with running_fleet(redis_server, *sidekiqs, pool={"hard_max_rss": "200MB"}) as fleet:
        before = fleet.wait_until_in_service("fat")
        job = fleet.push(160, "GrowJob")
        fleet.wait_for(lambda: fleet.runs("fat", job))
        fleet.supervisord.proxy.start("peer:peer")
        fleet.listen()
        fleet.wait_for_event("drain.draining", "fat")
        fleet.client.set("app:grow", 1)
        assert "cause=over_hard_limit" in fleet.wait_for_event("drain.stopping", "fat")
        fleet.wait_for(lambda: fleet.jobs.started() == {job: 2})
        fleet.client.set("app:end", 1)
        fleet.wait_until_replaced(before)
        fleet.wait_until_finished()
        assert (fleet.jobs.started(), fleet.jobs.finished()) == ({job: 2}, {job: 1})
