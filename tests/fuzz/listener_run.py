"""A listener in a world of which any part may be replaced, and the parts that may go wrong."""

from __future__ import annotations

import dataclasses
import json
import xmlrpc.client
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from supervisor_memkill.config.values import Config, PoolConfig
from supervisor_memkill.coordination.in_process import InProcessCoordinator
from supervisor_memkill.listener.findings import Pool
from supervisor_memkill.listener.journal import Journal
from supervisor_memkill.listener.listener import Listener
from supervisor_memkill.listener.survey import Surveyor
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.log import LogSink
from supervisor_memkill.workers.contract import Kind, Tools
from supervisor_memkill.workers.sidekiq.records import FIELDS
from supervisor_memkill.world import xml_rpc
from supervisor_memkill.world.http_post import OK
from supervisor_memkill.world.memory import ProcessTable
from supervisor_memkill.world.supervisord import Supervisord, SupervisordError
from tests.fuzz.redis_answers import ERRORS, HOST, INFO, FuzzedRedis, field
from tests.fuzz.test_supervisord import BODIES, RAW, fault
from tests.fuzz.values import is_whole, to_text
from tests.listener_world import (
    EPOCH,
    FRESH,
    LIMIT,
    Lines,
    QuietKind,
    World,
    WorldTable,
    pool_config,
)

Draw = Callable[[st.SearchStrategy[Any]], Any]


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


class WorldsSupervisord(Supervisord):
    """XML-RPC to a world, whose answers something happens to while `is_wrong`."""

    def __init__(self, draw: Draw, world: World) -> None:
        super().__init__("unix:///nowhere.sock")
        self._draw, self._world = draw, world
        self.is_wrong = False

    def _exchange(self, body: bytes, answer: xml_rpc.Answer, times: int) -> int:
        status, text = self._status_and_text(body)
        if status == OK:
            answer.take(text)
        return status

    def _status_and_text(self, body: bytes) -> tuple[int, bytes]:
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
    return {**dataclasses.asdict(process), "state": int(process.state)}


def _program(program: Any) -> dict[str, Any]:
    known = {name: value for name, value in dataclasses.asdict(program).items() if value is not None}
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
