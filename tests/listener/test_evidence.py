"""The command `before_stop` in a drain: in the background, once; whatever becomes of it, the drain ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.listener import state_file
from supervisor_memkill.notices.history import HistorySink
from supervisor_memkill.notices.records import DrainRecord, Record
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.evidence import END_SECONDS, EvidenceState
from supervisor_memkill.units import Size
from supervisor_memkill.world.commands import CommandEnd
from tests.listener.situations import run_until_replaced
from tests.listener_world import LIMIT, Life, QuietKind, StopKind, World, pool_config

LIMIT_SECONDS = 30.0
WORDS = ("/bin/echo", "%(pid)s", "%(group)s:%(name)s at %(host)s", "%(pool)s")


class Command:
    """One command that a test ends."""

    def __init__(self, words: Sequence[str], limit_seconds: float) -> None:
        self.words = words
        self.limit_seconds = limit_seconds
        self.came: CommandEnd | None = None
        self.is_given_up = False

    def end(self) -> CommandEnd | None:
        return self.came

    def give_up(self) -> None:
        self.is_given_up = self.came is None


class Commands:
    """All commands that were begun."""

    def __init__(self) -> None:
        self.begun: list[Command] = []

    def __call__(self, words: Sequence[str], limit_seconds: float) -> Command:
        self.begun.append(Command(words, limit_seconds))
        return self.begun[-1]


class Kept:
    """A history in memory."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def keep(self, record: Record) -> None:
        self.records.append(record)

    def tend(self) -> None:
        pass


@pytest.fixture
def commands() -> Commands:
    return Commands()


def life_of(world: World, path: Path, commands: Commands, *, die_at: str = "", **settings: Any) -> Life:
    kind, has_state = settings.pop("kind", QuietKind), settings.pop("has_state", False)
    config = pool_config(before_stop=WORDS, before_stop_timeout_seconds=LIMIT_SECONDS, **settings)
    return Life(
        world, path, die_at=die_at, kind=kind, config=config, begin_command=commands, has_state=has_state
    )


def run_to_command(life: Life, world: World, commands: Commands) -> str:
    """Run until the command of the first drain runs; its worker."""
    name = life.run_to(State.DRAINING)
    world.finish_jobs()
    life.run(30, until=lambda: bool(commands.begun))
    assert len(commands.begun) == 1
    return name


def stops(world: World) -> list[str]:
    return [one for one in world.happened if one.startswith("stop ")]


def test_command_runs_for_the_idle_worker_with_its_names_filled_in(
    world: World, path: Path, commands: Commands
) -> None:
    life = life_of(world, path, commands)
    name = life.run_to(State.DRAINING)
    pid = world.workers[name].pid
    life.run(20)
    assert not commands.begun, "a job is running"
    run_to_command(life, world, commands)
    (command,) = commands.begun
    assert command.words == ["/bin/echo", str(pid), f"{name} at here", "jobs"]
    assert command.limit_seconds == LIMIT_SECONDS
    assert life.stream.having("drain.evidence_begins") == [f"drain.evidence_begins worker={name} pid={pid}"]


def test_state_says_since_when_it_runs_and_then_no_more(world: World, path: Path, commands: Commands) -> None:
    life = life_of(world, path, commands, has_state=True)

    def since(name: str) -> float | None:
        worker = state_file.read(state_file.path_beside(life.journal.path)).worker(name)
        assert worker is not None and worker.drain is not None and worker.drain.state == "draining"
        return worker.drain.evidence_since

    name = life.run_to(State.DRAINING)
    life.run(2)
    assert since(name) is None
    world.finish_jobs()
    life.run(30, until=lambda: bool(commands.begun))
    began_at = world.clock()
    life.run(10)
    assert since(name) == pytest.approx(began_at, abs=2.0)
    world.workers[name].jobs = 1  # The drain goes on when the command is over.
    commands.begun[0].came = CommandEnd(1.0)
    life.run(5)
    assert since(name) is None


def test_no_turn_waits_for_it_and_the_stop_does(world: World, path: Path, commands: Commands) -> None:
    life = life_of(world, path, commands)
    name = run_to_command(life, world, commands)
    life.run(20)
    assert not stops(world)
    commands.begun[0].came = CommandEnd(20.5)
    life.run(3)
    assert stops(world) == [f"stop {name}"]
    (line,) = life.stream.having("drain.evidence")
    assert line.endswith("took=20.5s")


