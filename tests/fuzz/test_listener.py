"""The listener as a whole, with one thing that it reads from outside in somebody's hands.

Nothing is done to a worker on what is not right, no promise is broken, and when all is right again the work
goes on.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supervisor_memkill.coordination.redis import RedisCoordinator
from supervisor_memkill.errors import Unknown
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.workers.contract import Kind, Tools
from supervisor_memkill.workers.sidekiq.kind import Sidekiq
from supervisor_memkill.world.memory import Gone, ProcessTable
from tests.fuzz import test_journal
from tests.fuzz.effort import tries
from tests.fuzz.listener_run import (
    Draw,
    Records,
    Run,
    SidekiqWorld,
    WorldsSupervisord,
    fresh_journal,
)
from tests.fuzz.redis_answers import ERRORS, HOST
from tests.fuzz.test_coordination import ANSWERS, GRANTED
from tests.fuzz.values import JSON, is_whole, near_json, to_text
from tests.harness import short_directory
from tests.listener_world import (
    FRESH,
    LIMIT,
    QuietKind,
    StopKind,
    World,
    WorldTable,
)


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with short_directory() as path:
        yield path


@tries(12)
@given(st.data(), st.integers(0, 12))
def test_records_that_are_not_right_lead_to_nothing(
    directory: Path, data: st.DataObject, seconds: int
) -> None:
    """Neither from the beginning nor in the middle of a drain, whose time is not over."""
    world = SidekiqWorld()
    records = Records(data.draw, world)
    path = fresh_journal(directory)

    def kind(tools: Tools) -> Kind:
        return Sidekiq({}, tools, HOST, lambda: world.wall)

    with Run(world, path, kind=kind, redis=records) as run:
        run.go(seconds)
        records.is_wrong = True
        world.finish_jobs()
        before = list(world.happened)
        run.go(12)
        assert [one for one in world.happened[len(before) :] if not one.startswith("start")] == []
        assert run.stream.having("drain.let_go") == []
        records.is_wrong = False
        run.assert_all_is_right_again()


# --- supervisord -------------------------------------------------------------------------------------------


@tries(12)
@given(st.data(), st.integers(0, 16), st.sampled_from([QuietKind, StopKind]))
def test_answers_of_supervisords_that_are_not_right_lead_to_nothing(
    directory: Path, data: st.DataObject, seconds: int, kind: type[QuietKind]
) -> None:
    world = World()
    supervisord = WorldsSupervisord(data.draw, world)
    path = fresh_journal(directory)
    with Run(world, path, kind=lambda tools: kind({}, tools, world), supervisord=supervisord) as run:
        if data.draw(st.booleans()):
            world.finish_jobs()
        run.go(seconds)
        world.finish_jobs()
        supervisord.is_wrong = True
        before = len(world.happened)
        run.go(8)
        assert world.happened[before:] == []
        assert run.stream.having("drain.let_go") == []
        supervisord.is_wrong = False
        run.assert_all_is_right_again()


# --- coordination ------------------------------------------------------------------------------------------


def is_a_grant(answer: Any) -> bool:
    """By an own reading: the script's word that the slot is held, and how many others are in service."""
    try:
        found = json.loads(answer)
        if "refused" in found or not (is_whole(found["others"]) and is_whole(found["min_available"])):
            return False
        return bool(found["others"] >= found["min_available"])
    except (TypeError, ValueError, KeyError, RecursionError):
        return False


class Scripts:
    """A client whose scripts answer as drawn, and as they should once `is_right`."""

    def __init__(self, answers: Sequence[Any], right: Any, *, spares_publish: bool) -> None:
        """`spares_publish`: only who asks for a slot is answered wrongly."""
        self._answers, self._right, self._spares_publish = itertools.cycle(answers), right, spares_publish
        self.is_right = False

    def register_script(self, text: str) -> Callable[..., Any]:
        def run(keys: Sequence[str], args: Sequence[str] = ()) -> Any:
            request = json.loads(args[0])
            is_right = self.is_right or (self._spares_publish and "workers" in request)
            answer = self._right(request) if is_right else next(self._answers)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return run

    def xadd(self, *arguments: Any, **options: Any) -> str:
        return "1-0"


def _granting(request: Mapping[str, Any]) -> str:
    """What the scripts answer where nobody else is there; `known` must be what they understand."""
    known = request.get("known", {"epoch": "e", "seq": 1, "at": 1})
    assert (
        isinstance(known["epoch"], str) and is_whole(int(known["seq"])) and is_whole(int(known["at"]), None)
    )
    held = [token for _, token, is_out in request.get("holdings", []) if is_out]
    return to_text(
        {**GRANTED, "epoch": "e", "seq": 1, "at": 1, "taken": False, "held": held, "released": True}
    )


