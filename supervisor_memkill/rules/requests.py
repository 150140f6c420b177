"""What a person requests: restarts, pauses, and their end. Pure: times are parameters.

A request names workers and durations, never a command or a path. It comes from outside, as JSON of a few
kilobytes, and every value is checked. It may come more than once: its id makes a second arrival harmless.

It comes through supervisord, for this host, or through Redis, for all hosts that share a pool: the fleet.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import field
from fnmatch import fnmatchcase
from typing import Any

from supervisor_memkill.checked import flag, items, or_none, seconds, text
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.processes import ProcessInfo

VERSION = 1
"""The version of a request. A listener refuses the versions that it does not know."""
MAX_BYTES = 4096
MAX_NAMES = 50
MAX_NAME_LENGTH = 200
MAX_OPEN = 50
"""Restarts that a listener keeps at a time while they are not served; it refuses further ones."""
MAX_SERVED_KEPT = 50
"""Other requests that a listener keeps, so that the command sees them; the oldest ones go first."""
MAX_ENDED_KEPT = 200
"""Ids of requests that are over; more do not come once more."""
MAX_SECONDS = 366 * 86400.0
"""No request lasts longer than about a year."""
_NAME = re.compile(r"[!-~]+")
_ID = re.compile(r"[0-9a-f]{8,64}")


class Act(enum.Enum):
    """What is requested."""

    RESTART = "restart"
    """Every worker with such a name that runs now is drained once."""
    CANCEL = "cancel"
    """Restarts that have not begun are withdrawn."""
    PAUSE = "pause"
    """No drain begins in these pools."""
    UNPAUSE = "unpause"


@dataclass(frozen=True)
class OperatorRequest:
    """One request of a person."""

    id: str
    """Random: a second arrival of the same request changes nothing."""
    act: Act
    names: tuple[str, ...]
    """Patterns for a pool, for ``group:name`` or for a group."""
    lasts_seconds: float | None = None
    """How long a restart is wanted, or a pause lasts; None: a pause without an end."""
    except_hard: bool = False
    """A pause that does not hold a worker over its hard limit."""

    def names_worker(self, pool: str, process: ProcessInfo) -> bool:
        return self.names_one(pool, process.worker, process.group)

    def names_one(self, pool: str, worker: str, group: str) -> bool:
        """It names the worker, its group or its pool."""
        return any(_matches(one, pattern) for one in (pool, worker, group) for pattern in self.names)

    def names_pool(self, pool: str) -> bool:
        return any(_matches(pool, pattern) for pattern in self.names)


def _matches(name: str, pattern: str) -> bool:
    """A name that contains ``*``, ``?`` or ``[`` is found by itself, too."""
    return name == pattern or fnmatchcase(name, pattern)


def unmatched(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """The names that name nothing of what is known."""
    found = set(known)
    return [name for name in names if not any(_matches(one, name) for one in found)]


def encode(request: OperatorRequest) -> str:
    """The request as text. Raises ValueError when it is too long, or its names are not allowed."""
    values = {"version": VERSION, **dataclasses.asdict(request), "act": request.act.value}
    encoded = json.dumps(values, separators=(",", ":"))
    decode(encoded)
    return encoded


def decode(encoded: str) -> OperatorRequest:
    """The request of this text. Raises ValueError with what is wrong, in an operator's words."""
    if len(encoded.encode(errors="replace")) > MAX_BYTES:
        raise ValueError(f"it is longer than {MAX_BYTES} bytes")
    try:
        values = json.loads(encoded)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(values, dict) or values.get("version") != VERSION:
        raise ValueError(f"its version is not {VERSION}: this listener has another version than the command")
    try:
        return _request(values)
    except KeyError as error:
        raise ValueError(f"it has no {error.args[0]}") from None


def _request(values: Mapping[str, Any]) -> OperatorRequest:
    names = tuple(_name(one) for one in items(values["names"]))
    if not 1 <= len(names) <= MAX_NAMES:
        raise ValueError(f"it must have 1 to {MAX_NAMES} names")
    identity = text(values["id"])
    if not _ID.fullmatch(identity):
        raise ValueError("its id is not 8 to 64 hexadecimal digits")
    act = _act(values["act"])
    lasts = or_none(seconds)(values.get("lasts_seconds"))
    if lasts is not None and not 0 < lasts <= MAX_SECONDS:
        raise ValueError("it must last between 0 and 366 days")
    if act is Act.RESTART and lasts is None:
        raise ValueError("a restart needs an end")
    return OperatorRequest(identity, act, names, lasts, flag(values.get("except_hard", False)))


def _act(value: Any) -> Act:
    for act in Act:
        if act.value == value:
            return act
    raise ValueError(f"this listener does not know {text(value)!r:.40}")


def _name(value: Any) -> str:
    name = text(value)
    if len(name) > MAX_NAME_LENGTH:
        raise ValueError(f"the name {name!r:.40} is too long: at most {MAX_NAME_LENGTH} characters")
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"the name {name!r:.40} is empty, or has a character that is not allowed: in place of each"
            " space, and of each character that is not ASCII, write ? (it matches any character)"
        )
    return name


