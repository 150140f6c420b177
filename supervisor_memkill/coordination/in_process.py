"""Coordination within one supervisord: nothing to install, nothing to lose.

Slots are lost when the listener ends. After its restart, the drains in the journal take their slots again
by `publish`; the time of the last drain comes from the journal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from supervisor_memkill.clock import Clock
from supervisor_memkill.coordination import rules as judge
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


class InProcessCoordinator:
    """Coordinates the workers of a single listener."""

    is_shared = False
    name = ""

    def __init__(self, clock: Clock, drain_ended_at: Mapping[str, float] | None = None) -> None:
        """`drain_ended_at`: the time at which each pool's last drain ended, on `clock`."""
        self._clock = clock
        self._pools: dict[str, judge.PoolState] = {}
        for name, ended_at in (drain_ended_at or {}).items():
            self._pool(name).drain_ended_at = ended_at

    def publish(
        self,
        pool: str,
        rules: Rules,
        reports: Sequence[Report],
        slot_claims: Sequence[SlotClaim],
        answers: RequestAnswers | None = None,
        age: Age = no_age,
    ) -> Published:
        state = self._pool(pool)
        state.asking_since = judge.asking_since(reports, state.asking_since, self._clock())
        state.reports = {report.worker: report for report in reports}
        state.slots = {claim.token: claim.worker for claim in slot_claims}
        state.not_back = {claim.token: claim.not_back for claim in slot_claims if claim.not_back}
        return Published(frozenset(state.slots))

    def consider(self, pool: str, rules: Rules, request: Request) -> Answer:
        return judge.answer(self._pool(pool), rules, request, self._clock())

    def acquire(self, pool: str, rules: Rules, request: Request) -> Answer:
        answer = self.consider(pool, rules, request)
        if answer.granted and request.token is not None:
            self._pool(pool).slots[request.token] = request.worker
        return answer

    def drain_ended(self, pool: str, seconds_ago: float) -> None:
        """Note that a drain of the pool ended on another host."""
        self._pool(pool).drain_ended_at = self._clock() - seconds_ago

    def release(self, pool: str, worker: str, token: str, *, drained: bool, seconds_ago: float = 0.0) -> None:
        state = self._pool(pool)
        state.slots.pop(token, None)
        if drained:
            ended_at = self._clock() - seconds_ago
            before = state.drain_ended_at
            state.drain_ended_at = ended_at if before is None else max(before, ended_at)

    def view(self, pool: str) -> PoolView:
        state = self._pool(pool)
        return PoolView(tuple(state.reports.values()), tuple(sorted(state.slots.values())))

    def record(self, pool: str, event: str, fields: Mapping[str, str]) -> None:
        """Nothing: the log of this listener is complete."""

    def drain_ended_at(self) -> dict[str, float]:
        """When each pool's last drain ended, for the journal."""
        return {
            name: state.drain_ended_at
            for name, state in self._pools.items()
            if state.drain_ended_at is not None
        }

    def _pool(self, name: str) -> judge.PoolState:
        return self._pools.setdefault(name, judge.PoolState())
