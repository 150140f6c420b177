"""Coordination for a dry run on a fleet: the reports of others are read, and nothing is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from supervisor_memkill.clock import Clock
from supervisor_memkill.coordination.contract import (
    Age,
    Answer,
    PoolView,
    Published,
    Report,
    Request,
    RequestAnswers,
    Rules,
    SlotClaim,
    no_age,
)
from supervisor_memkill.coordination.in_process import InProcessCoordinator


class CanView(Protocol):
    """The coordinator whose pools are read."""

    def view(self, pool: str) -> PoolView: ...


class ReadOnlyCoordinator:
    """Joins the reports of this listener and of the others, and applies the same rules to them."""

    is_shared = True

    def __init__(self, shared: CanView, listener: str, clock: Clock) -> None:
        """`listener`: the name of this listener; its reports in `shared` are ignored, as they are older."""
        self._shared = shared
        self.name = listener
        self._own = f"{listener}/"
        self._here = InProcessCoordinator(clock)
        self._views: dict[str, PoolView] = {}

    def publish(
        self,
        pool: str,
        rules: Rules,
        reports: Sequence[Report],
        slot_claims: Sequence[SlotClaim],
        answers: RequestAnswers | None = None,
        age: Age = no_age,
    ) -> Published:
        view = self._views[pool] = self._shared.view(pool)
        others = [
            dataclasses.replace(
                report,
                in_service=report.in_service and report.worker not in view.silent,
                urgency=None if report.worker in view.silent else report.urgency,
            )
            for report in view.reports
            if not report.worker.startswith(self._own)
        ]
        elsewhere = [
            SlotClaim(worker, worker, not_back=view.not_back.get(worker, ""))
            for worker in view.holders
            if not worker.startswith(self._own)
        ]
        if view.drain_ended_seconds_ago is not None:
            self._here.drain_ended(pool, view.drain_ended_seconds_ago)
        return self._here.publish(pool, rules, [*reports, *others], [*slot_claims, *elsewhere])

    def consider(self, pool: str, rules: Rules, request: Request) -> Answer:
        return self._answer(pool, rules, lambda strictest: self._here.consider(pool, strictest, request))

    def acquire(self, pool: str, rules: Rules, request: Request) -> Answer:
        """The slot is taken in this process only, so that the next worker is refused as it would be."""
        return self._answer(pool, rules, lambda strictest: self._here.acquire(pool, strictest, request))

    def release(self, pool: str, worker: str, token: str, *, drained: bool, seconds_ago: float = 0.0) -> None:
        self._here.release(pool, worker, token, drained=drained, seconds_ago=seconds_ago)

    def view(self, pool: str) -> PoolView:
        """The pool as it is in Redis; after `publish`, as it was then."""
        return self._views[pool] if pool in self._views else self._shared.view(pool)

    def record(self, pool: str, event: str, fields: Mapping[str, str]) -> None:
        """A dry run does nothing, so there is nothing to record."""

    def drain_ended_at(self) -> Mapping[str, float]:
        return {}

    def _strictest(self, pool: str, rules: Rules) -> tuple[Rules, str, str]:
        """The strictest rules, and the other listeners that `min_available` and `max_draining` come from.

        The live listener of the same name would be replaced by the one that this dry run stands for.
        """
        least, most, least_of, most_of = rules.min_available, rules.max_draining, "", ""
        for other in self._views[pool].rules:
            if other.listener == self.name:
                continue
            if other.min_available > least:
                least, least_of = other.min_available, other.listener
            if other.max_draining < most:
                most, most_of = other.max_draining, other.listener
        strictest = dataclasses.replace(rules, min_available=least, max_draining=most)
        return strictest, least_of, most_of

    def _answer(self, pool: str, rules: Rules, ask: Callable[[Rules], Answer]) -> Answer:
        strictest, least_of, most_of = self._strictest(pool, rules)
        answer = dataclasses.replace(ask(strictest), min_available_of=least_of, max_draining_of=most_of)
        view = self._views[pool]
        if view.settling_seconds <= 0:
            return answer
        left = f"{view.settling_seconds:.0f}s left"
        return dataclasses.replace(answer, refused=view.settling_cause, detail=left)
