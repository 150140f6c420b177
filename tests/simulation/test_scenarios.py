"""Single histories on the world of the simulation, one rule each; every promise is judged all the while."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

import pytest

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State, StopAnswer
from tests.simulation.machine import Machine
from tests.simulation.process import NEVER, Habits, Process
from tests.simulation.shape import BLOATED, PoolShape, Shape, pool_config
from tests.simulation.supervisord import Worker
from tests.simulation.world import World

TTL, HEARTBEAT = 20.0, 4.0
SIDEKIQ = Habits(kind="sidekiq", job=(0.5, 2.0))
CELERY = Habits(kind="celery", job=(0.5, 2.0))
STOPS = Habits(kind="stops", job=(0.5, 2.0))
CUSTOM = Habits(kind="custom", job=(0.5, 2.0), gap=(0.05, 0.1), lanes=2)


class Scene:
    """A world in which nothing goes wrong but what the test does."""

    def __init__(self, habits: Habits, machines: int, workers: int, pool: PoolShape) -> None:
        names = ("east", "north", "south")[:machines]
        shape = Shape(names, (pool,), heartbeat=HEARTBEAT, slot_ttl=TTL, latency=0.002, bloated=0.0)
        self.world = World(shape, calm=True)
        self.east, *self.others = self.world.machines

    def worker(self, machine: Machine, number: int = 0) -> Worker:
        return machine.supervisord.workers[f"pool0:{number}"]

    def process(self, machine: Machine, number: int = 0) -> Process:
        process = self.worker(machine, number).process
        assert process is not None
        return process

    def bloat(self, machine: Machine, number: int = 0, *, by: int = 0, endless: bool = False) -> None:
        """Over its limit; `endless`: with a job in hand that does not end by itself."""
        process, now = self.process(machine, number), self.world.engine.now
        process.memory = BLOATED + by
        if endless:
            process.look(now)
            process.jobs.append((now, NEVER))

    def finish_jobs(self) -> None:
        for machine in self.world.machines:
            for process in machine.living():
                process.end_jobs(self.world.engine.now, 0.2)

    def passes(self, seconds: float) -> None:
        self.world.engine.run_until(self.world.engine.now + seconds)

    def settles(self) -> None:
        """The first use of the pool is over."""
        self.passes(TTL + 2 * HEARTBEAT)

    def until(self, condition: Callable[[], object], within: float = 120.0) -> None:
        limit = self.world.engine.now + within
        while not condition():
            assert self.world.engine.now < limit, "\n".join(self.world.trace.lines())
            self.passes(0.02)

    def state(self, machine: Machine, number: int = 0) -> State | None:
        drain = machine.disk.drains.get(f"pool0:{number}")
        return drain.state if drain else None

    def is_back(self, machine: Machine, number: int = 0) -> bool:
        """A fresh process in service, and nothing left of its drain."""
        worker = self.worker(machine, number)
        is_fresh = worker.process is not None and worker.process.memory < BLOATED
        return is_fresh and self.world.standings.takes_jobs(worker) and self.state(machine, number) is None

    def times(self, text: str) -> list[float]:
        """When this was said."""
        return [float(line.split()[0]) for line in self.world.trace.having(text)]

    def acts(self, machine: Machine, act: str, number: int = 0) -> list[float]:
        """When this act arrived."""
        found = self.world.trace.having(f"{act} of pool0:{number} arrives")
        return [float(line.split()[0]) for line in found if f" {machine.name} " in line]


@contextlib.contextmanager
def scene(
    habits: Habits = SIDEKIQ,
    machines: int = 2,
    workers: int = 2,
    *,
    restarts: str = "unexpected",
    stop_wait: int = 10,
    **settings: object,
) -> Iterator[Scene]:
    settings = {"worker": habits.kind, "drain_timeout_seconds": 3600.0, **settings}
    pool = PoolShape(pool_config(**settings), habits, workers, stop_wait=stop_wait, restarts=restarts)
    made = Scene(habits, machines, workers, pool)
    try:
        made.world.begin()
        yield made
    finally:
        made.world.end()


# --- slots --------------------------------------------------------------------------------------


def test_late_renewal_revives_no_slot_of_a_drain_that_had_not_begun() -> None:
    """Killed before its quiet went out, it comes back when another has the slot: it waits for that one."""
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
    """Both lost theirs while their listeners were away, and nobody else is in service: both finish."""
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


def test_host_that_died_with_a_slot_blocks_no_longer_than_slot_ttl() -> None:
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


def test_flush_between_grant_and_act_lets_no_second_one_begin() -> None:
    """What was granted goes on; the other waits until every listener had time to tell anew."""
    with scene(SIDEKIQ) as s:
        (north,) = s.others
        s.settles()
        s.world.weather.when_at(s.east, "quiet before", s.world.redis.flush)
        s.bloat(s.east, by=50, endless=True)
        s.bloat(north)
        s.until(lambda: s.acts(s.east, "quiet"))
        s.passes(3 * TTL)
        assert s.acts(north, "quiet") == []
        s.finish_jobs()
        s.until(lambda: s.is_back(s.east) and s.is_back(north))


def test_flush_while_two_claim_grants_nothing_for_a_while() -> None:
    with scene(SIDEKIQ) as s:
        (north,) = s.others
        s.settles()
        s.bloat(s.east)
        s.bloat(north)
        s.world.redis.flush()
        flushed_at = s.world.engine.now
        s.until(lambda: s.is_back(s.east) and s.is_back(north))
        assert min(*s.acts(s.east, "quiet"), *s.acts(north, "quiet")) >= flushed_at + TTL


def test_slot_that_was_asked_for_too_long_ago_is_not_acted_on() -> None:
    """The listener was paused after the answer came, and another took the slot: it asks anew."""
    with scene(SIDEKIQ) as s:
        s.settles()
        s.world.weather.when_at(s.east, "asking.saved", lambda: s.world.weather.pause(s.east))
        s.bloat(s.east, by=50)
        s.until(lambda: s.is_back(s.east))
        paused_until = s.times("the listener goes on")[0]
        assert s.acts(s.east, "quiet")[0] > paused_until


# --- whose stop it is -----------------------------------------------------------------------------


def test_stop_that_was_acknowledged_is_not_taken_for_the_operators() -> None:
    """The listener died after the answer, and the clock was set meanwhile: the times do not fit."""
    with scene(SIDEKIQ) as s:
        s.settles()
        s.bloat(s.east)

        def is_accepted() -> bool:
            drain = s.east.disk.drains.get("pool0:0")
            return drain is not None and drain.stop_answer is StopAnswer.ACCEPTED

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


# --- a quiet that goes astray -----------------------------------------------------------------------


@pytest.mark.parametrize(("hang", "what"), [(4.0, "frozen"), (9.0, "quiet")])
def test_late_quiet_that_hits_the_fresh_process_leaves_nothing_behind(hang: float, what: str) -> None:
    """supervisord hung, the worker died meanwhile, and the quiet arrived at its successor."""
    with scene(dataclasses.replace(SIDEKIQ, boots=6.0), restarts="true") as s:
        s.settles()

        def hang_and_die() -> None:
            s.east.server.hang(hang)
            s.world.engine.after(1.0, lambda: s.east.supervisord.die(s.worker(s.east)))

        s.bloat(s.east)
        s.world.weather.when_at(s.east, "quiet before", hang_and_die)
        s.until(lambda: s.acts(s.east, "quiet"))
        hit = s.process(s.east)
        assert hit.created < s.acts(s.east, "quiet")[0]
        assert (hit.frozen_at if what == "frozen" else hit.quiet_at) is not None
        s.until(lambda: s.is_back(s.east))


def test_quiet_not_confirmed_in_time_is_undone_where_the_kind_can() -> None:
    """QUIETING to RESUMING: nobody knows whether it arrived."""
    with scene(CELERY, on_timeout="resume", drain_timeout_seconds=15.0) as s:
        s.settles()
        s.bloat(s.east)
        s.until(lambda: s.acts(s.east, "quiet"))
        s.world.weather.records_go(s.east, 60.0)
        s.until(lambda: s.state(s.east) is None)
        assert s.acts(s.east, "resume")
        assert s.acts(s.east, "stop") == []
        assert s.world.standings.takes_jobs(s.worker(s.east))


def test_torn_first_record_is_not_believed() -> None:
    """Busy is read before the rest of the record: the first quiet one says 0 with a job in hand."""
    with scene(dataclasses.replace(SIDEKIQ, torn=4.5, job=(8.0, 9.0), gap=(0.3, 0.4))) as s:
        s.settles()
        s.bloat(s.east)
        s.until(lambda: s.is_back(s.east))


# --- stop, then wait --------------------------------------------------------------------------------


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
