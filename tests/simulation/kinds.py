"""The kinds: the real Sidekiq and custom kinds on simulated records, and two small ones.

Each tells its machine when a reading fails, so that it can be seen what is made of it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from redis.exceptions import ConnectionError as Away

from supervisor_memkill.errors import MemkillError
from supervisor_memkill.processes import ProcessInfo, ProgramInfo
from supervisor_memkill.workers.advice import advise_on_stopwaitsecs
from supervisor_memkill.workers.command_line import option_number
from supervisor_memkill.workers.contract import (
    Advice,
    Kind,
    LeftBehind,
    Note,
    Option,
    Reading,
    Target,
    Tools,
    Traits,
    unknown,
)
from supervisor_memkill.workers.custom import Custom
from supervisor_memkill.workers.sidekiq.kind import Sidekiq
from supervisor_memkill.world.memory import ProcessTable
from tests.simulation.process import Process

if TYPE_CHECKING:
    from tests.simulation.machine import Machine


class Records:
    """The records of Sidekiqs and the counts of custom workers, behind the used part of a Redis client."""

    def __init__(self, machine: Machine, pool: str) -> None:
        """`pool` is the pool whose kind asks."""
        self._machine = machine
        self._pool = pool

    def smembers(self, key: str) -> set[str]:
        self._machine.ask_records(self._pool)
        return set(self._written())

    def pipeline(self, *, transaction: bool) -> _Pipeline:
        return _Pipeline(self)

    def execute(self, calls: Sequence[tuple[str, str, Sequence[str]]]) -> list[Any]:
        self._machine.ask_records(self._pool)
        found = self._written()
        return [self._answer(name, key, fields, found) for name, key, fields in calls]

    def _answer(self, name: str, key: str, fields: Sequence[str], found: Mapping[str, Any]) -> Any:
        if name == "type":
            return "string"
        if name == "get":
            process = self._machine.process(int(key.rpartition(":")[2]))
            return None if process is None else str(process.busy(self._machine.world.engine.now))
        if name == "hmget":
            return [found[key].get(field) if key in found else None for field in fields]
        identity, _, part = key.rpartition(":")
        busy = int(found[identity]["busy"]) if part == "work" and identity in found else 0
        return [json.dumps({"payload": {"class": "Job"}})] * busy

    def _written(self) -> Mapping[str, Mapping[str, str]]:
        """All records by their identities, those of namesakes too."""
        found = {self._identity(process): self._record(process) for process in self._machine.recorded()}
        later = self._machine.shape.namesake_seconds
        if later:
            living = [one for one in self._machine.living() if one.habits.kind == "sidekiq"]
            found |= {f"{self._machine.name}:{one.pid}:ffffffffffff": self._namesake(later) for one in living}
        return found

    def _namesake(self, later: float) -> Mapping[str, str]:
        """The record of a Sidekiq in another container: quiet and without a job."""
        now = self._machine.wall()
        info = {"queues": ["default"], "started_at": now + later}
        return {"info": json.dumps(info), "busy": "0", "beat": repr(now), "quiet": "true"}

    def _identity(self, process: Process) -> str:
        return f"{self._machine.name}:{process.pid}:{process.nonce}"

    def _record(self, process: Process) -> Mapping[str, str]:
        """Its last beat. `busy` is read first and the rest later, as Sidekiq does."""
        last, habits = self._machine.last_beat(process), process.habits
        if last is None:
            return {}
        process.look(last)
        quiet = process.quiet_at is not None and process.quiet_at < last
        return {
            "info": json.dumps(
                {
                    "queues": sorted(habits.queues) or ["default"],
                    "started_at": self._machine.wall_at(process.boots_at),
                }
            ),
            "busy": str(process.busy_at(last - habits.torn)),
            "beat": repr(self._machine.wall_at(last)),
            "quiet": "true" if quiet else "false",
        }


class _Pipeline:
    def __init__(self, records: Records) -> None:
        self._records = records
        self._calls: list[tuple[str, str, Sequence[str]]] = []

    def hmget(self, key: str, fields: Sequence[str]) -> None:
        self._calls.append(("hmget", key, fields))

    def hvals(self, key: str) -> None:
        self._calls.append(("hvals", key, ()))

    def type(self, key: str) -> None:
        self._calls.append(("type", key, ()))

    def get(self, key: str) -> None:
        self._calls.append(("get", key, ()))

    def execute(self, *, raise_on_error: bool = True) -> list[Any]:
        calls, self._calls = self._calls, []
        return self._records.execute(calls)


class SimSidekiq(Sidekiq):
    """The real kind; nothing pauses the listener between its check and its signal, as documented."""

    machine: Machine

    def left_behind(self, supervised: Collection[int], table: ProcessTable) -> Sequence[LeftBehind]:
        """None: nobody leaves a Sidekiq behind here, and the question would pass for a reading."""
        return ()

    def quiet(self, target: Target, table: ProcessTable) -> Note:
        with self.machine.unpaused():
            return super().quiet(target, table)


class Small:
    """The rest of the contract for a small kind."""

    options: ClassVar[Mapping[str, Option]] = {}
    needs_redis: ClassVar[bool] = False
    traits: Traits
    machine: Machine

    def __init__(self, values: Mapping[str, Any], tools: Tools) -> None:
        self._tools = tools

    @classmethod
    def traits_for(cls, values: Mapping[str, Any]) -> Traits:
        return cls.traits

    @classmethod
    def problems(cls, values: Mapping[str, Any]) -> Sequence[str]:
        return ()

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        return {target.process.worker: self._read(target) for target in targets}

    def left_behind(self, supervised: Collection[int], table: ProcessTable) -> Sequence[LeftBehind]:
        return ()

    def _read(self, target: Target) -> Reading:
        raise NotImplementedError

    def quiet(self, target: Target, table: ProcessTable) -> Note:
        raise MemkillError("it cannot be quieted")

    def resume(self, target: Target, table: ProcessTable) -> None:
        raise MemkillError("it cannot be resumed")

    def before_stop(self, target: Target, table: ProcessTable) -> None:
        pass

    def memory_in_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        return True

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Sequence[Advice]:
        if not self.traits.quiets:
            return ()
        patience = option_number(program.command, "-t") or 0.0
        return tuple(advise_on_stopwaitsecs(program, patience, "its own timeout", cuts_jobs=True))


class Stops(Small):
    """A kind that drains by stopping."""

    traits = Traits(quiets=False)

    def _read(self, target: Target) -> Reading:
        return Reading(recognised=True, in_service=True, quiet=None, busy=None, note=target.note or {})


class Resumes(Small):
    """A kind that answers for itself, confirms its quiet and can be resumed, like Celery."""

    traits = Traits(quiets=True, confirms_quiet=True, repeat_quiet_after_seconds=5.0, can_resume=True)

    def _read(self, target: Target) -> Reading:
        now, note = self.machine.world.engine.now, target.note or {}
        process = self.machine.process(target.process.pid)
        answers = process is not None and process.answers(now)
        if process is None or not answers or not self.machine.node_answers(target.process.worker):
            return unknown("the node does not answer", note)
        quiet, busy = process.quiet_at is not None, process.busy(now)
        return Reading(
            recognised=True,
            in_service=not quiet,
            quiet=quiet,
            busy=busy,
            idle=quiet and busy == 0,
            jobs=("Job",) * busy,
            queues=process.habits.queues,
            note=note,
        )

    def quiet(self, target: Target, table: ProcessTable) -> Note:
        self._tools.signal(target.process.worker, "USR1")
        return {"queues": ["default"]}

    def resume(self, target: Target, table: ProcessTable) -> None:
        self._tools.signal(target.process.worker, "USR2")


def make_kind(name: str, machine: Machine, tools: Tools) -> Kind:
    """A kind that reads the processes of this machine."""
    if name == "sidekiq":
        sidekiq = SimSidekiq({}, tools, hostname=machine.name, wall=machine.wall)
        sidekiq.machine = machine
        return sidekiq
    if name.startswith("custom"):
        values = {option: each.default for option, each in Custom.options.items()}
        values |= {"quiet_signal": "USR1", "busy_key": "busy:%(pid)s"}
        if name == "custom-resumes":
            values["resume_signal"] = "USR2"
        return Custom(values, tools)
    small = Stops({}, tools) if name == "stops" else Resumes({}, tools)
    small.machine = machine
    return small


__all__ = ["Away", "Records", "make_kind"]
