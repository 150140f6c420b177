"""What this listener tells coordination: its workers, the slots of its drains, and those that are over."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from supervisor_memkill.clock import Clock
from supervisor_memkill.config.options import Config
from supervisor_memkill.coordination.contract import (
    FRESH_HEARTBEATS,
    Answer,
    Cause,
    CoordinationUnknown,
    Coordinator,
    Report,
    Request,
)
from supervisor_memkill.listener.findings import Pool, PoolSurvey, slot_claims
from supervisor_memkill.listener.ledger import Ledger
from supervisor_memkill.listener.outage import Outage
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.events import CoordinationAnswered, ListenerNameTaken, SlotNotReleased
from supervisor_memkill.rules.drain import Drain


@dataclass(frozen=True)
class _Unreleased:
    """A slot that is over, and of which coordination could not be told."""

    pool: str
    worker: str
    token: str
    drained: bool
    ended_at: float


class Slots:
    """One listener's part in coordination. What cannot be told now is logged, and told when it can be."""

    def __init__(
        self,
        config: Config,
        coordinator: Coordinator,
        ledger: Ledger,
        outage: Outage,
        notifier: Notifier,
        clock: Clock,
    ) -> None:
        """`outage` is the coordinator's."""
        self._config = config
        self._coordinator = coordinator
        self._ledger = ledger
        self._outage = outage
        self._notifier = notifier
        self._clock = clock
        self._unreleased: list[_Unreleased] = []
        """In memory alone: after our own death such a slot expires, and its drain starts no cooldown."""

    @property
    def has_new_name(self) -> bool:
        """Its own workers count still under the name that it had before: nothing may be begun."""
        fresh_seconds = FRESH_HEARTBEATS * self._config.heartbeat_seconds
        return self._clock() - self._ledger.contents.listener_since < fresh_seconds

    def publish(self, survey: PoolSurvey) -> None:
        """Tell what this survey saw, and renew the pool's slots. Raises CoordinationUnknown."""
        self._publish(survey.pool, survey.reports(can_begin=self._ledger.can_begin))

    def renew_unseen(self, pool: Pool) -> None:
        """Keep the pool's slots while its workers cannot be looked at: none of them is in service.

        Raises CoordinationUnknown.
        """
        if slot_claims(self._ledger.drains.values(), pool.name):
            self._publish(pool, ())

    def _publish(self, pool: Pool, reports: Sequence[Report]) -> None:
        for one in [one for one in self._unreleased if one.pool == pool.name]:
            self._give_back(one)
            self._unreleased.remove(one)
        claims = slot_claims(self._ledger.drains.values(), pool.name)
        published = self._coordinator.publish(pool.name, pool.rules, reports, claims)
        self._outage.back(pool.name)
        if published.name_is_taken:
            self._notifier.report(ListenerNameTaken(self._config.host))
        else:
            self._notifier.forget(ListenerNameTaken)

    def acquire(self, survey: PoolSurvey, request: Request) -> Answer | None:
        """Tell what was seen, and ask for the slot; None when coordination does not answer."""
        pool = survey.pool
        try:
            self.publish(survey)
            answer = self._coordinator.acquire(pool.name, pool.rules, request)
        except CoordinationUnknown as error:
            self._outage.away(error, pool.name)
            return None
        self._report(pool.name, request, "acquire", answer)
        return answer

    def consider(self, survey: PoolSurvey, request: Request) -> Answer:
        """What `acquire` would answer now; takes nothing. Raises CoordinationUnknown."""
        pool = survey.pool
        answer = self._coordinator.consider(pool.name, pool.rules, request)
        self._report(pool.name, request, "consider", answer)
        if answer.granted and self.has_new_name:
            return dataclasses.replace(answer, refused=Cause.NAME_IS_NEW)
        return answer

    def _report(self, pool: str, request: Request, asked: str, answer: Answer) -> None:
        self._notifier.report(
            CoordinationAnswered(
                pool,
                request.worker,
                asked,
                answer.refused,
                answer.others_in_service,
                answer.min_available,
                answer.draining,
                answer.detail or None,
            )
        )

    def release(self, drain: Drain, *, drained: bool) -> None:
        """Give the drain's slot back; `drained`: it took its worker out of service."""
        if not drain.pool:
            return
        slot = _Unreleased(drain.pool, drain.worker, drain.token, drained, self._clock())
        try:
            self._give_back(slot)
        except CoordinationUnknown as error:
            self._notifier.report(SlotNotReleased(drain.worker, drain.pool, str(error)))
            self._unreleased.append(slot)

    def _give_back(self, slot: _Unreleased) -> None:
        seconds_ago = max(0.0, self._clock() - slot.ended_at)
        self._coordinator.release(
            slot.pool, slot.worker, slot.token, drained=slot.drained, seconds_ago=seconds_ago
        )

    def record(self, pool: str, event: str, fields: Mapping[str, str]) -> None:
        """Leave an event in the pool's stream; not while the pool cannot be reached anyway."""
        if not pool or self._outage.has_lost(pool):
            return
        try:
            self._coordinator.record(pool, event, fields)
        except CoordinationUnknown as error:
            self._outage.away(error, pool)

    def drain_ended_at(self) -> Mapping[str, float]:
        """When each pool's last drain ended, for the journal; see Coordinator."""
        return self._coordinator.drain_ended_at()
