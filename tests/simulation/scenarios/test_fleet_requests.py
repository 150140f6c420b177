"""Requests to all hosts: their clocks are apart, one is away, Redis forgets."""

from __future__ import annotations

from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.requests import Act, OperatorRequest
from tests.simulation.machine import Machine
from tests.simulation.scenarios.scene import HEARTBEAT, SIDEKIQ, STOPS, Scene, scene


def ask(
    s: Scene, act: Act = Act.RESTART, number: int = 1, *, lasts: float | None = 600.0, names: str = "pool0"
) -> str:
    request = OperatorRequest(f"{number:016x}", act, (names,), lasts)
    s.world.requests.make("pool0", request)
    return request.id


def starts(s: Scene, machine: Machine) -> int:
    return sum(len(s.acts(machine, "start", number)) for number in range(2))


def is_served(s: Scene) -> bool:
    """Every worker of both hosts has another process, and nothing is owed."""
    whole = all(starts(s, machine) >= 2 for machine in s.world.machines)
    return whole and not any(machine.disk.drains for machine in s.world.machines)


def test_each_worker_of_two_hosts_is_replaced_once_whatever_their_clocks_say() -> None:
    for habits in (SIDEKIQ, STOPS):
        with scene(habits) as s:
            (north,) = s.others
            s.east.set_wall(7200.0)
            north.set_wall(-7200.0)
            s.settles()
            ask(s)
            s.until(lambda s=s: is_served(s), within=300)  # type: ignore[misc]
            ask(s)
            s.passes(60.0)
            assert [starts(s, machine) for machine in s.world.machines] == [2, 2]


def test_host_that_was_away_replaces_the_older_processes_alone() -> None:
    with scene(SIDEKIQ) as s:
        (north,) = s.others
        s.settles()
        s.world.weather.rests(north, 60.0)
        s.world.weather.kill(north)
        s.passes(1.0)
        ask(s)
        s.passes(5.0)
        worker = s.worker(north, 1)
        s.world.operator(north, worker, "stop")
        s.passes(15.0)
        s.world.operator(north, worker, "start")
        s.passes(10.0)
        s.until(lambda: s.acts(north, "start", 0) and s.is_back(north, 0), within=300)
        s.passes(60.0)
        assert s.acts(north, "quiet", 1) == [], "it began after the request"
        assert starts(s, s.east) == 2


def test_host_that_lost_its_journal_with_a_reboot_replaces_nothing_twice() -> None:
    with scene(SIDEKIQ) as s:
        (north,) = s.others
        s.settles()
        ask(s, lasts=3600.0)
        s.until(lambda: is_served(s), within=300)
        before = starts(s, north)
        s.world.weather.servers.reboot(north)
        s.until(lambda: north.disk.requests, within=120)
        s.passes(120.0)
        assert starts(s, north) == before


def test_request_that_expired_is_taken_by_nobody() -> None:
    with scene(SIDEKIQ) as s:
        (north,) = s.others
        s.settles()
        s.world.weather.rests(north, 60.0)
        s.world.weather.kill(north)
        ask(s, lasts=30.0)
        s.passes(120.0)
        assert starts(s, north) == 0 and north.disk.requests == {}


def test_cancel_reaches_a_host_that_took_neither_before() -> None:
    with scene(SIDEKIQ) as s:
        (north,) = s.others
        s.settles()
        s.world.weather.cut(north, 5 * HEARTBEAT)
        s.world.weather.cut(s.east, 5 * HEARTBEAT)
        ask(s)
        ask(s, Act.CANCEL, 2)
        s.passes(100.0)
        assert [starts(s, machine) for machine in s.world.machines] == [0, 0]
        assert len(north.disk.requests) == 2


def test_request_that_redis_lost_is_served_by_those_who_took_it_and_may_be_made_again() -> None:
    with scene(SIDEKIQ) as s:
        (north,) = s.others
        s.settles()
        s.world.weather.cut(north, 2 * HEARTBEAT)
        ask(s)
        s.until(lambda: s.east.disk.requests)
        s.world.redis.flush()
        s.until(lambda: starts(s, s.east) == 2, within=300)
        s.passes(60.0)
        assert starts(s, north) == 0
        ask(s)
        s.until(lambda: is_served(s), within=300)
        s.passes(60.0)
        assert starts(s, s.east) == 2, "the same request serves nobody twice"


def test_pause_during_a_drain_holds_both_hosts_until_its_end() -> None:
    with scene(SIDEKIQ) as s:
        (north,) = s.others
        s.settles()
        s.bloat(s.east, endless=True)
        s.until(lambda: s.state(s.east) is State.DRAINING)
        ask(s, Act.PAUSE, lasts=None)
        s.bloat(north)
        s.passes(3 * HEARTBEAT)
        s.finish_jobs()
        s.until(lambda: s.is_back(s.east))
        s.world.weather.kill(north)
        s.passes(100.0)
        assert s.acts(north, "quiet") == []
        ask(s, Act.UNPAUSE, 2, lasts=None)
        s.until(lambda: s.is_back(north), within=200)


def test_pause_with_an_end_ends_by_the_clock_of_redis() -> None:
    with scene(SIDEKIQ) as s:
        (north,) = s.others
        s.settles()
        ask(s, Act.PAUSE, lasts=60.0)
        s.passes(2 * HEARTBEAT)
        s.world.weather.kill(north)
        s.bloat(north)
        s.passes(45.0)
        assert s.acts(north, "quiet") == []
        s.until(lambda: s.is_back(north), within=200)


def test_jump_of_the_clock_of_redis_loses_no_request_that_was_taken() -> None:
    with scene(SIDEKIQ) as s:
        s.settles()
        ask(s)
        s.passes(2 * HEARTBEAT)
        s.world.redis.jump(-40.0)
        s.passes(10.0)
        s.world.redis.jump(80.0)
        s.until(lambda: is_served(s), within=600)
        assert sum(starts(s, machine) for machine in s.world.machines) == 4
