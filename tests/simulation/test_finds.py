"""What seeds found, kept as scenarios; last, what is not promised, as it is instead."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State
from tests.simulation.gateway import Gateway
from tests.simulation.journals import MemoryJournal
from tests.simulation.kinds import SimSidekiq
from tests.simulation.process import Habits
from tests.simulation.test_scenarios import CELERY, CUSTOM, HEARTBEAT, SIDEKIQ, TTL, scene


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


def test_worker_is_no_peer_of_itself_under_a_former_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """S2: `host` or identifier was changed, and the listener restarted: its former words still count."""
    names = {"east": "supervisor", "north": "supervisor"}
    monkeypatch.setattr(Gateway, "identification", lambda self: names[self._machine.name])
    with scene(SIDEKIQ, machines=2, workers=1) as s:
        (north,) = s.others
        s.settles()
        s.world.operator(north, s.worker(north), "stop")
        s.passes(4 * HEARTBEAT)
        names["east"] = "renamed"
        s.world.weather.rests(s.east, 1.0)
        s.world.weather.kill(s.east)
        s.bloat(s.east)
        s.passes(3 * TTL)
        assert s.acts(s.east, "quiet") == []


@pytest.mark.parametrize("what", ["supervisord hangs", "kind fails"])
def test_live_listener_keeps_its_slot(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """S1: it lives, and reaches Redis; that it cannot look at its workers must not cost it the slot."""
    broken: set[str] = set()
    read = SimSidekiq.read

    def fail(self: Any, targets: Any, table: Any) -> Any:
        if self.machine.name in broken:
            raise RuntimeError("a fault of this kind")
        return read(self, targets, table)

    monkeypatch.setattr(SimSidekiq, "read", fail)
    with scene(SIDEKIQ) as s:
        (north,) = s.others
        s.settles()
        s.bloat(s.east, by=50, endless=True)
        s.until(lambda: s.state(s.east) is State.DRAINING)
        s.bloat(north, endless=True)
        if what == "kind fails":
            broken.add("east")
        else:
            s.east.server.hang(4 * TTL)
        s.passes(3 * TTL)
        assert s.acts(north, "quiet") == []


@pytest.mark.parametrize("habits", [CELERY, SIDEKIQ])
def test_redis_that_was_away_while_a_drain_asked_takes_nothing_of_its_time(habits: Habits) -> None:
    """For longer than drain_timeout: the jobs in hand at the quiet are not cut."""
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


def test_host_that_cannot_journal_keeps_no_other_host_waiting() -> None:
    """L1, L4: east is the most urgent, and its disk is full: it can begin no drain, and north can."""
    with scene(SIDEKIQ) as s:
        (north,) = s.others
        s.settles()
        s.east.disk_is_full = True
        s.bloat(s.east, by=50)
        s.bloat(north)
        s.until(lambda: s.is_back(north), within=40 * TTL)


def test_host_with_a_slow_disk_keeps_no_other_host_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """L1, L4: each save of east's takes so long that its quiet is never sent; north waits behind it."""
    slow: set[str] = set()
    save = MemoryJournal.save

    def slowly(self: Any, contents: Any) -> None:
        save(self, contents)
        if self._machine.name in slow:
            self._machine.breathe(3.2)

    monkeypatch.setattr(MemoryJournal, "save", slowly)
    with scene(SIDEKIQ) as s:
        (north,) = s.others
        s.settles()
        slow.add("east")
        s.bloat(s.east, by=50)
        s.bloat(north)
        s.until(lambda: s.acts(north, "quiet"), within=40 * TTL)


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
