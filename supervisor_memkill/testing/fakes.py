"""Fakes for tests of kinds: a process table, a Redis in a dict, and the tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psutil

from supervisor_memkill.errors import Unknown
from supervisor_memkill.processes import Measure, ProcessInfo, ProcessState, ProgramInfo
from supervisor_memkill.workers.contract import Reading, Target, Tools
from supervisor_memkill.world.memory import Gone, ProcessTable, Resident

STARTED = 1_000_000
"""The epoch second at which every fake process started."""


class FakeProcesses:
    """The processes of a machine, as a backend of ProcessTable."""

    def __init__(self, titles: Mapping[int, str], children: Mapping[int, int] | None = None) -> None:
        """`titles` maps a pid to its command line, `children` a pid to its parent's pid."""
        self.titles = dict(titles)
        self.children = dict(children or {})
        self.suspended: set[int] = set()
        self.caught: dict[int, int] = {}
        """The mask of the signals that a process handles itself; unknown for others."""
        self.blocked: dict[int, int] = {}
        """The mask of the signals that a process blocks; by default none."""
        self.leaders: dict[int, int] = {}
        """The leader of the process group of a pid; by default each process leads its own."""
        self.control_groups: dict[int, str] = {}
        self.directories: dict[int, str] = {}
        self.environments: dict[int, Mapping[str, str]] = {}

    @property
    def table(self) -> ProcessTable:
        return ProcessTable(self)

    def parents(self) -> Mapping[int, int]:
        return {pid: self.children.get(pid, 1) for pid in self.titles}

    def created(self, pid: int) -> float:
        self._require(pid)
        return float(pid)

    def generations(self) -> Mapping[int, int]:
        return {}

    def memory_bytes(self, pid: int, measure: Measure) -> int:
        self._require(pid)
        return 1

    def resident(self, pid: int) -> Resident:
        self._require(pid)
        return Resident(rss=1)

    def status(self, pid: int) -> str:
        self._require(pid)
        return str(psutil.STATUS_STOPPED if pid in self.suspended else psutil.STATUS_SLEEPING)

    def command_line(self, pid: int) -> Sequence[str]:
        self._require(pid)
        return [self.titles[pid]]

    def caught_signals(self, pid: int) -> int:
        if pid not in self.caught:
            raise Unknown("this system does not show them")
        return self.caught[pid]

    def blocked_signals(self, pid: int) -> int:
        return self.blocked.get(pid, 0)

    def group(self, pid: int) -> int:
        self._require(pid)
        return self.leaders.get(pid, pid)

    def control_group(self, pid: int) -> str:
        return self.control_groups.get(pid, "")

    def directory(self, pid: int) -> str:
        self._require(pid)
        return self.directories.get(pid, "/")

    def environment(self, pid: int) -> Mapping[str, str]:
        self._require(pid)
        return self.environments.get(pid, {})

    def _require(self, pid: int) -> None:
        if pid not in self.titles:
            raise Gone(f"there is no process {pid}")


class FakeRedis:
    """The few commands that kinds send, on a dict. Once `error` is set, each command raises it."""

    def __init__(self, data: dict[str, Any] | None = None) -> None:
        self.data: dict[str, Any] = data or {}
        self.error: Exception | None = None
        self.round_trips = 0
        self.expires: dict[str, int] = {}

    def pipeline(self, transaction: bool = True) -> FakePipeline:
        return FakePipeline(self)

    def smembers(self, key: str) -> set[str]:
        self.travel()
        return set(self.data.get(key, ()))

    def lrange(self, key: str, first: int, last: int) -> list[str]:
        self.travel()
        return list(self.data.get(key, ()))

    def travel(self) -> None:
        """Count one round trip, and raise `error` if it is set."""
        self.round_trips += 1
        if self.error is not None:
            raise self.error


class FakePipeline:
    """Collects commands until `execute` runs them in one round trip."""

    def __init__(self, redis: FakeRedis) -> None:
        self._redis = redis
        self._queued: list[Callable[[], Any]] = []

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        self._redis.travel()
        queued, self._queued = self._queued, []
        return [command() for command in queued]

    def hmget(self, key: str, fields: Sequence[str]) -> None:
        self._queued.append(lambda: [self._redis.data.get(key, {}).get(field) for field in fields])

    def hvals(self, key: str) -> None:
        self._queued.append(lambda: list(self._redis.data.get(key, {}).values()))

    def lpush(self, key: str, value: str) -> None:
        self._queued.append(lambda: self._redis.data.setdefault(key, []).insert(0, value))

    def expire(self, key: str, seconds: int) -> None:
        self._queued.append(lambda: self._redis.expires.update({key: seconds}))

    def type(self, key: str) -> None:
        self._queued.append(lambda: "string" if key in self._redis.data else "none")

    def get(self, key: str) -> None:
        self._queued.append(lambda: self._redis.data.get(key))


class Signals:
    """Stands in for supervisord's signalProcess, and records what was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    def __call__(self, worker: str, name: str) -> None:
        self.sent.append((worker, name))


def process(pid: int = 100, name: str = "jobs_0", start: int = STARTED) -> ProcessInfo:
    """A RUNNING process of the group ``jobs``."""
    return ProcessInfo(
        group="jobs", name=name, state=ProcessState.RUNNING, pid=pid, start=start, stop=0, now=start + 1000
    )


def program_info(
    command: str, stopwaitsecs: int = 60, stopsignal: int = 15, killasgroup: bool = True
) -> ProgramInfo:
    """A program's supervisord settings; `stopasgroup` is unknown."""
    return ProgramInfo(
        group="jobs",
        name="jobs_0",
        command=command,
        stopsignal=stopsignal,
        stopwaitsecs=stopwaitsecs,
        killasgroup=killasgroup,
        group_priority=999,
    )


def tools(
    redis: Callable[[], Any] | None = None,
    signals: Callable[[str, str], None] | None = None,
    namespace: str = "",
    clock: Callable[[], float] = lambda: 0.0,
    max_rss_bytes: int | None = None,
) -> Tools:
    """The tools of a kind, which reach nothing outside the test. The pool has a `redis` if one is given."""
    return Tools(
        redis=redis or FakeRedis,
        signal=signals or Signals(),
        clock=clock,
        host="web1",
        key_namespace=namespace,
        has_redis=redis is not None,
        max_rss_bytes=max_rss_bytes,
    )


def read_one(kind: Any, target: Target, table: ProcessTable) -> Reading:
    """The reading of a single target."""
    readings: Mapping[str, Reading] = kind.read([target], table)
    return readings[target.process.worker]
