"""What a close reading found: configurations that change round a drain, faults of one pool or one host."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.coordination.contract import Answer, CoordinationUnknown, Published
from supervisor_memkill.errors import NotSent, Unknown
from supervisor_memkill.listener.journal import Contents, Journal
from supervisor_memkill.processes import ProcessState, ProgramInfo
from supervisor_memkill.rules.drain import State
from supervisor_memkill.units import Size
from supervisor_memkill.workers.contract import Advice, Traits
from supervisor_memkill.world.supervisord import NoAnswer, ShuttingDown, SupervisordError, Unreachable
from tests.listener_world import (
    BLOATED,
    FRESH,
    Life,
    QuietKind,
    SharedCoordinator,
    StopKind,
    World,
    WorldTable,
    pool_config,
)

RENAMED = pool_config(name="work")


class ResumeKind(QuietKind):
    traits = Traits(quiets=True, confirms_quiet=True, repeat_quiet_after_seconds=5.0, can_resume=True)


def others_stop(world: World, name: str) -> None:
    for other in world.workers:
        if other != name:
            world.operator_stops(other)
    world.advance(5)


def work(life: Life, world: World, seconds: int) -> None:
    for _ in range(seconds):
        life.run(1)
        world.finish_jobs()


def any_is_fresh(world: World) -> bool:
    return any(worker.memory == FRESH for worker in world.workers.values())


def test_renamed_pool_takes_no_second_one_out(world: World, path: Path) -> None:
    life = Life(world, path)
    life.run_to(State.DRAINING)
    life.die()
    Life(world, path, config=RENAMED).run(60)
    assert not world.broken_promises, world.broken_promises


@pytest.mark.parametrize(
    ("kind", "place", "seconds"), [(StopKind, "stopping.saved", 60), (QuietKind, "quieting.saved", 2 * 3600)]
)
def test_drain_of_a_renamed_pool_does_not_take_the_last_one(
    world: World, path: Path, kind: type[QuietKind], place: str, seconds: int
) -> None:
    name = Life(world, path, kind=kind, die_at=place).run_to_death()
    others_stop(world, name)
    life = Life(world, path, kind=kind, config=RENAMED)
    life.run(seconds, until=lambda: bool(world.broken_promises))
    assert not world.broken_promises, world.broken_promises


def test_renamed_pool_keeps_its_protected_jobs(world: World, path: Path) -> None:
    config = pool_config(protect_jobs=("Job",), drain_timeout_seconds=20.0)
    world.finish_jobs()
    name = Life(world, path, config=config, die_at="quieting.acted").run_to_death()
    world.workers[name].jobs = 1  # taken just before the quiet
    life = Life(world, path, config=config)
    life.run(60)
    assert life.only_drain()[1] is State.DRAINING, "a protected job runs"
    life.die()
    Life(world, path, config=dataclasses.replace(config, name="work")).run(30)
    assert f"stop {name}" not in world.happened, world.happened


@pytest.mark.parametrize(("kind", "place"), [(QuietKind, "quieting.saved"), (StopKind, "stopping.saved")])
def test_worker_that_left_its_pool_keeps_no_slot_for_ever(
    world: World, path: Path, kind: type[QuietKind], place: str
) -> None:
    name = Life(world, path, kind=kind, die_at=place).run_to_death()
    rest = tuple(other for other in world.workers if other != name)
    also = [(pool_config(name="other", programs=("nothing",)), kind)]
    life = Life(world, path, kind=kind, config=pool_config(programs=rest), also=also)
    work(life, world, 2 * 3600)
    assert name not in life.drains(), life.only_drain()
    assert all(world.workers[other].memory == FRESH for other in rest)


@pytest.mark.parametrize("change", ["pool renamed", "no resume any more"])
def test_resuming_comes_to_an_end(world: World, path: Path, change: str) -> None:
    config = pool_config(on_timeout="resume", drain_timeout_seconds=20.0)
    name = Life(world, path, kind=ResumeKind, config=config, die_at="resuming.saved").run_to_death()
    assert world.workers[name].quiet

    class NoResume(QuietKind):
        def resume(self, target: Any, table: Any) -> None:
            raise NotSent("no resume_signal is set")

    kind = ResumeKind if change == "pool renamed" else NoResume
    config = dataclasses.replace(config, name="work") if change == "pool renamed" else config
    life = Life(world, path, kind=kind, config=config)
    life.run(2 * 3600, until=lambda: not world.workers[name].quiet)
    assert not world.workers[name].quiet, life.stream.lines


def test_worker_that_cannot_be_quieted_keeps_no_other_waiting(world: World, path: Path) -> None:
    class Unable(QuietKind):
        def quiet(self, target: Any, table: Any) -> Any:
            if target.process.name == "one":
                raise NotSent("never")
            return super().quiet(target, table)

    world.workers["jobs:one"].memory = BLOATED + 1
    life = Life(world, path, kind=Unable)
    work(life, world, 4000)
    assert world.workers["jobs:two"].memory == FRESH, life.stream.lines[:20]


def test_slow_disk_does_not_keep_a_worker_quiet_for_ever(world: World, path: Path) -> None:
    life = Life(world, path)
    life.run_to(State.DRAINING)
    save = life.journal.save

    def slowly(contents: Contents) -> None:
        save(contents)
        world.advance(3.2)

    life.journal.save = slowly  # type: ignore[method-assign]
    world.finish_jobs()
    life.run(600, until=lambda: any_is_fresh(world))
    assert any_is_fresh(world), life.stream.lines


def test_pool_that_coordination_fails_for_stops_no_other(world: World, path: Path) -> None:
    class Half(SharedCoordinator):
        def publish(self, pool: str, *rest: Any) -> Published:
            if pool == "broken":
                raise CoordinationUnknown("WRONGTYPE")
            return super().publish(pool, *rest)

    broken = pool_config(name="broken", programs=("other",))
    life = Life(
        world,
        path,
        config=broken,
        also=[(pool_config(), QuietKind)],
        coordinate=lambda contents: Half(world),
    )
    work(life, world, 300)
    assert any_is_fresh(world), life.stream.lines


def test_cooldown_of_an_earlier_boot_does_not_hold(path: Path) -> None:
    """Where the system gives its boots no id (macOS, FreeBSD), a clock that had run longer tells."""
    Journal(path, "", lambda: 1e6).save(Contents(drain_ended_at={"jobs": 1e6}, instance="x"))
    loaded = Journal(path, "", lambda: 100.0).load()
    assert loaded.other_boot and not loaded.contents.drain_ended_at
    assert Journal(path, "", lambda: 1e6 + 1).load().contents.drain_ended_at


def test_pause_ends_with_the_limit_it_was_for(world: World, path: Path) -> None:
    life = Life(world, path, config=pool_config(max_rss=Size(exact_bytes=FRESH)))
    work(life, world, 120)
    assert life.stream.having("limit.below_baseline")
    life.die()
    life = Life(world, path)  # max_rss raised, as the hint says
    for worker in world.workers.values():
        worker.memory = BLOATED
    work(life, world, 300)
    assert all(worker.memory == FRESH for worker in world.workers.values()), life.stream.lines


@pytest.mark.parametrize("what", ["request lost", "listener restarted"])
def test_adoption_is_tried_again(world: World, path: Path, what: str) -> None:
    for worker in world.workers.values():
        worker.memory = FRESH
    world.workers["jobs:one"].quiet = True
    world.finish_jobs()
    path.parent.mkdir(mode=0o700)
    path.write_text("rubbish")
    programs = world.programs

    def second_is_lost() -> Any:
        if world.times_programs_were_told == 1:
            world.times_programs_were_told += 1
            raise NoAnswer("no answer")
        return programs()

    life = Life(world, path)
    if what == "request lost":
        world.programs = second_is_lost  # type: ignore[method-assign]
    else:
        world.records_away = True
        life.run(60)
        life.die()
        world.records_away = False
        life = Life(world, path)
    life.run(300)
    assert not world.workers["jobs:one"].quiet, life.stream.lines


def test_dry_run_says_what_it_leaves(world: World, path: Path) -> None:
    world.finish_jobs()
    name = Life(world, path, die_at="starting.saved").run_to_death()
    life = Life(world, path, dry_run=True)
    life.run(600)
    assert world.workers[name].state is ProcessState.STOPPED
    assert any(name in line for line in life.stream.lines), life.stream.lines


class Particular(StopKind):
    """Refuses a worker whose stopsignal is TERM."""

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float) -> list[Advice]:
        return [Advice("stopsignal=TERM must be INT", refuses=True)] if program.stopsignal == 15 else []


def test_settings_that_were_only_reread_are_not_in_force(world: World, path: Path) -> None:
    """supervisord tells of its files as it read them last; what runs, it stops by those of before."""
    programs, number = world.programs, [15]
    world.programs = lambda: [dataclasses.replace(one, stopsignal=number[0]) for one in programs()]  # type: ignore[method-assign]
    world.finish_jobs()
    life = Life(world, path, kind=Particular)
    life.run(60)
    number[0] = 2  # supervisorctl reread
    life.run(600)
    assert world.happened == []
    for name in world.workers:  # supervisorctl update
        world.operator_restarts(name)
    work(life, world, 60)
    for worker in world.workers.values():
        worker.memory = BLOATED
    work(life, world, 120)
    assert any_is_fresh(world), life.stream.lines


def test_listener_that_ends_names_what_it_leaves(world: World, path: Path) -> None:
    life = Life(world, path)
    life.run_to(State.DRAINING)
    life.listener.say_left()
    (line,) = life.stream.having("drain.left")
    assert life.only_drain()[0] in line and "state=draining" in line


def test_setting_that_could_not_be_found_out_at_first_is_asked_for_again(world: World, path: Path) -> None:
    """What was not known is nothing to keep to."""

    class Careful(StopKind):
        def advice(self, program: ProgramInfo, drain_timeout_seconds: float) -> list[Advice]:
            return [Advice("unknown", refuses=True)] if program.stopasgroup is None else []

    programs, known = world.programs, dict[str, bool]()
    world.programs = lambda: [dataclasses.replace(one, killasgroup=True) for one in programs()]  # type: ignore[method-assign]
    world.finish_jobs()
    life = Life(world, path, kind=Careful)
    life.listener._surveyor._stop_as_group = lambda: known
    life.run(60)
    assert world.happened == []
    known["jobs"] = False
    work(life, world, 120)
    assert any_is_fresh(world), life.stream.lines


def test_protected_job_that_began_while_redis_was_away_is_not_drained(world: World, path: Path) -> None:
    for name, worker in world.workers.items():
        worker.jobs, worker.memory = 0, BLOATED if name == "jobs:one" else FRESH
    redis = SharedCoordinator(world)
    config = pool_config(protect_jobs=("Job",), drain_timeout_seconds=60.0)
    life = Life(world, path, config=config, coordinate=lambda contents: redis)
    life._at = lambda place: setattr(redis, "is_away", place == "asking.saved" or redis.is_away)  # type: ignore[method-assign]
    life.listener._at = life._at
    life.run(30)
    assert life.only_drain() == ("jobs:one", State.ASKING)
    world.workers["jobs:one"].jobs = 1
    redis.is_away = False
    life.listener._drainer._at = life.listener._at = lambda place: None  # type: ignore[union-attr]
    life.run(600)
    assert world.happened == []
    work(life, world, 60)
    assert world.workers["jobs:one"].memory == FRESH


def test_late_quiet_on_a_fresh_process_leaves_it_its_time(world: World, path: Path) -> None:
    """The drain is older than drain_timeout by then, and the fresh process has its first job in hand."""
    life = Life(world, path, config=pool_config(drain_timeout_seconds=30.0))
    name = life.run_to(State.DRAINING)
    life.run(120, until=lambda: life.drains()[name].state is State.SETTLING)
    worker = world.workers[name]
    worker.quiet, worker.jobs, since = True, 1, world.now
    life.run(120, until=lambda: world.happened.count(f"stop {name}") == 2)
    assert world.now - since >= 30.0


def test_quiet_worker_of_a_removed_pool_whose_resume_was_under_way_is_brought_back(
    world: World, path: Path
) -> None:
    config = pool_config(on_timeout="resume", drain_timeout_seconds=20.0)
    name = Life(world, path, kind=ResumeKind, config=config, die_at="resuming.saved").run_to_death()
    assert world.workers[name].quiet
    Life(world, path, kind=ResumeKind, config=pool_config(name="other", programs=("nothing",))).run(300)
    assert not world.workers[name].quiet
    assert not world.broken_promises, world.broken_promises


def test_worker_that_somebody_put_back_to_work_is_not_taken_for_quiet_by_the_hard_limit(
    world: World, path: Path
) -> None:
    """S2: it is the last one, and its memory passes the hard limit in the moment in which it works again."""
    life = Life(world, path, config=pool_config(hard_max_rss=Size(exact_bytes=2 * BLOATED)))
    name = life.run_to(State.DRAINING)
    others_stop(world, name)
    world.workers[name].quiet, world.workers[name].memory = False, 3 * BLOATED
    life.run(60)
    assert not world.broken_promises, world.broken_promises


@pytest.mark.parametrize("error", [ShuttingDown("SHUTDOWN_STATE"), Unreachable("refused"), RuntimeError("?")])
def test_turns_that_fail_do_not_spin(world: World, path: Path, error: Exception) -> None:
    redis = SharedCoordinator(world)
    life = Life(world, path, coordinate=lambda contents: redis)
    life.run_to(State.DRAINING)
    world.away = error  # type: ignore[assignment]
    turns = 0
    end = world.now + 600
    while world.now < end:
        turns += 1
        life.tick()
        wait = life.listener.wait_seconds()
        assert wait is not None and wait > 0
        world.advance(wait)
    assert turns <= 2 * 600, "two in a poll_interval at most, for a TICK may come between"


@pytest.mark.parametrize("error", [ShuttingDown("SHUTDOWN_STATE"), Unreachable("refused")])
def test_slot_is_renewed_while_supervisord_cannot_be_asked(
    world: World, path: Path, error: SupervisordError
) -> None:
    """A shutdown takes as long as its slowest worker; the drain that was under way is still one."""
    redis = SharedCoordinator(world)
    life = Life(world, path, coordinate=lambda contents: redis)
    life.run_to(State.DRAINING)
    world.away = error
    life.run(10)
    redis.told.clear()
    life.run(600)
    assert len(redis.told) >= 600 / 10 - 1, "heartbeat is 10 s"


class SomeUnknowing(QuietKind):
    """A kind with a worker whose quiet never shows."""

    traits = Traits(quiets=True)

    def _read(self, target: Any) -> Any:
        return dataclasses.replace(super()._read(target), quiet=None)


def test_operators_quiet_long_after_a_damaged_journal_is_the_operators(world: World, path: Path) -> None:
    """One of the pools is of a kind that never knows who is quiet."""
    for worker in world.workers.values():
        worker.memory = FRESH
    path.parent.mkdir(mode=0o700)
    path.write_text("rubbish")

    def start() -> Life:
        other = pool_config(name="other", programs=("jobs:three",))
        config = pool_config(programs=("jobs:one", "jobs:two"))
        return Life(world, path, config=config, also=[(other, SomeUnknowing)])

    life = start()
    life.run(60)
    life.die()
    world.workers["jobs:one"].quiet = True
    world.finish_jobs()
    start().run(300)
    assert world.happened == []


def test_worker_that_a_person_quieted_and_ended_stays_as_it_is(world: World, path: Path) -> None:
    """autorestart=unexpected leaves it EXITED, and nothing of ours had reached it."""
    for name, worker in world.workers.items():
        worker.memory, worker.quiet = (BLOATED, True) if name == "jobs:one" else (FRESH, False)
    life = Life(world, path)
    life.run(10)
    assert life.only_drain() == ("jobs:one", State.DRAINING)
    world.end(world.workers["jobs:one"], ProcessState.EXITED)
    life.run(60)
    assert world.happened == []


def test_worker_that_ended_by_itself_before_our_stop_was_sent_stays_as_it_is(
    world: World, path: Path
) -> None:
    life = Life(world, path, kind=StopKind)
    look, ended = world.process, list[str]()

    def look_then_end(name: str) -> Any:
        drain = life.listener._ledger.drains.get(name)
        if drain is not None and drain.state is State.STOPPING and not ended:
            ended.append(name)
            world.end(world.workers[name], ProcessState.EXITED)
            raise NoAnswer("it hangs")
        return look(name)

    world.process = look_then_end  # type: ignore[method-assign]
    life.run(5)
    assert ended and f"start {ended[0]}" not in world.happened


@pytest.mark.parametrize("method", ["read", "before_stop", "memory_in_children"])
def test_kind_that_raises_leaves_no_worker_quiet(
    world: World, path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kind may be anybody's code."""

    def fail(*arguments: Any) -> Any:
        raise KeyError("a fault of this kind")

    config = pool_config(drain_timeout_seconds=60.0, hard_max_rss=Size(exact_bytes=10 * BLOATED))
    life = Life(world, path, config=config)
    name = life.run_to(State.DRAINING)
    monkeypatch.setattr(QuietKind, method, fail)
    life.run(120)
    assert f"start {name}" in world.happened, life.stream.lines
    told = {"read": "kind.failed", "before_stop": "drain.stop_help_failed"}.get(method)
    if told:
        (line,) = life.stream.having(told)
        assert name in line and "a fault of this kind" in line


