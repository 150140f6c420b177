"""Rules that the listener keeps by handing on what others know: settings, slots, pauses, deadlines."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.coordination.contract import Published
from supervisor_memkill.coordination.in_process import InProcessCoordinator
from supervisor_memkill.errors import NotSent
from supervisor_memkill.listener.journal import Contents, Journal
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.policy import Pause
from supervisor_memkill.units import Size
from supervisor_memkill.workers.contract import Advice
from supervisor_memkill.world.supervisord import NoAnswer, Unreachable
from tests.listener_world import (
    BLOATED,
    FRESH,
    LIMIT,
    Killed,
    Life,
    QuietKind,
    SharedCoordinator,
    StopKind,
    World,
    pool_config,
)


def only_one_is_bloated(world: World) -> None:
    for name, worker in world.workers.items():
        if name != "jobs:one":
            worker.memory = FRESH


def peers_stop(world: World) -> None:
    for name in world.workers:
        if name != "jobs:one":
            world.operator_stops(name)


def shrinks(world: World) -> None:
    world.workers["jobs:one"].memory = FRESH


def record_goes_away(world: World) -> None:
    world.records_away = True


def pauses(life: Life) -> dict[str, Pause]:
    return dict(life.journal.load().contents.pauses)


class Meanwhile(InProcessCoordinator):
    """Something happens while it is asked for a slot."""

    def __init__(self, world: World, happens: Callable[[World], None]) -> None:
        super().__init__(world.clock)
        self._world = world
        self._happens = happens
        self.granted: list[bool] = []

    def acquire(self, *arguments: Any) -> Any:
        self._happens(self._world)
        answer = super().acquire(*arguments)
        self.granted.append(answer.granted)
        return answer


def test_worker_whose_queues_no_other_covers_is_not_taken(world: World, path: Path) -> None:
    class Queued(QuietKind):
        def _read(self, target: Any) -> Any:
            queues = {"default", "mail"} if target.process.name == "one" else {"default"}
            return dataclasses.replace(super()._read(target), queues=frozenset(queues))

    only_one_is_bloated(world)
    life = Life(world, path, kind=Queued)
    life.run(60)
    assert world.happened == []
    assert "0 others are in service" in life.stream.having("worker.held")[0]


def test_drain_takes_no_slot_of_another_pool(path: Path) -> None:
    world = World(["one", "two", "three", "four"])
    other = pool_config(name="other", programs=("jobs:three", "jobs:four"))
    config = pool_config(programs=("jobs:one", "jobs:two"))
    life = Life(world, path, config=config, also=[(other, QuietKind)])
    life.run(20)
    assert world.happened == ["quiet jobs:one", "quiet jobs:four"], "one of each pool, max_draining is 1"


def test_peers_that_stopped_after_the_last_heartbeat_do_not_count(world: World, path: Path) -> None:
    """S2: what was told of them is older than the request for the slot."""
    only_one_is_bloated(world)
    life = Life(world, path)
    life.listener._at = lambda place: peers_stop(world) if place == "asking.saved" else None
    life.tick()
    assert world.workers["jobs:two"].stopped_by_operator, "it asked"
    assert world.happened == [] and not world.broken_promises


@pytest.mark.parametrize("happens", [peers_stop, shrinks])
def test_drain_that_did_not_begin_leaves_no_pause(
    world: World, path: Path, happens: Callable[[World], None]
) -> None:
    """Its cause is no fault of the worker's, and may be over at the next check."""
    only_one_is_bloated(world)
    life, asked = Life(world, path), list[str]()

    def at(place: str) -> None:
        asked.append(place)
        happens(world)

    life.listener._at = at
    life.tick()
    assert asked == ["asking.saved"] and world.happened == []
    assert not life.drains() and not pauses(life)


