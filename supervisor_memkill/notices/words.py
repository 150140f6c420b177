"""The events of a step of a drain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from supervisor_memkill.notices.drain_events import (
    ActionFailed,
    DrainAgain,
    DrainBusy,
    DrainDone,
    DrainDraining,
    DrainEvidence,
    DrainEvidenceBegins,
    DrainEvidenceFailed,
    DrainHeldAtTimeout,
    DrainKilled,
    DrainLetGo,
    DrainNotBegun,
    DrainNotInServiceYet,
    DrainOldProcessesLive,
    DrainQuietFailed,
    DrainQuieting,
    DrainResumeFailed,
    DrainResuming,
    DrainSettling,
    DrainStartFailed,
    DrainStarting,
    DrainState,
    DrainStopFailed,
    DrainStopping,
    DrainThawFailed,
)
from supervisor_memkill.notices.event import Event
from supervisor_memkill.processes import Measure
from supervisor_memkill.rules.causes import StepCause
from supervisor_memkill.rules.drain import Action, Drain, State
from supervisor_memkill.rules.evidence import EvidenceState
from supervisor_memkill.rules.step import Plan, Seen, Step

_ENTERED: dict[State, type[DrainState]] = {
    State.QUIETING: DrainQuieting,
    State.DRAINING: DrainDraining,
    State.RESUMING: DrainResuming,
    State.STOPPING: DrainStopping,
    State.STARTING: DrainStarting,
    State.SETTLING: DrainSettling,
}
_FAILED: dict[Action, type[ActionFailed]] = {
    Action.QUIET: DrainQuietFailed,
    Action.RESUME: DrainResumeFailed,
    Action.THAW: DrainThawFailed,
    Action.EVIDENCE: DrainEvidenceFailed,
    Action.STOP: DrainStopFailed,
    Action.START: DrainStartFailed,
}


def of_step(
    before: Drain, step: Step, seen: Seen, plan: Plan, now: float, measure: Measure = "rss"
) -> Iterator[Event]:
    """The events for the changes by this step; `now` is on the boot clock."""
    drain, reading = step.drain, seen.reading
    yield from _of_evidence(before, drain)
    if drain.state is not before.state:
        yield _entered(before, drain, step.cause, seen, measure)
        if step.cause is StepCause.NEW_PROCESS_ENDED:
            yield DrainStartFailed(drain.worker, drain.pid, step.cause.words)
    elif step.cause is StepCause.STOPPED_NEW_PROCESS:
        yield _entered(before, drain, step.cause, seen, measure)
    elif step.action is not None and step.action is not Action.EVIDENCE:
        yield DrainAgain(drain.worker, drain.pid, drain.state, step.action)
    if step.holds_stop:
        busy, jobs = (reading.busy, reading.jobs) if reading is not None else (None, None)
        yield DrainHeldAtTimeout(drain.worker, drain.pid, busy, jobs or None, plan.losses)
    waits = drain.state in (State.QUIETING, State.DRAINING)
    if waits and reading is not None and (reading.busy is not None or reading.why):
        yield DrainBusy(drain.worker, drain.pid, reading.busy, reading.why or None)
    if drain.state is State.SETTLING and seen.survivors:
        yield DrainOldProcessesLive(drain.worker, drain.pid, seen.survivors)
    not_back = drain.why_not_back(plan.settle_seconds, now)
    if not_back:
        why = reading.why if reading is not None else ""
        yield DrainNotInServiceYet(drain.worker, drain.pid, f"{not_back}: {why}" if why else not_back)


def _of_evidence(before: Drain, drain: Drain) -> Iterator[Event]:
    """The event for a change of the command `before_stop`."""
    evidence = drain.evidence
    if evidence is None or evidence == before.evidence:
        return
    if evidence.runs:
        yield DrainEvidenceBegins(drain.worker, drain.pid)
    elif evidence.state is EvidenceState.TAKEN:
        yield DrainEvidence(before.worker, before.pid, evidence.seconds or 0.0)
    else:
        yield DrainEvidenceFailed(before.worker, before.pid, evidence.error, evidence.seconds)


def _entered(
    before: Drain, drain: Drain, cause: StepCause | None, seen: Seen, measure: Measure
) -> DrainState:
    begins = before.state is State.ASKING
    return _ENTERED[drain.state](
        worker=drain.worker,
        pid=drain.pid,
        pool=drain.pool,
        reason=drain.reason,
        cause=cause,
        rss_bytes=drain.memory_before_bytes if begins else None,
        max_rss_bytes=drain.limit_bytes if begins else None,
        survivors=seen.survivors if cause is StepCause.SURVIVORS else None,
        measure=measure if begins else None,
        busy=drain.stop.busy if drain.state is State.STOPPING else None,
        jobs=(drain.stop.jobs or None) if drain.state is State.STOPPING else None,
    )


def of_end(
    before: Drain, drain: Drain, cause: StepCause | None, now: float, kind: str | None = None
) -> Iterator[Event]:
    """The events for a drain that is over; none after a refusal, which `worker.held` reports.

    `kind`: the name of the pool's kind; None: the pool is not in the configuration any more.
    """
    is_done, was_kill = drain.state is State.DONE, drain.stop.was_kill
    yield from _of_evidence(before, drain)
    if was_kill:
        yield DrainKilled(
            **_step(drain, drain.stop.cause if is_done else cause),
            busy=drain.stop.busy,
            jobs=drain.stop.jobs or None,
            stopwaitsecs=int(drain.stop.wait_seconds),
            after_bytes=drain.memory_after_bytes,
            **_result(drain, now, kind),
        )
    why = cause.words if cause else None
    if is_done:
        if not was_kill:
            yield DrainDone(
                **_step(drain, drain.stop.cause),
                after_bytes=drain.memory_after_bytes,
                **_result(drain, now, kind),
            )
    elif drain.touched:
        yield DrainLetGo(**_step(drain, cause), state=before.state, why=why, **_result(drain, now, kind))
    elif cause is not StepCause.REFUSED:
        yield DrainNotBegun(drain.worker, drain.pid, cause, why)


def _step(drain: Drain, cause: StepCause | None) -> dict[str, Any]:
    return {
        "worker": drain.worker,
        "pid": drain.pid,
        "pool": drain.pool,
        "reason": drain.reason,
        "cause": cause,
    }


def _result(drain: Drain, now: float, kind: str | None) -> dict[str, Any]:
    return {
        "before_bytes": drain.memory_before_bytes,
        "quiet_seconds": drain.quiet_seconds,
        "stopped_seconds": drain.stopped_seconds,
        "took_seconds": now - drain.began_at,
        "kind": kind,
        "evidence": drain.evidence.state if drain.evidence is not None else None,
    }


def action_failed(drain: Drain, action: Action, error: Exception) -> ActionFailed:
    return _FAILED[action](drain.worker, drain.pid, str(error) or type(error).__name__)