def test_settings_that_are_to_be_asked_for_again_are_not_forgotten_by_a_look_at_another_pool(
    world: World, path: Path
) -> None:
    other = pool_config(name="other", programs=("jobs:two",))
    config = pool_config(programs=("jobs:one",))
    life = Life(world, path, kind=Particular, config=config, also=[(other, QuietKind)])
    surveyor = life.listener._surveyor
    surveyor.check(Contents())
    asked = world.times_programs_were_told
    surveyor.look(Contents(), life.pools[1])
    surveyor.check(Contents())
    assert world.times_programs_were_told == asked + 1


def test_stop_is_not_repeated_while_the_own_workers_count_under_a_former_name(
    world: World, path: Path
) -> None:
    """S2: it would be its own peer."""

    class Named(SharedCoordinator):
        ends_at = 0.0

        def __init__(self, name: str) -> None:
            super().__init__(world)
            self.name = name

        def acquire(self, *arguments: Any) -> Answer:
            answer = super().acquire(*arguments)
            itself = 1 if self._world.now < self.ends_at else 0
            return dataclasses.replace(answer, others_in_service=answer.others_in_service + itself)

    former = Named("former")
    life = Life(world, path, kind=StopKind, die_at="stopping.saved", coordinate=lambda contents: former)
    others_stop(world, life.run_to_death())
    present = Named("present")
    present.ends_at = world.now + 30.0
    life = Life(world, path, kind=StopKind, coordinate=lambda contents: present)
    life.run(60)
    assert not world.broken_promises, world.broken_promises
    assert life.stream.having("drain.let_go"), "it may not go any more"


