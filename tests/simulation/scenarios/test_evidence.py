"""The command before the stop: whatever becomes of it, and of the listener, its worker comes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.evidence import END_SECONDS
from tests.simulation.process import Habits
from tests.simulation.scenarios.scene import CELERY, CUSTOM, SIDEKIQ, Scene, scene
from tests.simulation.shape import BEFORE_STOP

LIMIT = 10.0
KINDS = [SIDEKIQ, CELERY, CUSTOM]


@contextmanager
def draining(habits: Habits, how: str, seconds: float, **settings: object) -> Iterator[Scene]:
    """A worker for which the command runs; it ends in this way after these seconds."""
    settings = {"before_stop": BEFORE_STOP, "before_stop_timeout_seconds": LIMIT, **settings}
    with scene(habits, **settings) as s:  # type: ignore[arg-type]
        s.settles()
        s.east.commands.next_ends.append((how, seconds))
        s.bloat(s.east)
        s.until(lambda: begun(s))
        yield s


def begun(s: Scene) -> list[float]:
    """When commands began for the worker."""
    return s.times("evidence of pool0:0 begins")


@pytest.mark.parametrize("habits", KINDS, ids=lambda habits: habits.kind)
@pytest.mark.parametrize(
    ("how", "seconds"), [("succeeds", 2.0), ("fails", 0.1), ("hangs", 99.0), ("suspends", 4.0)]
)
def test_worker_is_stopped_after_it_and_not_before(habits: Habits, how: str, seconds: float) -> None:
    with draining(habits, how, seconds) as s:
        s.until(lambda: s.is_back(s.east))
        (begin,), (stop,) = begun(s), s.acts(s.east, "stop")
        assert min(seconds, LIMIT) <= stop - begin
        assert stop - begin < min(seconds, LIMIT) + 2 * habits.beat + 5.0, (
            "it waits for the next beat at most"
        )
        assert len(s.acts(s.east, "thaw")) == (how == "suspends")


@pytest.mark.parametrize("habits", KINDS, ids=lambda habits: habits.kind)
@pytest.mark.parametrize("how", ["hangs", "suspends"])
def test_listener_that_dies_in_the_middle_neither_repeats_it_nor_loses_the_drain(
    habits: Habits, how: str
) -> None:
    with draining(habits, how, 8.0) as s:
        s.passes(3.0)
        s.world.weather.rests(s.east, 30.0)
        s.world.weather.kill(s.east)
        s.until(lambda: s.is_back(s.east))
        assert len(begun(s)) == 1
        assert s.times("log: WARNING drain.evidence_failed"), "it is lost"


def test_command_that_nothing_ends_is_not_waited_for_longer_than_its_limit() -> None:
    """Not even its guard ended it in time."""
    with draining(CELERY, "hangs", 99.0) as s:
        (command,) = s.east.commands.running
        command.is_stuck = True
        s.until(lambda: s.acts(s.east, "stop"))
        (begin,), (stop,) = begun(s), s.acts(s.east, "stop")
        assert LIMIT + END_SECONDS <= stop - begin < LIMIT + END_SECONDS + 5.0


def test_worker_that_is_put_back_to_work_meanwhile_is_drained_again_and_gets_no_second_command() -> None:
    with draining(CELERY, "succeeds", 5.0) as s:
        s.passes(1.0)
        s.world.operator(s.east, s.worker(s.east), "USR2")
        s.until(lambda: s.is_back(s.east))
        assert len(begun(s)) == 1
        assert len(s.acts(s.east, "quiet")) == 2


def test_worker_that_the_operator_stops_meanwhile_stays_stopped() -> None:
    with draining(SIDEKIQ, "succeeds", 5.0) as s:
        s.passes(1.0)
        s.world.operator(s.east, s.worker(s.east), "stop")
        s.passes(60.0)
        assert s.worker(s.east).state is ProcessState.STOPPED
        assert s.state(s.east) is None
