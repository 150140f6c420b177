"""The processes of supervisord, known by its events, so that a look need not ask for all of them.

A process that an event names is asked for at the next look. Everything else that was reported before still
holds: a RUNNING process as long as the system shows the same process, a stopped one until an event names it.
Whenever an event may be missing, supervisord is asked for all processes again.

What is known here leads to reports and to the choice of a worker, never to an action: before an action
supervisord is asked for the process itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from supervisor_memkill.clock import Clock
from supervisor_memkill.errors import Unknown
from supervisor_memkill.processes import STOPPED_STATES, ProcessId, ProcessInfo, ProcessState
from supervisor_memkill.world.event_protocol import Event
from supervisor_memkill.world.memory import ProcessTable
from supervisor_memkill.world.supervisord import Supervisord, SupervisordError

ALL_AGAIN_SECONDS, ALL_AGAIN_AT_LATEST_SECONDS = 1800.0, 3600.0
"""supervisord is asked for all processes again after the first time, or later if the answer takes long."""
SHARE_OF_SUPERVISORD = 5e-5
"""The part of supervisord's time that the answers about all processes may take."""
CLOCK_SET_SECONDS = 1.0
"""A wall clock that moved so much against the boot clock was set: supervisord may have changed its times."""
NEWLY_STOPPED_SECONDS = 60
"""So long after its end a stopped process is asked for at each look: `update` may remove it."""
LAG_SECONDS = 60
"""By so much the times of a process may lag where nothing depends on them."""
FEW = 8
"""So many processes are asked for one by one; if more have changed, it is cheaper to ask for all."""


@dataclass(slots=True)
class _Known:
    """One process as supervisord reported it."""

    info: ProcessInfo
    """With supervisord's time at `answered_at`."""
    answered_at: float
    """When supervisord had answered, or whole seconds later: no process seems older than it is."""
    identity: ProcessId | None
    """The process by the system; None: it does not run, or is unknown."""
    generation: int | None = None
    """See `ProcessTable.generation`; read before `identity`."""


