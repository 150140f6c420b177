"""What seeds found, kept as scenarios; last, what is not promised, as it is instead."""

from __future__ import annotations

import dataclasses

from supervisor_memkill.drain import State
from supervisor_memkill.processes import ProcessState
from tests.simulation.test_scenarios import CELERY, CUSTOM, SIDEKIQ, TTL, scene


def test_quiet_that_got_lost_is_sent_again_though_the_time_is_over() -> None:
    """`on_timeout = wait`: otherwise it takes jobs for ever, counts as draining, and comes to no end."""
    with scene(CELERY, on_timeout="wait", drain_timeout_seconds=12.0) as s:
        s.settles()
        s.bloat(s.east)
        s.world.weather.when_at(s.east, "quiet before", lambda: s.east.loses_next("lost"))
        s.until(lambda: s.state(s.east) is State.QUIETING)
        s.world.weather.cut(s.east, 30.0)
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


def test_fresh_process_with_the_old_pid_is_no_survivor() -> None:
    """The worker was restarted between the look at it and the look at its tree, and got its pid again."""
    with scene(dataclasses.replace(SIDEKIQ, boots=6.0)) as s:
        s.settles()
        s.bloat(s.east)
        s.until(lambda: s.state(s.east) is State.DRAINING)
        pid = s.process(s.east).pid
        s.world.weather.when_at(s.east, "supervisord before", lambda: s.world.weather.pause(s.east, 10.0))
        s.until(lambda: s.east.is_paused)
        s.passes(6.0)  # Its record has said by now that it is idle.
        s.world.operator(s.east, s.worker(s.east), "stop")
        s.until(lambda: s.worker(s.east).state is ProcessState.STOPPED)
        s.world.operator(s.east, s.worker(s.east), "start")
        s.process(s.east).pid = pid
        s.until(lambda: s.is_back(s.east))


def test_worker_whose_quiet_got_lost_holds_no_slot_while_its_peers_do_not_suffice() -> None:
    """It takes jobs, and may not go: another one, for which they suffice, must not wait for it."""
    with scene(SIDEKIQ, machines=3, workers=1, min_available=2) as s:
        north, _ = s.others
        s.settles()
        s.world.weather.when_at(s.east, "quiet before", lambda: s.east.loses_next("lost"))
        s.bloat(s.east)
        s.until(lambda: s.state(s.east) is State.QUIETING)
        s.world.operator(north, s.worker(north), "stop")
        s.until(lambda: s.state(s.east) is None)
        assert not s.world.redis.slots() and s.acts(s.east, "stop") == []
        s.world.operator(north, s.worker(north), "start")
        s.until(lambda: s.is_back(s.east))


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


# --- what is not promised: README.rst says so ---------------------------------------------------------


def test_quiet_that_got_lost_and_that_nothing_can_confirm_is_waited_for_by_wait() -> None:
    """Repeating it may do harm; it ends when the job does, or when a person ends either."""
    with scene(CUSTOM, on_timeout="wait", drain_timeout_seconds=12.0) as s:
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