def test_drain_that_is_done_ends_the_workers_pause(world: World, path: Path) -> None:
    """The next pause is to have the first one's length, not twice that."""
    only_one_is_bloated(world)
    world.finish_jobs()
    Journal(path, "boot").save(Contents(pauses={"jobs:one": Pause(world.now, 600.0)}, instance="x"))
    life = Life(world, path)
    life.run(60, until=lambda: bool(life.stream.having("drain.done")))
    assert life.stream.having("drain.done") and not pauses(life)


def test_draining_worker_is_looked_at_every_poll_interval(world: World, path: Path) -> None:
    life = Life(world, path, poll_interval_seconds=0.5)
    life.run_to(State.DRAINING)
    life.listener.turn(ticked=False)
    assert life.listener.wait_seconds() == 0.5


def test_pause_outlives_the_listener(world: World, path: Path) -> None:
    world.finish_jobs()
    config = pool_config(max_rss=Size(exact_bytes=FRESH - 1))
    life = Life(world, path, config=config)
    life.run(120, until=lambda: len(life.stream.having("limit.below_baseline")) == 3)
    before = list(world.happened)
    life.die()
    life = Life(world, path, config=config)
    life.run(300)
    assert world.happened == before
    assert "its limit is below its baseline" in life.stream.having("worker.held")[0]


def test_pool_rests_for_its_cooldown_after_each_drain(world: World, path: Path) -> None:
    world.finish_jobs()
    life = Life(world, path, config=pool_config(cooldown_seconds=60.0))
    life.run(60, until=lambda: bool(life.stream.having("drain.done")))
    acts = list(world.happened)
    life.run(58)  # A second has gone by since the end.
    assert world.happened == acts and "cooldown" in life.stream.having("worker.held")[-1]
    life.run(15)
    assert world.happened[len(acts) :], "within a heartbeat of its end"


@pytest.mark.parametrize("happens", [shrinks, record_goes_away])
def test_what_changed_while_it_asked_for_the_slot_is_seen_before_the_quiet(
    world: World, path: Path, happens: Callable[[World], None]
) -> None:
    only_one_is_bloated(world)
    coordinator = Meanwhile(world, happens)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    life.tick()
    assert coordinator.granted == [True]
    assert world.happened == [] and not life.drains()


def test_restarts_of_the_listener_do_not_move_the_deadline(world: World, path: Path) -> None:
    """Its job never ends, and no listener lives as long as drain_timeout."""
    only_one_is_bloated(world)
    config = pool_config(drain_timeout_seconds=60.0)
    life = Life(world, path, config=config)
    life.run_to(State.DRAINING)
    quieted_at = life.drains()["jobs:one"].quiet_sent_at
    assert quieted_at is not None
    worker = world.workers["jobs:one"]
    while worker.state is ProcessState.RUNNING and world.now < quieted_at + 120:
        life.die()
        life = Life(world, path, config=config)
        life.run(10, until=lambda: worker.state is not ProcessState.RUNNING)
    assert "stop jobs:one" in world.happened
    assert 60 <= world.now - quieted_at <= 65


def test_end_that_comes_during_one_drains_step_holds_the_next_drain(world: World, path: Path) -> None:
    life = Life(world, path, config=pool_config(max_draining=2))

    def end_after_a_stop(place: str) -> None:
        life.listener.ended = life.listener.ended or place == "stopping.acted"

    life.listener._at = end_after_a_stop
    life.run(10)
    assert [one.state for one in life.drains().values()] == [State.DRAINING] * 2
    world.finish_jobs()
    life.run(10)
    assert sorted(one.state.value for one in life.drains().values()) == ["draining", "stopping"]
    assert len([act for act in world.happened if act.startswith("stop")]) == 1


def test_restarted_listener_is_the_same_one_to_the_others(world: World, path: Path) -> None:
    """With another instance its name would count as taken by its own former life."""
    told: list[str] = []

    def coordinate(contents: Contents) -> SharedCoordinator:
        told.append(contents.instance)
        return SharedCoordinator(world)

    for _ in range(2):
        life = Life(world, path, coordinate=coordinate)
        life.tick()
        life.die()
    first, second = told
    assert first == second != ""


