"""The listener in a small world: whatever dies and whoever meddles, nothing is owed afterwards."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.listener.journal import Journal
from supervisor_memkill.processes import ProcessState, ProgramInfo
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.policy import PAUSE_SECONDS
from supervisor_memkill.units import Size
from supervisor_memkill.workers.contract import Advice
from supervisor_memkill.world.supervisord import ShuttingDown, Unreachable
from tests.listener_world import (
    BLOATED,
    EPOCH,
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
from tests.places import PLACES

P = ProcessState
STATES = [State.QUIETING, State.DRAINING, State.STOPPING, State.STARTING, State.SETTLING]


def is_replaced(world: World) -> bool:
    return all(worker.memory == FRESH for worker in world.workers.values())


def is_whole(world: World) -> bool:
    return not world.out_of_service()


def run_until_replaced(life: Life, world: World) -> None:
    life.run(300, until=lambda: is_replaced(world) and is_whole(world) and not life.drains())
    assert is_replaced(world), life.stream.lines
    assert is_whole(world), life.stream.lines
    assert not life.drains()
    assert not world.broken_promises


@pytest.mark.parametrize("kind", [QuietKind, StopKind])
def test_all_bloated_workers_are_replaced_one_at_a_time(
    world: World, path: Path, kind: type[QuietKind]
) -> None:
    life = Life(world, path, kind=kind)
    most_out = 0
    for _ in range(200):
        life.run(1)
        most_out = max(most_out, len(world.out_of_service()))
        world.finish_jobs()
    assert is_replaced(world)
    assert is_whole(world)
    assert most_out == 1
    assert not world.broken_promises
    assert len(life.stream.having("drain.done")) == 3
    assert "before=400MB after=50MB" in life.stream.having("drain.done")[0]


def test_worker_with_a_job_in_hand_is_not_stopped(world: World, path: Path) -> None:
    life = Life(world, path)
    life.run(120)
    assert not [act for act in world.happened if act.startswith("stop")]
    world.finish_jobs()
    run_until_replaced(life, world)


def test_workers_under_their_limit_are_left_alone(world: World, path: Path) -> None:
    for worker in world.workers.values():
        worker.memory = LIMIT
    life = Life(world, path)
    life.run(60)
    assert world.happened == []
    assert life.listener.wait_seconds() is None, "idle, it wakes for its events only"


def test_pool_of_one_is_never_taken(path: Path) -> None:
    world = World(["only"])
    life = Life(world, path)
    life.run(120)
    assert world.happened == []
    assert "min_available is 1" in life.stream.having("worker.held")[0]
    assert len(life.stream.having("worker.held")) == 1, "said once"


def test_second_tick_during_a_drain_begins_no_other(world: World, path: Path) -> None:
    life = Life(world, path)
    for _ in range(20):
        life.tick()
    assert world.happened == ["quiet jobs:one"]
    assert len(life.drains()) == 1


def test_two_at_once_where_the_pool_allows_it(path: Path) -> None:
    world = World(["one", "two", "three"])
    world.max_draining = 2
    life = Life(world, path, config=pool_config(max_draining=2))
    life.tick()
    assert len(world.out_of_service()) == 2
    world.finish_jobs()
    run_until_replaced(life, world)


@pytest.mark.parametrize("kind", [QuietKind, StopKind])
@pytest.mark.parametrize("place", PLACES)
def test_killed_anywhere_the_drain_goes_on(
    world: World, path: Path, place: str, kind: type[QuietKind]
) -> None:
    world.finish_jobs()
    life = Life(world, path, die_at=place, kind=kind)
    try:
        life.run(60)
    except Killed:
        life.die()
    else:
        assert kind is StopKind, f"{place} was not reached"
        assert place.startswith(("quieting", "draining"))
        return
    world.advance(30.0)
    run_until_replaced(Life(world, path, kind=kind), world)


@pytest.mark.parametrize("place", PLACES)
def test_killed_at_every_turn_anew_the_drain_still_ends(world: World, path: Path, place: str) -> None:
    """Each life dies at its first such place: what is saved before acting must lead on."""
    world.finish_jobs()
    for _ in range(3):
        life = Life(world, path, die_at=place)
        try:
            life.run(60)
        except Killed:
            life.die()
            world.advance(7.0)
    run_until_replaced(Life(world, path), world)


@pytest.mark.parametrize("state", STATES)
def test_what_the_operator_stops_stays_stopped(world: World, path: Path, state: State) -> None:
    life = Life(world, path)
    if state not in (State.QUIETING, State.DRAINING):
        world.finish_jobs()
    name = life.run_to(state)
    world.operator_stops(name)
    if not world.workers[name].stopped_by_operator:
        return  # Stopped or STOPPING by us already: supervisord refuses the operator's stop.
    world.finish_jobs()
    life.run(120)
    assert world.workers[name].state is P.STOPPED
    assert not world.broken_promises
    assert not life.drains()


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("listener_away", [False, True])
def test_what_the_operator_restarts_is_only_watched(
    world: World, path: Path, state: State, listener_away: bool
) -> None:
    life = Life(world, path)
    if state not in (State.QUIETING, State.DRAINING):
        world.finish_jobs()
    name = life.run_to(state)
    if listener_away:
        life.die()
        life = Life(world, path)
    world.operator_restarts(name)
    pid = world.workers[name].pid
    life.run(30, until=lambda: name not in life.drains())
    assert world.workers[name].pid == pid
    world.finish_jobs()
    run_until_replaced(life, world)


@pytest.mark.parametrize("state", STATES)
def test_worker_removed_from_the_configuration_is_let_go(world: World, path: Path, state: State) -> None:
    life = Life(world, path)
    if state not in (State.QUIETING, State.DRAINING):
        world.finish_jobs()
    del world.workers[life.run_to(state)]
    world.finish_jobs()
    run_until_replaced(life, world)


@pytest.mark.parametrize("state", [State.QUIETING, State.DRAINING, State.STOPPING, State.SETTLING])
def test_worker_that_dies_by_itself_is_brought_back(world: World, path: Path, state: State) -> None:
    life = Life(world, path)
    if state in (State.STOPPING, State.SETTLING):
        world.finish_jobs()
    name = life.run_to(state)
    if state is not State.STOPPING:
        world.end(world.workers[name], P.EXITED)
    world.finish_jobs()
    run_until_replaced(life, world)


def test_operator_who_stops_while_the_listener_is_away_keeps_his_stop(world: World, path: Path) -> None:
    """Killed right before its stop went out; the operator's stop comes minutes later."""
    world.finish_jobs()
    life = Life(world, path, die_at="stopping.saved")
    with pytest.raises(Killed):
        life.run(60)
    life.die()
    world.advance(120.0)
    world.operator_stops("jobs:one")
    world.advance(5.0)
    Life(world, path).run(60)
    assert world.workers["jobs:one"].state is P.STOPPED
    assert not world.broken_promises