@pytest.mark.parametrize("error", ["", "/bin/echo: status 1", "/bin/echo: not done within 30 s"])
def test_every_drain_ends_and_each_runs_one_command(
    world: World, path: Path, commands: Commands, error: str
) -> None:
    life = life_of(world, path, commands)
    world.finish_jobs()

    def end_all() -> bool:
        for command in commands.begun:
            command.came = CommandEnd(1.5, error)
        return False

    life.run(200, until=end_all)
    run_until_replaced(life, world)
    assert len(commands.begun) == 3
    told = "drain.evidence_failed" if error else "drain.evidence"
    assert len(life.stream.having(told)) == 3
    assert not any(one.is_given_up for one in commands.begun)
    state = "failed" if error else "taken"
    assert all(f"evidence={state}" in line for line in life.stream.having("drain.done"))


def test_history_says_what_became_of_it(world: World, path: Path, commands: Commands) -> None:
    kept = Kept()
    life = Life(
        world,
        path,
        config=pool_config(before_stop=WORDS),
        begin_command=commands,
        history=HistorySink(kept, "here", world.clock),
    )
    run_to_command(life, world, commands)
    commands.begun[0].came = CommandEnd(1.0)
    life.run(60, until=lambda: bool(kept.records))
    (record,) = kept.records
    assert isinstance(record, DrainRecord)
    assert record.evidence == "taken"


def test_job_that_came_meanwhile_is_waited_for(world: World, path: Path, commands: Commands) -> None:
    life = life_of(world, path, commands)
    name = run_to_command(life, world, commands)
    world.workers[name].jobs = 1
    commands.begun[0].came = CommandEnd(1.0)
    life.run(30)
    assert not stops(world)
    world.finish_jobs()
    life.run(5)
    assert stops(world) == [f"stop {name}"]
    assert len(commands.begun) == 1


def test_worker_that_was_put_back_to_work_is_quieted_again_and_gets_no_second_command(
    world: World, path: Path, commands: Commands
) -> None:
    life = life_of(world, path, commands)
    name = run_to_command(life, world, commands)
    world.workers[name].quiet, world.workers[name].jobs = False, 1
    commands.begun[0].came = CommandEnd(1.0)
    life.run(30)
    assert not stops(world)
    world.finish_jobs()
    life.run(10, until=lambda: bool(stops(world)))
    assert stops(world) == [f"stop {name}"]
    assert len(commands.begun) == 1
    assert not world.broken_promises


def test_hard_limit_ends_it_and_stops_the_worker(world: World, path: Path, commands: Commands) -> None:
    life = life_of(world, path, commands, hard_max_rss=Size(exact_bytes=3 * LIMIT))
    name = run_to_command(life, world, commands)
    world.workers[name].memory = 4 * LIMIT
    life.run(3)
    assert stops(world) == [f"stop {name}"]
    assert commands.begun[0].is_given_up
    (line,) = life.stream.having("drain.evidence_failed")
    assert "could not wait" in line


def test_command_that_nothing_ends_holds_the_drain_no_longer_than_its_limit(
    world: World, path: Path, commands: Commands
) -> None:
    life = life_of(world, path, commands)
    name = run_to_command(life, world, commands)
    life.run(LIMIT_SECONDS + END_SECONDS - 2)
    assert not stops(world)
    life.run(5)
    assert stops(world) == [f"stop {name}"]
    assert commands.begun[0].is_given_up


def test_worker_that_the_operator_restarts_ends_the_command(
    world: World, path: Path, commands: Commands
) -> None:
    life = life_of(world, path, commands)
    name = run_to_command(life, world, commands)
    world.operator_restarts(name)
    life.run(5)
    assert commands.begun[0].is_given_up
    assert f"start {name}" not in world.happened


def test_worker_that_the_operator_stops_ends_the_command_and_stays_stopped(
    world: World, path: Path, commands: Commands
) -> None:
    life = life_of(world, path, commands)
    name = run_to_command(life, world, commands)
    world.operator_stops(name)
    life.run(30)
    assert commands.begun[0].is_given_up
    assert f"start {name}" not in world.happened
    assert not world.broken_promises


def test_listener_that_dies_in_the_middle_leaves_a_drain_that_goes_on_without_a_second_command(
    world: World, path: Path, commands: Commands
) -> None:
    first = life_of(world, path, commands)
    name = run_to_command(first, world, commands)
    (record,) = first.drains().values()
    assert record.evidence is not None
    assert record.evidence.state is EvidenceState.RUNS
    first.die()
    second = life_of(world, path, commands)
    second.run(5, until=lambda: bool(stops(world)))
    assert stops(world) == [f"stop {name}"]
    assert len(commands.begun) == 1
    (line,) = second.stream.having("drain.evidence_failed")
    assert "the listener ended while the command ran" in line


