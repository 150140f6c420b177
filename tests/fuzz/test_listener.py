"""The listener as a whole, with one thing that it reads from outside in somebody's hands.

Nothing is done to a worker on what is not right, no promise is broken, and when all is right again the work
goes on.
"""

from __future__ import annotations

import itertools
import json
import re
import xmlrpc.client
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supervisor_memkill.config.values import Config, PoolConfig
from supervisor_memkill.coordination.in_process import InProcessCoordinator
from supervisor_memkill.coordination.redis import RedisCoordinator
from supervisor_memkill.errors import Unknown
from supervisor_memkill.listener.findings import Pool
from supervisor_memkill.listener.journal import Journal
from supervisor_memkill.listener.listener import Listener
from supervisor_memkill.listener.survey import Surveyor
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.log import LogSink
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.workers.contract import Kind, Tools
from supervisor_memkill.workers.sidekiq.kind import Sidekiq
from supervisor_memkill.workers.sidekiq.records import FIELDS
from supervisor_memkill.world.memory import Gone, ProcessTable
from supervisor_memkill.world.supervisord import Supervisord, SupervisordError
from tests.fuzz import test_journal
from tests.fuzz.effort import tries
from tests.fuzz.redis_answers import ERRORS, HOST, INFO, FuzzedRedis, field
from tests.fuzz.test_coordination import ANSWERS, GRANTED
from tests.fuzz.test_supervisord import BODIES, RAW, fault
from tests.fuzz.values import JSON, is_whole, near_json, to_text
from tests.harness import short_directory
from tests.listener_world import (
    EPOCH,
    FRESH,
    LIMIT,
    Lines,
    QuietKind,
    StopKind,
    World,
    WorldTable,
    pool_config,
)

Draw = Callable[[st.SearchStrategy[Any]], Any]


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with short_directory() as path:
        yield path


def fresh_journal(directory: Path) -> Path:
    """In a directory for its owner alone, and not there yet."""
    own = directory / "own"
    own.mkdir(mode=0o700, exist_ok=True)
    for file in own.iterdir():
        file.unlink()
    return own / "memkill.journal"


class Run:
    """A listener in a world, of which any part may be replaced."""

    def __init__(
        self,
        world: World,
        path: Path,
        *,
        kind: Callable[[Tools], Kind] | None = None,
        redis: Any = None,
        supervisord: Any = None,
        coordinate: Callable[[Any], Any] | None = None,
        process_table: Callable[[], ProcessTable] | None = None,
        config: PoolConfig | None = None,
    ) -> None:
        self.world, self.stream = world, Lines()
        gateway: Any = supervisord or world
        tools = Tools(redis=lambda: redis, signal=gateway.signal, clock=world.clock, host="here")
        made = kind(tools) if kind else QuietKind({}, tools, world)
        pools = [Pool(config or pool_config(), made)]
        process_table = process_table or (lambda: WorldTable(world))
        surveyor = Surveyor(
            gateway,
            pools,
            world.clock,
            own_group="memkill",
            process_table=process_table,
            machine_bytes=lambda: 10 * LIMIT,
        )
        self.journal = Journal(path, "boot")
        self.listener = Listener(
            Config(host="here", pools=tuple(pool.config for pool in pools)),
            pools,
            gateway,
            surveyor,
            self.journal,
            coordinate or (lambda contents: InProcessCoordinator(world.clock, contents.drain_ended_at)),
            Notifier([LogSink(self.stream, "info", world.clock)]),  # type: ignore[arg-type]
            world.clock,
            process_table=process_table,
        )

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: object) -> None:
        self.journal.unlock()

    def go(self, seconds: int, until: Callable[[], bool] = lambda: False) -> bool:
        """Turns a second apart with a TICK every 5 s; whether it came so far."""
        for second in range(seconds):
            if until():
                return True
            self.listener.turn(ticked=second % 5 == 0)
            self.world.advance(1.0)
        return until()

    def assert_all_is_right_again(self) -> None:
        """Whoever was over its limit has been replaced, and nobody is out of service."""
        self.world.finish_jobs()
        done = self.go(
            400,
            until=lambda: (
                not self.world.out_of_service()
                and all(worker.memory == FRESH for worker in self.world.workers.values())
            ),
        )
        assert done, (self.world.workers, self.stream.lines)
        assert not self.world.broken_promises


# --- the workers' own records ----------------------------------------------------------------------------


class SidekiqWorld(World):
    """Its workers are Sidekiqs, which tell of themselves in Redis."""

    def signal(self, name: str, signal: str) -> None:
        super().signal(name, "QUIET" if signal == "TSTP" else signal)

    @property
    def wall(self) -> float:
        return EPOCH + self.now

    def identities(self) -> Mapping[str, str]:
        return {f"{HOST}:{one.pid}:ab{one.pid}": name for name, one in self.workers.items() if one.pid}

    def fields(self, identity: str) -> Sequence[str | None]:
        name = self.identities().get(identity)
        if name is None:
            return [None] * len(FIELDS)
        worker = self.workers[name]
        began = {"pid": worker.pid, "started_at": worker.start + 0.5}
        info = to_text({**INFO, **began, "identity": identity})
        busy, quiet = str(worker.jobs), str(worker.quiet).lower()
        return [
            {"info": info, "busy": busy, "beat": str(self.wall - 0.5), "quiet": quiet}[name]
            for name in FIELDS
        ]