def test_drain_is_not_let_go_because_a_pool_could_not_be_looked_at(world: World, path: Path) -> None:
    class Faulty(StopKind):
        def read(self, targets: Any, table: Any) -> Any:
            if is_faulty[0] and len(targets) > 1:
                raise ZeroDivisionError("a bug that another worker meets")
            return super().read(targets, table)

    is_faulty = [False]
    name = Life(world, path, kind=Faulty, die_at="stopping.saved").run_to_death()
    life = Life(world, path, kind=Faulty)
    is_faulty[0] = True
    life.run(20)
    assert life.only_drain() == (name, State.STOPPING) and life.stream.having("failed")
    is_faulty[0] = False
    life.run(60, until=lambda: bool(life.stream.having("drain.done")))
    assert world.workers[name].memory == FRESH


def test_worker_that_is_removed_while_it_asks_is_let_go(world: World, path: Path) -> None:
    everything, removed = world.all_processes, set[str]()
    world.all_processes = lambda: [one for one in everything() if one.worker not in removed]  # type: ignore[method-assign]
    name = Life(world, path, kind=StopKind, die_at="stopping.saved").run_to_death()

    class Meanwhile(SharedCoordinator):
        def publish(self, *arguments: Any) -> Published:
            removed.add(name)
            return super().publish(*arguments)

    life = Life(world, path, kind=StopKind, coordinate=lambda contents: Meanwhile(world))
    life.run(10)
    assert life.stream.having("drain.let_go") and not life.stream.having("failed")