@pytest.mark.parametrize("call", ["stop", "start", "signal"])
def test_lost_answer_is_settled_by_looking_again(world: World, path: Path, call: str) -> None:
    world.finish_jobs()
    world.lose_answer_of = call
    run_until_replaced(Life(world, path), world)


def test_worker_that_cannot_be_started_keeps_the_slot_until_it_can(world: World, path: Path) -> None:
    world.finish_jobs()
    life = Life(world, path)
    name = life.run_to(State.STOPPING)
    world.workers[name].broken = True
    life.run(120)
    assert life.only_drain() == (name, State.STARTING)
    assert world.happened.count(f"start {name}") < 10, "with a growing pause"
    assert len(life.stream.having("drain.start_failed")) == 1, "said once"
    assert world.out_of_service() == [name]
    world.workers[name].broken = False
    run_until_replaced(life, world)


def test_quiet_that_is_lost_is_sent_again(world: World, path: Path) -> None:
    world.finish_jobs()
    world.workers["jobs:one"].ignores_quiet = True
    life = Life(world, path)
    life.run(20)
    assert world.happened.count("quiet jobs:one") > 1
    world.workers["jobs:one"].ignores_quiet = False
    run_until_replaced(life, world)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("error", [Unreachable("refused"), ShuttingDown("shutting down")])
def test_supervisord_away_in_mid_drain_is_waited_for(
    world: World, path: Path, state: State, error: Any
) -> None:
    life = Life(world, path)
    if state not in (State.QUIETING, State.DRAINING):
        world.finish_jobs()
    life.run_to(state)
    before = list(world.happened)
    world.away = error
    life.run(60)
    assert world.happened == before
    assert len(life.drains()) == 1
    world.away = None
    world.finish_jobs()
    run_until_replaced(life, world)


