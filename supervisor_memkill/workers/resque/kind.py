"""``worker = resque``: Resque 1.20 to 3.0, paused by USR2 and resumed by CONT.

Facts, read in lib/resque/worker.rb of 1.9.10, 1.20, 1.25, 1.26, 1.27, 2.0, 2.7 and 3.0, and tried with a
stand-in that does the same; not run against Resque itself:

- Only the worker itself knows that it is paused, and only its process title shows it. Its loop checks
  whether it is paused, takes a job, runs it, and sets the title to ``Paused`` or ``Waiting for`` only on a
  turn without a job. So ``Paused`` means: no job is running, and none will until CONT. The record in
  Redis does not mean that: a job is registered a moment after it was taken off its queue.
- While a job runs the title stays ``Forked``, so that a pause is confirmed when that job is done, or
  after the worker's interval (INTERVAL, 5 s; from 3.0 on up to MAX_INTERVAL).
- USR2 kills a process that does not handle it: it goes only to a registered process with a title that
  the loop writes.
- ``pause-all-workers`` (from 2.3) pauses all workers of a Redis, with the same title. Then nothing shows
  whether our pause arrived, and the paused workers are not in service.
- php-resque 1.3.6 (lib/Worker/ResqueWorker.php, bin/resque; tried) has the same loop, keys and signals, and
  another title: ``resque-1.2 (high,default): Paused``. With BLOCKING its title never shows a pause. It needs
  pcntl for its signals. TERM and INT always kill the running job.
- The job runs in a forked child, whose memory is freed when the job ends: the worker's own memory counts.
  With FORK_PER_JOB=false there is no other.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import MemkillError, NotSent, Unknown
from supervisor_memkill.workers import elsewhere
from supervisor_memkill.workers.advice import (
    SUPERVISORD_STOPWAITSECS,
    advise_on_stopasgroup,
    advise_on_stopsignal,
    advise_on_stopwaitsecs,
    advise_on_wrapper,
)
from supervisor_memkill.workers.base import BaseKind, all_unknown, tree_pids
from supervisor_memkill.workers.command_line import beginning, has_words, is_shell
from supervisor_memkill.workers.contract import (
    Advice,
    LeftBehind,
    Note,
    Option,
    Reading,
    Target,
    Tools,
    Traits,
    unknown,
    unrecognised,
)
from supervisor_memkill.workers.ownership import (
    MOST_OTHER_NAMES,
    RECORD_HOSTS,
    Began,
    Hosts,
    began_now,
    beginnings,
    is_left_behind,
    name_other_hosts,
    why_not_own,
)
from supervisor_memkill.workers.resque.records import (
    Record,
    Turn,
    is_blocking,
    is_php,
    owner_in,
    parse_record,
    record_of,
    turn_in,
)
from supervisor_memkill.world.redis_client import ask

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProcessInfo, ProgramInfo
    from supervisor_memkill.world.memory import ProcessTable


TITLE = "resque-"
"""How the title of a worker and of its forked child begins, such as ``resque-2.0: Waiting for *``."""


@dataclass(frozen=True)
class _Seen:
    """What one look at Redis showed."""

    identities: frozenset[str]
    """Of all hosts."""
    records: tuple[Record, ...]
    unreadable: Mapping[int, str]
    """By pid, what is wrong with a record of this host."""
    all_are_paused: bool
    now: float
    """Epoch seconds, by Redis's clock."""

    def of(self, began: Mapping[int, Began]) -> Record | None:
        """The record of the process, or of the worker below it; None without one. Raises Unknown."""
        for pid, why in self.unreadable.items():
            if pid in began:
                raise Unknown(why)
        return record_of(began, self.now, self.records)


