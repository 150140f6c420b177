"""The contract of coordination: publish, consider, acquire, release, view.

Every call may be repeated with the same effect. The coordinator uses its own clock: callers pass durations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Protocol

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import MemkillError
from supervisor_memkill.worded import Worded

MAX_SILENT_HEARTBEATS = 3
"""A worker does not count as in service after its listener was silent for this number of heartbeats."""


UNNAMED = "?"
"""In place of a listener's name: a listener of an older version, which does not name its settings."""


Age = Callable[[], float]
"""For how many seconds it has been since the reported workers were seen: a listener may be frozen since."""


def no_age() -> float:
    """They are seen now."""
    return 0.0


class CoordinationUnknown(MemkillError):
    """The coordinator did not answer: a request may or may not have had its effect."""


@dataclass(frozen=True, slots=True)
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
    """Memory divided by the limit, while the worker asks for a slot; None: it does not ask."""
    queues: frozenset[str] = frozenset()
    """A peer can replace the worker only if it works on all of these."""


@dataclass(frozen=True)
class SlotClaim:
    """A slot that this listener believes it holds."""

    worker: str
    token: str
    is_out: bool = True
    """The worker is out of service: a lost slot is granted again, even if others hold all slots."""
    not_back: str = ""
    """Why the worker does not come back into service, so that no other slot is granted; empty: it may yet."""


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
    """Random, one per drain; journalled before it is sent. None: the request is only considered."""
    urgency: float
    queues: frozenset[str] = frozenset()
    hard: bool = False
    """Over its hard limit: the slot is granted at once and recorded; enough peers are still required."""
    already_out: bool = False
    """The worker is quiet already: its drain only returns capacity, so the slot is granted at once."""


@dataclass(frozen=True)
class Offer:
    """A person's request to all listeners of a pool, as Redis holds it."""

    id: str
    text: str
    """The request itself. Only the listener that takes it reads it."""
    age_seconds: float
    """How long ago it was made, by the clock of Redis."""
    left_seconds: float | None
    """How long it is open yet, by the clock of Redis; None: without an end."""


@dataclass(frozen=True)
class AnswerLine:
    """How far one worker of a request is, as its listener reports it to the others."""

    worker: str
    """``group:name``."""
    standing: str
    words: str
    age_seconds: float | None = None
    """How long it has been so; None: unknown."""


@dataclass(frozen=True)
class RequestAnswer:
    """What a listener says about a request to all listeners: it has taken it, or it does not take it."""

    refused: str = ""
    """Why it does not take it; empty: it has taken it."""
    workers: int = 0
    """How many of its workers the request is for."""
    replaced: int = 0
    """How many of them have another process."""
    lines: tuple[AnswerLine, ...] = ()
    """The workers one by one, while not all are replaced. A long list is cut."""


RequestAnswers = Mapping[str, RequestAnswer]
"""The answers of one listener, by the id of the request."""