def is_a_record(fields: Sequence[Any], wall: float) -> bool:
    """By an own reading: a record of a live Sidekiq, which something may be concluded from."""
    info, busy, beat, quiet = fields
    try:
        fresh = -2 <= wall - float(beat) < 30
        return isinstance(json.loads(info), dict) and fresh and int(busy) >= 0 and quiet in ("true", "false")
    except (TypeError, ValueError, RecursionError):
        return False


class Records(FuzzedRedis):
    """The records of a world's Sidekiqs; with nothing right in them while `is_wrong`."""

    def __init__(self, draw: Draw, world: SidekiqWorld) -> None:
        super().__init__(draw)
        self._world = world
        self.is_wrong = False

    def answer(self, command: str, arguments: Sequence[Any]) -> Any:
        if command == "smembers":
            return set(self._world.identities())
        if command == "hvals":
            worker = self._world.workers[self._world.identities()[arguments[0].rpartition(":")[0]]]
            return ['{"payload": {"class": "Job"}}'] * worker.jobs if arguments[0].endswith(":work") else []
        fields = self._world.fields(arguments[0])
        if not self.is_wrong:
            return fields
        wrong = list(self._draw(st.tuples(*map(field, FIELDS))))
        return wrong if not is_a_record(wrong, self._world.wall) else [None, *fields[1:]]

    def __getattr__(self, command: str) -> Callable[..., Any]:
        def ask(*arguments: Any, **options: Any) -> Any:
            if self.is_wrong and self._draw(st.integers(0, 9)) == 9:
                raise self._draw(ERRORS)
            return self.answer(command, arguments)

        return ask


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


class WorldsSupervisord(Supervisord):
    """XML-RPC to a world, whose answers something happens to while `is_wrong`."""

    def __init__(self, draw: Draw, world: World) -> None:
        super().__init__("unix:///nowhere.sock")
        self._draw, self._world = draw, world
        self.is_wrong = False

    def _exchange(self, body: bytes) -> tuple[int, bytes]:
        arguments, method = xmlrpc.client.loads(body.decode())
        answer = self._answer(str(method).rpartition(".")[2], arguments)
        if not self.is_wrong:
            return 200, answer.encode()
        wrong = self._draw(WRONG_BODIES)
        return self._draw(st.sampled_from([200, 200, 200, 500, 204])), wrong

    def _answer(self, method: str, arguments: tuple[Any, ...]) -> str:
        """What happens in the world, and the right answer. It arrives whatever becomes of the answer."""
        world = self._world
        try:
            if method == "stopProcess":
                world.stop(arguments[0])
            elif method == "startProcess":
                world.start(arguments[0])
            elif method == "signalProcess":
                world.signal(*arguments)
        except SupervisordError as error:
            codes = {"NotRunning": 70, "AlreadyStarted": 60, "CannotStart": 50}
            return xmlrpc.client.dumps(xmlrpc.client.Fault(codes[type(error).__name__], str(error)))
        tell: dict[str, Callable[[], Any]] = {
            "getPID": lambda: 1,
            "getIdentification": lambda: "supervisor",
            "getAllProcessInfo": lambda: [_entry(one) for one in world.all_processes()],
            "getProcessInfo": lambda: _entry(world.process(arguments[0])),
            "getAllConfigInfo": lambda: [_program(one) for one in world.programs()],
            "readLog": lambda: world.log_end(-arguments[0]),
        }
        value = tell[method]() if method in tell else True
        return xmlrpc.client.dumps((value,), methodresponse=True)


def _entry(process: Any) -> dict[str, Any]:
    return {**vars(process), "state": int(process.state)}


def _program(program: Any) -> dict[str, Any]:
    known = {name: value for name, value in vars(program).items() if value is not None}
    return {**known, "group_prio": program.group_priority, "stopasgroup": False}


def says_something_right(body: bytes) -> bool:
    """By an own reading: it tells of a process of the world's, or of a program, in the right types."""
    try:
        (value,), _ = xmlrpc.client.loads(body)
    except xmlrpc.client.Fault as told:
        return told.faultCode == 10  # it is gone: who reads that lets go of it
    except Exception:  # noqa: BLE001 - whatever is wrong with it
        return False
    entries = value if isinstance(value, list) else [value]
    if entries == []:
        return True
    return any(isinstance(one, dict) and is_whole(one.get("pid", one.get("stopsignal"))) for one in entries)


WRONG_BODIES = st.one_of(
    BODIES.map(str.encode),
    RAW,
    st.integers(1, 110).map(lambda code: fault(f"<int>{code}</int>", "x").encode()),
).filter(lambda body: not says_something_right(body))


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