def test_listener_tells_of_its_workers_at_once(world: World, path: Path) -> None:
    """Others may wait for its slots and its peers; the first TICK may be a minute away."""
    coordinator = SharedCoordinator(world)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    life.listener.turn(ticked=False)
    assert len(coordinator.told) > 0
    assert world.happened == []


def test_heartbeats_count_no_strikes(world: World, path: Path) -> None:
    """Only a TICK is a check: ten heartbeats are not ten checks in a row."""
    coordinator = SharedCoordinator(world)
    life = Life(world, path, config=pool_config(strikes=2), coordinate=lambda contents: coordinator)
    for _ in range(10):
        life.listener.turn(ticked=False)
        world.advance(10.0)
    assert len(coordinator.told) == 10
    assert world.happened == []


@pytest.mark.parametrize("moment", ["while it drains", "while it asks"])
def test_quiet_worker_that_is_put_back_to_work_waits_for_a_slot_like_any_other(
    path: Path, moment: str
) -> None:
    """S1: its slot was given without waiting for one, as it was out of service already."""
    world = World(["one", "two", "three", "four"])
    one, two = world.workers["jobs:one"], world.workers["jobs:two"]
    for worker in world.workers.values():
        worker.memory = BLOATED if worker is two else FRESH

    def put_back(world: World) -> None:
        if moment == "while it asks":
            one.quiet = False

    coordinator = Meanwhile(world, put_back)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    assert life.run_to(State.DRAINING) == "jobs:two"
    one.quiet, one.memory = True, BLOATED
    life.run(20)
    one.quiet = False
    life.run(60)
    assert not world.broken_promises, world.broken_promises
    world.finish_jobs()
    life.run(120)
    assert one.memory == two.memory == FRESH


def test_drain_that_only_asked_is_not_taken_up(world: World, path: Path) -> None:
    """Whether the worker still asks is for a check to say; nothing was done to it."""
    life = Life(world, path, die_at="asking.saved")
    with pytest.raises(Killed):
        life.run(5)
    life.die()
    life = Life(world, path)
    life.listener.turn(ticked=False)
    assert life.drains() == {}
    assert life.stream.having("drain.taken_up") == []


def test_drain_of_the_same_pool_is_taken_up_as_it_is(world: World, path: Path) -> None:
    life = Life(world, path)
    name = life.run_to(State.DRAINING)
    life.die()
    life = Life(world, path)
    life.listener.turn(ticked=False)
    assert name in life.drains()
    assert life.stream.having("drain.taken_up") and not life.stream.having("drain.pool_changed")


def test_what_the_fresh_process_starts_and_leaves_to_itself_is_not_waited_for(
    world: World, path: Path
) -> None:
    """Only what the old one had counts as surviving it."""
    world.finish_jobs()
    life = Life(world, path)
    fresh = world.workers[life.run_to(State.SETTLING)]
    fresh.orphans, world.alive_orphans = (9999,), {9999}
    life.run(1)
    fresh.orphans = ()  # It went into the background.
    life.run(60, until=lambda: bool(life.stream.having("drain.done")))
    assert life.stream.having("drain.done")


def test_each_step_of_a_drain_is_told_to_the_other_hosts_once(world: World, path: Path) -> None:
    only_one_is_bloated(world)
    coordinator = SharedCoordinator(world)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    life.run(20)
    world.finish_jobs()
    life.run(60, until=lambda: bool(life.stream.having("drain.done")))
    steps = ["quieting", "draining", "stopping", "starting", "settling", "done"]
    assert [event for event, fields in coordinator.events] == [f"drain.{step}" for step in steps]


def test_drain_whose_act_was_never_sent_is_not_told_to_the_other_hosts(world: World, path: Path) -> None:
    class Unable(QuietKind):
        def quiet(self, target: Any, table: Any) -> Any:
            raise NotSent("never")

    coordinator = SharedCoordinator(world)
    life = Life(world, path, kind=Unable, coordinate=lambda contents: coordinator)
    life.run(60)
    assert life.stream.having("drain.not_begun") and coordinator.events == []
    assert life.stream.having("failed") == []


