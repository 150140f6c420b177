"""Slots, peers and cooldown among several hosts."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_memkill.rules.drain import FAILED_STARTS, State
from supervisor_memkill.units import Size
from tests.simulation.gateway import Gateway
from tests.simulation.journals import MemoryJournal
from tests.simulation.kinds import SimSidekiq
from tests.simulation.scenarios.scene import CELERY, HEARTBEAT, SIDEKIQ, STOPS, TTL, scene
from tests.simulation.shape import HARD_LIMIT


def test_late_renewal_does_not_revive_the_slot_of_a_drain_that_had_not_begun() -> None:
    """The listener is killed before its quiet is sent, and comes back when another worker has the slot."""
    with scene(CELERY) as s:
        (north,) = s.others
        s.settles()
        s.world.weather.dies_at(s.east, "quieting.saved", away=TTL + 2 * HEARTBEAT)
        s.bloat(s.east, by=50)
        s.bloat(north, endless=True)
        s.until(lambda: s.acts(north, "quiet"))
        s.passes(3 * TTL)
        assert s.east.lives == 2
        assert s.acts(s.east, "quiet") == []
        s.finish_jobs()
        s.until(lambda: s.is_back(s.east) and s.is_back(north))
        assert s.acts(s.east, "quiet")[0] > s.acts(north, "start")[0]


def test_two_quiet_workers_without_a_slot_do_not_wait_for_each_other() -> None:
    """Both lost their slots while their listeners were away, and no other worker is in service."""
    with scene(SIDEKIQ) as s:
        (north,) = s.others
        s.settles()
        s.bloat(s.east, by=50, endless=True)
        s.bloat(north, endless=True)
        for machine in (s.east, north):
            s.until(lambda machine=machine: s.state(machine) is State.DRAINING)  # type: ignore[misc]
            s.world.weather.rests(machine, 3 * TTL)
            s.world.weather.kill(machine)
        for machine in (s.east, north):
            s.world.operator(machine, s.worker(machine, 1), "stop")
        s.finish_jobs()
        s.until(lambda: s.is_back(s.east) and s.is_back(north))
        s.until(lambda: not s.world.redis.slots())


def test_dead_host_blocks_others_at_most_slot_ttl() -> None:
    """L3."""
    with scene(SIDEKIQ) as s:
        (north,) = s.others
        s.settles()
        s.bloat(s.east, by=50, endless=True)
        s.until(lambda: s.state(s.east) is State.DRAINING)
        s.bloat(north)
        s.world.weather.rests(s.east, 1000.0)
        s.world.weather.kill(s.east)
        died_at = s.world.engine.now
        s.until(lambda: s.acts(north, "quiet"))
        assert s.acts(north, "quiet")[0] <= died_at + TTL + 2 * HEARTBEAT


@pytest.mark.parametrize("what", ["supervisord hangs", "kind fails"])
def test_live_listener_keeps_its_slot(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """S1: the listener reaches Redis but cannot look at its workers."""
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


def test_slot_that_was_requested_too_long_ago_is_not_used() -> None:
    """The listener was paused after the answer, and another worker may have the slot: it asks again."""
    with scene(SIDEKIQ) as s:
        s.settles()
        s.world.weather.when_at(s.east, "asking.saved", lambda: s.world.weather.pause(s.east))
        s.bloat(s.east, by=50)
        s.until(lambda: s.is_back(s.east))
        paused_until = s.times("the listener goes on")[0]
        assert s.acts(s.east, "quiet")[0] > paused_until


def test_worker_whose_quiet_was_lost_releases_its_slot_while_peers_do_not_suffice() -> None:
    """It takes jobs and may not drain: a worker with enough peers must not wait for it."""
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


def test_host_with_a_full_disk_blocks_no_other_host() -> None:
    """L1, L4: east is the most urgent but has a full disk and can begin no drain; north can."""
    with scene(SIDEKIQ) as s:
        (north,) = s.others
        s.settles()
        s.east.disk_is_full = True
        s.bloat(s.east, by=50)
        s.bloat(north)
        s.until(lambda: s.is_back(north), within=40 * TTL)


def test_host_with_a_slow_disk_blocks_no_other_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """L1, L4: each save on east is so slow that its quiet is never sent; north waits behind it."""
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


def test_worker_is_not_its_own_peer_under_a_former_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """S2: `host` or the identifier changed and the listener restarted: its former reports still count."""
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


@pytest.mark.parametrize("machines", [1, 2])
def test_release_that_cannot_start_costs_one_worker(machines: int) -> None:
    """On any host, though two could drain at once; above the hard limit the pool does not wait."""
    hard = Size(exact_bytes=HARD_LIMIT)
    with scene(STOPS, machines, 4, max_draining=2, hard_max_rss=hard) as s:
        other = s.world.machines[-1]
        s.settles()
        s.worker(s.east).fails = "dies"
        s.bloat(s.east, by=50)
        s.until(lambda: any(drain.start_attempts > FAILED_STARTS for drain in s.east.disk.drains.values()))
        s.passes(2 * HEARTBEAT)
        s.bloat(other, 1)
        s.passes(60)
        assert s.acts(other, "stop", 1) == []
        s.bloat(other, 2, by=HARD_LIMIT)
        s.until(lambda: s.is_back(other, 2))
        assert s.acts(other, "stop", 1) == []
        s.worker(s.east).fails = ""
        s.until(lambda: s.is_back(s.east) and s.is_back(other, 1))
