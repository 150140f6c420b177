"""The listener in a small world: its kinds, its coordinator, and its life from start to kill."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest

from supervisor_memkill.config.values import Config, PoolConfig
from supervisor_memkill.coordination.contract import (
    Age,
    Answer,
    CoordinationUnknown,
    Offer,
    Published,
    Report,
    RequestAnswer,
    RequestAnswers,
    Rules,
    SlotClaim,
    no_age,
)
from supervisor_memkill.coordination.in_process import InProcessCoordinator
from supervisor_memkill.errors import Unknown
from supervisor_memkill.listener.findings import Pool
from supervisor_memkill.listener.journal import Journal
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.listener import Listener
from supervisor_memkill.listener.state import StateKeeper
from supervisor_memkill.listener.survey import Surveyor
from supervisor_memkill.notices.event import Notifier, Sink
from supervisor_memkill.notices.log import LogSink
from supervisor_memkill.processes import ProcessInfo, ProgramInfo
from supervisor_memkill.rules.drain import Drain, State
from supervisor_memkill.units import Size
from supervisor_memkill.workers.base import source_away
from supervisor_memkill.workers.contract import (
    Advice,
    LeftBehind,
    Note,
    Option,
    Reading,
    Target,
    Tools,
    Traits,
)
from supervisor_memkill.world.commands import BackgroundCommand, Begin
from supervisor_memkill.world.memory import ProcessTable
from tests.places import Places
from tests.small_world import BLOATED, EPOCH, FRESH, LIMIT, World, WorldTable

__all__ = [
    "BLOATED",
    "EPOCH",
    "FRESH",
    "LIMIT",
    "Killed",
    "Life",
    "Lines",
    "QuietKind",
    "SharedCoordinator",
    "StopKind",
    "Told",
    "World",
    "WorldTable",
    "pool_config",
]


NOON = datetime(2026, 11, 30, 12)
"""On a Monday."""


class Killed(BaseException):
    """The listener is dead: raised where a SIGKILL would strike."""


class QuietKind:
    """A kind whose readings are true: quiet, and idle once the jobs are done."""

    options: ClassVar[Mapping[str, Option]] = {}
    needs_redis: ClassVar[bool] = False
    traits = Traits(quiets=True, confirms_quiet=True, repeat_quiet_after_seconds=5.0)

    def __init__(self, values: Mapping[str, Any], tools: Tools, world: World | None = None) -> None:
        assert world is not None
        self._world = world

    @classmethod
    def traits_for(cls, values: Mapping[str, Any]) -> Traits:
        return cls.traits

    @classmethod
    def problems(cls, values: Mapping[str, Any]) -> Sequence[str]:
        return ()

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        return {target.process.worker: self._read(target) for target in targets}

    def left_behind(self, supervised: Collection[int], table: ProcessTable) -> Sequence[LeftBehind]:
        return self._world.left_behind

    def _read(self, target: Target) -> Reading:
        if self._world.records_away:
            return source_away(Unknown("Redis is away"), target.note)
        worker = self._world.workers[target.process.worker]
        return Reading(
            recognised=True,
            in_service=not worker.quiet,
            quiet=worker.quiet,
            busy=worker.jobs,
            idle=worker.quiet and worker.jobs == 0,
            jobs=("Job",) * worker.jobs,
        )

    def quiet(self, target: Target, table: ProcessTable) -> Note:
        self._world.signal(target.process.worker, "QUIET")
        return {"sent": True}

    def resume(self, target: Target, table: ProcessTable) -> None:
        self._world.signal(target.process.worker, "RESUME")

    def before_stop(self, target: Target, table: ProcessTable) -> None:
        pass

    def memory_in_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        return False

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Sequence[Advice]:
        return self._world.advice


class StopKind(QuietKind):
    """A kind that drains by stopping."""

    traits = Traits(quiets=False)


class Lines:
    """The log's stream, as lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, text: str) -> int:
        self.lines.append(text.rstrip("\n").split(" ", 3)[-1])
        return len(text)

    def flush(self) -> None:
        pass

    def having(self, event: str) -> list[str]:
        return [line for line in self.lines if line.split(" ")[0] == event]


def pool_config(**values: Any) -> PoolConfig:
    """A pool named jobs over all workers of the world, with short times."""
    defaults: dict[str, Any] = {
        "name": "jobs",
        "programs": ("jobs",),
        "worker": "fake",
        "max_rss": Size(exact_bytes=LIMIT),
        "min_uptime_seconds": 0.0,
        "settle_seconds": 2.0,
    }
    return PoolConfig(**{**defaults, **values})


class Told(NamedTuple):
    """One report to a coordinator."""

    at: float
    pool: str
    reports: Sequence[Report]
    slot_claims: Sequence[SlotClaim]
    age_seconds: float


