"""The hard limit of a process that a drain itself started."""

from __future__ import annotations

import dataclasses

from supervisor_memkill.rules.drain import State
from supervisor_memkill.units import Size
from tests.simulation.scenarios.scene import SIDEKIQ, scene
from tests.simulation.shape import HARD_LIMIT, HUGE

SLOW = dataclasses.replace(SIDEKIQ, boots=30.0)
HARD = Size(exact_bytes=HARD_LIMIT)


def test_new_process_that_leaks_before_it_is_in_service_is_stopped_at_the_hard_limit() -> None:
    """The slot is kept meanwhile: no other worker of the pool is drained."""
    with scene(SLOW, hard_max_rss=HARD) as s:
        (north,) = s.others
        s.settles()
        s.passes(30.0)
        s.bloat(s.east)
        s.until(lambda: s.state(s.east) is State.SETTLING)
        s.bloat(north)
        s.passes(5.0)
        s.process(s.east).memory = HUGE
        s.until(lambda: len(s.acts(s.east, "stop")) == 2, within=5.0)
        s.until(lambda: s.state(s.east) is State.SETTLING)
        assert s.acts(north, "quiet") == []
        s.until(lambda: s.is_back(s.east) and s.is_back(north), within=240)


def test_lost_quiet_is_not_sent_again_while_another_worker_is_out_for_its_hard_limit() -> None:
    """The slot of the lost quiet is older. S1 itself is judged in every scenario."""
    with scene(SLOW, machines=1, workers=3, hard_max_rss=HARD) as s:
        s.settles()
        s.passes(30.0)
        s.world.weather.when_at(s.east, "quiet before", lambda: s.east.loses_next("lost"))
        s.bloat(s.east)
        s.until(lambda: s.state(s.east) is State.QUIETING)
        s.process(s.east, 1).memory = HUGE
        s.until(lambda: s.acts(s.east, "stop", 1), within=15.0)
        s.until(lambda: s.state(s.east) is None, within=60.0)
        (let_go,) = s.world.trace.having("drain.let_go worker=pool0:0")
        assert "cause=quiet_lost" in let_go
        s.until(lambda: s.is_back(s.east, 1) and s.is_back(s.east), within=400)


def test_listener_that_dies_at_the_stop_of_a_new_process_leaves_no_worker_stopped() -> None:
    for place in ("stopping.saved", "stopping.acted"):
        with scene(SLOW, hard_max_rss=HARD) as s:
            s.settles()
            s.passes(30.0)
            s.bloat(s.east)
            s.until(lambda: s.state(s.east) is State.SETTLING)
            s.passes(5.0)
            s.process(s.east).memory = HUGE
            s.world.weather.dies_at(s.east, place, away=40.0)
            s.until(lambda: s.state(s.east) is State.STOPPING)
            s.until(lambda: s.is_back(s.east), within=240)