def test_supervisord_restarted_in_mid_drain_leaves_fresh_workers(world: World, path: Path) -> None:
    """Its restart starts every worker anew, and the listener with it."""
    life = Life(world, path)
    life.run_to(State.DRAINING)
    life.die()
    for worker in world.workers.values():
        world.spawn(worker)
    run_until_replaced(Life(world, path), world)


def test_supervisord_restarted_without_autostart_is_the_operators_matter(world: World, path: Path) -> None:
    world.finish_jobs()
    life = Life(world, path)
    name = life.run_to(State.STOPPING)
    life.die()
    worker = world.workers[name]
    worker.state, worker.pid, worker.start, worker.stop = P.STOPPED, 0, 0, 0
    worker.stopped_by_operator = True
    life = Life(world, path)
    life.run(30, until=lambda: name not in life.drains())
    assert worker.state is P.STOPPED
    assert not world.broken_promises


def test_records_away_hold_everything(world: World, path: Path) -> None:
    world.records_away = True
    world.finish_jobs()
    life = Life(world, path)
    life.run(60)
    assert world.happened == []
    assert "Redis is away" in life.stream.having("worker.held")[0]
    world.records_away = False
    run_until_replaced(life, world)


def test_records_away_during_a_drain_are_waited_for(world: World, path: Path) -> None:
    life = Life(world, path)
    life.run_to(State.DRAINING)
    world.records_away = True
    world.finish_jobs()
    life.run(120)
    assert not [act for act in world.happened if act.startswith("stop")]
    world.records_away = False
    run_until_replaced(life, world)


def test_journal_that_cannot_be_written_holds_the_quiet_and_the_stop(world: World, path: Path) -> None:
    world.finish_jobs()
    life = Life(world, path)
    path.parent.mkdir(mode=0o700)
    blocker = path.with_name(path.name + ".new")
    blocker.mkdir()
    life.run(60)
    assert world.happened == []
    assert len(life.stream.having("journal.away")) == 1, "said once"
    blocker.rmdir()
    run_until_replaced(life, world)
    assert len(life.stream.having("journal.back")) == 1


def test_journal_that_cannot_be_written_does_not_hold_the_start(world: World, path: Path) -> None:
    """Starting gives capacity back, and the older journal leads to the same end."""
    world.finish_jobs()
    life = Life(world, path)
    name = life.run_to(State.STOPPING)
    blocker = path.with_name(path.name + ".new")
    blocker.mkdir()
    life.run(20)
    assert world.in_service(world.workers[name])
    blocker.rmdir()
    run_until_replaced(life, world)


@pytest.mark.parametrize("damage", [b"", b"garbage", b'{"body": {}}', b"\xff\xfe"])
def test_quiet_worker_of_a_damaged_journal_is_adopted(world: World, path: Path, damage: bytes) -> None:
    life = Life(world, path)
    life.run_to(State.DRAINING)
    life.die()
    path.write_bytes(damage)
    world.workers["jobs:one"].memory = FRESH
    world.finish_jobs()
    life = Life(world, path)
    life.run(60, until=lambda: is_whole(world))
    assert is_whole(world), life.stream.lines
    assert life.stream.having("journal.damaged")
    run_until_replaced(life, world)


def test_quiet_of_the_operators_under_the_limit_is_left_alone(world: World, path: Path) -> None:
    for worker in world.workers.values():
        worker.memory = FRESH
    world.workers["jobs:one"].quiet = True
    life = Life(world, path)
    life.run(60)
    assert world.happened == []


def test_second_listener_stands_by_and_takes_over(world: World, path: Path) -> None:
    first, second = Life(world, path), Life(world, path)
    first.tick()
    second.run(20)
    assert world.happened == ["quiet jobs:one"]
    assert "held by another listener" in second.stream.having("journal.away")[0]
    first.die()
    world.finish_jobs()
    run_until_replaced(second, world)


def test_hard_limit_ends_the_wait(world: World, path: Path) -> None:
    config = pool_config(hard_max_rss=Size(exact_bytes=3 * LIMIT))
    life = Life(world, path, config=config)
    name = life.run_to(State.DRAINING)
    world.workers[name].memory = 4 * LIMIT
    life.run(5)
    assert f"stop {name}" in world.happened
    world.finish_jobs()
    run_until_replaced(life, world)


def test_most_urgent_goes_first(world: World, path: Path) -> None:
    world.workers["jobs:three"].memory = 3 * BLOATED
    Life(world, path).tick()
    assert world.happened == ["quiet jobs:three"]