class KnownProcesses:
    """Keeps the answers of supervisord, and what its events say about them."""

    def __init__(
        self,
        supervisord: Supervisord,
        process_table: Callable[[], ProcessTable],
        clock: Clock,
        *,
        wall: Callable[[], float],
        own_worker: str = "",
        is_subscribed: bool = False,
    ) -> None:
        """`own_worker`: this listener (``group:name``). `is_subscribed`: its section asks for all changes.

        Without that, or if the event of the listener's own start does not come, each look asks for all.
        """
        self._supervisord = supervisord
        self._process_table = process_table
        self._clock = clock
        self._wall = wall
        self._own_worker = own_worker
        self._own_group = own_worker.partition(":")[0]
        self._is_subscribed = is_subscribed
        self._gets_events = False
        """The event of the listener's own start came: the section in force asks for all changes, too."""
        self._known: dict[str, _Known] = {}
        self._changed: set[str] = set()
        """The processes to ask for at the next look."""
        self._last_serial: int | None = None
        self._is_in_doubt = True
        self._all_again_at = 0.0
        self._clock_offset = 0.0

    def take(self, event: Event) -> None:
        """An event came, of whatever sort: its number shows whether another one was lost."""
        self._count(event.pool_serial)
        if event.is_process_group:
            self._is_in_doubt = True
        if not event.is_process_state:
            return
        if event.changed is None:
            self._is_in_doubt = True
            return
        self._gets_events = self._gets_events or event.changed == self._own_worker
        self._changed.add(event.changed)

    def _count(self, serial: int | None) -> None:
        last = self._last_serial
        if serial is None or (last is not None and serial > last + 1):
            self._is_in_doubt = True
        if serial is not None:
            self._last_serial = serial if last is None else max(last, serial)

    def doubt(self) -> None:
        """Something failed: the next look asks for all processes."""
        self._is_in_doubt = True

    def all(self, table: ProcessTable | None = None, *, may_lag: bool = False) -> Sequence[ProcessInfo]:
        """Every process, event listeners included; `table` None: a new one. Raises SupervisordError.

        `may_lag`: `now` may be up to LAG_SECONDS old. A process may seem younger than it is, never older.
        """
        if self._is_in_doubt or not self._is_kept_up():
            return self.all_anew()
        table = table or self._process_table()
        ask = [worker for worker, known in self._known.items() if self._must_ask(worker, known, table)]
        if len(ask) > FEW or not self._changed <= self._known.keys():
            return self.all_anew()
        self._ask(ask)
        return self._carried_on(LAG_SECONDS if may_lag else 0)

    def all_anew(self) -> Sequence[ProcessInfo]:
        """The same, asked now. Raises SupervisordError."""
        # An event that comes during the call may be older or newer than the answer: it counts as newer.
        self._is_in_doubt = True
        asked_at = self._clock()
        processes = self._supervisord.all_processes()
        self._changed.clear()
        if not (self._is_subscribed and self._gets_events):
            return processes
        now, table = self._clock(), self._process_table()
        self._known = {one.worker: _seen(one, now, table) for one in processes}
        self._clock_offset = self._wall() - now
        later = max(ALL_AGAIN_SECONDS, (now - asked_at) / SHARE_OF_SUPERVISORD)
        self._all_again_at = now + min(later, ALL_AGAIN_AT_LATEST_SECONDS)
        self._is_in_doubt = False
        return processes

    def _is_kept_up(self) -> bool:
        now = self._clock()
        is_clock_set = abs(self._wall() - now - self._clock_offset) > CLOCK_SET_SECONDS
        return now < self._all_again_at and not is_clock_set and not self._has_siblings()

    def _has_siblings(self) -> bool:
        """The listener has several processes (`numprocs`): supervisord sends each event to one of them."""
        groups = (known.info.group for known in self._known.values())
        return sum(group == self._own_group for group in groups) > 1

    def _must_ask(self, worker: str, known: _Known, table: ProcessTable) -> bool:
        if worker in self._changed:
            return True
        info = known.info
        if info.state is ProcessState.RUNNING:
            return known.identity is None or not _is_the_same(known, known.identity, table)
        if info.state not in STOPPED_STATES:
            return True
        return bool(info.stop) and self._now_of(known) - info.stop < NEWLY_STOPPED_SECONDS

    def _ask(self, workers: Sequence[str]) -> None:
        """Ask for these processes one by one. Raises SupervisordError."""
        table = self._process_table()
        for worker in workers:
            try:
                info = self._supervisord.process(worker)
            except SupervisordError:
                self._is_in_doubt = True
                raise
            self._changed.discard(worker)
            if info is None:
                del self._known[worker]
            else:
                self._known[worker] = _seen(info, self._clock(), table)

    def _carried_on(self, lag_seconds: int) -> list[ProcessInfo]:
        """The processes as supervisord would report them now."""
        now = self._clock()
        for known in self._known.values():
            passed = int(now - known.answered_at)
            if passed > lag_seconds:
                known.info = _at(known.info, known.info.now + passed)
                known.answered_at += passed
        return [known.info for known in self._known.values()]

    def _now_of(self, known: _Known) -> int:
        """supervisord's time now: by the boot clock, since the wall clock was not set."""
        return known.info.now + int(self._clock() - known.answered_at)


def _at(info: ProcessInfo, now: int) -> ProcessInfo:
    return ProcessInfo(
        info.group,
        info.name,
        info.state,
        info.pid,
        info.start,
        info.stop,
        now,
        info.spawnerr,
        info.exitstatus,
        info.worker,
    )


def _seen(info: ProcessInfo, answered_at: float, table: ProcessTable) -> _Known:
    if info.state is not ProcessState.RUNNING:
        return _Known(info, answered_at, None)
    generation = table.generation(info.pid)
    try:
        return _Known(info, answered_at, table.identify(info.pid), generation)
    except Unknown:
        return _Known(info, answered_at, None)


def _is_the_same(known: _Known, identity: ProcessId, table: ProcessTable) -> bool:
    """The system shows the process of the last answer, by one reading for all where it has that."""
    generation = table.generation(identity.pid)
    if generation is not None and generation == known.generation:
        return True
    try:
        is_same = table.identify(identity.pid) == identity
    except Unknown:
        return False
    if is_same:
        known.generation = generation
    return is_same
