"""Reports the results of looks: each oddity once, until a look does not find it any more."""

from __future__ import annotations

from collections.abc import Sequence

from supervisor_memkill.listener.findings import Finding, PoolSurvey, Survey
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.events import SupervisordAlert
from supervisor_memkill.notices.pool_events import (
    PoolLooked,
    PoolNote,
    PoolUnrecognised,
    WorkerHint,
    WorkerJobs,
    WorkerNearLimit,
    WorkerSeen,
    WorkerUnsafe,
)
from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.rules.policy import is_in_service
from supervisor_memkill.workers.contract import Advice


class Reports:
    """Knows what the last look found."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._alerts: frozenset[str] = frozenset()
        self._findings: dict[str, Sequence[Finding]] = {}
        """Those of the last look, by pool, if all of its workers were reported."""
        self._is_unchanged: bool | None = None
        """The present look found the same as the last one; None: not all of its workers are reported yet."""
        self._hints: dict[str, tuple[list[Advice], ProgramInfo | None]] = {}
        """The hints of the last look, and the settings that they are about, by worker."""

    def report_survey(self, survey: Survey, *, is_check: bool) -> None:
        """Report what concerns no single pool. `is_check`: only a check looks for alerts."""
        for oddity in survey.oddities:
            self._notifier.report(PoolNote(oddity.words))
        if is_check:
            for alert in survey.alerts:
                if alert not in self._alerts:
                    self._notifier.report(SupervisordAlert(alert))
            self._alerts = frozenset(survey.alerts)

    def report_end(self, survey: PoolSurvey) -> None:
        """Report that the look at this pool is complete."""
        away, unchanged, self._is_unchanged = survey.source_away, self._is_unchanged, None
        if unchanged is None:  # It failed, or was broken off: the next look reports all workers.
            self._findings.pop(survey.pool.name, None)
        else:
            self._findings[survey.pool.name] = survey.findings
        self._notifier.report(
            PoolLooked(
                survey.pool.name,
                len(survey.findings),
                readings_up=None if away is None else not away,
                failure=None if survey.failure is None else repr(survey.failure),
                unchanged=unchanged is True,
            )
        )

    def report_pool(self, survey: PoolSurvey) -> None:
        """Report what concerns one pool and its workers. Where nothing changed, no worker is reported."""
        self._report_unrecognised(survey)
        is_unchanged = survey.findings is self._findings.get(survey.pool.name)
        if not is_unchanged:
            self._report_workers(survey)
        self._is_unchanged = is_unchanged

    def _report_workers(self, survey: PoolSurvey) -> None:
        known = {id(finding) for finding in self._findings.get(survey.pool.name, ())}
        for finding in survey.findings:
            if id(finding) not in known:
                self._report_near_limit(survey, finding)
                self._report_hints(finding)
            self._notifier.report(_seen(survey, finding))
            self._report_jobs(survey, finding)

    def _report_unrecognised(self, survey: PoolSurvey) -> None:
        pool, why = survey.pool.name, survey.unrecognised
        if why:
            self._notifier.report(PoolUnrecognised(pool, len(survey.findings), why))
        elif why is not None:
            self._notifier.forget(PoolUnrecognised, pool)

    def _report_hints(self, finding: Finding) -> None:
        """After `supervisorctl update` with other settings, what is still wrong is reported again."""
        hints, program = list(finding.hints()), finding.program
        before, about = self._hints.pop(finding.worker, ([], None))
        if program is not None and about not in (None, program):
            before = []
        for advice in hints:
            if advice not in before:
                made = WorkerUnsafe if advice.refuses else WorkerHint
                self._notifier.report(made(finding.worker, advice.text))
        if hints:
            self._hints[finding.worker] = hints, program or about

    def _report_jobs(self, survey: PoolSurvey, finding: Finding) -> None:
        """Report the running jobs, if the look has them. A measure that was not read would be no growth."""
        seen, reading = finding.seen, finding.seen.reading
        if reading is None or reading.jobs is None or seen.memory_bytes is None or seen.memory_lost:
            return
        self._notifier.report(
            WorkerJobs(
                finding.worker,
                survey.pool.name,
                seen.process.pid,
                seen.process.start,
                seen.memory_bytes,
                float(seen.uptime_seconds),
                reading.jobs,
                reading.runs,
                survey.pool.measure,
            )
        )

    def _report_near_limit(self, survey: PoolSurvey, finding: Finding) -> None:
        """Report a worker once when it passes warn_rss, and again after it was below."""
        seen, warn_bytes = finding.seen, survey.terms.warn_bytes
        if warn_bytes is None or seen.memory_bytes is None:
            return
        if seen.memory_bytes <= warn_bytes:
            self._notifier.forget(WorkerNearLimit, finding.worker)
            return
        self._notifier.report(
            WorkerNearLimit(
                finding.worker,
                seen.process.pid,
                survey.pool.name,
                seen.memory_bytes,
                warn_bytes,
                survey.pool.measure,
            )
        )


def _seen(survey: PoolSurvey, finding: Finding) -> WorkerSeen:
    seen, reading = finding.seen, finding.seen.reading
    return WorkerSeen(
        worker=finding.worker,
        pool=survey.pool.name,
        pid=seen.process.pid or None,
        rss_bytes=seen.memory_bytes,
        busy=reading.busy if reading else None,
        quiet=reading.quiet if reading else None,
        verdict=finding.verdict.words,
        measure=survey.pool.measure,
        up_seconds=float(seen.uptime_seconds) if seen.process.pid else None,
        max_rss_bytes=survey.terms.limit_bytes,
        hard_max_rss_bytes=survey.terms.hard_limit_bytes,
        state=seen.draining.value if seen.draining else seen.process.state.name,
        is_draining=seen.draining is not None,
        in_service=is_in_service(seen, survey.terms.settle_seconds),
        reason=finding.verdict.reason,
    )
