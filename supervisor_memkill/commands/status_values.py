"""What ``status`` shows, as values. Their names are those of the JSON: docs/status.rst lists them.

Sizes are in bytes. Times are in seconds before the moment of the command, or until then; null: unknown.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from supervisor_memkill.dataclass import dataclass


@dataclass(frozen=True)
class OutageLine:
    """Something that the listener needs and that does not answer."""

    what: str
    """``supervisord``, ``journal`` or ``coordination``."""
    error: str
    """The last error, as text for a person."""
    for_seconds: float
    """How long it has been away."""


@dataclass(frozen=True)
class ConfigurationLine:
    """The configuration that the listener works with."""

    files: tuple[str, ...]
    """The files that it read when it started."""
    in_force: bool | None
    """The files on disk say the same now."""
    changes: tuple[str, ...]
    """What changed on disk since, one clause for each section."""


@dataclass(frozen=True)
class ListenerLine:
    """The listener."""

    alive: bool
    """Its process lives."""
    problem: str
    """Why nothing is known of it, or that it does not work; empty if it works."""
    name: str
    """Its name in supervisord; empty if unknown."""
    supervisord_state: str
    """In supervisord's words, such as RUNNING; empty if supervisord has no such process."""
    pid: int | None
    """Its process, which may have ended; null: none is known."""
    version: str
    """Its version of supervisor-memkill."""
    host: str
    """``host`` of its configuration."""
    dry_run: bool
    """It only looks, because of ``dry_run = yes``."""
    up_for_seconds: float | None
    """How long ago it started."""
    written_seconds_ago: float | None
    """The age of all that is shown of it."""
    tick_seconds_ago: float | None
    """How long ago its last TICK came; null also if none came yet."""
    tick_period_seconds: float | None
    """How often a TICK should come; 0 if its section subscribes to none."""
    events: tuple[str, ...] | None
    """The events that its section subscribes to."""
    configuration: ConfigurationLine
    """What it works with."""
    outages: tuple[OutageLine, ...]
    """What does not answer the listener."""


@dataclass(frozen=True)
class DrainLine:
    """A drain under way."""

    reason: str
    """Why it began."""
    state: str
    """Such as draining: docs/how-a-drain-proceeds.rst lists the states."""
    for_seconds: float
    """How long it has been in this state."""
    in_all_seconds: float
    """How long ago it began."""
    not_back: str
    """Why the worker does not come back; empty: it may come back yet."""
    before_stop_for_seconds: float | None
    """How long the command ``before_stop`` has been running; null: it does not run."""


@dataclass(frozen=True)
class WorkerLine:
    """One worker at the listener's last look."""

    worker: str
    """``group:name``."""
    pid: int | None
    """null: it runs no process."""
    state: str
    """In supervisord's words, such as RUNNING."""
    memory_bytes: int | None
    """By the pool's ``measure``."""
    limit_bytes: int | None
    """``max_rss`` in bytes; null: no limit is set."""
    samples: tuple[int | None, ...]
    """Its memory at former looks, the oldest first; about one a minute, at most 20."""
    busy: int | None
    """Number of running jobs."""
    quiet: bool | None
    """It takes no new job."""
    in_service: bool
    """It would take a job now."""
    peers_in_service: int | None
    """Number of other workers of the pool that would take its jobs."""
    reason: str
    """Why it is to be drained; empty: there is no reason. The reasons are in docs/log-and-events.rst."""
    cause: str
    """Why it is not drained; empty: nothing holds it."""
    verdict: str
    """The same as text for a person, which may change at any time."""
    drain: DrainLine | None
    """Its drain; null: none is under way."""

    @property
    def waits(self) -> bool:
        """It is to be drained, and something holds it."""
        return bool(self.reason) and self.drain is None


@dataclass(frozen=True)
class PauseLine:
    """The pause of a pool."""

    for_seconds: float
    """How long ago it began."""
    left_seconds: float | None
    """How long it lasts yet; null: until somebody ends it."""
    except_hard: bool
    """A worker over its hard limit is still drained."""


@dataclass(frozen=True)
class RequestLine:
    """A request of a person that the listener has taken."""

    id: str
    """Random."""
    act: str
    """``restart``, ``cancel``, ``pause`` or ``unpause``."""
    names: tuple[str, ...]
    """The names or patterns that the person wrote."""
    for_seconds: float
    """How long ago the listener took it."""
    left_seconds: float | None
    """How long it is kept yet; null: until somebody ends it."""
    workers: tuple[str, ...]
    """The workers whose process was to go."""
    workers_left: tuple[str, ...]
    """Those that still have this process."""


