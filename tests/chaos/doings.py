"""What the hand did, and when: known to the judges, so that they blame the tool for nothing of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.chaos.plan import LISTENER
from tests.chaos.terms import HEARTBEAT_SECONDS, SLOT_TTL_SECONDS

SEEN_SECONDS = 2.0
"""So much later supervisord and the records may still show what a deed of the hand did."""
LAPSE_SECONDS = SLOT_TTL_SECONDS - HEARTBEAT_SECONDS - 0.5
"""A listener that was hindered for so long may have lost its slots: the last renewal was up to a
heartbeat earlier, and half a second is a busy machine's."""
BETWEEN_SECONDS = 1.5
"""Two hindrances with less between them are one: no heartbeat need have come through."""
LOSSES = (("coordination", "down"), ("flushed", "flushed"))
"""The deeds by which coordination's Redis loses its data."""
SAME_HOST_SECONDS = 1.5
"""How old a listener's own look at its supervisord may be when it acts, by a busy machine."""
OTHER_HOST_SECONDS = 3 * HEARTBEAT_SECONDS + 1.5
"""How long another host's word counts: three heartbeats."""


@dataclass
class Doing:
    """One deed."""

    target: str
    what: str
    begun: float
    """Epoch seconds."""
    ended: float | None = None
    """None: it lasts."""

    def overlaps(self, since: float, until: float) -> bool:
        return self.begun <= until and (self.ended is None or self.ended >= since)


@dataclass(frozen=True)
class Span:
    """From when to when, epoch seconds."""

    begun: float
    ended: float


@dataclass(frozen=True)
class Kill:
    """Processes that the hand ended with SIGKILL."""

    at: float
    pids: frozenset[int]
    workers: frozenset[str]
    since: float | None = None
    """When they were suspended before that; None: they were not. Redis still gives them the jobs that they
    asked for, and on a busy machine the SIGKILL comes seconds later."""

    def may_have_cut(self, since: float, until: float) -> bool:
        """Whether a job that was taken in this time may have been one of theirs."""
        return since <= self.at and (self.at if self.since is None else self.since) <= until


@dataclass(frozen=True)
class Standing:
    """A stop of the operator's that stands."""

    since: float
    stop: int
    """supervisord's stop time of the process."""


@dataclass
class Doings:
    """All deeds; the hand writes, the observer reads."""

    clock: Callable[[], float] = time.time
    all: list[Doing] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    standing: dict[str, Standing] = field(default_factory=dict)
    """By worker or listener."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, target: str, what: str) -> Doing:
        """Call it before the deed."""
        doing = Doing(target, what, self.clock())
        with self._lock:
            self.all.append(doing)
        return doing

    def end(self, doing: Doing) -> None:
        doing.ended = self.clock()

    def killed(self, pids: Iterable[int], workers: Iterable[str], since: float | None = None) -> None:
        """`since`: when the processes were suspended before; None: they were not."""
        self.kills.append(Kill(self.clock(), frozenset(pids), frozenset(workers), since))

    def touched(self, worker: str, since: float, until: float) -> bool:
        """The hand did something to this worker, its host or its supervisord, that may show in that time."""
        host = worker.partition("/")[0]
        return any(
            doing.target in (worker, host) and doing.overlaps(since - SEEN_SECONDS, until)
            for doing in self._now()
        )

    def hindrances(self, host: str, since: float, until: float) -> list[Span]:
        """The stretches within that time in which this host's listener could not renew its slots.

        Both servers hinder every host: a listener renews by a fresh look at its workers, which asks the
        jobs' Redis too.
        """
        hindering = (host, f"{host}/{LISTENER}", "coordination", "jobs")
        found = sorted(
            (max(doing.begun, since), until if doing.ended is None else min(doing.ended, until))
            for doing in self._now()
            if doing.target in hindering and doing.overlaps(since, until)
        )
        spans: list[Span] = []
        for begun, ended in found:
            if spans and begun <= spans[-1].ended + BETWEEN_SECONDS:
                begun, ended = spans[-1].begun, max(ended, spans.pop().ended)
            spans.append(Span(begun, ended))
        return spans

    def losses(self, since: float, until: float) -> list[float]:
        """When coordination's Redis lost its data within that time."""
        return [
            doing.begun
            for doing in self._now()
            if (doing.target, doing.what) in LOSSES and since <= doing.begun <= until
        ]

    def stale_seconds(self, asker: str, worker: str, until: float) -> float:
        """How long ago a worker may have been in service for the asker's host to still believe it."""
        if asker.partition("/")[0] == worker.partition("/")[0]:
            return SAME_HOST_SECONDS
        frozen = [
            doing
            for doing in self._now()
            if doing.target == "coordination" and doing.overlaps(until - 5, until)
        ]
        # What was on its way to a frozen Redis is taken up when it thaws, and counts from then on.
        return OTHER_HOST_SECONDS + sum((one.ended or until) - one.begun for one in frozen)

    def _now(self) -> list[Doing]:
        with self._lock:
            return list(self.all)