# --- what a listener keeps of them ------------------------------------------------------------------

Members = Mapping[str, Sequence[ProcessInfo]]
"""The workers of each pool."""


@dataclass(frozen=True)
class RunningProcess:
    """The process of a worker at one moment: another pid or start is another process."""

    pid: int
    start: int
    """Epoch second, by supervisord."""

    def is_of(self, process: ProcessInfo) -> bool:
        return (self.pid, self.start) == (process.pid, process.start)


@dataclass(frozen=True)
class Arrival:
    """A request that reached the listener, and is not in its journal yet; times on the boot clock."""

    request: OperatorRequest
    made_at: float
    """When the person made it: a process that began later is left alone."""
    ends_at: float | None
    """When it is forgotten; None: never."""
    fleet_pool: str = ""
    """It is for all hosts that share this pool, and came through Redis; empty: it is for this host alone."""

    def reaches(self, members: Members) -> Members:
        """The pools that it can name, each with its workers."""
        return {self.fleet_pool: members.get(self.fleet_pool, ())} if self.fleet_pool else members

    def pools(self, members: Members) -> tuple[str, ...]:
        """The pools that a pause, or the end of one, is for."""
        if self.fleet_pool:
            return (self.fleet_pool,)
        return tuple(pool for pool in members if self.request.names_pool(pool))


@dataclass(frozen=True)
class TakenRequest:
    """A request that the listener accepted; times on the boot clock."""

    request: OperatorRequest
    taken_at: float
    ends_at: float | None
    """When it is forgotten; None: never."""
    workers: Mapping[str, RunningProcess] = field(default_factory=dict)
    """The processes that must go, by worker. A worker with another process has been served."""
    pools: tuple[str, ...] = ()
    """The pools that it names, for a pause and its end."""
    withdrawn: Mapping[str, RunningProcess] = field(default_factory=dict)
    """The processes that were to go, until another request withdrew that."""
    fleet_pool: str = ""
    """As in `Arrival`."""
    was_served: bool = False
    """Its end was reported: the next listener does not report it again."""

    def is_over(self, now: float) -> bool:
        return self.ends_at is not None and now >= self.ends_at

    def without(self, workers: Collection[str]) -> TakenRequest:
        """The same, and these workers need not be restarted."""
        gone = {name: one for name, one in self.workers.items() if name in workers}
        kept = {name: one for name, one in self.workers.items() if name not in workers}
        return dataclasses.replace(self, workers=kept, withdrawn={**self.withdrawn, **gone})

    def wants(self, process: ProcessInfo) -> bool:
        """This very process must go."""
        wanted = self.workers.get(process.worker)
        return wanted is not None and wanted.is_of(process)


@dataclass(frozen=True)
class Pause:
    """No drain begins in a pool; times on the boot clock."""

    since: float
    until: float | None
    """None: until somebody ends it."""
    except_hard: bool = False
    fleet: bool = False
    """It came through Redis, for all hosts that share the pool."""

    def holds(self, *, hard: bool) -> bool:
        return not (hard and self.except_hard)