class Cause(Worded):
    """Why a slot is refused."""

    SLOTS_TAKEN = "slots_taken", "max_draining is reached"
    """`max_draining` workers of the pool are draining."""
    NOT_BACK = (
        "not_back",
        "a restarted worker does not come back: see its log",
    )
    """A new version that cannot start must cost the pool one worker, and not more."""
    NO_REASON = "no_reason", "a second look finds no reason for a drain any more"
    TOO_FEW_IN_SERVICE = "too_few_in_service", "too few others are in service"
    """Fewer than `min_available` other workers are in service."""
    COOLDOWN = "cooldown", "the pool's cooldown is not over"
    """The pool's last drain ended less than `cooldown` ago."""
    MORE_URGENT = "more_urgent", "a more urgent worker drains first"
    NEW_POOL = "new_pool", "the pool is new in Redis, and all listeners must report first"
    """No key of the pool existed, and the listener that found this never saw the pool before."""
    DATA_LOST = (
        "data_lost",
        "Redis lost the pool's data or its clock was set back, and all listeners must report again",
    )
    """The pool's data is missing or older than before: slots may be in use that Redis does not know."""
    REDIS_WAS_AWAY = (
        "redis_was_away",
        "a slot expired while no listener reached Redis, and all listeners must report again",
    )
    """The listener that held the slot may still drain."""
    SETTLING = "settling", "all listeners must report first"
    """A listener of an older version began this wait and did not record why."""
    NAME_TAKEN = (
        "name_taken",
        "another listener has the same name: if this listener did not run before under another user"
        " or with another journal, set host in [memkill]",
    )
    FORMER_LISTENER = (
        "former_listener",
        "this listener's former process has ended, and its record in Redis must expire",
    )
    """The former process had another journal, so that only its record shows which workers it drained."""
    NAME_IS_NEW = (
        "name_is_new",
        "this listener's name is new, and its workers still count under the old name",
    )
    NO_MEMBER = "no_member", "the worker no longer belongs to a pool"

    @property
    def needs_a_person(self) -> bool:
        """It does not end by itself."""
        return self in (Cause.NOT_BACK, Cause.NAME_TAKEN)


@dataclass(frozen=True)
class Answer:
    """The answer to a request for a slot."""

    refused: Cause | None
    """None: the slot is held."""
    others_in_service: int
    min_available: int
    """Number of other workers that must be in service: the strictest setting of all live listeners."""
    draining: int
    """Number of slots that other workers hold."""
    detail: str = ""
    """Details of the cause: the more urgent worker, the seconds that are left ..."""
    min_available_of: str = ""
    """The other listener whose setting `min_available` is, ``host/identifier``; "": the own setting."""
    max_draining: int = 1
    """The strictest setting of all live listeners."""
    max_draining_of: str = ""
    """The same for `max_draining`."""

    @property
    def granted(self) -> bool:
        return self.refused is None

    @property
    def words(self) -> str:
        """The reason for the refusal, for an operator; empty if the slot is granted."""
        if self.refused is None:
            return ""
        if self.refused is Cause.TOO_FEW_IN_SERVICE:
            return (
                f"{self.others_in_service} others are in service"
                f" and min_available is {self.min_available}{_owner(self.min_available_of)}"
            )
        if self.refused is Cause.SLOTS_TAKEN and self.max_draining_of:
            owner = _owner(self.max_draining_of)
            return f"max_draining is {self.max_draining}{owner} and is reached ({self.detail})"
        return f"{self.refused.words} ({self.detail})" if self.detail else self.refused.words

    @property
    def peers_suffice(self) -> bool:
        """Enough other workers are in service now."""
        return self.others_in_service >= self.min_available

    @property
    def has_room(self) -> bool:
        """Fewer than `max_draining` other workers hold a slot.

        A worker that holds a slot may find none: others took slots later, because of their hard limits.
        """
        return self.draining < self.max_draining

    @property
    def allows(self) -> bool:
        """The worker may be taken out of service: it holds its slot, and enough others are in service.

        A token that holds a slot is granted it again, whatever happened to the others; so both are checked.
        """
        return self.granted and self.peers_suffice


def _owner(listener: str) -> str:
    """Whose setting it is, if it is another listener's."""
    return f" (a setting of {'another listener' if listener == UNNAMED else listener})" if listener else ""


@dataclass(frozen=True)
class Published:
    """The answer to a listener's report."""

    held: frozenset[str]
    """The tokens of this listener that hold a slot. The listener asks per drain, so only tests read this."""
    name_is_taken: bool = False
    """Another live listener has the same name: nothing was changed, and this listener must not drain."""
    former_seconds: float | None = None
    """The name is taken by a former process of this listener that has ended: its record expires after this
    time. None: the name is free, or the other process lives, or it is not known whether it lives."""
    epoch: str = ""
    """A name for the pool's data, new after each loss, to be kept in the journal; "": nothing can be lost."""
    offers: tuple[Offer, ...] = ()
    """Open requests that this listener has not answered, in the order in which they were made."""
    open_requests: frozenset[str] = frozenset()
    """The ids of all open requests to the pool."""


