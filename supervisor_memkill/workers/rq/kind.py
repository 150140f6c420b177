"""``worker = rq``: RQ 1.16 to 3.0, drained by stopping and read through its records in Redis.

Facts, tried with 1.16.2 and 3.0.0:

- At TERM or INT a worker takes no more jobs, finishes the running one and exits with status 0. A
  ``worker-pool`` passes the signal on to its workers. A second signal, more than a second later, kills the
  job: so a worker that is already stopping is not recognised, and gets no signal from us.
- There is no quiet: ``rq suspend`` suspends all workers of a Redis at once. Whoever suspended them, such
  workers are not in service.
- RQ itself drops a job that was taken off its queue a moment before the signal and is not marked as begun
  yet, at any stop (rq/rq issue 2236; that moment was 2 to 5 ms long where it was measured). Nothing outside
  RQ can see that moment.
- RQ 3.0.0 goes on after a stop that comes while an idle worker writes a log line: its StopRequested is raised
  inside ``logging``, which swallows it (seen once in 424 stops on a busy machine).
- Below 3.0 that moment is up to a second long for an idle worker with the scheduler (``--with-scheduler``,
  and every pool): it goes on taking jobs while it ends its scheduler, and drops them (1.16, 2.0 and 2.6
  were tried, with redis-py 5.3 to 8.1). Such a worker is drained only while it runs a job: it
  takes no more then.
- The work horse's memory is freed when its job ends: the worker's own memory counts. A pool's own memory says
  nothing, and its process tree holds the work horses too.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import MemkillError, Unknown
from supervisor_memkill.workers import elsewhere
from supervisor_memkill.workers.base import all_unknown
from supervisor_memkill.workers.command_line import (
    beginning,
    blocking_wrapper,
    commands_in,
    has_words,
    has_worker_below,
    words_run,
)
from supervisor_memkill.workers.contract import (
    Advice,
    LeftBehind,
    Option,
    Reading,
    Target,
    Tools,
    unknown,
    unrecognised,
)
from supervisor_memkill.workers.ownership import (
    RECORD_HOSTS,
    Began,
    Hosts,
    began_now,
    beginnings,
    is_left_behind,
    why_not_own,
    why_other_name,
)
from supervisor_memkill.workers.rq.advice import STOP, advise_on_worker_class, is_pool, stop_of
from supervisor_memkill.workers.rq.job_names import JobNames
from supervisor_memkill.workers.rq.records import FIELDS, Record, is_worker_key, parse_record, records_of
from supervisor_memkill.workers.stopping import GracefulStop, StopThenWait
from supervisor_memkill.world.redis_client import ask

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProcessInfo, ProgramInfo
    from supervisor_memkill.world.memory import ProcessTable


DJANGO_COMMANDS = frozenset({"rqworker", "rqworker-pool"})
"""Of django-rq; ``rqworker`` is also a program of RQ."""
DROPS_JOBS = (
    "idle, with its scheduler: RQ below 3.0 would drop a job that arrives during the stop, so the drain "
    "waits until a job runs"
)


NO_RECORD = (
    "no RQ record of this process: it is still booting, it is not RQ, or its record expired in Redis or was "
    "lost since the worker started (then restart the worker by hand, which brings the record back)"
)
"""Of a record that expired a worker writes only parts again, without pid and birth (rq/rq 469, 1844)."""


@dataclass(frozen=True)
class _Seen:
    """What one look at Redis showed."""

    records: tuple[Record, ...]
    """Of this machine's host name."""
    elsewhere: tuple[Record, ...]
    """Of all other hosts."""
    unreadable: tuple[tuple[object, str], ...]
    """The pid, which may be unreadable too, and what is wrong with a record of this host."""
    all_are_suspended: bool

    def of(self, began: Mapping[int, Began]) -> tuple[Record, ...]:
        """The records of this host. Raises Unknown if one that cannot be read may be of these pids."""
        known = {str(pid) for pid in began}
        for pid, why in self.unreadable:
            if str(pid) in known or not str(pid).isdecimal():
                raise Unknown(why)
        return self.records


