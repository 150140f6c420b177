"""What is not promised (docs/promises.rst says so), and what happens instead."""

from __future__ import annotations

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.decision import OnTimeout
from supervisor_memkill.rules.drain import State
from tests.simulation.scenarios.scene import CUSTOM, SIDEKIQ, TTL, scene


def test_quiet_that_got_lost_and_that_nothing_can_confirm_is_waited_for_by_wait() -> None:
    """Repeating it may do harm; it ends when the job does, or when a person ends either."""
    with scene(CUSTOM, on_timeout=OnTimeout.WAIT, drain_timeout_seconds=12.0) as s:
        s.settles()
        s.bloat(s.east, endless=True)
        s.world.weather.when_at(s.east, "quiet before", lambda: s.east.loses_next("lost"))
        s.until(lambda: s.state(s.east) is State.DRAINING)
        s.passes(5 * TTL)
        assert s.state(s.east) is State.DRAINING
        s.world.operator(s.east, s.worker(s.east), "stop")
        s.until(lambda: not s.world.redis.slots())
        assert s.worker(s.east).state is ProcessState.STOPPED


def test_fresh_worker_that_a_person_quiets_keeps_the_slot_until_he_restarts_it() -> None:
    """It has not come back, and nobody knows why: the pool is not to lose another one."""
    with scene(SIDEKIQ, settle_seconds=12.0) as s:
        (north,) = s.others
        s.settles()
        s.world.operator(s.east, s.worker(s.east), "TSTP")
        s.passes(6.0)  # Its record says so.
        s.bloat(s.east)
        s.until(lambda: s.state(s.east) is State.SETTLING and s.process(s.east).is_booted(s.world.engine.now))
        s.world.operator(s.east, s.worker(s.east), "TSTP")
        s.bloat(north)
        s.passes(5 * TTL)
        assert s.state(s.east) is State.SETTLING and s.acts(north, "quiet") == []
        s.world.operator(s.east, s.worker(s.east), "stop")
        s.until(lambda: s.worker(s.east).state is ProcessState.STOPPED)
        s.world.operator(s.east, s.worker(s.east), "start")
        s.until(lambda: s.is_back(s.east) and s.is_back(north), within=20 * TTL)