class Resque(BaseKind):
    """Finds each worker's record by host and pid; `key_namespace` replaces redis-namespace's ``resque``."""

    framework = "Resque"
    options: ClassVar[Mapping[str, Option]] = {"record_hosts": RECORD_HOSTS}
    needs_redis: ClassVar[bool] = True
    traits = Traits(
        quiets=True,
        confirms_quiet=True,
        repeat_quiet_after_seconds=30.0,
        can_resume=True,
        names_jobs=True,
    )
    """USR2 is repeated only if the worker still waits for jobs long after it: that changes nothing."""

    def __init__(
        self,
        values: Mapping[str, Any],
        tools: Tools,
        hostname: str | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`hostname` is the name that Resque uses for this machine; `wall` returns epoch seconds."""
        super().__init__(values, tools)
        self._hosts = Hosts(hostname or socket.gethostname(), values.get("record_hosts") or ())
        self._wall = wall
        self._prefix = f"{tools.key_namespace or 'resque'}:"

    @classmethod
    def matches_command(cls, title: str) -> bool:
        return turn_in(title) is not None or has_words(title, "resque:work")

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        trees = {
            target.process.worker: beginnings(target.process, table, self._wall, self.tools.clock)
            for target in targets
        }
        pids = {pid for began in trees.values() for pid in began}
        try:
            seen = self._look(pids.__contains__)
            readings = {
                target.process.worker: _reading(target, trees[target.process.worker], table, seen)
                for target in targets
            }
        except MemkillError as error:
            return all_unknown(targets, error)
        name_other_hosts(
            readings, trees, self._hosts, lambda began: self._other_names(seen.identities, began)
        )
        return readings

    def _other_names(
        self, identities: Collection[str], began: Mapping[int, Began]
    ) -> Mapping[int, Collection[str]]:
        """For each of these pids: other hosts with a record of that pid and that start. Raises Unknown."""
        elsewhere = [
            (identity, *owner)
            for identity in sorted(identities)
            if (owner := owner_in(identity)) is not None and owner[1] in began and owner[0] not in self._hosts
        ][:MOST_OTHER_NAMES]
        if not elsewhere:
            return {}
        replies = ask(self.tools.redis, lambda redis: self._fetch(redis, [one[0] for one in elsewhere]))[2:]
        names: dict[int, set[str]] = {}
        for (identity, host, pid), *values in zip(elsewhere, replies[::3], replies[1::3], strict=True):
            with suppress(Unknown):
                record = parse_record(identity, pid, (values[0], values[1][0], None))
                if record is not None and began[pid].fits(record.started):
                    names.setdefault(pid, set()).add(host)
        return names

    def left_behind(self, supervised: Collection[int], table: ProcessTable) -> Sequence[LeftBehind]:
        def is_wanted(pid: int) -> bool:
            return is_left_behind(pid, supervised, table)

        try:
            return [
                LeftBehind(record.pid, record.identity, record.queues)
                for record in self._look(is_wanted).records
                if began_now(record.pid, table, self._wall, self.tools.clock).fits(record.started)
                and turn_in(table.title(record.pid)) is not None
            ]
        except MemkillError:
            return ()

    def quiet(self, target: Target, table: ProcessTable) -> Note:
        reading = self.read([target], table)[target.process.worker]
        if not reading.recognised:
            raise NotSent(reading.why)
        self.tools.signal(target.process.worker, "USR2")
        return {**(target.note or {}), "told": True}

    def resume(self, target: Target, table: ProcessTable) -> None:
        self.tools.signal(target.process.worker, "CONT")

    def memory_in_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        """Only behind a wrapper: a forked child lives as long as one job."""
        itself, *below = tree_pids(process, table) or (process.pid,)
        title = table.title(itself)
        if title.startswith(TITLE):
            return False
        return is_shell(title) or any(table.title(pid).startswith(TITLE) for pid in below)

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

    def find_others(self, targets: Sequence[Target], table: ProcessTable) -> str:
        key = f"{self._prefix}workers"
        here = ask(self.tools.redis, lambda redis: redis.smembers(key))
        if here:
            hosts = (identity.partition(":")[0] for identity in here)
            return elsewhere.describe_hosts(hosts, self.framework, self._hosts)
        found = elsewhere.places(self.tools.redis, "workers", lambda _, one: owner_in(one) is not None)
        return elsewhere.describe(found, self.framework, key, ":workers")

    def _look(self, is_wanted: Callable[[int], bool]) -> _Seen:
        """The records of this machine's host name with a wanted pid. Raises Unknown."""
        identities = ask(self.tools.redis, lambda redis: redis.smembers(f"{self._prefix}workers"))
        wanted = [
            (identity, owner[1])
            for identity in sorted(identities)
            if (owner := owner_in(identity)) is not None and owner[0] in self._hosts and is_wanted(owner[1])
        ]
        replies = iter(
            ask(self.tools.redis, lambda redis: self._fetch(redis, [identity for identity, _ in wanted]))
        )
        all_are_paused, (seconds, _) = next(replies), next(replies)
        found, unreadable = [], {}
        for identity, pid in wanted:
            started, (heartbeat,), job = next(replies), next(replies), next(replies)
            try:
                found.append(parse_record(identity, pid, (started, heartbeat, job)))
            except Unknown as error:
                unreadable[pid] = str(error)
        return _Seen(
            identities=frozenset(identities),
            records=tuple(record for record in found if record is not None),
            unreadable=unreadable,
            all_are_paused=str(all_are_paused or "").strip().lower() == "true",
            now=float(seconds),
        )

    def _fetch(self, redis: Any, identities: Iterable[str]) -> Sequence[Any]:
        pipe = redis.pipeline(transaction=False)
        pipe.get(f"{self._prefix}pause-all-workers")
        pipe.time()
        for identity in identities:
            pipe.get(f"{self._prefix}worker:{identity}:started")
            pipe.hmget(f"{self._prefix}workers:heartbeat", [identity])
            pipe.get(f"{self._prefix}worker:{identity}")
        replies: Sequence[Any] = pipe.execute()
        return replies


def _reading(target: Target, began: Mapping[int, Began], table: ProcessTable, seen: _Seen) -> Reading:
    if not began:
        return unknown("the process cannot be read", target.note)
    try:
        record = seen.of(began)
    except Unknown as error:
        return unknown(str(error), target.note)
    title = table.title(target.process.pid)
    turn = turn_in(title)
    if is_php(title) and (why := _why_php_cannot_pause(target.process.pid, title, table)):
        return unrecognised(why, target.note)
    if record is None or record.pid != target.process.pid or turn is None:
        why = _why_unrecognised(target.process.pid, title, turn, record) or _why_no_record(began, seen)
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


def _why_php_cannot_pause(pid: int, title: str, table: ProcessTable) -> str:
    """Why php-resque cannot be paused, or would not show it; empty if it can and does."""
    if table.handles(pid, "CONT") is False:
        return "php-resque does not handle signals: install PHP's extension pcntl"
    try:
        blocks = is_blocking(title) or "BLOCKING" in table.environment(pid)
    except Unknown:
        blocks = is_blocking(title)
    return "php-resque does not show its pause with BLOCKING: remove it from environment" if blocks else ""


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
    """Why a process is not recognised; empty if it has no record of its own."""
    shown = beginning(title)
    if record is not None and record.pid != pid:
        return f"Resque {record.pid} runs behind {shown!r}: start it with exec, so that signals reach it"
    if turn is None:
        return f"the title {shown!r} is not Resque's: it is still booting, or it is not Resque"
    return ""


def _why_no_record(began: Mapping[int, Began], seen: _Seen) -> str:
    for record in seen.records:
        if record.pid in began:
            return why_not_own(record.identity, record.started, began[record.pid])
    return "Resque's set of workers does not contain it: wrong redis or key_namespace, or Redis lost its data"