@pytest.mark.parametrize("place", ["draining.saved", "draining.acted"])
def test_listener_that_dies_beside_the_beginning_loses_no_drain_and_runs_at_most_one_command(
    world: World, path: Path, commands: Commands, place: str
) -> None:
    world.finish_jobs()
    first = life_of(world, path, commands)
    first.at = lambda at: first._die_there(at) if stops_here(first) else None
    first.die_at = place
    name = first.run_to_death()
    assert len(commands.begun) == (1 if place == "draining.acted" else 0)
    second = life_of(world, path, commands)
    second.run(5, until=lambda: bool(stops(world)))
    assert stops(world) == [f"stop {name}"]
    assert len(commands.begun) == (1 if place == "draining.acted" else 0)


def stops_here(life: Life) -> bool:
    """The journal says that the command runs."""
    return any(one.evidence is not None and one.evidence.runs for one in life.drains().values())


def test_without_the_journal_it_does_not_begin(world: World, path: Path, commands: Commands) -> None:
    """A listener that dies would run it a second time."""
    life = life_of(world, path, commands)
    life.run_to(State.DRAINING)
    blocker = path.with_name(path.name + ".new")
    blocker.mkdir()
    world.finish_jobs()
    life.run(10)
    assert not commands.begun
    blocker.rmdir()
    life.run(30, until=lambda: bool(commands.begun))
    assert len(commands.begun) == 1


def test_worker_that_the_command_left_suspended_is_continued(
    world: World, path: Path, commands: Commands
) -> None:
    life = life_of(world, path, commands)
    name = run_to_command(life, world, commands)
    world.workers[name].suspended = True
    life.run(5)
    assert f"continue {name}" not in world.happened, "the command still works on it"
    commands.begun[0].came = CommandEnd(5.0, "hangs")
    life.run(10, until=lambda: bool(stops(world)))
    assert world.happened.index(f"continue {name}") < world.happened.index(f"stop {name}")


def test_worker_that_its_quiet_suspended_stays_suspended_until_its_stop(
    world: World, path: Path, commands: Commands
) -> None:
    """As ``quiet_signal = STOP`` does: SIGCONT would let it take jobs before the stop."""

    class Suspending(QuietKind):
        def quiet(self, target: Any, table: Any) -> Any:
            note = super().quiet(target, table)
            world.workers[target.process.worker].suspended = True
            return note

    life = life_of(world, path, commands, kind=Suspending)
    name = run_to_command(life, world, commands)
    life.die()
    life = life_of(world, path, commands, kind=Suspending)
    life.run(10, until=lambda: bool(stops(world)))
    assert stops(world) == [f"stop {name}"]
    assert f"continue {name}" not in world.happened


def test_process_of_which_it_is_unknown_whether_it_is_suspended_is_not_continued(
    world: World, path: Path, commands: Commands
) -> None:
    life = life_of(world, path, commands)
    name = run_to_command(life, world, commands)
    world.workers[name].suspended = None
    commands.begun[0].came = CommandEnd(5.0)
    life.run(10, until=lambda: bool(stops(world)))
    assert stops(world) == [f"stop {name}"]
    assert f"continue {name}" not in world.happened


def test_worker_that_leaves_the_configuration_ends_the_command(
    world: World, path: Path, commands: Commands
) -> None:
    life = life_of(world, path, commands)
    name = run_to_command(life, world, commands)
    del world.workers[name]
    life.run(3)
    assert commands.begun[0].is_given_up
    assert name not in life.drains()


def test_kind_that_drains_by_stopping_runs_none(world: World, path: Path, commands: Commands) -> None:
    """Its configuration is refused, unless worker = auto finds such a kind."""
    world.finish_jobs()
    life = life_of(world, path, commands, kind=StopKind)
    run_until_replaced(life, world)
    assert not commands.begun
    assert any("drains by stopping" in line for line in life.stream.lines)


def test_command_that_is_not_there_is_a_hint_and_holds_no_drain(world: World, path: Path) -> None:
    """The real guard reports what happened to it."""
    from supervisor_memkill.world.guarded_command import GuardedCommand

    config = pool_config(before_stop=("/nope/tool", "%(pid)s"))
    life = Life(world, path, config=config, begin_command=GuardedCommand)
    life.tick()
    assert any("/nope/tool is not an executable file" in line for line in life.stream.having("worker.hint"))
    assert not life.stream.having("worker.unsafe_settings")