class RQ(StopThenWait):
    """Finds each worker's record by host and pid; `key_namespace` is RQ_KEY_PREFIX (3.0)."""

    framework = "RQ"
    command_text = "rq"
    stop = STOP
    options: ClassVar[Mapping[str, Option]] = {"record_hosts": RECORD_HOSTS}
    needs_redis: ClassVar[bool] = True

    def __init__(
        self,
        values: Mapping[str, Any],
        tools: Tools,
        hostname: str | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`hostname` is the hostname that RQ writes into its records; `wall` returns epoch seconds."""
        super().__init__(values, tools)
        self._hosts = Hosts(hostname or socket.gethostname(), values.get("record_hosts") or ())
        self._wall = wall
        self._prefix = tools.key_namespace or "rq"
        self._job_names = JobNames(tools.redis, self._prefix, tools.clock)
        self._own: dict[str, tuple[int, int, set[int]]] = {}
        """The pid and start of each worker's process, and the pids of its records, by the last reading."""

    @classmethod
    def matches_command(cls, title: str) -> bool:
        """Also the commands of django-rq, Frappe, Flask and CKAN, and setproctitle's title."""
        program, *words = words_run(title) or [""]
        if program in ("rq", "bench"):
            return any(word in ("worker", "worker-pool") for word in words[:1])
        if program in ("flask", "ckan"):
            return has_words(title, "rq worker" if program == "flask" else "jobs worker")
        if program.endswith(".py") and words[:2] == ["rq", "worker"]:
            return True
        if title.startswith("rq:worker:") or not DJANGO_COMMANDS.isdisjoint(commands_in(title)):
            return True
        return any(has_words(title, text) for text in ("frappe worker", "frappe worker-pool"))

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        try:
            seen = self._look()
        except MemkillError as error:
            return all_unknown(targets, error)
        names = self._job_names.of(seen.records)
        return {target.process.worker: self._reading(target, table, seen, names) for target in targets}

    def _reading(
        self, target: Target, table: ProcessTable, seen: _Seen, names: Mapping[str, tuple[str, ...]]
    ) -> Reading:
        try:
            began = beginnings(target.process, table, self._wall, self.tools.clock)
            if not began:
                raise Unknown("the process cannot be read")
            own = records_of(began, seen.of(began))
            drops = any(_would_drop_jobs(record, table) for record in own)
        except Unknown as error:
            return unknown(str(error), target.note)
        if own:
            process = target.process
            self._own[process.worker] = (process.pid, process.start, {record.pid for record in own})
        title = table.title(target.process.pid)
        why = _why_unrecognised(target.process.pid, title, own) if own else self._why_no_record(began, seen)
        if why:
            return unrecognised(why, target.note)
        is_suspended = seen.all_are_suspended or any(record.is_suspended for record in own)
        return Reading(
            recognised=True,
            in_service=not is_suspended,
            quiet=None,
            busy=sum(record.busy for record in own),
            jobs=_jobs_of(own, names),
            queues=frozenset().union(*(record.queues for record in own)),
            why="all RQ workers are suspended: run `rq resume`" if is_suspended else "",
            hold=DROPS_JOBS if drops else "",
            note=target.note or {},
        )

    def _why_no_record(self, began: Mapping[int, Began], seen: _Seen) -> str:
        """Why none of the records is the process's own."""
        for record in seen.records:
            if record.pid in began:
                return why_not_own(record.name, record.birth, began[record.pid])
        for pid, one in began.items():
            names = {other.host for other in seen.elsewhere if other.pid == pid and one.fits(other.birth)}
            if names:
                return why_other_name(pid, self._hosts, names)
        return NO_RECORD

    def left_behind(self, supervised: Collection[int], table: ProcessTable) -> Sequence[LeftBehind]:
        try:
            return [
                LeftBehind(record.pid, record.name, record.queues)
                for record in self._look().records
                if is_left_behind(record.pid, supervised, table)
                and began_now(record.pid, table, self._wall, self.tools.clock).fits(record.birth)
            ]
        except MemkillError:
            return ()

    def memory_in_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        """For a pool and behind a wrapper; a work horse's memory alone does not count."""
        title = table.title(process.pid)
        own = self._own.get(process.worker)
        if own is not None and own[:2] == (process.pid, process.start):
            return is_pool(title) or process.pid not in own[2]
        return is_pool(title) or has_worker_below(title)

    def stop_of(self, program: ProgramInfo) -> GracefulStop:
        return stop_of(program)

    def more_advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Iterable[Advice]:
        return advise_on_worker_class(program)

    def find_others(self, targets: Sequence[Target], table: ProcessTable) -> str:
        key = f"{self._prefix}:workers"
        here = sorted(ask(self.tools.redis, lambda redis: redis.smembers(key)))
        if here:
            hosts = ask(self.tools.redis, lambda redis: _hosts(redis, here))
            return elsewhere.describe_hosts(hosts, self.framework, self._hosts)
        found = elsewhere.places(self.tools.redis, "workers", is_worker_key)
        return elsewhere.describe(found, self.framework, key, ":workers")

    def _look(self) -> _Seen:
        """The records of all hosts. Raises Unknown.

        The keys are random, so that a few fields of every worker in this Redis are read: two round trips.
        """
        keys = sorted(ask(self.tools.redis, lambda redis: redis.smembers(f"{self._prefix}:workers")))
        replies = iter(ask(self.tools.redis, lambda redis: self._hashes(redis, keys)))
        is_suspended = bool(next(replies))
        found, unreadable = list[Record](), list[tuple[object, str]]()
        for key in keys:
            fields, executions = next(replies), next(replies)
            try:
                record = parse_record(key, fields, executions)
            except Unknown as error:
                if fields[0] in self._hosts:
                    unreadable.append((fields[1], str(error)))
                continue
            if record is not None:
                found.append(record)
        return _Seen(
            records=tuple(record for record in found if record.host in self._hosts),
            elsewhere=tuple(record for record in found if record.host not in self._hosts),
            unreadable=tuple(unreadable),
            all_are_suspended=is_suspended,
        )

    def _hashes(self, redis: Any, keys: Sequence[str]) -> Sequence[Any]:
        pipe = redis.pipeline(transaction=False)
        pipe.exists(f"{self._prefix}:suspended")  # rq/suspension.py
        for key in keys:
            pipe.hmget(key, FIELDS)
            pipe.scard(f"{key}:executions")  # from 3.0: rq/executions.py
        replies: Sequence[Any] = pipe.execute()
        return replies


def _jobs_of(own: Sequence[Record], names: Mapping[str, tuple[str, ...]]) -> tuple[str, ...] | None:
    """None: one of the workers is busy, and its job's name is not known at this moment."""
    if any(record.busy and record.name not in names for record in own):
        return None
    return tuple(name for record in own if record.busy for name in names[record.name])


def _hosts(redis: Any, keys: Iterable[str]) -> list[str]:
    pipe = redis.pipeline(transaction=False)
    for key in keys:
        pipe.hget(key, "hostname")
    return [host for host in pipe.execute() if host]


def _would_drop_jobs(record: Record, table: ProcessTable) -> bool:
    """It is idle but has a child: the scheduler, which RQ below 3.0 ends too slowly."""
    return record.is_below_3 and record.busy == 0 and len(table.tree(record.pid)) > 1


def _why_unrecognised(pid: int, title: str, own: Sequence[Record]) -> str:
    """Why the process with these records is not recognised; empty if it is."""
    if any(record.is_stopping for record in own):
        return "it is already stopping: a second signal would kill the running job"
    if any(record.pid == pid for record in own) or (is_pool(title) and not blocking_wrapper(title)):
        return ""
    return (
        f"RQ {own[0].pid} runs behind {beginning(title)!r}: start it with exec, so that the stop signal"
        " reaches it"
    )