class SharedCoordinator(InProcessCoordinator):
    """Looks shared to the listener; keeps every report, and is away while `is_away`."""

    is_shared = True

    def __init__(self, world: World) -> None:
        super().__init__(world.clock)
        self._world = world
        self.is_away = False
        self.told: list[Told] = []
        self.offers: list[Offer] = []
        """The open requests to all listeners; their ages are those at the time of `offered_at`."""
        self.offered_at = world.now
        self.answers: dict[str, RequestAnswer] = {}
        """The last answers of the listener."""
        self.events: list[tuple[str, Mapping[str, str]]] = []

    def publish(
        self,
        pool: str,
        rules: Rules,
        reports: Sequence[Report],
        slot_claims: Sequence[SlotClaim],
        answers: RequestAnswers | None = None,
        age: Age = no_age,
    ) -> Published:
        self.told.append(Told(self._world.now, pool, reports, slot_claims, age()))
        self._reach()
        published = super().publish(pool, rules, reports, slot_claims)
        self.answers = dict(answers or {})
        return dataclasses.replace(
            published,
            offers=tuple(self._aged(one) for one in self.offers if one.id not in self.answers),
            open_requests=frozenset(one.id for one in self.offers),
        )

    def _aged(self, offer: Offer) -> Offer:
        passed = self._world.now - self.offered_at
        left = None if offer.left_seconds is None else offer.left_seconds - passed
        return dataclasses.replace(offer, age_seconds=offer.age_seconds + passed, left_seconds=left)

    def offer(self, text: str, *, age: float = 0.0, left: float | None = 3600.0) -> str:
        """Put this request where listeners find it; its id. Ages are counted from now on."""
        identity = str(json.loads(text)["id"])
        self.offers = [*map(self._aged, self.offers), Offer(identity, text, age, left)]
        self.offered_at = self._world.now
        return identity

    def acquire(self, *arguments: Any) -> Answer:
        self._reach()
        return super().acquire(*arguments)

    def record(self, pool: str, event: str, fields: Mapping[str, str]) -> None:
        self._reach()
        self.events.append((event, fields))

    def _reach(self) -> None:
        if self.is_away:
            raise CoordinationUnknown("away")


def no_command(words: Sequence[str], limit_seconds: float) -> BackgroundCommand:
    raise AssertionError(f"{words} must not be run")


class FakeMachine:
    """A machine whose memory the workers and others use."""

    def __init__(self, world: World, memory: int = 100 * LIMIT) -> None:
        self._world = world
        self._memory = memory
        self.others = 0
        """Bytes that other processes use."""
        self.stalled = 0.0
        self.is_unreadable = False

    def limit_bytes(self) -> int:
        return self._memory

    def available_bytes(self) -> int:
        if self.is_unreadable:
            raise OSError("no /proc/meminfo")
        return self._memory - self.others - sum(worker.memory for worker in self._world.workers.values())

    def free_bytes(self) -> int:
        return max(0, self.available_bytes())

    def stalled_percent(self) -> float:
        return self.stalled


class Life:
    """One listener's life in a world; it is killed at the place `die_at`."""

    def __init__(
        self,
        world: World,
        path: Path,
        *,
        die_at: str = "",
        kind: type[QuietKind] = QuietKind,
        config: PoolConfig | None = None,
        also: Sequence[tuple[PoolConfig, type[QuietKind]]] = (),
        coordinate: Callable[[Contents], Any] | None = None,
        log_level: str = "info",
        local_time: Callable[[], datetime] = lambda: NOON,
        has_state: bool = False,
        history: Sink | None = None,
        machine: FakeMachine | None = None,
        begin_command: Begin | None = None,
        **settings: Any,
    ) -> None:
        self.world = world
        """`kind` and `config` belong to its first pool, `also` to the others."""
        self.stream = Lines()
        self.die_at = die_at
        self.journal = Journal(path, "boot")
        log = LogSink(self.stream, log_level, world.clock)  # type: ignore[arg-type]
        self.at: Callable[[str], None] = self._die_there
        tools = Tools(redis=lambda: None, signal=world.signal, clock=world.clock, host="here")
        pools = [(config or pool_config(), kind), *also]
        self.pools = [Pool(of_pool, one({}, tools, world)) for of_pool, one in pools]
        supervisord: Any = world
        surveyor = Surveyor(
            supervisord,
            self.pools,
            world.clock,
            own_group="memkill",
            process_table=lambda: WorldTable(world),
            machine_bytes=lambda: 10 * LIMIT,
            local_time=local_time,
        )
        made = Config(**{"host": "here", **settings}, pools=tuple(pool.config for pool in self.pools))
        self.listener = Listener(
            made,
            self.pools,
            supervisord,
            surveyor,
            self.journal,
            coordinate or (lambda contents: InProcessCoordinator(world.clock, contents.drain_ended_at)),
            Notifier([log, Places(lambda place: self.at(place))]),  # noqa: PLW0108 - tests replace `at`
            world.clock,
            process_table=lambda: WorldTable(world),
            state=StateKeeper(path, made, world.clock) if has_state else None,
            history=history,
            machine=machine or FakeMachine(world),
            begin_command=begin_command or no_command,
        )

    def _die_there(self, place: str) -> None:
        if place == self.die_at:
            raise Killed(place)

    def tick(self) -> None:
        self.listener.turn(ticked=True)

    def run(
        self, seconds: float, *, until: Callable[[], bool] = lambda: False, tick_seconds: int = 5
    ) -> None:
        """Take turns as the main loop would, one per second; a TICK comes at the first one, then so often."""
        for second in range(int(seconds)):
            if until():
                return
            wait = self.listener.wait_seconds()
            ticked = second % tick_seconds == 0
            if ticked or (wait is not None and wait <= 1.0):
                self.listener.turn(ticked=ticked)
            self.world.advance(1.0)

    def run_to(self, state: State) -> str:
        """Run until the only drain is in this state; returns the worker's name."""
        self.run(60, until=lambda: any(record.state is state for record in self.drains().values()))
        name, found = self.only_drain()
        assert found is state
        return name

    def run_to_death(self) -> str:
        """Run until the listener is killed; returns the worker of the only drain that it left."""
        with pytest.raises(Killed):
            self.run(120)
        self.die()
        return self.only_drain()[0]

    def drains(self) -> dict[str, Drain]:
        """The drains in the journal on disk."""
        return dict(self.journal.load().contents.drains)

    def only_drain(self) -> tuple[str, State]:
        """Its worker and its state; fails unless there is exactly one drain."""
        ((name, record),) = self.drains().items()
        return name, record.state

    def die(self) -> None:
        """End as by SIGKILL: the journal's lock is gone, and everything that was not on disk."""
        self.journal.unlock()
