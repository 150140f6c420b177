"""The results of one look at the workers, as values."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from supervisor_memkill.config.values import PoolConfig
from supervisor_memkill.coordination.contract import Answer, Cause, Report, Request, Rules, SlotClaim
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import Unknown
from supervisor_memkill.processes import (
    STOPPED_STATES,
    Measure,
    MemorySize,
    ProcessInfo,
    ProcessState,
    ProgramInfo,
)
from supervisor_memkill.rules.drain import Drain, State
from supervisor_memkill.rules.policy import Sighting, Terms, Verdict, is_in_service
from supervisor_memkill.rules.pools import Oddity
from supervisor_memkill.workers.contract import Advice, Kind, LeftBehind
from supervisor_memkill.workers.wrappers import worker_elsewhere
from supervisor_memkill.world.commands import is_missing
from supervisor_memkill.world.memory import ProcessTable, can_measure

SETTINGS_UNKNOWN = Advice(
    "supervisord did not report the settings of this program, such as stopsignal: the program may have been "
    "removed from supervisord's files, or renamed there, without supervisorctl update",
    refuses=True,
)
_ENDING = STOPPED_STATES | {ProcessState.STOPPING}
"""There is no stop left that settings could make unsafe. supervisorctl update stops what it removes."""

HIDDEN_WORKER = (
    "{0} starts the worker in another container or unit, where its memory cannot be seen: it is never "
    "drained; run supervisord and supervisor-memkill in there, or start the worker without {0}"
)
SHOWN_QUEUES = 4
MAY_EXEC_SECONDS = 10
"""A shell that runs for longer than this does not replace itself by the worker any more."""


@dataclass(frozen=True)
class Pool:
    """A pool with its kind."""

    config: PoolConfig
    kind: Kind

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def rules(self) -> Rules:
        return Rules(self.config.min_available, self.config.max_draining, self.config.cooldown_seconds)

    def memory(
        self, process: ProcessInfo, table: ProcessTable, *, with_children: bool | None = None
    ) -> MemorySize:
        """The memory of a worker, by the pool's `measure`. Raises Unknown.

        `with_children`: as `counts_children` gives it; None: that is found out here.
        """
        elsewhere = worker_elsewhere(process.pid, table)
        if elsewhere:
            raise Unknown(f"{elsewhere} starts the worker where its memory cannot be seen")
        if with_children is None:
            with_children = self.counts_children(process, table)
        return table.measured(process.pid, self.measure, with_children)

    def counts_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        """The memory of the worker's descendants counts."""
        if self.config.children is not None:
            return self.config.children
        return self.kind.memory_in_children(process, table)

    @property
    def measure(self) -> Measure:
        """The pool's `measure`, else the measure of the kind if this system has it."""
        if self.config.measure is not None:
            return self.config.measure
        return self.kind.traits.measure if can_measure(self.kind.traits.measure) else "rss"

    def advice(
        self, process: ProcessInfo, program: ProgramInfo | None, table: ProcessTable
    ) -> tuple[Advice, ...]:
        """What is wrong with a program's settings; `program` None: supervisord did not report them."""
        if program is None:
            return () if process.state in _ENDING else (SETTINGS_UNKNOWN,)
        is_running = process.state is ProcessState.RUNNING
        elsewhere = worker_elsewhere(process.pid, table) if is_running else ""
        hidden = (Advice(HIDDEN_WORKER.format(elsewhere)),) if elsewhere else ()
        running: str | None = ""
        if is_running and process.uptime_seconds >= MAY_EXEC_SECONDS:
            running = table.first_title(process.pid) or None
        program = dataclasses.replace(program, running=running)
        return (*hidden, *self.kind.advice(program, self._drain_timeout_seconds), *self._about_evidence())

    def _about_evidence(self) -> Iterator[Advice]:
        """Why `before_stop` will not run. No drain waits for that."""
        command, *_ = self.config.before_stop or ("",)
        if is_missing(command):
            yield Advice(f"before_stop: {command} is not an executable file: no evidence is taken")
        if command and not self.kind.traits.quiets:
            yield Advice("before_stop is never run: this worker drains by stopping")

    @property
    def _drain_timeout_seconds(self) -> float | None:
        """None: the kind drains by stopping, and nobody set drain_timeout."""
        if self.config.drain_timeout_seconds is None and not self.kind.traits.quiets:
            return None
        return self.config.idle_within_seconds


@dataclass(frozen=True, slots=True)
class Finding:
    """One worker and the verdict about it."""

    seen: Sighting
    verdict: Verdict
    advice: tuple[Advice, ...] = ()
    """What the operator should change in its settings."""
    program: ProgramInfo | None = None
    """The settings that the advice is about; None: unknown."""

    @property
    def worker(self) -> str:
        return self.seen.process.worker

    @property
    def queues(self) -> frozenset[str]:
        return self.seen.reading.queues if self.seen.reading else frozenset()

    @property
    def known_queues(self) -> frozenset[str]:
        """The same; empty also if they are unknown."""
        reading = self.seen.reading
        return reading.queues if reading and not reading.why_no_peers else frozenset()

    @property
    def is_quiet(self) -> bool:
        """The worker takes no new job, by the reading of its kind."""
        return self.seen.reading is not None and self.seen.reading.quiet is True

    def hints(self) -> Iterator[Advice]:
        """Each hint about the worker for the operator."""
        yield from (advice for advice in self.advice if not advice.is_note)
        if self.seen.reading is not None and self.seen.reading.remark:
            yield Advice(self.seen.reading.remark)

    def request(self, token: str | None = None) -> Request:
        """The request for a slot; `token` None: the request is only considered."""
        verdict = self.verdict
        return Request(
            self.worker,
            token,
            verdict.urgency,
            self.queues,
            hard=verdict.hard,
            already_out=self.is_quiet,
        )