def test_operators_stop_long_after_one_of_ours_that_got_lost_is_the_operators(
    world: World, path: Path
) -> None:
    """S5: ours had no answer, and the next look showed that it had not arrived."""
    stop, sent = world.stop, list[str]()

    def lose(name: str) -> None:
        sent.append(name)
        raise NoAnswer("the request got lost")

    life = Life(world, path)
    name = life.run_to(State.DRAINING)
    others_stop(world, name)
    world.stop = lose  # type: ignore[method-assign]
    world.finish_jobs()
    life.run(10, until=lambda: bool(sent))
    world.workers[name].quiet = False  # Somebody put it back to work, and it is the last one.
    life.run(60)
    assert sent == [name] and life.only_drain() == (name, State.STOPPING)
    world.stop = stop  # type: ignore[method-assign]
    world.operator_stops(name)
    life.run(30)
    assert world.workers[name].state is ProcessState.STOPPED
    assert not world.broken_promises, world.broken_promises


def test_slot_of_a_drain_whose_pool_was_renamed_is_given_back(world: World, path: Path) -> None:
    coordinator = SharedCoordinator(world)
    life = Life(world, path, coordinate=lambda contents: coordinator)
    name = life.run_to(State.DRAINING)
    assert coordinator.view("jobs").holders == (name,)
    life.die()
    life = Life(world, path, config=RENAMED, coordinate=lambda contents: coordinator)
    life.listener.turn(ticked=False)
    assert coordinator.view("jobs").holders == ()
    (line,) = life.stream.having("drain.pool_changed")
    assert "former=jobs" in line and "pool=work" in line


