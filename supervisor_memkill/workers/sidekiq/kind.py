"""``worker = sidekiq``: Sidekiq 4 to 8, read through its records in Redis.

How a drain stays safe, although a record is up to one beat old:

- A process without a fresh record gets no signal: TSTP suspends a wrapper, and a Sidekiq that is
  still booting.
- A record is the process's own only if host, pid and start fit, and if the process title does not say the
  opposite: containers share host names, and pids come round.
- The first record that says quiet may have counted its jobs before the quiet. Idle is believed in a
  later beat of the same process.
- Behind a wrapper, supervisord knows the wrapper's pid and not Sidekiq's. Such a Sidekiq gets its signals
  through its list of signals in Redis, from which it takes one per beat.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from supervisor_memkill.errors import MemkillError, NotSent, Unknown
from supervisor_memkill.workers import elsewhere
from supervisor_memkill.workers.base import BaseKind, all_unknown, tree_pids
from supervisor_memkill.workers.command_line import beginning, words_run
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
    RECORD_HOSTS,
    Began,
    Hosts,
    began_now,
    beginnings,
    is_left_behind,
    name_other_hosts,
)
from supervisor_memkill.workers.queues import QUEUES, compared
from supervisor_memkill.workers.sidekiq.advice import advice_on
from supervisor_memkill.workers.sidekiq.reader import Found, RecordReader
from supervisor_memkill.workers.sidekiq.records import (
    Record,
    contradiction,
    owner_in,
    quiet_signal,
    record_of,
    version_in_title,
    why_no_record,
)
from supervisor_memkill.workers.sidekiq.timeout import OwnTimeout, SidekiqStart, own_timeout
from supervisor_memkill.world.redis_client import ask

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProcessInfo, ProgramInfo
    from supervisor_memkill.world.memory import ProcessTable

NO_QUEUES = (
    "its Sidekiq record shows no queues, so that no other worker is known to take its jobs; if each worker "
    "of the pool takes from all queues, set queues = any"
)
SIGNALS_EXPIRE_SECONDS = 60
"""As Sidekiq itself lets a signal expire (lib/sidekiq/api.rb)."""


class Sidekiq(BaseKind):
    """Finds each worker's record, quiets the worker, and believes it idle by the rule above."""

    framework = "Sidekiq"
    options: ClassVar[Mapping[str, Option]] = {
        **QUEUES,
        "record_hosts": RECORD_HOSTS,
    }
    needs_redis: ClassVar[bool] = True
    traits = Traits(quiets=True, confirms_quiet=True, repeat_quiet_after_seconds=30.0, names_jobs=True)
    """The quiet is repeated after 3 of the longest beats: a second TSTP changes nothing."""

    def __init__(
        self,
        values: Mapping[str, Any],
        tools: Tools,
        hostname: str | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`hostname` is Sidekiq's name for this machine; `wall` returns epoch seconds, as in its beats."""
        super().__init__(values, tools)
        self._hosts = Hosts(
            hostname or os.environ.get("DYNO") or socket.gethostname(), values.get("record_hosts") or ()
        )
        self._wall = wall
        self._prefix = f"{tools.key_namespace}:" if tools.key_namespace else ""
        self._reader = RecordReader(tools.redis, self._prefix, self._hosts)
        self._starts: dict[str, SidekiqStart] = {}
        """By worker: how its present process was started."""
        self._timeouts: dict[tuple[SidekiqStart, str], OwnTimeout] = {}
        """By process and command: what was in force when the process was first seen, it stays in force."""

    @classmethod
    def matches_command(cls, title: str) -> bool:
        return version_in_title(title) is not None or words_run(title)[:1] == ["sidekiq"]

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        trees = {target.process.worker: self._beginnings(target, table) for target in targets}
        pids = {pid for began in trees.values() for pid in began}
        try:
            found = self._reader.read(pids.__contains__)
        except MemkillError as error:
            readings = all_unknown(targets, error)
        else:
            readings = {
                target.process.worker: self._reading(target, trees[target.process.worker], table, found)
                for target in targets
            }
            name_other_hosts(
                readings, trees, self._hosts, lambda began: self._reader.other_names(found.identities, began)
            )
        for target in targets:
            if _is_frozen_by_us(target, table):
                readings[target.process.worker] = replace(readings[target.process.worker], frozen=True)
        return readings

    def _beginnings(self, target: Target, table: ProcessTable) -> Mapping[int, Began]:
        return beginnings(target.process, table, self._wall, self.tools.clock)

    def _reading(
        self, target: Target, began: Mapping[int, Began], table: ProcessTable, found: Found
    ) -> Reading:
        try:
            record = self._record_in(found, began, table)
        except Unknown as error:
            return unknown(str(error), target.note)
        if record is None:
            return unrecognised(why_no_record(began, self._wall(), found.records), target.note)
        if record.embedded:
            why = "an embedded Sidekiq: signals would reach the program that contains it"
            return unrecognised(why, target.note)
        self._learn_start(target.process, record, table)
        note = {} if target.note is None else _remember(target.note, record)
        is_adopted = record.quiet and target.note is None
        return Reading(
            recognised=True,
            in_service=not record.quiet,
            quiet=record.quiet,
            busy=record.busy,
            idle=_is_idle(note, record),
            jobs=record.jobs,
            queues=self._queues(record),
            why_no_peers=NO_QUEUES if self._queues(record) and record.queues is None else "",
            why="quiet: the worker takes no new jobs until it is restarted" if is_adopted else "",
            remark=_remark(target.process, record, table),
            note=note,
        )

    def _record_in(self, found: Found, began: Mapping[int, Began], table: ProcessTable) -> Record | None:
        """The record of the process, or of the Sidekiq below it; None without one. Raises Unknown."""
        record = record_of(began, self._wall(), found.of(began))
        if record is None:
            return None
        against = contradiction(record, table.title(record.pid))
        if against:
            raise Unknown(against)
        return record

    def _queues(self, record: Record) -> frozenset[str]:
        """The queues for the comparison with peers; unknown ones are like no other worker's."""
        queues = record.queues
        if queues is None:
            queues = frozenset({f"the unknown queues of {record.identity}"})
        return compared(self.values, queues)

    def left_behind(self, supervised: Collection[int], table: ProcessTable) -> Sequence[LeftBehind]:
        def is_wanted(pid: int) -> bool:
            return is_left_behind(pid, supervised, table)

        try:
            records = self._reader.read(is_wanted).records
            return [
                LeftBehind(record.pid, record.identity, record.queues or frozenset())
                for record in records
                if not record.embedded
                and record.is_fresh(self._wall())
                and began_now(record.pid, table, self._wall, self.tools.clock).fits(record.started_at)
            ]
        except MemkillError:
            return ()

    def quiet(self, target: Target, table: ProcessTable) -> Note:
        try:
            record = self._record(target, table)
        except Unknown as error:
            raise NotSent(str(error)) from error
        title = table.title(record.pid)
        name = quiet_signal(record.version or version_in_title(title) or "")
        note = _remember(target.note or {}, record)
        if record.pid != target.process.pid:
            self._push(record.identity, name)
            return note
        self.tools.signal(target.process.worker, name)
        return {**note, "signalled": name}

    def before_stop(self, target: Target, table: ProcessTable) -> None:
        """Behind a wrapper, send TERM to Sidekiq itself: supervisord's TERM reaches only the wrapper."""
        if _is_sidekiq(target.process.pid, table):
            return
        drained = (target.note or {}).get("identity")
        try:
            identity = self._record(target, table).identity
        except Unknown:
            # Its record may be lost; Sidekiq still reads its list of signals.
            if not isinstance(drained, str):
                raise
            identity = drained
        if (owner_in(identity) or ("", 0))[1] != target.process.pid:
            self._push(identity, "TERM")

    def memory_in_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        """Behind a wrapper; the children of a Sidekiq itself were started by its jobs and do not count."""
        itself, *below = tree_pids(process, table) or (process.pid,)
        return not _is_sidekiq(itself, table) and any(_is_sidekiq(pid, table) for pid in below)

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Sequence[Advice]:
        return advice_on(program, self._own_timeout(program))

    def _learn_start(self, process: ProcessInfo, record: Record, table: ProcessTable) -> None:
        """Find out once per process what its timeout depends on."""
        known = self._starts.get(process.worker)
        if known is not None and (known.pid, known.started_epoch) == (process.pid, process.start):
            return
        version = record.version or version_in_title(table.title(record.pid)) or ""
        directory = None
        with contextlib.suppress(Unknown):
            directory = table.directory(record.pid)
        self._starts[process.worker] = SidekiqStart(process.pid, process.start, version, directory)

    def _own_timeout(self, program: ProgramInfo) -> OwnTimeout:
        start = self._starts.get(program.worker)
        if start is None:
            return own_timeout(program.command, SidekiqStart())
        key = start, program.command
        if key not in self._timeouts:
            former = [one for one in self._timeouts if one[0] not in self._starts.values()]
            for one in former:
                del self._timeouts[one]
            self._timeouts[key] = own_timeout(program.command, start)
        return self._timeouts[key]

    def find_others(self, targets: Sequence[Target], table: ProcessTable) -> str:
        key = f"{self._prefix}processes"
        here = ask(self.tools.redis, lambda redis: redis.smembers(key))
        if here:
            hosts = (identity.rsplit(":", 2)[0] for identity in here)
            return elsewhere.describe_hosts(hosts, self.framework, self._hosts)
        found = elsewhere.places(self.tools.redis, "processes", lambda _, one: owner_in(one) is not None)
        return elsewhere.describe(found, self.framework, key, ":processes")

    def _record(self, target: Target, table: ProcessTable) -> Record:
        """The process's record as it is now. Raises Unknown."""
        began = self._beginnings(target, table)
        record = self._record_in(self._reader.read(began.__contains__), began, table)
        if record is None or record.embedded:
            raise Unknown("no fresh Sidekiq record of this process")
        return record

    def _push(self, identity: str, name: str) -> None:
        """Put a signal, once, into the list that Sidekiq reads at its next beat. Raises Unknown."""
        key = f"{self._prefix}{identity}-signals"

        def push(redis: Any) -> None:
            if name in redis.lrange(key, 0, -1):
                return
            pipe = redis.pipeline(transaction=True)
            pipe.lpush(key, name)
            pipe.expire(key, SIGNALS_EXPIRE_SECONDS)
            pipe.execute()

        ask(self.tools.redis, push)


def _is_sidekiq(pid: int, table: ProcessTable) -> bool:
    """Whether the process has the title that a booted Sidekiq gives itself."""
    return version_in_title(table.title(pid)) is not None


def _remember(note: Note, record: Record) -> Note:
    """The note with the first beat in which this process was seen quiet; another process starts anew."""
    if note.get("identity") != record.identity:
        note = {"identity": record.identity}
    if not record.quiet:
        return {key: value for key, value in note.items() if key != "quiet_beat"}
    # An earlier beat after a later one: the clock was set back, or Redis was restored from an old copy.
    before = note.get("quiet_beat")
    return {**note, "quiet_beat": min(record.beat, before) if isinstance(before, float) else record.beat}


def _is_idle(note: Note, record: Record) -> bool:
    """Quiet and without a job in a beat after the first quiet one: no job can have been missed."""
    before = note.get("quiet_beat")
    is_later = isinstance(before, float) and record.beat > before
    return record.quiet and is_later and record.busy == 0 and record.jobs == ()


def _is_frozen_by_us(target: Target, table: ProcessTable) -> bool:
    try:
        return "signalled" in (target.note or {}) and table.is_suspended(target.process.pid)
    except Unknown:
        return False


def _remark(process: ProcessInfo, record: Record, table: ProcessTable) -> str:
    if record.pid == process.pid:
        return ""
    wrapper = beginning(table.title(process.pid))
    return (
        f"Sidekiq {record.pid} runs behind {wrapper!r}: without exec, supervisord's signals do not reach it"
    )