@dataclass(frozen=True)
class PoolLine:
    """One pool of this supervisord."""

    name: str
    """NAME of its section."""
    kind: str
    """The value of ``worker``."""
    measure: str
    """How memory is measured, such as ``rss``."""
    limit_bytes: int | None
    """``max_rss`` in bytes; null: no limit is set."""
    hard_limit_bytes: int | None
    """``hard_max_rss`` in bytes; null: no limit is set."""
    min_available: int
    """How many other workers must be in service for a drain, by this listener's configuration."""
    max_draining: int
    """How many may drain at a time, likewise."""
    in_service: int
    """Number of its workers here that would take a job now."""
    workers_in_all: int
    """Number of its workers here."""
    looked_seconds_ago: float
    """How long ago the listener looked at it."""
    failure: str
    """Why the last look failed; empty if it did not. Then the workers are those of the look before."""
    source_away: str
    """Why the source of the readings, such as Redis, does not answer; empty if it does."""
    unrecognised: str
    """Why none of the workers is recognised; empty if one is."""
    pause: PauseLine | None
    """null: it is not paused."""
    requests: tuple[RequestLine, ...]
    """Those for the pool or one of its workers that the listener keeps, also if they are served."""
    workers: tuple[WorkerLine, ...]
    """Those that the command line names, or all."""


@dataclass(frozen=True)
class HostLine:
    """One listener of a pool in Redis, and its workers together."""

    listener: str
    """``host/identifier``."""
    silent: bool
    """It has not reported lately: its workers do not count as in service."""
    seen_seconds_ago: float | None
    """When it reported last; null: unknown."""
    workers: int
    """Number of its workers in the pool."""
    in_service: int
    """Number of those that would take a job now."""
    busy: int
    """Number of their running jobs, as far as they are known."""
    memory_bytes: int
    """The memory of its workers together, as far as it is known."""
    fullest_share: float | None
    """The highest memory of one of its workers, divided by the limit."""


@dataclass(frozen=True)
class SlotLine:
    """A slot: the right to drain."""

    worker: str
    """Its holder, ``host/identifier/group:name``."""
    held_seconds: float
    """How long ago it was taken."""
    left_seconds: float
    """When it ends, unless the listener of its holder renews it."""
    not_back: str
    """Why the worker does not come back; empty: it may come back yet."""


@dataclass(frozen=True)
class FleetWorkerLine:
    """One worker as its listener reported it to Redis."""

    worker: str
    """``host/identifier/group:name``."""
    pid: int | None
    """null: it runs no process."""
    state: str
    """The state of its drain, or of its process in supervisord's words."""
    memory_bytes: int | None
    """By the ``measure`` of its listener."""
    limit_bytes: int | None
    """The limit that its listener has; null: none."""
    busy: int | None
    """Number of running jobs."""
    in_service: bool
    """It would take a job now, by its listener, which is not silent."""
    silent: bool
    """Its listener is silent."""
    asks: bool
    """It asks for a slot."""
    holds_slot: bool
    """It holds one."""


@dataclass(frozen=True)
class FleetRequestLine:
    """An open request to all listeners of the pool."""

    id: str
    """Random."""
    act: str
    """``restart``, ``cancel``, ``pause`` or ``unpause``; empty: this version does not know it."""
    names: tuple[str, ...]
    """The names or patterns that the person wrote."""
    for_seconds: float
    """How long ago it was made."""
    left_seconds: float | None
    """How long it is open yet; null: without an end."""
    answered: int
    """Number of listeners that have taken it or refused it."""


@dataclass(frozen=True)
class FleetPoolLine:
    """One pool in Redis, with all hosts."""

    name: str
    """NAME of its section."""
    is_new: bool
    """No listener has reported yet."""
    min_available: int | None
    """The strictest setting of the live listeners; null: no listener lives."""
    max_draining: int | None
    """Likewise."""
    in_service: int
    """Number of workers that would take a job now."""
    workers_in_all: int
    """Number of workers that a listener reported within the last day."""
    settling_seconds: float
    """How long no drain begins yet; 0: drains may begin."""
    settling_cause: str
    """Why, as a value of ``cause``; empty: drains may begin."""
    drain_ended_seconds_ago: float | None
    """When the last drain of the pool ended; null: unknown, or none did."""
    hosts: tuple[HostLine, ...]
    """All listeners that reported."""
    slots: tuple[SlotLine, ...]
    """The slots that are held."""
    requests: tuple[FleetRequestLine, ...]
    """The open ones."""
    workers: tuple[FleetWorkerLine, ...]
    """Those that the command line names, or all."""


@dataclass(frozen=True)
class Status:
    """All that the command shows."""

    listener: ListenerLine
    """The listener of the supervisord that is asked."""
    pools: tuple[PoolLine, ...]
    """Those that the command line names, or all; empty if the listener has never looked."""
    fleet: tuple[FleetPoolLine, ...] | None
    """With ``--fleet``: the pools in Redis; null without it."""
    problems: tuple[str, ...]
    """What is not well, one sentence each. With one of them the exit status is 1."""
    notes: tuple[str, ...]
    """What a person should know although it is no problem, one sentence each."""


def as_json(status: Status, *, in_one_line: bool = False) -> str:
    """The status as JSON for programs."""
    return json.dumps(_plain(status), indent=None if in_one_line else 2) + "\n"


def _plain(value: Any) -> Any:
    """The value as JSON has it. dataclasses.asdict would copy each text, which takes long for large pools."""
    if dataclasses.is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