@dataclass(frozen=True)
class ListenerRules:
    """The rules of one live listener."""

    listener: str
    """``host/identifier``; UNNAMED for a listener of an older version."""
    min_available: int
    max_draining: int


@dataclass(frozen=True)
class ListenerView:
    """One listener of the pool."""

    listener: str
    """``host/identifier``."""
    is_silent: bool
    """It has not reported for so long that its workers do not count as in service."""
    seen_seconds_ago: float | None
    """When it reported last; None: unknown, as it is of an older version."""
    answers: RequestAnswers | None
    """None: it is of an older version, which takes no requests through Redis."""


@dataclass(frozen=True)
class SlotView:
    """One slot of the pool."""

    worker: str
    """Its holder."""
    held_seconds: float
    left_seconds: float
    """How long it lasts yet, unless its holder renews it."""


@dataclass(frozen=True)
class PoolView:
    """The state of a whole pool.

    If several listeners share the pool, workers are named by their ids, ``host/identifier/group:name``.
    """

    reports: tuple[Report, ...]
    holders: tuple[str, ...] = ()
    """Workers that hold a slot."""
    not_back: Mapping[str, str] = field(default_factory=dict)
    """Why a worker that holds a slot does not come back into service, by worker."""
    silent: frozenset[str] = frozenset()
    """Workers whose listener has not reported lately: they do not count as in service."""
    rules: tuple[ListenerRules, ...] = ()
    """The settings of the live listeners."""
    drain_ended_seconds_ago: float | None = None
    settling_seconds: float = 0.0
    """Seconds until the first slot is granted."""
    settling_cause: Cause = Cause.SETTLING
    """Why no slot is granted until then."""
    is_new: bool = False
    """The pool has no data yet: the first report of a listener begins it."""
    listeners: tuple[ListenerView, ...] = ()
    requests: tuple[Offer, ...] = ()
    """The open requests to all listeners, in the order in which they were made."""
    slots: tuple[SlotView, ...] = ()
    """The slots of the holders, in the same order."""


class Coordinator(Protocol):
    """Keeps the slots of the pools. Every method raises CoordinationUnknown if it gets no answer."""

    is_shared: bool
    """Other listeners take part: this listener must report its workers at every heartbeat."""

    @property
    def name(self) -> str:
        """The name of this listener among all; empty if no others take part."""
        ...

    def publish(
        self,
        pool: str,
        rules: Rules,
        reports: Sequence[Report],
        slot_claims: Sequence[SlotClaim],
        answers: RequestAnswers | None = None,
        age: Age = no_age,
    ) -> Published:
        """Replace this listener's reports of the pool and its answers to requests, and renew its slots."""
        ...

    def consider(self, pool: str, rules: Rules, request: Request) -> Answer:
        """The answer that `acquire` would give now. Changes nothing."""
        ...

    def acquire(self, pool: str, rules: Rules, request: Request) -> Answer:
        """Take a slot, or get the cause of the refusal. A token that holds a slot is granted it again."""
        ...

    def release(self, pool: str, worker: str, token: str, *, drained: bool, seconds_ago: float = 0.0) -> None:
        """Give the slot back; only the token that holds it can. `drained` starts the pool's cooldown.

        `seconds_ago`: the time since the drain ended, if it could not be reported at once.
        """
        ...

    def view(self, pool: str) -> PoolView:
        """The state of the whole pool."""
        ...

    def record(self, pool: str, event: str, fields: Mapping[str, str]) -> None:
        """Record one step of a drain in the history of the pool."""
        ...

    def drain_ended_at(self) -> Mapping[str, float]:
        """The time at which each pool's last drain ended, on the boot clock, for the journal.

        Empty if the coordinator keeps it itself.
        """
        ...
