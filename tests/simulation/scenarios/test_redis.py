"""Redis is away, or loses its data."""

from __future__ import annotations

import pytest

from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.rules.drain import State
from tests.simulation.process import Habits
from tests.simulation.scenarios.scene import CELERY, HEARTBEAT, SIDEKIQ, TTL, scene


def test_flush_between_grant_and_quiet_lets_no_second_drain_begin() -> None:
    """The granted drain continues; the other worker waits until every listener had time to report again."""
    with scene(SIDEKIQ) as s:
        (north,) = s.others
        s.settles()
        s.world.weather.when_at(s.east, "quiet before", s.world.redis.flush)
        s.bloat(s.east, by=50, endless=True)
        s.bloat(north)
        s.until(lambda: s.acts(s.east, "quiet"))
        s.passes(3 * TTL)
        assert s.acts(north, "quiet") == []
        s.finish_jobs()
        s.until(lambda: s.is_back(s.east) and s.is_back(north))


def test_new_listener_gets_no_slot_while_a_live_listener_has_not_reported_the_slot_that_redis_lost() -> None:
    """North has a new journal and finds no data. East drains, and reaches Redis again only after a while."""
    with scene(SIDEKIQ) as s:
        (north,) = s.others
        s.settles()
        s.bloat(s.east, by=50, endless=True)
        s.until(lambda: s.state(s.east) is State.DRAINING)
        s.world.weather.rests(north, 0.5)
        s.world.weather.kill(north)
        north.disk = Contents()
        s.world.weather.cut(s.east, 1.5 * HEARTBEAT)
        s.world.redis.flush()
        s.bloat(north)
        s.until(lambda: s.times("cause=new_pool"))
        s.until(lambda: s.times("cause=data_lost"))
        s.until(lambda: s.times("cause=slots_taken"))
        assert s.acts(north, "quiet") == []
        s.finish_jobs()
        s.until(lambda: s.is_back(s.east) and s.is_back(north))


def test_first_drain_of_a_new_pool_waits_for_three_heartbeats_and_no_longer() -> None:
    with scene(SIDEKIQ) as s:
        s.until(lambda: s.east.lives == 1)
        s.until(lambda: s.worker(s.east).process is not None)
        s.bloat(s.east)
        s.until(lambda: s.acts(s.east, "quiet"))
        assert 3 * HEARTBEAT <= s.acts(s.east, "quiet")[0] < TTL


def test_flush_during_two_requests_grants_nothing_for_slot_ttl() -> None:
    with scene(SIDEKIQ) as s:
        (north,) = s.others
        s.settles()
        s.bloat(s.east)
        s.bloat(north)
        s.world.redis.flush()
        flushed_at = s.world.engine.now
        s.until(lambda: s.is_back(s.east) and s.is_back(north))
        assert min(*s.acts(s.east, "quiet"), *s.acts(north, "quiet")) >= flushed_at + TTL


@pytest.mark.parametrize("habits", [CELERY, SIDEKIQ])
def test_redis_outage_during_a_request_does_not_shorten_the_drain(habits: Habits) -> None:
    """The outage is longer than drain_timeout; the jobs that run at the quiet are not interrupted."""
    with scene(habits, drain_timeout_seconds=60.0) as s:
        s.settles()
        s.world.weather.when_at(s.east, "asking.saved", lambda: setattr(s.world.redis, "is_away", True))
        s.bloat(s.east)
        s.until(lambda: s.state(s.east) is State.ASKING)
        s.passes(90.0)
        process, now = s.process(s.east), s.world.engine.now
        process.look(now)
        process.jobs.append((now, now + 20.0))
        s.world.redis.is_away = False
        s.until(lambda: s.acts(s.east, "stop"))
        assert s.acts(s.east, "stop")[0] >= now + 20.0


def test_cooldown_of_a_drain_that_ended_while_redis_was_away_is_kept() -> None:
    with scene(CELERY, cooldown_seconds=600.0) as s:
        (north,) = s.others
        s.settles()
        s.bloat(s.east)
        s.until(lambda: s.state(s.east) is State.SETTLING)
        s.bloat(north)
        s.world.redis.is_away = True
        s.until(lambda: s.times("drain.done"))
        (done,) = s.times("drain.done")
        s.passes(2 * TTL)
        s.world.redis.is_away = False
        s.until(lambda: s.acts(north, "quiet"), within=1000)
        assert s.acts(north, "quiet")[0] >= done + 600.0


def test_drain_goes_on_with_the_slot_that_an_older_dump_has_too() -> None:
    """The slot was renewed since the dump. Redis answers all the while, and has this slot."""
    with scene(SIDEKIQ) as s:
        (north,) = s.others
        s.settles()
        s.bloat(s.east, by=50, endless=True)
        s.until(lambda: s.state(s.east) is State.DRAINING)
        redis = s.world.redis
        redis.keep()
        s.bloat(north)
        s.passes(2 * HEARTBEAT)
        redis.fall_back()
        drain = s.east.disk.drains["pool0:0"]
        assert redis.leases.in_force("pool0", redis.clock()) == {("east/pool0:0", drain.token)}
        s.until(lambda: s.times("cause=data_lost"))
        assert s.times("coordination.away") == []
        s.passes(2 * TTL)
        assert s.acts(north, "quiet") == []
        s.finish_jobs()
        s.until(lambda: s.is_back(s.east) and s.is_back(north))