def test_stop_that_came_too_late_is_told_to_the_other_hosts_when_it_is_sent(world: World, path: Path) -> None:
    only_one_is_bloated(world)
    coordinator = SharedCoordinator(world)
    life = Life(world, path, kind=StopKind, coordinate=lambda contents: coordinator)
    save = life.journal.save

    def slowly(contents: Contents) -> None:
        save(contents)
        world.advance(4.2)

    life.journal.save = slowly  # type: ignore[method-assign]
    name = life.run_to(State.STOPPING)
    assert life.drains()[name].stop_attempts == 0, "it came too late"
    assert coordinator.events == []
    life.run(20)
    assert [event for event, fields in coordinator.events].count("drain.stopping") == 1


@pytest.mark.parametrize("hard_max_rss", [None, Size(exact_bytes=2 * BLOATED)])
def test_draining_worker_is_measured_only_for_its_hard_limit(
    world: World, path: Path, hard_max_rss: Size | None
) -> None:
    """To measure pss or uss of a large process takes its time, and the kernel's."""
    life = Life(world, path, config=pool_config(hard_max_rss=hard_max_rss))
    life.run_to(State.DRAINING)
    world.times_measured.clear()
    for _ in range(10):
        world.advance(1.0)
        life.listener.turn(ticked=False)
    measured = world.times_measured
    assert (measured["one"] > measured["two"]) == (hard_max_rss is not None), "checks measure all alike"


@pytest.mark.parametrize(("slot_ttl_seconds", "seconds"), [(60.0, 30.0), (10.0, 10.0)])
@pytest.mark.parametrize("kind", [QuietKind, StopKind])
def test_act_that_comes_long_after_what_it_rests_on_is_not_sent(
    world: World, path: Path, kind: type[QuietKind], slot_ttl_seconds: float, seconds: float
) -> None:
    """The look is too old, or the slot may be somebody else's: the journal's disk took so long."""
    life = Life(world, path, kind=kind, slot_ttl_seconds=slot_ttl_seconds, heartbeat_seconds=2.0)
    saved = list[str]()

    def at(place: str) -> None:
        if place in ("quieting.saved", "stopping.saved"):
            saved.append(place)
            world.advance(seconds)

    life.listener._at = at
    life.tick()
    assert saved and world.happened == []


def test_quiet_worker_is_brought_back_though_its_settings_would_lose_jobs(world: World, path: Path) -> None:
    """They let none be quieted; one that is quiet already has no job to lose once it is idle."""
    life = Life(world, path)
    name = life.run_to(State.DRAINING)
    life.die()
    path.write_text("rubbish")
    world.finish_jobs()
    world.advice = (Advice("stopsignal=TERM must be INT", refuses=True),)
    life = Life(world, path)
    life.run(60)
    assert world.workers[name].memory == FRESH
    assert [act for act in world.happened if act.startswith("quiet")] == [f"quiet {name}"]


def test_kind_is_asked_of_running_processes_and_knows_which_of_them_drain(world: World, path: Path) -> None:
    """`Target.note` is None outside of a drain, and while a drain only asks nothing was done yet."""
    states, notes = set[ProcessState](), list[Any]()

    class Watched(QuietKind):
        def _read(self, target: Any) -> Any:
            states.add(target.process.state)
            if not world.happened:
                notes.append(target.note)
            return super()._read(target)

    world.finish_jobs()
    life = Life(world, path, kind=Watched)
    life.run(60, until=lambda: bool(life.stream.having("drain.done")))
    assert states == {ProcessState.RUNNING}
    assert notes and notes == [None] * len(notes)