@dataclass(frozen=True)
class PoolSurvey:
    """One pool at one moment."""

    pool: Pool
    terms: Terms
    findings: tuple[Finding, ...]
    """Empty if the look failed."""
    looked_at: float
    """When the look began, on the boot clock."""
    failure: Exception | None = None
    """Why the look failed; an error in one kind does not affect the other pools."""
    unrecognised: str | None = None
    """Why none of the pool's workers is recognised, and what is there. Empty: one is; None: unknown."""
    left_behind: tuple[LeftBehind, ...] = ()
    """Processes of the pool's framework that nobody supervises."""

    @property
    def source_away(self) -> str | None:
        """Why the source of the readings does not answer; empty: it answered. None: it was not asked."""
        readings = [one.seen.reading for one in self.findings if one.seen.reading is not None]
        return next((one.source_away for one in readings if one.source_away), "") if readings else None

    @property
    def lost_measure(self) -> str:
        """Why the pool's measure could not be read for a worker; empty if it was read for each."""
        return next((one.seen.memory_lost for one in self.findings if one.seen.memory_lost), "")

    def words_of(self, finding: Finding, answer: Answer) -> str:
        """The reason why its worker got no slot, for an operator; empty if the slot is granted."""
        reading = finding.seen.reading
        if reading is None or answer.refused is not Cause.TOO_FEW_IN_SERVICE:
            return answer.words
        why = reading.why_no_peers
        if not why and any(queues and not queues >= finding.queues for queues in self.sets_of_queues):
            why = f"only those count that take from all of its queues ({shown_queues(finding.queues)})"
        return f"{answer.words}: {why}" if why else answer.words

    @functools.cached_property
    def sets_of_queues(self) -> Mapping[frozenset[str], int]:
        """The number of workers by the queues that each takes from, as far as these are known."""
        return Counter(one.known_queues for one in self.findings)

    def finding(self, worker: str) -> Finding | None:
        return next((one for one in self.findings if one.worker == worker), None)

    def hints(self) -> Iterator[tuple[str, Advice]]:
        """Each worker with each hint about it for the operator."""
        for finding in self.findings:
            yield from ((finding.worker, advice) for advice in finding.hints())

    def asking(self) -> list[Finding]:
        """The workers that ask for a slot, the most urgent first."""
        asking = [one for one in self.findings if one.verdict.asks]
        return sorted(asking, key=lambda one: (not one.verdict.hard, -one.verdict.urgency, one.worker))

    def reports(self, *, can_begin: bool) -> list[Report]:
        """The reports for coordination; `can_begin`: see `report`."""
        return [self.report(finding, can_begin=can_begin) for finding in self.findings]

    def report(self, finding: Finding, *, can_begin: bool) -> Report:
        """Its report for coordination. `can_begin` False: none asks, so that no other must wait for it."""
        seen = finding.seen
        return Report(
            worker=finding.worker,
            pid=seen.process.pid,
            start=seen.process.start,
            memory_bytes=seen.memory_bytes,
            limit_bytes=self.terms.limit_bytes or 0,
            in_service=is_in_service(seen, self.terms.settle_seconds),
            state=seen.draining.value if seen.draining else seen.process.state.name,
            busy=seen.reading.busy if seen.reading else None,
            urgency=finding.verdict.urgency if can_begin and finding.verdict.asks else None,
            queues=finding.queues,
        )


@dataclass(frozen=True)
class Survey:
    """Every pool at one moment."""

    pools: tuple[PoolSurvey, ...]
    oddities: tuple[Oddity, ...]
    """In the assignment of workers to pools; only checks report them."""
    alerts: tuple[str, ...] = ()
    """What in supervisord's configuration hinders the listener, one sentence each; likewise."""


def shown_queues(queues: frozenset[str]) -> str:
    """The first of these queues, for an operator."""
    first, more = sorted(queues)[:SHOWN_QUEUES], len(queues) - SHOWN_QUEUES
    return ", ".join(first) + (f" and {more} more" if more > 0 else "")


def slot_claims(drains: Collection[Drain], pool: PoolConfig, now: float) -> list[SlotClaim]:
    """The slots in a pool that these drains keep; `now` is on the boot clock."""
    return [
        SlotClaim(drain.worker, drain.token, drain.is_out, drain.why_not_back(pool.settle_seconds, now))
        for drain in drains
        if drain.pool == pool.name and drain.state is not State.ASKING
    ]
