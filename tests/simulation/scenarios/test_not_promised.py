"""What is not promised (see docs/promises.rst), and what happens instead."""

from __future__ import annotations

import dataclasses

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.step import OnTimeout
from tests.simulation.scenarios.scene import CUSTOM, SIDEKIQ, TTL, scene


def test_lost_quiet_that_cannot_be_confirmed_is_waited_for_with_on_timeout_wait() -> None:
    """A second quiet may do harm; the drain ends with the job, or when the operator ends the worker."""
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


def test_worker_whose_quiet_nothing_confirms_counts_as_quiet_only_after_drain_timeout() -> None:
    """It may be the last worker in service, and it must not stay quiet for good."""
    habits = dataclasses.replace(CUSTOM, gap=(3.0, 5.0), lanes=1)
    with scene(habits, machines=1, restarts="false", drain_timeout_seconds=40.0) as s:
        s.settles()
        s.world.weather.when_at(s.east, "quiet before", lambda: s.east.loses_next("lost"))
        s.bloat(s.east)
        s.until(lambda: s.state(s.east) is State.QUIETING)
        s.world.operator(s.east, s.worker(s.east, 1), "stop")
        begin = s.world.engine.now
        s.until(lambda: s.is_back(s.east))
        (stop,) = s.acts(s.east, "stop")
        assert 38.0 < stop - begin < 60.0


def test_fresh_worker_that_the_operator_quiets_keeps_its_slot_until_its_restart() -> None:
    """It has not come back, and nobody knows why: the pool must not lose another worker."""
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
