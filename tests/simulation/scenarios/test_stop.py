"""Whether a stop was ours, and the wait for the end of the process."""

from __future__ import annotations

import dataclasses

import pytest

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State, StopAnswer
from tests.simulation.process import NEVER, Habits, Process
from tests.simulation.scenarios.scene import CELERY, CUSTOM, SIDEKIQ, STOPS, TTL, Scene, scene


def _is_accepted(s: Scene) -> bool:
    drain = s.east.disk.drains.get("pool0:0")
    return drain is not None and drain.stop.answer is StopAnswer.ACCEPTED


def test_acknowledged_stop_does_not_count_as_the_operators() -> None:
    """The listener died after the answer, and the clock was set meanwhile: the times do not match."""
    with scene(SIDEKIQ) as s:
        s.settles()
        s.bloat(s.east)
        s.until(lambda: _is_accepted(s))
        s.world.weather.rests(s.east, 60.0)
        s.world.weather.kill(s.east)
        s.east.set_wall(3600.0)
        s.until(lambda: s.worker(s.east).state is ProcessState.STOPPED)
        s.until(lambda: s.is_back(s.east))


@pytest.mark.parametrize("place", ["stopping.saved", "stopping.acted"])
def test_worker_comes_back_after_the_listener_was_killed_at_its_stop(place: str) -> None:
    with scene(SIDEKIQ) as s:
        s.settles()
        s.world.weather.dies_at(s.east, place, away=60.0)
        s.bloat(s.east)
        s.until(lambda: s.is_back(s.east), within=240)


def test_unacknowledged_second_stop_counts_as_ours() -> None:
    """The first stop was lost; the second arrived, and the listener died before its answer."""
    with scene(SIDEKIQ, stop_wait=4) as s:
        s.settles()
        s.bloat(s.east)
        s.world.weather.when_at(s.east, "stop before", lambda: s.east.loses_next(*["lost"] * 8))
        s.until(lambda: s.state(s.east) is State.STOPPING)
        s.passes(12.0)
        s.world.weather.dies_at(s.east, "stopping.acted", away=5.0)
        s.until(lambda: s.is_back(s.east), within=240)


def test_stop_that_a_hanging_supervisord_carries_out_late_counts_as_ours() -> None:
    with scene(SIDEKIQ, stop_wait=4) as s:
        s.settles()
        s.bloat(s.east)
        s.world.weather.when_at(s.east, "stop before", lambda: s.east.server.hang(40.0))
        s.until(lambda: s.is_back(s.east), within=240)


def test_late_stop_of_a_paused_listener_that_then_died_counts_as_ours() -> None:
    with scene(SIDEKIQ, stop_wait=4) as s:
        s.settles()
        s.bloat(s.east)

        def pause_and_die() -> None:
            s.world.weather.pause(s.east)
            s.world.weather.dies_at(s.east, "stopping.acted", away=5.0)

        s.world.weather.when_at(s.east, "stopping.saved", pause_and_die)
        s.until(lambda: s.acts(s.east, "stop"), within=240)
        s.until(lambda: s.is_back(s.east), within=240)


@pytest.mark.parametrize("habits", [SIDEKIQ, STOPS])
@pytest.mark.parametrize("dies", [False, True])
def test_worker_comes_back_that_the_operator_restarted_while_our_stop_was_under_way(
    habits: Habits, dies: bool
) -> None:
    """The stop reaches the new process; whoever stopped the old one did not stop this one."""
    with scene(habits, stop_wait=4) as s:
        s.settles()
        worker, stopped = s.worker(s.east), list[Process]()

        def restart() -> None:
            s.finish_jobs()
            s.world.operator(s.east, worker, "stop")
            s.until(lambda: worker.state is ProcessState.STOPPED)
            s.world.operator(s.east, worker, "start")
            stopped.append(s.process(s.east))

        s.world.weather.when_at(s.east, "stop before", restart)
        s.bloat(s.east)
        s.until(lambda: _is_accepted(s))
        if dies:
            s.world.weather.rests(s.east, 30.0)
            s.world.weather.kill(s.east)
        s.until(lambda: s.is_back(s.east) and s.process(s.east) is not stopped[0], within=240)
        assert len(s.world.trace.having("cause=stopped_new_process")) == 1


