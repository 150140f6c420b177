"""The state of a listener as values: what it saw at its last looks, and what it does.

Times are on the boot clock of this machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from supervisor_memkill.clock import boot_clock
from supervisor_memkill.config.loaded import NOTHING, Loaded
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import Unknown
from supervisor_memkill.listener.journal import read_boot_id
from supervisor_memkill.rules.requests import TakenRequest
from supervisor_memkill.world.memory import ProcessTable

MAX_SAMPLES = 20
SAMPLE_SECONDS = 60.0
"""The least time between two samples of a pool. A worker without any is sampled at once."""
SILENT_PERIODS = 3.0
"""A listener that wrote nothing for so many periods counts as silent."""
LONGEST_PERIOD_SECONDS = 3600.0
"""Assumed while it is not known which TICKs the listener gets."""


@dataclass(frozen=True)
class DrainState:
    """A drain under way."""

    reason: str
    state: str
    since: float
    """When it entered this state."""
    began_at: float
    not_back: str = ""
    """Why the worker does not come back; empty: it may come back yet."""
    evidence_since: float | None = None
    """Since when the command `before_stop` runs; None: it does not run."""


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker at the last look."""

    worker: str
    pid: int
    start: int
    """Epoch second, by supervisord."""
    state: str
    """In supervisord's words, such as RUNNING."""
    memory_bytes: int | None
    """None: unknown."""
    busy: int | None
    in_service: bool
    verdict: str
    """What the listener decided, and why, as text for a person."""
    drain: DrainState | None = None
    quiet: bool | None = None
    """It takes no new job; None: unknown."""
    reason: str = ""
    """Why it is to be drained: the value of a Reason; empty: there is no reason."""
    cause: str = ""
    """Why it is not drained: the value of a Hold or a Cause; empty: nothing holds it."""
    peers: int | None = None
    """The number of other workers that would take its jobs now; None: unknown."""
    samples: tuple[int | None, ...] = ()
    """Its memory at former looks in bytes, the oldest first; about one a minute."""


@dataclass(frozen=True)
class PoolState:
    """One pool at its last look."""

    name: str
    looked_at: float
    limit_bytes: int | None
    hard_limit_bytes: int | None
    min_available: int
    max_draining: int
    workers: tuple[WorkerState, ...]
    failure: str = ""
    """Why the last look failed; then the workers are those of the look before."""
    kind: str = ""
    """The value of ``worker``, such as ``sidekiq``."""
    measure: str = ""
    """How the memory is measured, such as ``rss``."""
    source_away: str = ""
    """Why the source of the readings does not answer; empty: it answered, or was not asked."""
    unrecognised: str = ""
    """Why none of its workers is recognised; empty: one is, or it is not known."""


@dataclass(frozen=True)
class PauseState:
    """The pause of one pool."""

    pool: str
    since: float
    until: float | None
    except_hard: bool


@dataclass(frozen=True)
class OutageState:
    """Something that the listener needs does not answer."""

    error: str
    since: float


@dataclass(frozen=True)
class Origin:
    """Where a listener comes from: what does not change while it runs."""

    name: str = ""
    """Its name in supervisord, ``group:name``; empty: unknown."""
    supervisord_pid: int = 0
    """0: unknown."""
    events: tuple[str, ...] | None = None
    """The events that its section subscribed to when it started; None: unknown."""
    tick_seconds: float | None = None
    """The period of its TICKs: 0 without any; None: unknown."""
    configuration: Loaded = NOTHING


@dataclass(frozen=True)
class ListenerState:
    """The listener, and all that it last saw."""

    version: str
    """Of supervisor-memkill."""
    pid: int
    created: float
    """When its process began: with the pid, this is the process; see ProcessId."""
    boot_id: str
    host: str
    dry_run: bool
    started_at: float
    written_at: float
    ticked_at: float | None
    """When the last TICK came; None: none came yet."""
    pools: tuple[PoolState, ...] = ()
    requests: tuple[TakenRequest, ...] = ()
    pauses: tuple[PauseState, ...] = ()
    away: Mapping[str, OutageState] = field(default_factory=dict)
    """What does not answer: ``supervisord``, ``journal``, ``coordination``."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Why the listener did not take a request, as text for a person, by the request's id."""
    namespace: str = ""
    """The pid namespace of its process; empty: unknown."""
    fleet_name: str = ""
    """Its name among all listeners, ``host/identifier``; empty: no others take part."""
    origin: Origin = Origin()

    def worker(self, name: str) -> WorkerState | None:
        return next((one for pool in self.pools for one in pool.workers if one.worker == name), None)

    def request(self, identity: str) -> TakenRequest | None:
        return next((one for one in self.requests if one.request.id == identity), None)

    @property
    def is_alive(self) -> bool:
        """The process that wrote it lives still."""
        if self.boot_id != read_boot_id():
            return False
        if self.namespace and self.namespace != pid_namespace():
            # A container wrote it: its pid is another process here, and only the age tells.
            return boot_clock() - self.written_at <= self.silent_after_seconds
        return process_began(self.pid) == self.created

    @property
    def silent_after_seconds(self) -> float:
        """How old the state of a working listener becomes at most, with some patience."""
        return SILENT_PERIODS * (self.origin.tick_seconds or LONGEST_PERIOD_SECONDS)


def process_began(pid: int) -> float | None:
    """When this process began, as ProcessId has it; None: there is none, or it is not known."""
    try:
        return ProcessTable().identify(pid).created
    except (Unknown, ValueError, OverflowError):
        return None


def pid_namespace() -> str:
    """The pid namespace of this process; empty if the system has none."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