def test_worker_that_is_removed_while_old_processes_live_is_let_go(world: World, path: Path) -> None:
    world.finish_jobs()
    world.workers["jobs:one"].orphans, world.alive_orphans = (9999,), {9999}
    life = Life(world, path)
    del world.workers[life.run_to(State.SETTLING)]
    life.run(2)
    assert life.stream.having("drain.let_go") and not life.stream.having("failed")


def test_worker_that_is_removed_after_a_stop_without_answer_is_let_go(world: World, path: Path) -> None:
    world.finish_jobs()
    world.lose_answer_of = "stop"
    life = Life(world, path)
    del world.workers[life.run_to(State.STOPPING)]
    life.run(2)
    assert life.stream.having("drain.let_go") and not life.stream.having("failed")


def test_next_drain_of_a_worker_is_told_of_anew(world: World, path: Path) -> None:
    only_one_is_bloated(world)
    world.finish_jobs()
    life = Life(world, path)
    for _ in range(2):
        world.workers["jobs:one"].memory = BLOATED
        life.run(60)
    assert len(life.stream.having("drain.done")) == 2
    assert len(life.stream.having("drain.busy")) == 2


def test_fresh_process_that_ends_again_and_again_is_worth_an_alert(world: World, path: Path) -> None:
    world.finish_jobs()
    life = Life(world, path)
    for _ in range(3):
        name = life.run_to(State.SETTLING)
        world.end(world.workers[name], ProcessState.FATAL)
        life.run_to(State.STARTING)
    (line,) = life.stream.having("drain.start_failed")
    assert name in line and "ended by itself" in line


def test_two_that_grow_past_each_other_do_not_wait_for_each_other(world: World, path: Path) -> None:
    """Whichever asks, the other one is the larger by then; each look finds it so."""
    world.workers["jobs:three"].memory = FRESH
    one, two = world.workers["jobs:one"], world.workers["jobs:two"]
    asked = list[float]()

    def grow(place: str) -> None:
        if place == "asking.saved" and len(asked) < 3:
            asked.append(world.now)
            larger, smaller = (one, two) if one.memory > two.memory else (two, one)
            smaller.memory = larger.memory + 1024

    one.memory += 1024
    life = Life(world, path)
    life.listener._at = grow
    life.run(20, until=lambda: bool(world.happened))
    assert len(asked) == 3 and world.now - asked[0] <= 5.0, "poll_interval is 1 s, heartbeat 10 s"
    assert life.stream.having("drain.not_begun") == [], "a refusal is told as worker.held"


def test_drain_that_is_let_go_is_told_to_the_other_hosts(world: World, path: Path) -> None:
    coordinator = SharedCoordinator(world)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    world.operator_stops(life.run_to(State.DRAINING))
    life.run(10)
    (let_go,) = [fields for event, fields in coordinator.events if event == "drain.let_go"]
    assert let_go["state"] == "draining" and let_go["cause"] == "stopped by somebody else"


def test_wrong_events_are_told_of_once(world: World, path: Path) -> None:
    life = Life(world, path)
    for name in ("PROCESS_STATE_EXITED", "PROCESS_STATE_RUNNING"):
        life.listener.say_unasked(name)
    (line,) = life.stream.having("event.unasked")
    assert "PROCESS_STATE_EXITED" in line and "events = TICK_60" in line


def test_name_that_another_has_is_told_of_each_time_it_is_taken(world: World, path: Path) -> None:
    class Taken(SharedCoordinator):
        is_taken = True

        def publish(self, *arguments: Any) -> Published:
            return dataclasses.replace(super().publish(*arguments), name_is_taken=self.is_taken)

    coordinator = Taken(world)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    life.run(60)
    (line,) = life.stream.having("listener.name_is_taken")
    assert "host=here" in line and "set host" in line
    for coordinator.is_taken in (False, True):
        life.run(60)
    assert len(life.stream.having("listener.name_is_taken")) == 2


