"""The checked values of the configuration. Durations are seconds here, whatever their unit in the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.processes import Measure
from supervisor_memkill.rules.shortage import Yields
from supervisor_memkill.rules.step import OnTimeout
from supervisor_memkill.units import Size

if TYPE_CHECKING:
    from supervisor_memkill.rules.hours import DrainHours  # It needs datetime, which few listeners need.

DEFAULT_DRAIN_TIMEOUT_SECONDS = 3600.0


@dataclass(frozen=True)
class PoolConfig:
    """One ``[memkill:NAME]`` section."""

    name: str
    programs: tuple[str, ...]
    """Globs over ``group:name`` and ``group``."""
    worker: str = "plain"
    """The name of its kind."""
    max_rss: Size | None = None
    """None only in a dry run without a configured limit: `load` requires it."""
    hard_max_rss: Size | None = None
    """None: no hard limit."""
    measure: Measure | None = None
    """None: the kind decides."""
    children: bool | None = None
    """Whether the memory of child processes counts; None: the kind decides."""
    strikes: int = 1
    """Checks in a row over the limit before a drain may begin."""
    min_uptime_seconds: float = 60.0
    min_available: int = 1
    """Other workers of the pool that must be in service."""
    max_draining: int = 1
    drain_timeout_seconds: float | None = None
    """None: nobody set it; see `idle_within_seconds`."""
    on_timeout: OnTimeout = OnTimeout.STOP
    """``stop``, ``wait`` or ``resume``."""
    cooldown_seconds: float = 0.0
    """Between the end of one drain of the pool and the beginning of the next."""
    settle_seconds: float = 10.0
    """How long a fresh process must run before it counts as in service."""
    protect_jobs: tuple[str, ...] = ()
    """Patterns of job classes: while such a job runs, no drain begins or times out."""
    redis: str | None = field(default=None, repr=False)
    """URL of the Redis that holds the workers' own records; None: there is none."""
    redis_file: Path | None = None
    """The file that `redis` was read from; None: it was read from no file of its own."""
    max_age_seconds: float | None = None
    """None: a worker is not drained for its age."""
    max_total_rss: Size | None = None
    """For the workers of the pool under this supervisord together; None: no limit."""
    warn_rss: Size | None = None
    """In percent: a share of max_rss. None: nothing is reported."""
    drain_hours: DrainHours | None = None
    """None: a drain may begin at any time."""
    before_stop: tuple[str, ...] = field(default=(), repr=False)
    """The words of the command, with placeholders; they may hold a secret."""
    before_stop_timeout_seconds: float = 30.0
    """Its time limit."""
    yields: Yields = Yields.YES
    """Whether its workers may be taken when the machine's memory runs short."""
    key_namespace: str = ""
    """The prefix of the framework's keys; may be empty."""
    kind_values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The values of all keys of the kind, parsed or by default."""

    @property
    def idle_within_seconds(self) -> float:
        """The drain timeout of a worker that can be quieted; one that drains by stopping has stopwaitsecs."""
        timeout = self.drain_timeout_seconds
        return DEFAULT_DRAIN_TIMEOUT_SECONDS if timeout is None else timeout


@dataclass(frozen=True)
class Config:
    """The ``[memkill]`` section and all pools."""

    host: str
    """The name of this supervisord among the others."""
    redis: str | None = field(default=None, repr=False)
    """URL of the Redis that coordinates; None: this supervisord alone, in process."""
    redis_file: Path | None = None
    """The file that `redis` was read from; None: it was read from no file of its own."""
    key_prefix: str = "memkill"
    heartbeat_seconds: float = 10.0
    slot_ttl_seconds: float = 60.0
    poll_interval_seconds: float = 1.0
    min_free: Size | None = None
    """None: the machine's free memory is no reason for a drain."""
    journal: Path | None = None
    """An absolute path; None: the default of the journal."""
    dry_run: bool = False
    log_level: str = "info"
    hook: tuple[str, ...] = field(default=(), repr=False)
    """The words of the command; they may hold a secret."""
    hook_events: tuple[str, ...] = ()
    """Names and patterns; empty: those that a person must act on."""
    hook_timeout_seconds: float = 30.0
    notify: tuple[str, ...] = field(default=(), repr=False)
    """URLs with secrets; see `notices.secret_urls.shown`."""
    notify_events: tuple[str, ...] = ()
    """As `hook_events`."""
    metrics_textfile: Path | None = None
    metrics_listen: tuple[str, int] | None = None
    """IP address and port."""
    pools: tuple[PoolConfig, ...] = ()
    """In the order of their sections."""

    @property
    def redis_files(self) -> tuple[str, ...]:
        """The paths of all files that a `redis_file` names."""
        named = (self.redis_file, *(pool.redis_file for pool in self.pools))
        return tuple(dict.fromkeys(str(path) for path in named if path is not None))
