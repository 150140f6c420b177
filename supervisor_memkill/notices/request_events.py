"""The events of requests: restarts and pauses that a person asked for."""

from __future__ import annotations

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.notices.event import Event, Level
from supervisor_memkill.rules.requests import Act


@dataclass(frozen=True)
class RequestTaken(Event):
    """A person's request came and is in the journal: a restart, a pause, or the end of one."""

    name = "request.taken"
    request: str
    """Its id."""
    act: Act
    names: tuple[str, ...]
    workers: tuple[str, ...] | None
    """The workers that are to be restarted."""
    pools: tuple[str, ...] | None
    fleet: str | None = None
    """It is for all hosts that share this pool."""


@dataclass(frozen=True)
class RequestServed(Event):
    """Every worker of a requested restart has another process now, and its drain is over."""

    name = "request.served"
    request: str
    workers: int
    took_seconds: float


@dataclass(frozen=True)
class RequestExpired(Event):
    """The time of a requested restart is over. These workers were not restarted."""

    name = "request.expired"
    level = Level.WARNING
    hint = "see worker.held for the cause, and request the restart again"
    request: str
    workers: tuple[str, ...]


@dataclass(frozen=True)
class RequestRefused(Event):
    """A request could not be understood or taken. Nothing was changed."""

    name = "request.refused"
    level = Level.WARNING
    hint = "use the supervisor-memkill command of the same version as the listener"
    once_per = ("error",)
    error: str


@dataclass(frozen=True)
class PoolPaused(Event):
    """A person paused this pool: no drain begins in it. Logged once a day."""

    name = "pool.paused"
    level = Level.WARNING
    once_per = ("pool",)
    compared = ("days",)
    pool: str
    left_seconds: float | None
    """None: until a person ends it with ``supervisor-memkill unpause``."""
    days: int
    """Days since it began."""


@dataclass(frozen=True)
class PoolUnpaused(Event):
    """The pause of this pool is over."""

    name = "pool.unpaused"
    pool: str
