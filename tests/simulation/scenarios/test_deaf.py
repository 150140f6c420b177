"""supervisord sends the listener no event any more, and only a new process of the listener helps."""

from __future__ import annotations

import contextlib
import queue

import pytest

from supervisor_memkill.listener.hearing import DEAF_PERIODS, LOOKS_PER_PERIOD
from tests.simulation.inbox import Inbox
from tests.simulation.machine import Machine
from tests.simulation.process import Habits
from tests.simulation.scenarios.scene import SIDEKIQ, STOPS, Scene, scene

ENDED = "ended because it heard nothing"
SLACK_SECONDS = 2.0
"""For the answers of supervisord."""


def period(machine: Machine) -> float:
    return machine.shape.tick


def deafen(s: Scene, lives: int = 1) -> float:
    s.east.ears.deafen(lives)
    return s.world.engine.now


def hear_from_the_start(s: Scene) -> None:
    s.world.weather.deafens = True
    for machine in s.world.machines:
        s.world.weather.kill(machine)


def test_listener_that_hears_nothing_says_so_and_ends() -> None:
    with scene() as s:
        hear_from_the_start(s)
        s.settles()
        since = deafen(s)
        s.until(lambda: s.world.trace.counts[ENDED])
        latest = (DEAF_PERIODS + 2 / LOOKS_PER_PERIOD) * period(s.east) + SLACK_SECONDS
        assert s.world.engine.now - since < latest
        (report,) = s.world.trace.having("listener.deaf")
        assert "ends now" in report and " east " in report
        s.bloat(s.east)
        s.until(lambda: s.is_back(s.east))


@pytest.mark.parametrize(
    ("habits", "step"),
    [(SIDEKIQ, "quieting"), (SIDEKIQ, "draining")]
    + [(habits, step) for habits in (SIDEKIQ, STOPS) for step in ("stopping", "starting", "settling")],
)
def test_drain_ends_though_its_listener_hears_nothing(habits: Habits, step: str) -> None:
    """Whichever step it has come to: no worker stays quiet or stopped."""
    with scene(habits) as s:
        hear_from_the_start(s)
        s.settles()
        s.world.weather.when_at(s.east, f"{step}.saved", lambda: s.east.ears.deafen(2))
        s.bloat(s.east)
        s.until(lambda: s.east.ears.is_deaf)
        s.until(lambda: s.is_back(s.east))
        assert s.east.ears.is_deaf, "it went on in the life that hears nothing"


def test_each_new_process_that_hears_nothing_waits_twice_as_long() -> None:
    with scene() as s:
        hear_from_the_start(s)
        s.settles()
        since = deafen(s, lives=3)
        s.until(lambda: s.world.trace.counts[ENDED] == 3, within=300)
        # 2.5, 5 and 10 periods of silence
        silence = DEAF_PERIODS * period(s.east) * (1 + 2 + 4)
        looks = 3 * (2 / LOOKS_PER_PERIOD * period(s.east) + SLACK_SECONDS)
        # The first one began at the last TICK.
        assert silence - period(s.east) < s.world.engine.now - since < silence + looks
        s.until(lambda: s.east.ears.restarts == 0)


def test_supervisord_that_hangs_is_no_silence() -> None:
    with scene() as s:
        hear_from_the_start(s)
        s.settles()
        s.east.server.hang(40.0)
        s.passes(60.0)
        assert not s.world.trace.counts[ENDED]


@pytest.mark.parametrize("seconds_back", [2.0, 20.0])
def test_tick_that_waits_stays_sent_if_the_clock_is_set_back(seconds_back: float) -> None:
    """A listener that was frozen meanwhile finds it in the pipe."""
    with scene() as s:
        inbox = Inbox(s.east)
        assert ticks_in(inbox) == []
        s.passes(1.1 * period(s.east))
        s.east.set_wall(-seconds_back)
        assert len(ticks_in(inbox)) == 1


def ticks_in(inbox: Inbox) -> list[str]:
    found = []
    with contextlib.suppress(queue.Empty):
        while True:
            found.append(inbox.get_nowait().name)
    return [name for name in found if name.startswith("TICK")]
