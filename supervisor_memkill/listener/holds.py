"""Workers that should be drained and are not: how long each has been held, whatever the causes."""

from __future__ import annotations

import dataclasses

from supervisor_memkill.clock import Clock
from supervisor_memkill.coordination.contract import Cause
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.listener.findings import Survey
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.pool_events import WorkerHeldLong, WorkerHeldLongOver
from supervisor_memkill.rules.policy import Hold

LONG_SECONDS = 3600.0


@dataclass(frozen=True)
class _Held:
    """One worker that is held now."""

    since: float
    last: WorkerHeldLong
    """With the last cause."""
    is_reported: bool = False


class Holds:
    """Reports each worker that has been held for long, and the end of it. In memory only."""

    def __init__(self, notifier: Notifier, clock: Clock) -> None:
        self._notifier = notifier
        self._clock = clock
        self._held: dict[str, _Held] = {}

    def held(self, worker: str, pid: int, pool: str, cause: Hold | Cause | None, why: str) -> None:
        """The worker has a reason for a drain, and is held now. A new process begins anew."""
        if worker in self._held and self._held[worker].last.pid != pid:
            self.ended(worker)
        now = self._clock()
        before = self._held.get(worker)
        since = before.since if before is not None else now
        event = WorkerHeldLong(worker, pid, pool, cause, why, now - since)
        is_reported = before is not None and before.is_reported
        if not is_reported and event.held_seconds > LONG_SECONDS:
            self._notifier.report(event)
            is_reported = True
        self._held[worker] = _Held(since, event, is_reported)

    def ended(self, worker: str) -> None:
        """The worker is drained now, or has no reason for a drain any more."""
        held = self._held.pop(worker, None)
        if held is not None and held.is_reported:
            fields = {field.name: getattr(held.last, field.name) for field in dataclasses.fields(held.last)}
            self._notifier.report(
                WorkerHeldLongOver(**{**fields, "held_seconds": self._clock() - held.since})
            )

    def keep_only(self, survey: Survey) -> None:
        """End the holds of workers that no pool has any more. A pool whose look failed shows no worker."""
        if not self._held:
            return
        present = {finding.worker for pool in survey.pools for finding in pool.findings}
        failed = {pool.pool.name for pool in survey.pools if pool.failure is not None}
        for worker, held in list(self._held.items()):
            if worker not in present and held.last.pool not in failed:
                self.ended(worker)
