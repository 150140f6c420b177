"""Reports the results of looks: each oddity once, until a look does not find it any more."""

from __future__ import annotations

from collections.abc import Mapping

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
        self._seen: dict[str, Mapping[str, tuple[Finding, WorkerSeen]]] = {}
        """By pool and worker: the last finding, and its event."""
        self._hints: dict[str, list[Advice]] = {}
        """The hints of the last look, by worker."""
        self._programs: dict[str, ProgramInfo] = {}
        """The settings that these hints are about, by worker."""

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
        away = survey.source_away
        self._notifier.report(
            PoolLooked(
                survey.pool.name,
                len(survey.findings),
                readings_up=None if away is None else not away,
                failure=None if survey.failure is None else repr(survey.failure),
            )
        )

    def report_pool(self, survey: PoolSurvey) -> None:
        """Report what concerns one pool and its workers."""
        self._report_unrecognised(survey)
        before, last = self._seen.get(survey.pool.name, {}), {}
        for finding in survey.findings:
            known = before.get(finding.worker)
            if known is None or known[0] is not finding:
                self._report_near_limit(survey, finding)
                self._report_hints(finding)
                known = finding, _seen(survey, finding)
            self._notifier.report(known[1])
            self._report_jobs(survey, finding)
            last[finding.worker] = known
        self._seen[survey.pool.name] = last

    def _report_unrecognised(self, survey: PoolSurvey) -> None:
        pool, why = survey.pool.name, survey.unrecognised
        if why:
            self._notifier.report(PoolUnrecognised(pool, len(survey.findings), why))
        elif why is not None:
            self._notifier.forget(PoolUnrecognised, pool)

    def _report_hints(self, finding: Finding) -> None:
        self._forget_hints_of_other_settings(finding)
        hints = list(finding.hints())
        for advice in hints:
            if advice not in self._hints.get(finding.worker, ()):
                made = WorkerUnsafe if advice.refuses else WorkerHint
                self._notifier.report(made(finding.worker, advice.text))
        if hints:
            self._hints[finding.worker] = hints
        else:
            self._hints.pop(finding.worker, None)

    def _forget_hints_of_other_settings(self, finding: Finding) -> None:
        """After `supervisorctl update` with other settings: report again what is still wrong."""
        worker, program = finding.worker, finding.program
        if program is None:
            return
        if self._programs.get(worker, program) != program:
            self._hints.pop(worker, None)
        self._programs[worker] = program

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