def test_a_slot_is_renewed_before_the_first_step_of_a_listener_that_took_over(
    world: World, path: Path
) -> None:
    """Steps take time, and may be the last thing it does: killed again and again, it keeps its slot."""
    coordinator = SharedCoordinator(world)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    life.run(60, until=lambda: bool(life.stream.having("drain.draining")))
    life.die()
    world.finish_jobs()
    coordinator.told.clear()
    life = Life(world, path, coordinate=lambda contents: coordinator, die_at="stopping.saved")
    with pytest.raises(Killed):
        life.run(1)
    assert [[holding.worker for holding in told.holdings] for told in coordinator.told] == [["jobs:one"]]


def test_worker_whose_drain_was_given_up_is_left_alone_for_a_while(world: World, path: Path) -> None:
    """Drained again at once it would be given up again, and be out of service most of the time."""

    class Resumable(QuietKind):
        traits = dataclasses.replace(QuietKind.traits, can_resume=True)

    config = pool_config(on_timeout="resume", drain_timeout_seconds=5.0)
    life = Life(world, path, kind=Resumable, config=config)
    life.run(100)
    assert sorted(act for act in world.happened if act.startswith("resume")) == [
        f"resume jobs:{name}" for name in ("one", "three", "two")
    ], "each once, though all are over their limit and none ever gets idle"
    assert "its last drain was given up" in life.stream.having("worker.held")[-1]
    world.finish_jobs()
    life.run(PAUSE_SECONDS + 60)
    assert is_replaced(world) and is_whole(world)


def test_limit_below_the_baseline_is_said_once_and_pauses(world: World, path: Path) -> None:
    world.finish_jobs()
    config = pool_config(max_rss=Size(exact_bytes=FRESH - 1))
    life = Life(world, path, config=config)
    life.run(300)
    assert len(life.stream.having("limit.below_baseline")) == 3, "once for each worker"
    assert len([act for act in world.happened if act.startswith("start")]) == 3
    assert not world.broken_promises


def test_survivor_of_the_old_tree_is_waited_for_then_named_and_the_start_goes_ahead(
    world: World, path: Path
) -> None:
    """It counts as drained only when the survivor is gone: until then its memory is not free."""
    world.finish_jobs()
    world.workers["jobs:one"].orphans = (9999,)
    world.alive_orphans = {9999}
    life = Life(world, path)
    life.run(60)
    assert any("9999" in line for line in life.stream.having("drain.starting"))
    assert world.workers["jobs:one"].memory == FRESH and is_whole(world)
    assert life.only_drain() == ("jobs:one", State.SETTLING)
    assert "pids=9999" in life.stream.having("drain.old_processes_live")[0]
    world.alive_orphans = set()
    run_until_replaced(life, world)


def test_process_that_a_job_started_after_the_stop_is_waited_for_too(world: World, path: Path) -> None:
    world.finish_jobs()
    worker = world.workers["jobs:one"]
    worker.stop_seconds = 5.0
    life = Life(world, path)
    life.run(60, until=lambda: worker.state is ProcessState.STOPPING)
    life.run(1)
    worker.orphans, world.alive_orphans = (9999,), {9999}
    life.run(60)
    assert any("9999" in line for line in life.stream.having("drain.starting"))


def test_worker_whose_settings_would_lose_jobs_is_left_alone_until_they_are_mended(
    world: World, path: Path
) -> None:
    world.finish_jobs()
    world.advice = (Advice("stopsignal=TERM must be INT", refuses=True), Advice("and exec is missing"))
    life = Life(world, path)
    life.run(60)
    assert world.happened == []
    refused, other = life.stream.having("worker.hint")[:2]
    assert "stopsignal=TERM" in refused and "none while this is so" in refused
    assert "exec is missing" in other and "drains=" not in other
    assert len(life.stream.having("worker.held")) == 3, "said once for each"
    world.advice = ()
    run_until_replaced(life, world)


def test_settings_that_became_unsafe_after_the_check_are_noticed_before_the_drain(
    world: World, path: Path
) -> None:
    """`supervisorctl update` may have come between."""

    class Updated(QuietKind):
        def advice(self, program: ProgramInfo, drain_timeout_seconds: float) -> Sequence[Advice]:
            asked = self._world.times_programs_were_told
            return [Advice("stopsignal=TERM must be INT", refuses=True)] if asked > 1 else []

    world.finish_jobs()
    life = Life(world, path, kind=Updated)
    life.run(60)
    assert world.happened == [] and world.times_programs_were_told > 1


