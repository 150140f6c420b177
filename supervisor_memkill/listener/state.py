"""Keeps the state file up to date with what the listener sees and does."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from supervisor_memkill import __version__
from supervisor_memkill.clock import Clock
from supervisor_memkill.config.values import Config
from supervisor_memkill.coordination.contract import Answer, Cause
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.listener import state_file
from supervisor_memkill.listener.findings import Finding, PoolSurvey
from supervisor_memkill.listener.journal import read_boot_id
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.state_values import (
    MAX_SAMPLES,
    SAMPLE_SECONDS,
    DrainState,
    ListenerState,
    Origin,
    OutageState,
    PauseState,
    PoolState,
    WorkerState,
    pid_namespace,
    process_began,
)
from supervisor_memkill.notices.drain_events import DrainBusy
from supervisor_memkill.notices.event import Event
from supervisor_memkill.rules.drain import Drain, State
from supervisor_memkill.rules.policy import Hold, is_in_service

UNCHANGED_SECONDS = 10.0
"""How long a file with the same contents is not written again; its age shows that the listener works."""


@dataclass(frozen=True)
class _Decision:
    """What the listener decided about a worker at this look."""

    words: str
    cause: Hold | Cause | None


class StateKeeper:
    """Collects the state of this listener, and writes it when `write` is called."""

    def __init__(self, path: Path, config: Config, clock: Clock, origin: Origin | None = None) -> None:
        """`path` is that of the journal."""
        self._path = state_file.path_beside(path, is_dry_run=config.dry_run)
        self._clock = clock
        self._settle_seconds = {pool.name: pool.settle_seconds for pool in config.pools}
        self._decisions: dict[str, _Decision] = {}
        self._answers: dict[str, Answer] = {}
        self._busy: dict[str, int | None] = {}
        """By worker that drains: the number of running jobs in the last reading."""
        self._is_shared = config.redis is not None
        # Until the first look, the last listener's looks are shown, with their age.
        self._pools = {pool.name: pool for pool in self._pools_before() if pool.name in self._settle_seconds}
        self._state = ListenerState(
            version=__version__,
            pid=os.getpid(),
            created=process_began(os.getpid()) or 0.0,
            boot_id=read_boot_id(),
            host=config.host,
            dry_run=config.dry_run,
            started_at=clock(),
            written_at=clock(),
            ticked_at=None,
            namespace=pid_namespace(),
            origin=origin or Origin(),
        )
        self._written: ListenerState | None = None
        self._findings: dict[str, Sequence[Finding]] = {}
        """By pool: those that its state is from."""
        self._sampled_at: dict[str, float] = {}
        """By pool: when the memory of its workers was sampled last."""

    def _pools_before(self) -> tuple[PoolState, ...]:
        try:
            before = state_file.read(self._path)
        except state_file.StateError:
            return ()
        return before.pools if before.boot_id == read_boot_id() else ()

    def named(self, fleet_name: str) -> None:
        """The listener's name among all; empty if no others take part."""
        self._state = dataclasses.replace(self._state, fleet_name=fleet_name)

    def ticked(self) -> None:
        self._state = dataclasses.replace(self._state, ticked_at=self._clock())

    def take(self, event: Event) -> None:
        """As a sink: a drain reads the number of running jobs more often than there are looks."""
        if isinstance(event, DrainBusy):
            self._busy[event.worker] = event.busy

    def decided(self, worker: str, words: str, cause: Hold | Cause | None) -> None:
        """What was decided about this worker at this look; `words` are for a person."""
        self._decisions[worker] = _Decision(words, cause)

    def answered(self, worker: str, answer: Answer) -> None:
        """What coordination answered about this worker at this look."""
        self._answers[worker] = answer

    def looked(self, survey: PoolSurvey) -> None:
        """A look at a pool is complete."""
        name, config = survey.pool.name, survey.pool.config
        if survey.failure is not None and name in self._pools:
            failed = dataclasses.replace(self._pools[name], failure=repr(survey.failure))
            self._pools[name] = failed
            return
        before = self._pools.get(name)
        unrecognised = survey.unrecognised
        if unrecognised is None:  # Only a check finds out.
            unrecognised = before.unrecognised if before is not None else ""
        self._pools[name] = PoolState(
            name=name,
            looked_at=self._clock(),
            limit_bytes=survey.terms.limit_bytes,
            hard_limit_bytes=survey.terms.hard_limit_bytes,
            min_available=config.min_available,
            max_draining=config.max_draining,
            workers=self._workers(survey),
            failure=repr(survey.failure) if survey.failure is not None else "",
            kind=config.worker,
            measure=survey.pool.measure,
            source_away=survey.source_away or "",
            unrecognised=unrecognised,
        )
        self._decisions.clear()
        self._answers.clear()

    def _workers(self, survey: PoolSurvey) -> tuple[WorkerState, ...]:
        name, now = survey.pool.name, self._clock()
        before = self._pools[name].workers if name in self._pools else ()
        findings = self._findings.get(name, ())
        is_sample = name not in self._sampled_at or now - self._sampled_at[name] >= SAMPLE_SECONDS
        is_news = bool(self._decisions or self._answers)
        if findings is survey.findings and not is_news and not is_sample:
            return before
        states, known = {one.worker: one for one in before}, {id(finding) for finding in findings}
        workers = []
        for finding in survey.findings:
            worker, state = finding.worker, states.get(finding.worker)
            samples = state.samples if state is not None else ()
            if is_sample or not samples:
                samples = (*samples, finding.seen.memory_bytes)[-MAX_SAMPLES:]
            is_told = worker in self._decisions or worker in self._answers
            if state is None or id(finding) not in known or is_told:
                state = self._worker(survey, finding, samples)
            elif samples is not state.samples:
                state = dataclasses.replace(state, samples=samples)
            workers.append(state)
        self._findings[name] = survey.findings
        if is_sample:
            self._sampled_at[name] = now
        if not self._is_shared:
            workers = self._with_peers(survey.findings, workers)
        return tuple(workers)

    def _worker(self, survey: PoolSurvey, finding: Finding, samples: tuple[int | None, ...]) -> WorkerState:
        seen, verdict, name = finding.seen, finding.verdict, finding.worker
        decision = self._decisions.get(name, _Decision(verdict.words, verdict.hold))
        answer = self._answers.get(name)
        return WorkerState(
            worker=name,
            pid=seen.process.pid,
            start=seen.process.start,
            state=seen.process.state.name,
            memory_bytes=seen.memory_bytes,
            busy=seen.reading.busy if seen.reading is not None else None,
            in_service=is_in_service(seen, survey.terms.settle_seconds),
            verdict=decision.words,
            quiet=seen.reading.quiet if seen.reading is not None else None,
            reason=verdict.reason.value if verdict.reason is not None else "",
            cause=decision.cause.value if decision.cause is not None else "",
            peers=answer.others_in_service if answer is not None else None,
            samples=samples,
        )

    def _with_peers(self, findings: Sequence[Finding], workers: Sequence[WorkerState]) -> list[WorkerState]:
        """The same with the number of other workers here that can stand in for each.

        Coordination told it of those that it was asked about at this look. With other hosts only it knows.
        """
        pairs = list(zip(findings, workers, strict=True))
        in_service = Counter(finding.queues for finding, state in pairs if state.in_service)
        serving = {
            mine: sum(count for queues, count in in_service.items() if queues >= mine)
            for mine in {finding.queues for finding in findings}
        }
        counted = []
        for finding, state in pairs:
            peers = serving[finding.queues] - state.in_service
            is_told = peers == state.peers or finding.worker in self._answers
            counted.append(state if is_told else dataclasses.replace(state, peers=peers))
        return counted

    def write(
        self, contents: Contents, away: Mapping[str, OutageState], refused: Mapping[str, str] | None = None
    ) -> None:
        """Write the state. The drains are those of `contents`, whenever the last look was.

        `refused`: why the listener did not take a request, by the request's id.
        A state that was written a moment ago, and is the same but for its time, is not written again.
        """
        state = dataclasses.replace(
            self._state,
            written_at=self._clock(),
            pools=tuple(self._with_drains(pool, contents) for pool in self._pools.values()),
            requests=tuple(contents.requests.values()),
            pauses=tuple(
                PauseState(pool, pause.since, pause.until, pause.except_hard)
                for pool, pause in contents.pauses.items()
            ),
            away=dict(away),
            refused=dict(refused or {}),
        )
        if not self._is_written(state) and state_file.write(self._path, state):
            self._written = state

    def _is_written(self, state: ListenerState) -> bool:
        written = self._written
        if written is None or state.written_at - written.written_at >= UNCHANGED_SECONDS:
            return False
        return dataclasses.replace(state, written_at=written.written_at) == written and self._path.exists()

    def _with_drains(self, pool: PoolState, contents: Contents) -> PoolState:
        if not (contents.drains or self._busy or any(one.drain for one in pool.workers)):
            return pool
        workers = tuple(self._with_drain(one, contents.drains.get(one.worker)) for one in pool.workers)
        return dataclasses.replace(pool, workers=workers)

    def _with_drain(self, seen: WorkerState, record: Drain | None) -> WorkerState:
        drain = self._drain(record)
        if drain is None:
            self._busy.pop(seen.worker, None)
            return seen if seen.drain is None else dataclasses.replace(seen, drain=None)
        return dataclasses.replace(seen, drain=drain, busy=self._busy.get(seen.worker, seen.busy))

    def _drain(self, drain: Drain | None) -> DrainState | None:
        if drain is None or drain.state is State.ASKING:
            return None
        settle_seconds = self._settle_seconds.get(drain.pool, 0.0)
        return DrainState(
            reason=drain.reason.value,
            state=drain.state.value,
            since=drain.since,
            began_at=drain.began_at,
            not_back=drain.why_not_back(settle_seconds, self._clock()),
            evidence_since=drain.evidence.began_at if drain.evidence and drain.evidence.runs else None,
        )