def test_stop_is_not_sent_when_its_observation_is_too_old() -> None:
    """Paused between its look and its stop, the listener would save a time that does not match the stop."""
    with scene(SIDEKIQ, stop_wait=4) as s:
        s.settles()
        s.bloat(s.east)
        s.until(lambda: s.state(s.east) is State.DRAINING)
        s.world.weather.when_at(s.east, "supervisord before", lambda: s.world.weather.pause(s.east, 15.0))
        s.world.weather.dies_at(s.east, "stopping.acted", away=5.0)
        s.until(lambda: s.times("the listener goes on"))
        s.until(lambda: s.is_back(s.east), within=240)


def test_unsent_stop_does_not_count_as_a_stop_whose_answer_was_lost() -> None:
    """S5: the look before our stop got no answer, and the operator stops the worker."""
    with scene(SIDEKIQ) as s:
        s.settles()
        s.bloat(s.east)
        s.world.weather.when_at(s.east, "stopping.saved", lambda: s.east.loses_next("lost"))
        s.until(lambda: s.state(s.east) is State.STOPPING)
        s.world.operator(s.east, s.worker(s.east), "stop")
        s.until(lambda: s.state(s.east) is None)
        assert s.acts(s.east, "stop") == s.acts(s.east, "start") == []
        assert s.worker(s.east).state is ProcessState.STOPPED


def test_stop_by_the_operator_while_the_listener_is_away_is_kept() -> None:
    """S5, although the journal says that a stop was about to be sent."""
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


def test_job_that_never_ends_is_killed_by_supervisord_alone() -> None:
    """A kind without a quiet: one stop, no other signal, and the start once the process is gone."""
    with scene(dataclasses.replace(STOPS, patience=NEVER)) as s:
        s.settles()
        s.bloat(s.east, endless=True)
        s.until(lambda: s.is_back(s.east))
        assert len(s.acts(s.east, "stop")) == 1
        assert s.acts(s.east, "start")[0] - s.acts(s.east, "stop")[0] >= 10


def test_child_that_outlives_its_parent_delays_the_start_for_stopwaitsecs() -> None:
    with scene(dataclasses.replace(STOPS, orphan_seconds=1000.0)) as s:
        s.settles()
        s.bloat(s.east)
        s.until(lambda: s.acts(s.east, "start"))
        stopped_at = s.times("pool0:0 is STOPPED")[0]
        assert s.acts(s.east, "start")[0] >= stopped_at + 10


def test_fresh_process_with_the_old_pid_does_not_count_as_old() -> None:
    """The worker was restarted between the look at it and the look at its tree, with the same pid."""
    with scene(dataclasses.replace(SIDEKIQ, boots=6.0)) as s:
        s.settles()
        s.bloat(s.east)
        s.until(lambda: s.state(s.east) is State.DRAINING)
        pid = s.process(s.east).pid
        s.world.weather.when_at(s.east, "supervisord before", lambda: s.world.weather.pause(s.east, 10.0))
        s.until(lambda: s.east.backs_off)
        s.passes(6.0)  # Its record says by now that it is idle.
        s.world.operator(s.east, s.worker(s.east), "stop")
        s.until(lambda: s.worker(s.east).state is ProcessState.STOPPED)
        s.world.operator(s.east, s.worker(s.east), "start")
        s.process(s.east).pid = pid
        s.until(lambda: s.is_back(s.east))


def test_finished_drain_leaves_the_journal_once_the_disk_has_room() -> None:
    with scene(SIDEKIQ) as s:
        s.settles()
        s.bloat(s.east)
        s.until(lambda: s.state(s.east) is State.SETTLING)
        s.east.disk_is_full = True
        s.until(lambda: s.world.trace.having("drain.done"))
        s.passes(TTL)
        s.east.disk_is_full = False
        s.until(lambda: s.state(s.east) is None)


