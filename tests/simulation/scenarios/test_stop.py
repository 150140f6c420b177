"""Whose stop it is, and the wait for the end of the process."""

from __future__ import annotations

import dataclasses

import pytest

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State, StopAnswer
from tests.simulation.process import NEVER
from tests.simulation.scenarios.scene import SIDEKIQ, STOPS, TTL, scene


def test_stop_that_was_acknowledged_is_not_taken_for_the_operators() -> None:
    """The listener died after the answer, and the clock was set meanwhile: the times do not fit."""
    with scene(SIDEKIQ) as s:
        s.settles()
        s.bloat(s.east)

        def is_accepted() -> bool:
            drain = s.east.disk.drains.get("pool0:0")
            return drain is not None and drain.stop.answer is StopAnswer.ACCEPTED

        s.until(is_accepted)
        s.world.weather.rests(s.east, 60.0)
        s.world.weather.kill(s.east)
        s.east.set_wall(3600.0)
        s.until(lambda: s.worker(s.east).state is ProcessState.STOPPED)
        s.until(lambda: s.is_back(s.east))


@pytest.mark.parametrize("place", ["stopping.saved", "stopping.acted"])
def test_listener_killed_at_its_stop_brings_the_worker_back(place: str) -> None:
    with scene(SIDEKIQ) as s:
        s.settles()
        s.world.weather.dies_at(s.east, place, away=60.0)
        s.bloat(s.east)
        s.until(lambda: s.is_back(s.east), within=240)


def test_second_stop_that_was_not_acknowledged_is_ours() -> None:
    """The first one got lost; the second came through, and the listener died before it was told."""
    with scene(SIDEKIQ, stop_wait=4) as s:
        s.settles()
        s.bloat(s.east)
        s.world.weather.when_at(s.east, "stop before", lambda: s.east.loses_next(*["lost"] * 8))
        s.until(lambda: s.state(s.east) is State.STOPPING)
        s.passes(12.0)
        s.world.weather.dies_at(s.east, "stopping.acted", away=5.0)
        s.until(lambda: s.is_back(s.east), within=240)


def test_stop_that_a_hanging_supervisord_carries_out_late_is_ours() -> None:
    with scene(SIDEKIQ, stop_wait=4) as s:
        s.settles()
        s.bloat(s.east)
        s.world.weather.when_at(s.east, "stop before", lambda: s.east.server.hang(40.0))
        s.until(lambda: s.is_back(s.east), within=240)


def test_stop_that_a_paused_listener_sent_late_and_died_of_is_ours() -> None:
    with scene(SIDEKIQ, stop_wait=4) as s:
        s.settles()
        s.bloat(s.east)

        def pause_and_die() -> None:
            s.world.weather.pause(s.east)
            s.world.weather.dies_at(s.east, "stopping.acted", away=5.0)

        s.world.weather.when_at(s.east, "stopping.saved", pause_and_die)
        s.until(lambda: s.acts(s.east, "stop"), within=240)
        s.until(lambda: s.is_back(s.east), within=240)


def test_stop_that_rests_on_a_look_of_long_ago_is_not_sent() -> None:
    """Paused between its look and its stop, the listener would journal a time that its stop does not fit."""
    with scene(SIDEKIQ, stop_wait=4) as s:
        s.settles()
        s.bloat(s.east)
        s.until(lambda: s.state(s.east) is State.DRAINING)
        s.world.weather.when_at(s.east, "supervisord before", lambda: s.world.weather.pause(s.east, 15.0))
        s.world.weather.dies_at(s.east, "stopping.acted", away=5.0)
        s.until(lambda: s.times("the listener goes on"))
        s.until(lambda: s.is_back(s.east), within=240)


def test_stop_that_was_not_sent_for_want_of_a_look_is_not_one_whose_answer_got_lost() -> None:
    """S5: the operator stops the worker after a look got no answer, which was to come before our stop."""
    with scene(SIDEKIQ) as s:
        s.settles()
        s.bloat(s.east)
        s.world.weather.when_at(s.east, "stopping.saved", lambda: s.east.loses_next("lost"))
        s.until(lambda: s.state(s.east) is State.STOPPING)
        s.world.operator(s.east, s.worker(s.east), "stop")
        s.until(lambda: s.state(s.east) is None)
        assert s.acts(s.east, "stop") == s.acts(s.east, "start") == []
        assert s.worker(s.east).state is ProcessState.STOPPED


def test_operator_who_stops_while_the_listener_is_away_keeps_his_stop() -> None:
    """S5, though the journal says that a stop was about to be sent."""
    with scene(SIDEKIQ) as s:
        s.settles()
        s.world.weather.dies_at(s.east, "stopping.saved", away=90.0)
        s.bloat(s.east)
        s.until(lambda: s.state(s.east) is State.STOPPING)
        s.passes(40.0)
        s.world.operator(s.east, s.worker(s.east), "stop")
        s.passes(120.0)
        assert s.worker(s.east).state is ProcessState.STOPPED
        assert s.state(s.east) is None


def test_job_that_never_ends_is_cut_by_supervisord_alone() -> None:
    """A kind without a quiet: one stop, no other signal, and the start once it is gone."""
    with scene(dataclasses.replace(STOPS, patience=NEVER)) as s:
        s.settles()
        s.bloat(s.east, endless=True)
        s.until(lambda: s.is_back(s.east))
        assert len(s.acts(s.east, "stop")) == 1
        assert s.acts(s.east, "start")[0] - s.acts(s.east, "stop")[0] >= 10


def test_child_that_outlives_its_parent_holds_the_start_for_stopwaitsecs() -> None:
    with scene(dataclasses.replace(STOPS, orphan_seconds=1000.0)) as s:
        s.settles()
        s.bloat(s.east)
        s.until(lambda: s.acts(s.east, "start"))
        stopped_at = s.times("pool0:0 is STOPPED")[0]
        assert s.acts(s.east, "start")[0] >= stopped_at + 10


def test_fresh_process_with_the_old_pid_is_no_survivor() -> None:
    """The worker was restarted between the look at it and the look at its tree, and got its pid again."""
    with scene(dataclasses.replace(SIDEKIQ, boots=6.0)) as s:
        s.settles()
        s.bloat(s.east)
        s.until(lambda: s.state(s.east) is State.DRAINING)
        pid = s.process(s.east).pid
        s.world.weather.when_at(s.east, "supervisord before", lambda: s.world.weather.pause(s.east, 10.0))
        s.until(lambda: s.east.backs_off)
        s.passes(6.0)  # Its record has said by now that it is idle.
        s.world.operator(s.east, s.worker(s.east), "stop")
        s.until(lambda: s.worker(s.east).state is ProcessState.STOPPED)
        s.world.operator(s.east, s.worker(s.east), "start")
        s.process(s.east).pid = pid
        s.until(lambda: s.is_back(s.east))


def test_journal_holds_no_drain_that_is_over_once_the_disk_has_room() -> None:
    with scene(SIDEKIQ) as s:
        s.settles()
        s.bloat(s.east)
        s.until(lambda: s.state(s.east) is State.SETTLING)
        s.east.disk_is_full = True
        s.until(lambda: s.world.trace.having("drain.done"))
        s.passes(TTL)
        s.east.disk_is_full = False
        s.until(lambda: s.state(s.east) is None)
