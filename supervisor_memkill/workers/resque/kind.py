"""``worker = resque``: Resque 1.20 to 3.0, paused by USR2 and resumed by CONT.

Facts, read in lib/resque/worker.rb of 1.9.10, 1.20, 1.25, 1.26, 1.27, 2.0, 2.7 and 3.0, and tried with a
stand-in that does the same; not run against Resque itself:

- Only the worker itself knows that it is paused, and only its process title shows it. Its loop checks
  whether it is paused, takes a job, runs it, and sets the title to ``Paused`` or ``Waiting for`` only on a
  turn without a job. So ``Paused`` means: no job is running, and none will until CONT. The record in
  Redis does not mean that: a job is registered a moment after it was taken off its queue.
- While a job runs the title stays ``Forked``, so that a pause is confirmed when that job is done, or
  after the worker's interval (INTERVAL, 5 s).
- USR2 kills a process that does not handle it: it goes only to a registered process with a title that
  the loop writes.
- ``pause-all-workers`` (from 2.3) pauses all workers of a Redis, with the same title. Then nothing shows
  whether our pause arrived, and the paused workers are not in service.
- The job runs in a forked child, whose memory is freed when the job ends: the worker's own memory counts.
  With FORK_PER_JOB=false there is no other.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from supervisor_memkill.errors import MemkillError, NotSent, Unknown
from supervisor_memkill.workers.advice import (
    SUPERVISORD_STOPWAITSECS,
    advise_on_stopasgroup,
    advise_on_stopsignal,
    advise_on_stopwaitsecs,
    advise_on_wrapper,
)
from supervisor_memkill.workers.base import BaseKind, all_unknown, tree_pids
from supervisor_memkill.workers.command_line import is_shell
from supervisor_memkill.workers.contract import (
    Advice,
    Note,
    Reading,
    Target,
    Tools,
    Traits,
    unknown,
    unrecognised,
)
from supervisor_memkill.workers.resque.records import Record, Turn, parse_record, pid_in, record_of, turn_in
from supervisor_memkill.world.redis_client import ask

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProcessInfo, ProgramInfo
    from supervisor_memkill.world.memory import ProcessTable


@dataclass(frozen=True)
class _Seen:
    """What one look at Redis showed."""

    records: tuple[Record, ...]
    all_are_paused: bool
    now: float
    """Epoch seconds, by Redis's clock."""