@tries(25)
@example([to_text({**GRANTED, "others": "2", "min_available": "1"})], True)
@example([to_text({**GRANTED, "others": True, "min_available": True})], True)
@example([to_text({**GRANTED, "refused": "of a newer version"})], True)
@example([to_text({**GRANTED, "at": "x"})], False)
@given(
    st.lists(
        st.one_of(ANSWERS, ERRORS).filter(lambda answer: not is_a_grant(answer)), min_size=1, max_size=3
    ),
    st.booleans(),
)
def test_answers_of_coordination_that_are_no_grant_lead_to_nothing(
    directory: Path, answers: list[Any], spares_publish: bool
) -> None:
    world = World()
    scripts = Scripts(answers, _granting, spares_publish=spares_publish)

    def coordinate(contents: Any) -> RedisCoordinator:
        return RedisCoordinator(
            lambda: scripts, "here/s", "life", prefix="t", heartbeat_seconds=2, slot_ttl_seconds=20
        )

    with Run(world, fresh_journal(directory), coordinate=coordinate) as run:
        run.go(15)
        assert world.happened == []
        scripts.is_right = True
        assert run.go(30, until=lambda: bool(world.happened)), run.stream.lines


# --- the journal --------------------------------------------------------------------------------------------

BODIES_OF_JOURNALS = near_json({**test_journal.BODY, "boot_id": "boot"})


@tries(25)
@example(test_journal.sealed({**test_journal.with_drain(deadline="x"), "boot_id": "boot"}), True)
@example(test_journal.sealed({**test_journal.with_drain(tree=[[10**400, 1]]), "boot_id": "boot"}), True)
@given(
    st.one_of(
        st.binary(max_size=99), BODIES_OF_JOURNALS.map(test_journal.sealed), JSON.map(to_text).map(str.encode)
    ),
    st.booleans(),
)
def test_a_journal_of_other_processes_lets_nothing_be_done_to_these(
    directory: Path, journal: bytes, is_stopped: bool
) -> None:
    """And whoever starts with it works on."""
    world = World()
    for worker in world.workers.values():
        worker.memory = FRESH
    if is_stopped:
        world.operator_stops("jobs:one")
        world.advance(2)
    path = fresh_journal(directory)
    path.write_bytes(journal)
    with Run(world, path) as run:
        run.go(15)
        assert world.happened == []
        assert not [line for line in run.stream.lines if re.match(r"failed at=(turn|.?worker)", line)]
        world.workers["jobs:three"].memory = 2 * LIMIT
        assert run.go(30, until=lambda: bool(world.happened)), run.stream.lines
        assert not world.broken_promises


# --- processes ----------------------------------------------------------------------------------------------


class WrongTable(WorldTable):
    """Whatever is asked of it is unknown, or not what it was."""

    def __init__(self, world: World, draw: Draw) -> None:
        super().__init__(world)
        self._draw = draw

    def memory(self, pid: int, measure: str = "rss", with_children: bool = False) -> int:
        raise self._draw(st.sampled_from([Unknown, Gone]))("it cannot be read")

    def tree(self, pid: int) -> Any:
        if self._draw(st.booleans()):
            raise Unknown("it cannot be read")
        return super().tree(pid)

    def is_alive(self, process: Any) -> bool:
        if self._draw(st.booleans()):
            raise Unknown("it cannot be read")
        return super().is_alive(process)

    def title(self, pid: int) -> str:
        return str(self._draw(st.text(max_size=5)))


@tries(12)
@given(st.data(), st.integers(0, 16), st.sampled_from([QuietKind, StopKind]))
def test_processes_that_cannot_be_read_begin_no_drain(
    directory: Path, data: st.DataObject, seconds: int, kind: type[QuietKind]
) -> None:
    """One that is under way goes on: finishing it gives capacity back."""
    world, right = World(), [True]

    def process_table() -> ProcessTable:
        return WorldTable(world) if right[0] else WrongTable(world, data.draw)

    path = fresh_journal(directory)
    with Run(world, path, kind=lambda tools: kind({}, tools, world), process_table=process_table) as run:
        run.go(seconds)
        right[0] = False
        world.finish_jobs()
        out = set(world.out_of_service())
        before = len(world.happened)
        run.go(10)
        acted_on = {one.partition(" ")[2] for one in world.happened[before:]}
        assert acted_on <= out
        right[0] = True
        run.assert_all_is_right_again()


def test_the_world_is_one_in_which_all_of_them_are_drained(directory: Path) -> None:
    """With everything right; or nothing above would be seen."""
    world = SidekiqWorld()
    records = Records(lambda strategy: 0, world)
    with Run(
        world,
        fresh_journal(directory),
        kind=lambda tools: Sidekiq({}, tools, HOST, lambda: world.wall),
        redis=records,
        supervisord=WorldsSupervisord(lambda strategy: 0, world),
    ) as run:
        run.assert_all_is_right_again()
    assert sorted(one for one in world.happened if one.startswith("stop")) == [
        f"stop {name}" for name in sorted(world.workers)
    ]
    assert all(worker.state is ProcessState.RUNNING for worker in world.workers.values())
