"""Workers that have a reason for a drain and are not drained: the cause, once per change."""

from __future__ import annotations

from supervisor_memkill.clock import Clock
from supervisor_memkill.coordination.contract import Answer, Cause, Coordinator
from supervisor_memkill.listener.findings import Finding, PoolSurvey, Survey
from supervisor_memkill.listener.fleet import Fleet
from supervisor_memkill.listener.holds import Holds
from supervisor_memkill.listener.pool_sizes import PoolSizes
from supervisor_memkill.listener.state import StateKeeper
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.pool_events import DryRunVerdict, WorkerHeld, WorkerHeldForEver
from supervisor_memkill.rules.policy import Hold


class HeldWorkers:
    """Passes the cause on to the log, to the history, to people who wait for a request, and to the state."""

    def __init__(
        self,
        notifier: Notifier,
        holds: Holds,
        fleet: Fleet,
        state: StateKeeper | None,
        clock: Clock,
        *,
        is_dry_run: bool,
    ) -> None:
        """`state` None: no state file."""
        self._notifier = notifier
        self._holds = holds
        self._fleet = fleet
        self._state = state
        self._is_dry_run = is_dry_run
        self._pool_sizes = PoolSizes(clock)
        self._calm: dict[str, Finding] = {}
        """Workers without a reason for a drain, and the finding that shows it."""

    def held(
        self,
        survey: PoolSurvey,
        finding: Finding,
        cause: Hold | Cause | None,
        words: str,
        event: type[WorkerHeld] = WorkerHeld,
    ) -> None:
        """The worker is not drained; `cause` None: only because this is a dry run."""
        if finding.verdict.reason is None and finding.verdict.hold is not Hold.MEMORY_UNKNOWN:
            if self._calm.get(finding.worker) is not finding:
                self.asks(finding.worker)
                self._holds.ended(finding.worker)
                self._calm[finding.worker] = finding
            return
        self._fleet.decided(finding.worker, words)
        seen = finding.seen
        if finding.verdict.reason is not None and not self._is_dry_run:
            self._holds.held(finding.worker, seen.process.pid, survey.pool.name, cause, words)
        if self._state is not None:
            self._state.decided(finding.worker, words, cause)
        made = DryRunVerdict if self._is_dry_run else event
        self._notifier.report(
            made(finding.worker, seen.process.pid, seen.memory_bytes, cause, words, survey.pool.measure)
        )

    def refused(
        self,
        survey: PoolSurvey,
        finding: Finding,
        answer: Answer,
        coordinator: Coordinator | None,
        *,
        ask: bool,
    ) -> None:
        """The worker got no slot. `ask`: see `PoolSizes.too_few`. Raises CoordinationUnknown."""
        words, too_few = f"{finding.verdict.words}, but {survey.words_of(finding, answer)}", None
        if answer.refused is Cause.TOO_FEW_IN_SERVICE and coordinator is not None:
            too_few = self._pool_sizes.too_few(
                survey, finding.known_queues, answer.min_available, coordinator, ask=ask
            )
        if too_few is None:
            self.held(survey, finding, answer.refused, words)
        else:
            words = f"{words}; {too_few.words}"
            self.held(survey, finding, answer.refused, words, WorkerHeldForEver)

    def asks(self, worker: str) -> None:
        """Nothing holds the worker now: the next cause is reported in any case."""
        self._notifier.forget(WorkerHeld, worker)

    def is_drained(self, worker: str) -> None:
        """Its drain began."""
        self._holds.ended(worker)

    def keep_only(self, survey: Survey) -> None:
        """Forget the workers that no pool has any more."""
        self._holds.keep_only(survey)
        if len(self._calm) > sum(len(pool.findings) for pool in survey.pools):
            present = {finding.worker for pool in survey.pools for finding in pool.findings}
            self._calm = {worker: one for worker, one in self._calm.items() if worker in present}
