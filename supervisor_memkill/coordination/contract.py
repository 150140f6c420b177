"""The contract of coordination: publish, consider, acquire, release, view.

Every call may be repeated with the same effect. The coordinator judges by a clock of its own: no
caller's time goes in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from supervisor_memkill.errors import MemkillError

FRESH_HEARTBEATS = 3
"""A worker whose listener was silent for so many heartbeats is not in service."""


class CoordinationUnknown(MemkillError):
    """The coordinator did not answer: a request may or may not have had its effect."""


@dataclass(frozen=True)
class Report:
    """One worker as its own listener sees it."""

    worker: str
    """``group:name``."""
    pid: int
    start: int
    """Epoch second of the process's start."""
    memory_bytes: int | None
    limit_bytes: int
    in_service: bool
    """RUNNING, settled, not quiet, not draining, and its kind finds nothing wrong."""
    state: str
    """The state of its drain, or of its process."""
    busy: int | None
    urgency: float | None
    """Memory over limit while it asks for a slot (1.0 is just at the limit); None: it does not ask."""
    queues: frozenset[str] = frozenset()
    """A peer that stands in for it must cover all of these."""


@dataclass(frozen=True)
class Holding:
    """A slot that this listener believes it holds."""

    worker: str
    token: str
    is_out: bool = True
    """The worker is out of service: if the slot was lost, it is taken anew, whoever else holds one."""


@dataclass(frozen=True)
class Rules:
    """The pool's settings that decide who may drain."""

    min_available: int
    max_draining: int
    cooldown_seconds: float


@dataclass(frozen=True)
class Request:
    """One worker's request for a slot."""

    worker: str
    token: str | None
    """Random, one per drain, journalled before it is sent; None: the request is only considered."""
    urgency: float
    queues: frozenset[str] = frozenset()
    hard: bool = False
    """Above its hard limit: the slot is recorded though not waited for; peers must be there all the same."""
    already_out: bool = False
    """It is quiet already: draining it only gives capacity back, so nothing is waited for."""


class Cause(Enum):
    """Why a slot is refused."""

    SLOTS_TAKEN = "slots_taken"
    """`max_draining` workers of the pool are draining."""
    TOO_FEW_IN_SERVICE = "too_few_in_service"
    """Fewer than `min_available` others are in service."""
    COOLDOWN = "cooldown"
    """The pool's last drain ended less than `cooldown` ago."""
    MORE_URGENT = "more_urgent"
    """Another worker that asks goes first."""
    SETTLING = "settling"
    """What the listeners share was lost: each must tell anew before anything is granted."""
    NAME_TAKEN = "name_taken"
    """Another live listener has the same name."""
    NAME_IS_NEW = "name_is_new"
    """This listener has had another name until a moment ago, under which its own workers count still."""
    NO_MEMBER = "no_member"
    """The worker belongs to no pool any more."""


_WORDS = {
    Cause.SLOTS_TAKEN: "max_draining is reached",
    Cause.COOLDOWN: "the pool's cooldown is not over",
    Cause.MORE_URGENT: "a more urgent one goes first",
    Cause.SETTLING: "the pool is new, its data was lost or Redis was away for long: every listener"
    " first tells what it sees",
    Cause.NAME_TAKEN: "another listener has the same name: set host in [memkill]",
    Cause.NAME_IS_NEW: "this host or supervisord has a new name, and its former one counts still",
    Cause.NO_MEMBER: "it belongs to no pool any more",
}


@dataclass(frozen=True)
class Answer:
    """What became of a request."""

    refused: Cause | None
    """None: the slot is held."""
    others_in_service: int
    min_available: int
    """How many others must be in service, by the strictest setting in force."""
    draining: int
    """Slots taken by others."""
    detail: str = ""
    """The worker that goes first, the seconds that are left: whatever makes the cause plain."""

    @property
    def granted(self) -> bool:
        return self.refused is None

    @property
    def words(self) -> str:
        """Why it is refused, for an operator; empty when it is granted."""
        if self.refused is None:
            return ""
        if self.refused is Cause.TOO_FEW_IN_SERVICE:
            return f"{self.others_in_service} others are in service and min_available is {self.min_available}"
        return f"{_WORDS[self.refused]} ({self.detail})" if self.detail else _WORDS[self.refused]

    @property
    def peers_suffice(self) -> bool:
        """Enough others are in service now."""
        return self.others_in_service >= self.min_available

    @property
    def allows(self) -> bool:
        """An act may take the worker out of service: it holds its slot, and enough others are there.

        The token that holds is told so whatever became of the others meanwhile; hence both.
        """
        return self.granted and self.peers_suffice


@dataclass(frozen=True)
class Published:
    """What became of what a listener told."""

    held: frozenset[str]
    """Its tokens that hold a slot."""
    name_is_taken: bool = False
    """Another live listener has the same name: nothing was changed, and this one must not drain."""


@dataclass(frozen=True)
class PoolView:
    """A whole pool, to be read.

    Workers stand under their ids, ``host/identifier/group:name``, where several listeners share it.
    """

    reports: tuple[Report, ...]
    holders: tuple[str, ...] = ()
    """Workers that hold a slot."""
    silent: frozenset[str] = frozenset()
    """Workers whose listener was not heard of lately: they do not count as in service."""
    min_available: int = 0
    max_draining: int | None = None
    """The strictest settings among the live listeners; 0 and None when there is none."""
    drain_ended_seconds_ago: float | None = None
    settling_seconds: float = 0.0
    """How long nothing is granted yet, after data was lost."""


class Coordinator(Protocol):
    """Keeps the slots of pools. Every method raises CoordinationUnknown when it does not know."""

    is_shared: bool
    """Others take part: what this listener sees must be told them at every heartbeat."""

    @property
    def name(self) -> str:
        """This listener's among all; empty where no others take part."""
        ...

    def publish(
        self, pool: str, rules: Rules, reports: Sequence[Report], holdings: Sequence[Holding]
    ) -> Published:
        """Replace what this listener said of the pool, and renew its slots."""
        ...

    def consider(self, pool: str, rules: Rules, request: Request) -> Answer:
        """What `acquire` would answer now. Takes nothing and writes nothing."""
        ...

    def acquire(self, pool: str, rules: Rules, request: Request) -> Answer:
        """Take a slot, or be told why not. The token that holds one already is told so."""
        ...

    def release(self, pool: str, worker: str, token: str, *, drained: bool, seconds_ago: float = 0.0) -> None:
        """Give the slot back, by its own token only; `drained` starts the pool's cooldown.

        `seconds_ago`: when the drain ended, where that could not be told at once.
        """
        ...

    def view(self, pool: str) -> PoolView:
        """The whole pool."""
        ...

    def record(self, pool: str, event: str, fields: Mapping[str, str]) -> None:
        """Leave word of one step of a drain, so that what happened can be read afterwards."""
        ...

    def drain_ended_at(self) -> Mapping[str, float]:
        """When each pool's last drain ended, on the boot clock: what the journal must keep for it.

        Empty where the coordinator keeps it itself.
        """
        ...