class Resque(BaseKind):
    """Finds each worker's record by host and pid; `key_namespace` replaces redis-namespace's ``resque``."""

    framework = "Resque"
    needs_redis: ClassVar[bool] = True
    traits = Traits(
        quiets=True,
        confirms_quiet=True,
        repeat_quiet_after_seconds=30.0,
        can_resume=True,
        names_jobs=True,
    )
    """USR2 is repeated only if the worker still waits for jobs long after it: that changes nothing."""

    def __init__(self, values: Mapping[str, Any], tools: Tools, hostname: str | None = None) -> None:
        """`hostname` is the name that Resque uses for this machine."""
        super().__init__(values, tools)
        self._hostname = hostname or socket.gethostname()
        self._prefix = f"{tools.key_namespace or 'resque'}:"

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        trees = {target.process.worker: tree_pids(target.process, table) for target in targets}
        try:
            seen = self._look({pid for pids in trees.values() for pid in pids})
        except MemkillError as error:
            return all_unknown(targets, error)
        return {
            target.process.worker: _reading(target, trees[target.process.worker], table, seen)
            for target in targets
        }

    def quiet(self, target: Target, table: ProcessTable) -> Note:
        reading = self.read([target], table)[target.process.worker]
        if not reading.recognised:
            raise NotSent(reading.why)
        self.tools.signal(target.process.worker, "USR2")
        return {**(target.note or {}), "told": True}

    def resume(self, target: Target, table: ProcessTable) -> None:
        self.tools.signal(target.process.worker, "CONT")

    def memory_in_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        """Only behind a shell: a forked child lives as long as one job."""
        return is_shell(table.title(process.pid))

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Sequence[Advice]:
        """A drained worker has no running job at its stop, so that nothing here refuses a drain."""
        return [
            *advise_on_stopsignal(
                program,
                {"QUIT"},
                "Resque finishes its job at QUIT; TERM kills it unless GRACEFUL_TERM is set, others kill it",
                cuts_jobs=True,
            ),
            *advise_on_stopwaitsecs(
                program, SUPERVISORD_STOPWAITSECS, "the time of a stop that waits for a job", cuts_jobs=True
            ),
            *advise_on_stopasgroup(program, "with TERM_CHILD set, it kills the running job"),
            *advise_on_wrapper(program, "Resque"),
        ]

    def _look(self, pids: set[int]) -> _Seen:
        """The records of these processes. Raises Unknown."""
        identities = ask(self.tools.redis, lambda redis: redis.smembers(f"{self._prefix}workers"))
        of_host = {identity: pid_in(identity, self._hostname) for identity in identities}
        wanted = [(identity, pid) for identity, pid in of_host.items() if pid in pids and pid is not None]
        replies = iter(ask(self.tools.redis, lambda redis: self._fetch(redis, wanted)))
        all_are_paused, (seconds, _) = next(replies), next(replies)
        found = []
        for identity, pid in wanted:
            started, (heartbeat,), job = next(replies), next(replies), next(replies)
            found.append(parse_record(identity, pid, (started, heartbeat, job)))
        return _Seen(
            records=tuple(record for record in found if record is not None),
            all_are_paused=str(all_are_paused or "").strip().lower() == "true",
            now=float(seconds),
        )

    def _fetch(self, redis: Any, wanted: Iterable[tuple[str, int]]) -> Sequence[Any]:
        pipe = redis.pipeline(transaction=False)
        pipe.get(f"{self._prefix}pause-all-workers")
        pipe.time()
        for identity, _pid in wanted:
            pipe.get(f"{self._prefix}worker:{identity}:started")
            pipe.hmget(f"{self._prefix}workers:heartbeat", [identity])
            pipe.get(f"{self._prefix}worker:{identity}")
        replies: Sequence[Any] = pipe.execute()
        return replies


def _reading(target: Target, pids: Sequence[int], table: ProcessTable, seen: _Seen) -> Reading:
    if not pids:
        return unknown("the process cannot be read", target.note)
    try:
        record = record_of(pids, target.process.start, seen.now, seen.records)
    except Unknown as error:
        return unknown(str(error), target.note)
    title = table.title(target.process.pid)
    turn = turn_in(title)
    if record is None or record.pid != target.process.pid or turn is None:
        why = _why_unrecognised(target.process.pid, title, turn, record)
        return unrecognised(why, target.note)
    is_paused = turn is Turn.PAUSED
    return Reading(
        recognised=True,
        in_service=not is_paused and not seen.all_are_paused,
        quiet=_is_quiet(turn, seen),
        busy=1 if record.is_working else 0,
        idle=is_paused and not record.is_working and target.note is not None,
        jobs=record.jobs,
        queues=record.queues,
        why=_why_not_in_service(is_paused, seen) if target.note is None else "",
        note=target.note or {},
    )


def _is_quiet(turn: Turn, seen: _Seen) -> bool | None:
    """By the title; None if it shows neither, or may show a pause of all workers."""
    if turn is Turn.PAUSED:
        return None if seen.all_are_paused else True
    return False if turn is Turn.WAITING else None


def _why_not_in_service(is_paused: bool, seen: _Seen) -> str:
    if seen.all_are_paused:
        return "all Resque workers are paused by the Redis key pause-all-workers"
    return "paused: send CONT to the worker, or restart it" if is_paused else ""


def _why_unrecognised(pid: int, title: str, turn: Turn | None, record: Record | None) -> str:
    """Why a process is not recognised."""
    if record is not None and record.pid != pid:
        return f"Resque {record.pid} runs behind {title[:60]!r}: start it with exec, so that signals reach it"
    if turn is None:
        return f"the title {title[:60]!r} is not Resque's: it is still booting, or it is not Resque"
    return "Resque's set of workers does not contain it: wrong redis or key_namespace, or Redis lost its data"
