"""The worker that is taken while the machine is short of memory: the largest one of all pools that yield."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from supervisor_memkill.config.values import PoolConfig
from supervisor_memkill.coordination.contract import Answer, Cause
from supervisor_memkill.listener.findings import Finding, PoolSurvey
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import Drain
from supervisor_memkill.rules.policy import judge
from supervisor_memkill.rules.shortage import Shortage, Yields, asks_for_machine, is_relief_under_way


def with_largest(
    surveys: Sequence[PoolSurvey], shortage: Shortage, drains: Mapping[str, Drain], now: float
) -> list[PoolSurvey]:
    """The surveys, in which the largest worker asks that nothing holds. One at a time.

    If all are held, the largest one states why. A worker whose drain for this reason waits for its slot goes
    on asking, whatever the others need by now.
    """
    settle_seconds = {survey.pool.name: survey.terms.settle_seconds for survey in surveys}
    if is_relief_under_way(drains.values(), settle_seconds, shortage, now):
        return list(surveys)
    waiting = asks_for_machine(drains)
    able = [
        (survey, finding)
        for survey in surveys
        if survey.pool.config.yields is not Yields.NO
        for finding in survey.findings
        if _can_give(finding) and waiting in (None, finding.worker)
    ]
    able.sort(key=lambda one: -(one[1].seen.memory_bytes or 0))
    judged = [
        (finding, judge(finding.seen, survey.terms, now, largest_for=shortage.reason))
        for survey, finding in able
    ]
    if not judged:
        return list(surveys)
    finding, verdict = next((one for one in judged if one[1].asks), judged[0])
    if verdict.asks:
        verdict = dataclasses.replace(verdict, detail=shortage.words)
    chosen = dataclasses.replace(finding, verdict=verdict)
    return [_replaced(one, finding, chosen) for one in surveys]


def without_peers(answer: Answer, pool: PoolConfig) -> Answer:
    """The answer; where the pool says that the machine comes first, no other worker has to be in service."""
    if pool.yields is not Yields.ALWAYS or answer.refused not in (None, Cause.TOO_FEW_IN_SERVICE):
        return answer
    return dataclasses.replace(answer, refused=None, min_available=0)


def _can_give(finding: Finding) -> bool:
    seen = finding.seen
    return seen.process.state is ProcessState.RUNNING and seen.draining is None and bool(seen.memory_bytes)


def _replaced(survey: PoolSurvey, finding: Finding, chosen: Finding) -> PoolSurvey:
    findings = tuple(chosen if one is finding else one for one in survey.findings)
    return dataclasses.replace(survey, findings=findings)