def test_quiet_worker_of_a_renamed_pool_is_brought_back_whatever_its_peers_do(
    world: World, path: Path
) -> None:
    name = Life(world, path, die_at="draining.saved").run_to_death()
    others_stop(world, name)
    world.finish_jobs()
    Life(world, path, config=RENAMED).run(60)
    assert world.workers[name].memory == FRESH
    assert not world.broken_promises, world.broken_promises


@pytest.mark.parametrize(("kind", "place"), [(QuietKind, "quieting.saved"), (StopKind, "stopping.saved")])
@pytest.mark.parametrize("name_of_pool", ["work", "other"])
def test_worker_in_service_is_not_taken_for_quiet_because_its_pool_changed(
    world: World, path: Path, kind: type[QuietKind], place: str, name_of_pool: str
) -> None:
    """S2: its act was never sent, it is the last one, and over the hard limit."""
    hard = Size(exact_bytes=2 * BLOATED)
    programs = ("jobs",) if name_of_pool == "work" else ("nothing",)
    name = Life(world, path, kind=kind, die_at=place).run_to_death()
    others_stop(world, name)
    world.workers[name].memory = 3 * BLOATED
    config = pool_config(name=name_of_pool, programs=programs, hard_max_rss=hard)
    Life(world, path, kind=kind, config=config).run(60)
    if (kind, name_of_pool) != (QuietKind, "other"):  # There nobody can tell whether its quiet arrived.
        assert not world.broken_promises, world.broken_promises


