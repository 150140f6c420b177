"""Who may drain: the rules themselves, without I/O and without a clock."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field

from supervisor_memkill.coordination.contract import Answer, Cause, Report, Request, Rules
from supervisor_memkill.dataclass import dataclass

PATIENCE_SECONDS = 1800.0
"""A worker that has asked for this long comes before all more urgent ones, so that none waits for ever."""


@dataclass(frozen=True)
class Asking:
    """A worker that wants a slot."""

    worker: str
    urgency: float
    since: float
    queues: frozenset[str]

    def rank(self, now: float) -> tuple[bool, float, float, str]:
        """The sort key: first the workers that have waited too long, by age, then the others, by urgency."""
        patient = now - self.since < PATIENCE_SECONDS
        return (patient, -self.urgency if patient else 0.0, self.since, self.worker)


class Serving:
    """Workers that take jobs, counted by their queues: each of a thousand requests asks about all of them."""

    def __init__(self, queues_of: Mapping[str, frozenset[str]]) -> None:
        """`queues_of`: by worker."""
        self._queues_of = queues_of
        self._counts = Counter(queues_of.values())

    def others(self, worker: str, queues: frozenset[str]) -> int:
        """Workers other than `worker` that would take its jobs."""
        found = sum(count for served, count in self._counts.items() if served >= queues)
        own = self._queues_of.get(worker)
        return found - (own is not None and own >= queues)


@dataclasses.dataclass
class PoolState:
    """The state of one pool."""

    reports: dict[str, Report] = field(default_factory=dict)
    asking_since: dict[str, float] = field(default_factory=dict)
    slots: dict[str, str] = field(default_factory=dict)
    """Worker by token."""
    not_back: dict[str, str] = field(default_factory=dict)
    """Why a worker that holds a slot does not come back, by token."""
    drain_ended_at: float | None = None

    def serving(self) -> Serving:
        """The workers that take jobs now."""
        out = set(self.slots.values())
        return Serving(
            {
                report.worker: report.queues
                for report in self.reports.values()
                if report.in_service and report.worker not in out
            }
        )

    def asking(self) -> Iterator[Asking]:
        """Workers that ask for a slot and hold none yet."""
        out = set(self.slots.values())
        for report in self.reports.values():
            if report.urgency is not None and report.worker not in out:
                since = self.asking_since[report.worker]
                yield Asking(report.worker, report.urgency, since, report.queues)


def answer(pool: PoolState, rules: Rules, request: Request, now: float) -> Answer:
    """Whether this request gets a slot now. Changes nothing."""
    serving = pool.serving()
    others = serving.others(request.worker, request.queues)
    draining = sum(token != request.token for token in pool.slots)

    def say(refused: Cause | None, detail: str = "") -> Answer:
        return Answer(refused, others, rules.min_available, draining, detail, max_draining=rules.max_draining)

    if request.token in pool.slots or request.already_out:
        return say(None)
    absent = [f"{pool.slots[token]}: {why}" for token, why in pool.not_back.items() if token in pool.slots]
    if not request.hard and absent:
        return say(Cause.NOT_BACK, min(absent))
    if not request.hard and draining >= rules.max_draining:
        return say(Cause.SLOTS_TAKEN, ", ".join(sorted(pool.slots.values())))
    if others < rules.min_available:
        return say(Cause.TOO_FEW_IN_SERVICE)
    if request.hard:
        return say(None)
    ended = pool.drain_ended_at
    if ended is not None and now - ended < rules.cooldown_seconds:
        return say(Cause.COOLDOWN, f"{rules.cooldown_seconds - (now - ended):.0f}s left")
    first = _goes_before(pool, serving, rules, request, now)
    return say(Cause.MORE_URGENT, first) if first else say(None)


def _goes_before(pool: PoolState, serving: Serving, rules: Rules, request: Request, now: float) -> str:
    """The worker that must drain before this one; empty if there is none.

    A worker that could not drain itself, because too few peers cover its queues, blocks no other worker.
    """
    since = pool.asking_since.get(request.worker, now)
    own = Asking(request.worker, request.urgency, since, request.queues).rank(now)
    rivals: Iterable[Asking] = (
        rival for rival in pool.asking() if rival.worker != request.worker and rival.rank(now) < own
    )
    able = [rival for rival in rivals if serving.others(rival.worker, rival.queues) >= rules.min_available]
    return min(able, key=lambda rival: rival.rank(now)).worker if able else ""


def asking_since(reports: Iterable[Report], before: Mapping[str, float], now: float) -> dict[str, float]:
    """The time since when each worker asks. A worker that asked before keeps its time."""
    return {report.worker: before.get(report.worker, now) for report in reports if report.urgency is not None}
