"""``worker = rq``: RQ 1.16 to 3.0, drained by its own stop and read through the records that it keeps.

What a drain stands on, tried with 1.16.2 and 3.0.0:

- At TERM or INT a worker takes no more jobs, finishes the one in hand and exits with status 0; a
  ``worker-pool`` passes it on to its workers. A second one, more than a second later, kills the job: so
  a worker that was told to stop already is not recognised, and gets nothing from us.
- There is no quiet: ``rq suspend`` is for all workers of a Redis at once. Whoever set it, such workers
  are not in service.
- A job that was taken off its queue a moment before the signal and is not marked as begun yet is dropped by
  RQ itself, at any stop (rq/rq issue 2236; 2 to 5 ms long where it was measured). Nothing outside RQ can
  see that moment.
- Below 3.0 that moment is up to a second long for an idle worker with the scheduler (``--with-scheduler``,
  and every pool): it goes on taking jobs while it ends its scheduler, and drops them (1.16, 2.0 and 2.6
  were tried, with redis-py 5.3 to 8.1). Such a one is drained only while it works: then it takes no more.
- The work horse's memory dies with its job: the worker's own is what counts. A pool's own says nothing,
  and its tree holds the horses too.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from supervisor_memkill.errors import MemkillError, Unknown
from supervisor_memkill.workers.contract import Advice, Option, Reading, Target, Tools, unknown
from supervisor_memkill.workers.rq.advice import advice_on, is_pool
from supervisor_memkill.workers.rq.records import FIELDS, Record, parse_record, records_of
from supervisor_memkill.workers.settings import is_measured_below, stays_between
from supervisor_memkill.workers.stopping import StopThenWait
from supervisor_memkill.world.redis_client import ask

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProcessInfo, ProgramInfo
    from supervisor_memkill.world.memory import ProcessTable


DROPS = (
    "idle, with its scheduler: below RQ 3.0 its stop would drop a job that comes meanwhile, so it is drained"
    " while it works"
)


class RQ(StopThenWait):
    """Finds each worker's record by host and pid; `key_namespace` is RQ_KEY_PREFIX (3.0)."""

    framework = "RQ"
    program = "rq"
    options: ClassVar[Mapping[str, Option]] = {}
    needs_redis: ClassVar[bool] = True

    def __init__(self, values: Mapping[str, Any], tools: Tools, hostname: str | None = None) -> None:
        """`hostname` is the one that RQ writes into its records."""
        super().__init__(values, tools)
        self._hostname = hostname or socket.gethostname()
        self._prefix = tools.key_namespace or "rq"

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        try:
            records, is_suspended = self._records()
        except MemkillError as error:
            return {target.process.worker: unknown(str(error), target.note) for target in targets}
        return {
            target.process.worker: self._reading(target, table, records, is_suspended) for target in targets
        }

    def _reading(
        self, target: Target, table: ProcessTable, records: Iterable[Record | Unknown], is_suspended: bool
    ) -> Reading:
        try:
            pids = [found.pid for found in table.tree(target.process.pid)]
            own = records_of(pids, target.process.start, _readable(records))
            drops = any(_drops_jobs_at_its_stop(record, table) for record in own)
        except Unknown as error:
            return unknown(str(error), target.note)
        title = table.title(target.process.pid)
        why = _strangeness(target.process.pid, title, own)
        if why:
            return replace(unknown(why, target.note), recognised=False)
        is_suspended = is_suspended or any(record.is_suspended for record in own)
        return Reading(
            recognised=True,
            in_service=not is_suspended,
            quiet=None,
            busy=sum(record.busy for record in own),
            queues=frozenset().union(*(record.queues for record in own)),
            why="suspended for all workers: `rq resume` ends it" if is_suspended else "",
            hold=DROPS if drops else "",
            note=target.note or {},
        )

    def memory_in_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        """A pool's, and what runs behind a starter; never a work horse's alone."""
        title = table.title(process.pid)
        return is_pool(title) or is_measured_below(title)

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float) -> Sequence[Advice]:
        return advice_on(program, drain_timeout_seconds)

    def _records(self) -> tuple[list[Record | Unknown], bool]:
        """This host's records, and whether all workers are suspended. Raises Unknown.

        The names are random, so that of all workers of this Redis a few fields are read: two round trips.
        """
        keys = sorted(ask(self._tools.redis, lambda redis: redis.smembers(f"{self._prefix}:workers")))
        replies = iter(ask(self._tools.redis, lambda redis: self._hashes(redis, keys)))
        is_suspended = bool(next(replies))
        found: list[Record | Unknown] = []
        for key in keys:
            fields, executions = next(replies), next(replies)
            try:
                record = parse_record(key, self._hostname, fields, executions)
            except Unknown as error:
                found.append(error)
                continue
            if record is not None:
                found.append(record)
        return found, is_suspended

    def _hashes(self, redis: Any, keys: Sequence[str]) -> Sequence[Any]:
        pipe = redis.pipeline(transaction=False)
        pipe.exists(f"{self._prefix}:suspended")  # rq/suspension.py
        for key in keys:
            pipe.hmget(key, FIELDS)
            pipe.scard(f"{key}:executions")  # from 3.0: rq/executions.py
        replies: Sequence[Any] = pipe.execute()
        return replies


def _readable(records: Iterable[Record | Unknown]) -> list[Record]:
    """The records, when every one of this host's can be read. Raises Unknown: it may be the one meant."""
    found = []
    for record in records:
        if isinstance(record, Unknown):
            raise record
        found.append(record)
    return found


def _drops_jobs_at_its_stop(record: Record, table: ProcessTable) -> bool:
    """It is idle, and has a child all the same: the scheduler, which RQ below 3.0 ends too slowly."""
    return record.is_below_3 and record.busy == 0 and len(table.tree(record.pid)) > 1


def _strangeness(pid: int, title: str, own: Sequence[Record]) -> str:
    """Why the process with these records is not recognised; empty when it is."""
    if not own:
        return (
            "no RQ record of this process: it is still booting, or no RQ, or Redis lost its data since it "
            "started (then a restart by hand brings the record back)"
        )
    if any(record.is_stopping for record in own):
        return "it was told to stop already: a second signal would kill the job in hand"
    if any(record.pid == pid for record in own) or (is_pool(title) and not stays_between(title)):
        return ""
    return f"RQ {own[0].pid} runs behind {title[:60]!r}: start it with exec, so that the stop reaches it"