def test_quiet_worker_of_a_pool_without_a_known_limit_is_brought_back(world: World, path: Path) -> None:
    """Adopted after a damaged journal; killed once more in between."""
    for worker in world.workers.values():
        worker.memory = FRESH
    world.workers["jobs:one"].quiet = True
    path.parent.mkdir(mode=0o700)
    path.write_text("rubbish")
    config = pool_config(max_rss=None)
    life = Life(world, path, config=config)
    life.tick()
    assert life.only_drain() == ("jobs:one", State.DRAINING)
    life.die()
    world.finish_jobs()
    life = Life(world, path, config=config)
    life.run(60)
    assert life.stream.having("drain.done") and not world.workers["jobs:one"].quiet
    assert not life.stream.having("journal.damaged") and not life.stream.having("limit.below_baseline")


def test_old_process_of_which_nothing_is_known_is_waited_for(
    world: World, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.finish_jobs()
    world.workers["jobs:one"].orphans = (9999,)

    def unknown(self: WorldTable, process: Any) -> bool:
        if process.pid == 9999:
            raise Unknown("no permission")
        return is_alive(self, process)

    is_alive = WorldTable.is_alive
    monkeypatch.setattr(WorldTable, "is_alive", unknown)
    life = Life(world, path)
    life.run(60)
    assert life.only_drain() == ("jobs:one", State.SETTLING)
    assert "pids=9999" in life.stream.having("drain.old_processes_live")[0]


def test_quiet_worker_whose_settings_supervisord_does_not_tell_is_brought_back(
    world: World, path: Path
) -> None:
    world.workers["jobs:one"].quiet, world.tells_programs = True, False
    world.finish_jobs()
    path.parent.mkdir(mode=0o700)
    path.write_text("rubbish")
    life = Life(world, path)
    life.run(60)
    assert world.workers["jobs:one"].memory == FRESH
    assert not life.stream.having("failed")


def test_old_processes_are_waited_for_as_long_as_the_programs_stop_may_take(world: World, path: Path) -> None:
    programs = world.programs
    world.programs = lambda: [dataclasses.replace(one, stopwaitsecs=30) for one in programs()]  # type: ignore[method-assign]
    world.finish_jobs()
    world.workers["jobs:one"].orphans, world.alive_orphans = (9999,), {9999}
    life = Life(world, path)
    life.run_to(State.STOPPING)
    life.run(25)
    assert life.only_drain() == ("jobs:one", State.STOPPING)
    life.run(10)
    assert "start jobs:one" in world.happened