@pytest.mark.parametrize("habits", [SIDEKIQ, CELERY], ids=["sidekiq", "celery"])
def test_stop_that_would_cut_a_job_waits_for_it_through_deaths_of_the_listener(habits: Habits) -> None:
    """Its own timeout of 25 s is longer than stopwaitsecs."""
    with scene(habits, drain_timeout_seconds=12.0) as s:
        s.settles()
        s.bloat(s.east, endless=True)
        s.until(lambda: s.world.trace.counts["drain.held_at_timeout"])
        s.world.weather.kill(s.east)
        s.passes(60.0)
        assert s.world.trace.counts["drain.held_at_timeout"] == 2, "once in each life"
        assert s.state(s.east) is State.DRAINING and not s.acts(s.east, "stop")
        s.finish_jobs()
        s.until(lambda: s.is_back(s.east))
        assert not s.world.trace.counts["drain.killed"]


def test_job_that_is_given_back_in_time_is_not_waited_for() -> None:
    with scene(dataclasses.replace(SIDEKIQ, patience=3.0), drain_timeout_seconds=12.0) as s:
        s.settles()
        s.bloat(s.east, endless=True)
        s.until(lambda: s.is_back(s.east), within=240)
        assert not s.world.trace.counts["drain.held_at_timeout"]
        assert not s.world.trace.counts["drain.killed"]


@pytest.mark.parametrize("place", ["", "stopping.acted", "starting.saved", "settling.saved"])
def test_sigkill_is_known_through_a_death_of_the_listener_and_a_clock_that_was_set(place: str) -> None:
    """The custom worker does not end by itself."""
    with scene(dataclasses.replace(CUSTOM, patience=NEVER), drain_timeout_seconds=12.0) as s:
        s.settles()
        s.bloat(s.east, endless=True)
        if place:
            s.world.weather.dies_at(s.east, place, away=30.0)
        s.until(lambda: s.acts(s.east, "stop"))
        if place != "stopping.acted":
            s.east.set_wall(-3600.0)  # There the clock is needed: the answer to the stop is lost.
        s.until(lambda: s.is_back(s.east), within=240)
        assert s.world.trace.counts["drain.killed"] == 1


@pytest.mark.parametrize("hang", [6.0, 40.0, 300.0])
def test_stop_that_waited_in_a_hanging_supervisord_while_the_listener_died_counts_as_ours(
    hang: float,
) -> None:
    """It is carried out far outside the time that the journal recorded, and then the listener is started."""
    with scene(SIDEKIQ, stop_wait=4) as s:
        s.settles()
        s.bloat(s.east)
        s.world.weather.when_at(s.east, "stop before", lambda: s.east.server.hang(hang))
        s.until(lambda: s.state(s.east) is State.STOPPING)
        s.world.weather.dies_at(s.east, "stopping.acted", away=0.0)
        s.until(lambda: s.is_back(s.east), within=600)
        assert len(s.acts(s.east, "stop")) == 1


def test_stop_by_the_operator_after_a_new_listener_saw_the_worker_running_is_kept() -> None:
    """S5: the former listener's stop was never sent, and that of the new one is not sent either."""
    with scene(SIDEKIQ, stop_wait=4) as s:
        s.settles()
        s.world.weather.dies_at(s.east, "stopping.saved", away=60.0)
        s.bloat(s.east)
        s.until(lambda: s.times("life 2"))

        def lose_its_look() -> None:
            s.east.loses_next("lost")
            s.world.engine.after(1.0, lambda: s.world.operator(s.east, s.worker(s.east), "stop"))

        s.world.weather.when_at(s.east, "stopping.saved", lose_its_look)
        s.until(lambda: s.times("operator: stop"))
        s.until(lambda: s.state(s.east) is None)
        s.passes(30.0)
        assert s.acts(s.east, "stop") == s.acts(s.east, "start") == []
        assert s.worker(s.east).state is ProcessState.STOPPED
