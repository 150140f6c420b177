"""This listener's part in coordination: reports of its workers, and the slots of its drains."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from supervisor_memkill.clock import Clock
from supervisor_memkill.config.values import Config
from supervisor_memkill.coordination.contract import (
    MAX_SILENT_HEARTBEATS,
    Age,
    Answer,
    Cause,
    CoordinationUnknown,
    Coordinator,
    Published,
    Report,
    Request,
    SlotClaim,
    no_age,
)
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.listener.findings import Finding, Pool, PoolSurvey, slot_claims
from supervisor_memkill.listener.fleet import Fleet
from supervisor_memkill.listener.ledger import Ledger
from supervisor_memkill.listener.outage import Outage
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.events import (
    CoordinationAnswered,
    CoordinationReached,
    ListenerNameTaken,
    ListenerWaitsForFormer,
    SlotNotReleased,
)
from supervisor_memkill.rules.drain import Drain


@dataclass(frozen=True)
class _Unreleased:
    """A slot that could not be given back yet."""

    pool: str
    worker: str
    token: str
    drained: bool
    ended_at: float


class Slots:
    """Sends reports, asks for slots and gives them back. What could not be sent is sent later."""

    def __init__(
        self,
        config: Config,
        coordinator: Coordinator,
        ledger: Ledger,
        fleet: Fleet,
        outage: Outage,
        notifier: Notifier,
        clock: Clock,
    ) -> None:
        """`outage` is that of coordination."""
        self._fleet = fleet
        self._config = config
        self._coordinator = coordinator
        self._ledger = ledger
        self._outage = outage
        self._notifier = notifier
        self._clock = clock
        self._reports: dict[str, tuple[Sequence[Finding], Sequence[Report]]] = {}
        """By pool: the last findings, and the report of each."""
        self._unreleased: list[_Unreleased] = []
        """In memory only: if the listener ends, such a slot expires, and its drain starts no cooldown."""

    @property
    def has_new_name(self) -> bool:
        """The listener's workers still count under its former name: no drain may begin."""
        live_seconds = MAX_SILENT_HEARTBEATS * self._config.heartbeat_seconds
        return self._clock() - self._ledger.contents.listener_since < live_seconds

    def publish(self, survey: PoolSurvey) -> None:
        """Send the reports of this survey, and renew the pool's slots. Raises CoordinationUnknown."""
        self._fleet.looked(survey)
        self._publish(survey.pool, self._reports_of(survey), lambda: self._clock() - survey.looked_at)

    def _reports_of(self, survey: PoolSurvey) -> Sequence[Report]:
        """The reports; that of a worker which has the same finding as before is the same object."""
        can_begin, name = self._ledger.can_begin, survey.pool.name
        findings, before = self._reports.get(name, ((), ()))
        if findings is survey.findings and not any(one.verdict.asks for one in findings):
            return before
        known = dict(zip(map(id, findings), before, strict=True))
        reports = []
        for finding in survey.findings:
            report = known.get(id(finding))
            if report is None or finding.verdict.asks:
                report = survey.report(finding, can_begin=can_begin)
            reports.append(report)
        self._reports[name] = survey.findings, reports
        return reports

    def renew_unseen(self, pool: Pool) -> None:
        """Renew the pool's slots while its workers cannot be observed: none counts as in service.

        Raises CoordinationUnknown.
        """
        if self._claims(pool):
            self._publish(pool, (), no_age)

    def _publish(self, pool: Pool, reports: Sequence[Report], age: Age) -> None:
        for one in [one for one in self._unreleased if one.pool == pool.name]:
            self._give_back(one)
            self._unreleased.remove(one)
        published = self._coordinator.publish(
            pool.name, pool.rules, reports, self._claims(pool), self._fleet.answers(pool.name), age
        )
        self._outage.back(pool.name)
        if self._coordinator.is_shared:
            self._notifier.report(CoordinationReached(pool.name))
        self._note_epoch(pool.name, published.epoch)
        self._report_name(published)
        if not published.name_is_taken:
            self._fleet.offered(pool.name, published.offers, published.open_requests)

    def _note_epoch(self, pool: str, epoch: str) -> None:
        """Keep the epoch in the journal: after a restart this listener still knows that it saw the pool.

        No drain can depend on this save: a drain that cannot be saved does not begin.
        """
        if epoch:
            self._ledger.save(self._ledger.contents.with_epoch(pool, epoch), must=False)

    def _report_name(self, published: Published) -> None:
        if published.former_seconds is not None:
            self._notifier.report(ListenerWaitsForFormer(self._config.host, published.former_seconds))
        elif published.name_is_taken:
            self._notifier.report(ListenerNameTaken(self._config.host))
        else:
            self._notifier.forget(ListenerNameTaken)
            self._notifier.forget(ListenerWaitsForFormer)

    def _claims(self, pool: Pool) -> Sequence[SlotClaim]:
        return slot_claims(self._ledger.drains.values(), pool.config, self._clock())

    def acquire(self, survey: PoolSurvey, request: Request) -> Answer | None:
        """Send the reports, and ask for a slot.

        None if coordination does not answer, or if a request of a person came, which counts first.
        """
        pool = survey.pool
        try:
            self.publish(survey)
            if self._fleet.has_new and not request.already_out:
                return None
            answer = self._coordinator.acquire(pool.name, pool.rules, request)
        except CoordinationUnknown as error:
            self._outage.away(error, pool.name)
            return None
        self._report(pool.name, request, "acquire", answer)
        return answer

    def consider(self, survey: PoolSurvey, request: Request) -> Answer:
        """The present answer to `acquire`, without taking a slot. Raises CoordinationUnknown."""
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
        """Give the drain's slot back; `drained`: the drain took its worker out of service."""
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
        """Append an event to the pool's stream, unless the pool did not answer the last time."""
        if not pool or self._outage.has_lost(pool):
            return
        try:
            self._coordinator.record(pool, event, fields)
        except CoordinationUnknown as error:
            self._outage.away(error, pool)

    def drain_ended_at(self) -> Mapping[str, float]:
        """When each pool's last drain ended, for the journal; see Coordinator."""
        return self._coordinator.drain_ended_at()