def test_slot_of_a_drain_that_ended_while_redis_was_away_is_given_back_once(world: World, path: Path) -> None:
    released = list[str]()

    class Counting(SharedCoordinator):
        def release(self, *arguments: Any, **more: Any) -> None:
            self._reach()
            released.append(arguments[1])
            super().release(*arguments, **more)

    only_one_is_bloated(world)
    world.finish_jobs()
    coordinator = Counting(world)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    life.run_to(State.SETTLING)
    coordinator.is_away = True
    life.run(60, until=lambda: bool(life.stream.having("drain.done")))
    assert life.stream.having("slot.not_released") and released == []
    coordinator.is_away = False
    life.run(120)
    assert released == ["jobs:one"] and coordinator.view("jobs").holders == ()


def test_redis_that_is_away_is_not_kept_waiting_for_with_each_step(world: World, path: Path) -> None:
    """A call to a Redis that is frozen takes seconds."""
    tried = list[str]()

    class Counting(SharedCoordinator):
        def record(self, pool: str, event: str, fields: Mapping[str, str]) -> None:
            tried.append(event)
            super().record(pool, event, fields)

    coordinator = Counting(world)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    life.run_to(State.DRAINING)
    coordinator.is_away = True
    life.run(15)
    assert life.stream.having("coordination.away")
    tried.clear()
    world.finish_jobs()
    life.run(30, until=lambda: bool(life.stream.having("drain.done")))
    assert life.stream.having("drain.done") and tried == []


def test_redis_that_goes_away_while_a_worker_asks_is_told_of_at_once(world: World, path: Path) -> None:
    coordinator = SharedCoordinator(world)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    life.listener._at = lambda place: setattr(coordinator, "is_away", True)
    assert life.run_to(State.ASKING)
    assert life.stream.having("coordination.away")


def test_redis_that_goes_away_right_after_an_act_is_told_of_at_once(world: World, path: Path) -> None:
    coordinator = SharedCoordinator(world)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    life.listener._at = lambda place: setattr(coordinator, "is_away", place == "quieting.acted")
    assert life.run_to(State.QUIETING)
    assert life.stream.having("coordination.away")


def test_stop_for_the_hard_limit_that_got_lost_is_sent_again(world: World, path: Path) -> None:
    """It was never quieted, so that it takes jobs all the while: nobody put it back to work."""
    stop, sent = world.stop, list[str]()

    def lose(name: str) -> None:
        sent.append(name)
        world.stop = stop  # type: ignore[method-assign]
        raise NoAnswer("the request got lost")

    world.stop = lose  # type: ignore[method-assign]
    only_one_is_bloated(world)
    life = Life(world, path, config=pool_config(hard_max_rss=Size(exact_bytes=LIMIT + 1)))
    life.run(60, until=lambda: bool(life.stream.having("drain.done")))
    assert sent == ["jobs:one"] and "stop jobs:one" in world.happened
    assert life.stream.having("drain.let_go") == []


def test_redis_that_is_back_is_told_of(world: World, path: Path) -> None:
    coordinator = SharedCoordinator(world)
    coordinator.is_away = True
    life = Life(world, path, coordinate=lambda contents: coordinator)
    life.run(60)
    assert len(life.stream.having("coordination.away")) == 1
    coordinator.is_away = False
    life.run(20)
    assert len(life.stream.having("coordination.back")) == 1


def test_pool_without_a_drain_is_not_told_of_while_supervisord_is_away(world: World, path: Path) -> None:
    """Nothing is known of it; what was told before counts for as long as it is fresh."""
    coordinator = SharedCoordinator(world)
    also = [(pool_config(name="other", programs=("jobs:three",)), QuietKind)]
    config = pool_config(programs=("jobs:one", "jobs:two"))
    world.workers["jobs:three"].memory = FRESH
    life = Life(world, path, config=config, also=also, coordinate=lambda contents: coordinator)
    life.run_to(State.DRAINING)
    world.away = Unreachable("refused")
    life.run(1)
    coordinator.told.clear()
    life.run(60)
    assert {told.pool for told in coordinator.told} == {"jobs"}
