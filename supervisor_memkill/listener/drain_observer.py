"""The observation for one step of one drain."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence

from supervisor_memkill.clock import Clock
from supervisor_memkill.errors import Unknown
from supervisor_memkill.listener import observer
from supervisor_memkill.listener.evidence import EvidenceTaker
from supervisor_memkill.listener.findings import Pool
from supervisor_memkill.notices.drain_events import KindFailed
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.processes import ENDED_BY_SIGNAL, ProcessId, ProcessInfo, ProcessState
from supervisor_memkill.rules.drain import Drain, State
from supervisor_memkill.rules.step import Seen
from supervisor_memkill.rules.stop_end import is_kill_logged
from supervisor_memkill.workers.contract import Reading, Target, unknown
from supervisor_memkill.world.memory import ProcessTable
from supervisor_memkill.world.supervisord import Supervisord, SupervisordError

ORPHAN_READING = Reading(recognised=True, in_service=True, quiet=None, busy=None)
"""For a drain whose pool is not in the configuration any more: it ends by its deadline, without its kind."""

LOG_END_BYTES = 64 * 1024
"""The part of supervisord's log that is read to find its SIGKILL."""


class DrainObserver:
    """Looks at the worker of a drain: at its process, and by its kind."""

    def __init__(
        self,
        pools: Mapping[str, Pool],
        supervisord: Supervisord,
        notifier: Notifier,
        clock: Clock,
        process_table: Callable[[], ProcessTable],
        evidence: EvidenceTaker,
    ) -> None:
        self._pools = pools
        self._supervisord = supervisord
        self._notifier = notifier
        self._clock = clock
        self._process_table = process_table
        self._evidence = evidence

    def observe(self, drain: Drain) -> Seen:
        looked_at = self._clock()
        # First, so that a command that has ended has ended before the reading.
        evidence = self._evidence.look(drain)
        process = self._supervisord.process(drain.worker)
        table = self._process_table()
        seen = Seen(
            process,
            survivors=self._survivors(drain, process, table),
            looked_at=looked_at,
            is_kill_logged=self._is_kill_logged(drain, process),
            evidence=evidence,
            is_suspended=self._has_command(drain) and process is not None and _is_suspended(process, table),
        )
        if process is None or process.state is not ProcessState.RUNNING:
            return seen
        pool = self._pools.get(drain.pool)
        if pool is None:
            return dataclasses.replace(seen, reading=dataclasses.replace(ORPHAN_READING, note=drain.note))
        note = None if drain.state is State.ASKING else drain.note
        readings, memory = observer.read(pool, [Target(process, note)], table), observer.Memory()
        if drain.state in (State.ASKING, State.SETTLING) or pool.config.hard_max_rss is not None:
            memory = observer.measure(pool, process, table)
        fault = readings.fault or memory.fault
        if fault is not None:
            self._notifier.report(KindFailed(drain.worker, process.pid, f"{type(fault).__name__}: {fault}"))
        reading = readings.by_worker.get(drain.worker)
        if readings.fault is not None:
            # A kind that fails must not block the drain.
            reading = unknown("its kind failed", note)
        return dataclasses.replace(
            seen, memory_bytes=memory.size_bytes, memory_least_bytes=memory.least_bytes, reading=reading
        )

    def _has_command(self, drain: Drain) -> bool:
        """The drain runs a command, which may suspend the worker, or it may have run one."""
        pool = self._pools.get(drain.pool)
        return drain.evidence is not None or (pool is not None and bool(pool.config.before_stop))

    def _is_kill_logged(self, drain: Drain, process: ProcessInfo | None) -> bool:
        """Whether supervisord's log says so; it is read when a signal may have ended the process."""
        if drain.state is not State.STOPPING or not drain.stop.attempts or process is None:
            return False
        by_signal = process.state is ProcessState.STOPPED and process.exitstatus == ENDED_BY_SIGNAL
        is_other = process.pid != 0 and not drain.is_process(process)
        if drain.stopped_seen_at is not None or not (by_signal or is_other):
            return False
        try:
            return is_kill_logged(self._supervisord.log_end(LOG_END_BYTES), process.name, drain.pid)
        except SupervisordError:
            return False  # The time that the stop took tells it, too.

    def _survivors(self, drain: Drain, process: ProcessInfo | None, table: ProcessTable) -> tuple[int, ...]:
        """Pids of the old processes that are still alive, without the processes of the new tree."""
        alive = [one for one in drain.tree if _may_live(one, table)]
        new: Sequence[ProcessId] = ()
        if drain.state is State.SETTLING and process is not None:
            with contextlib.suppress(Unknown):
                new = table.tree(process.pid)
        return tuple(one.pid for one in alive if one not in new)

    def with_tree(self, drain: Drain, seen: Seen) -> Drain:
        """The record with all processes that must be gone. Jobs may start processes until the stop."""
        table, known = self._process_table(), drain.tree
        with contextlib.suppress(Unknown):
            if seen.process is not None and drain.is_process(seen.process):
                tree = table.tree(drain.pid)
                # A process that began after the look only has its pid: this listener may have been frozen.
                if table.age_seconds(drain.pid) > self._clock() - seen.looked_at:
                    known = (*known, *(one for one in tree if one not in known))
            known = tuple(one for one in table.family(known) if _may_live(one, table))
        return dataclasses.replace(drain, tree=known)


def _is_suspended(process: ProcessInfo, table: ProcessTable) -> bool:
    try:
        return table.is_suspended(process.pid)
    except Unknown:
        return False


def _may_live(process: ProcessId, table: ProcessTable) -> bool:
    try:
        return table.is_alive(process)
    except Unknown:
        return True