def test_worker_whose_settings_supervisord_does_not_tell_is_left_alone(world: World, path: Path) -> None:
    world.finish_jobs()
    world.tells_programs = False
    life = Life(world, path)
    life.run(60)
    assert world.happened == []
    assert "does not tell its settings" in life.stream.having("worker.held")[0]


def test_own_group_and_event_listeners_are_never_touched(world: World, path: Path) -> None:
    life = Life(world, path)
    life.listener._surveyor._own_group = "jobs"
    life.run(60)
    assert world.happened == []


def test_fault_in_one_workers_step_does_not_stop_the_others(path: Path) -> None:
    world = World(["one", "two", "three", "four"])
    world.max_draining = 2

    class Faulty(QuietKind):
        def quiet(self, target: Any, table: Any) -> Any:
            if target.process.name == "one":
                raise ZeroDivisionError("a bug")
            return super().quiet(target, table)

    life = Life(world, path, kind=Faulty, config=pool_config(max_draining=2))
    world.workers["jobs:one"].memory = 2 * BLOATED
    life.run(10)
    assert world.happened
    assert "quiet jobs:one" not in world.happened
    (line,) = life.stream.having("failed")
    assert "worker jobs:one" in line
    assert "ZeroDivisionError" in line


def test_dry_run_says_what_it_would_do_and_touches_nothing(world: World, path: Path) -> None:
    life = Life(world, path, dry_run=True)
    life.run(60)
    assert world.happened == []
    assert not path.exists()
    assert any("would be drained now" in line for line in life.stream.having("dry_run.verdict"))


def test_drain_of_a_pool_that_left_the_configuration_is_finished(world: World, path: Path) -> None:
    world.finish_jobs()
    life = Life(world, path)
    name = life.run_to(State.STOPPING)
    life.die()
    released = list[str]()

    class Noting(SharedCoordinator):
        def release(self, pool: str, *arguments: Any, **more: Any) -> None:
            released.append(pool)

    coordinator = Noting(world)
    config = pool_config(name="another", programs=("nothing",))
    for _ in range(2):  # A second one takes up what the first one made of it.
        life = Life(world, path, config=config, coordinate=lambda contents: coordinator)
        life.listener.turn(ticked=False)
        life.die()
    life = Life(world, path, config=config, coordinate=lambda contents: coordinator)
    life.run(60, until=lambda: not life.drains())
    assert world.in_service(world.workers[name])
    assert not life.stream.having("journal.damaged")
    assert coordinator.events == [] and released == ["jobs"], "there is no pool to tell any more"


@pytest.mark.parametrize("ended_in", [1, 5, 30])
def test_nothing_happens_after_the_end(world: World, path: Path, ended_in: int) -> None:
    life = Life(world, path)
    life.run(ended_in)
    before = list(world.happened)
    life.listener.ended = True
    life.run(30)
    assert world.happened == before
    assert EPOCH


def test_journal_is_there_for_the_next_listener(world: World, path: Path) -> None:
    life = Life(world, path)
    life.run_to(State.DRAINING)
    life.listener.ended = True
    life.tick()
    assert list(Journal(path, "boot").load().contents.drains) == ["jobs:one"]


def test_fault_of_one_kind_does_not_hide_the_other_pools(path: Path) -> None:
    world = World()

    class Faulty(QuietKind):
        def read(self, targets: Any, table: Any) -> Any:
            raise ZeroDivisionError("a bug")

    life = Life(world, path, kind=Faulty)
    life.run(20)
    assert world.happened == []
    (line,) = life.stream.having("failed")
    assert "pool jobs" in line
    assert "ZeroDivisionError" in line


def test_worker_that_is_over_between_two_checks_is_no_news_yet(world: World, path: Path) -> None:
    """A look between two TICKs counts no strikes; to say "0 of 1" would only puzzle."""
    for name in ("jobs:two", "jobs:three"):
        world.workers[name].memory = FRESH
    world.finish_jobs()
    life = Life(world, path)
    life.tick()
    for worker in world.workers.values():
        worker.memory = BLOATED
    while life.drains():
        world.advance(1.0)
        life.listener.turn(ticked=False)
    life.listener.turn(ticked=False)
    assert not [line for line in life.stream.having("worker.held") if "checks in a row" in line]
