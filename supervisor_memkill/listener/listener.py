"""The listener and its turns.

The first turn takes up the drains of the last listener. Each turn does one step of every drain. When a check
is due, it then looks at all workers and begins new drains. A turn never waits: whatever takes time is a
state of a drain, and the next turn looks again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import traceback
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from supervisor_memkill.clock import Clock
from supervisor_memkill.config.options import Config
from supervisor_memkill.coordination.contract import Answer, Cause, CoordinationUnknown, Coordinator
from supervisor_memkill.listener.drainer import Drainer
from supervisor_memkill.listener.findings import Finding, Pool, PoolSurvey, Survey
from supervisor_memkill.listener.journal import Journal, JournalError
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.ledger import Ledger
from supervisor_memkill.listener.outage import Outage
from supervisor_memkill.listener.pool_sizes import PoolSizes, in_words
from supervisor_memkill.listener.requests import Requests
from supervisor_memkill.listener.schedule import Schedule
from supervisor_memkill.listener.slots import Slots
from supervisor_memkill.listener.state import StateKeeper
from supervisor_memkill.listener.survey import Surveyor
from supervisor_memkill.listener.take_over import note_name, take_over
from supervisor_memkill.notices.drain_events import DrainLeft
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.events import (
    CoordinationAway,
    CoordinationBack,
    DryRunVerdict,
    Failed,
    JournalAway,
    JournalBack,
    PoolNote,
    SupervisordAway,
    SupervisordBack,
    SupervisordShuttingDown,
    UnexpectedEvent,
    WorkerHeld,
    WorkerHeldForEver,
    WorkerHint,
    WorkerNearLimit,
    WorkerSeen,
    WorkerUnsafe,
)
from supervisor_memkill.notices.stream import StreamSink
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.rules.drain import Drain, State
from supervisor_memkill.rules.policy import Hold
from supervisor_memkill.workers.contract import Advice
from supervisor_memkill.world.memory import ProcessTable
from supervisor_memkill.world.supervisord import ShuttingDown, Supervisord, SupervisordError

T = TypeVar("T")

MAX_TICK_DELAY_SECONDS = 5.0


class Listener:
    """Watches the pools of one supervisord."""

    def __init__(
        self,
        config: Config,
        pools: Sequence[Pool],
        supervisord: Supervisord,
        surveyor: Surveyor,
        journal: Journal,
        coordinate: Callable[[Contents], Coordinator],
        notifier: Notifier,
        clock: Clock,
        *,
        process_table: Callable[[], ProcessTable] = ProcessTable,
        state: StateKeeper | None = None,
    ) -> None:
        """`coordinate` makes the coordinator from the journal's contents; `state` None: no state file."""
        self._config = config
        self._pools = {pool.name: pool for pool in pools}
        self._supervisord = supervisord
        self._surveyor = surveyor
        self._journal = journal
        self._coordinate = coordinate
        self._notifier = notifier
        self._clock = clock
        self._process_table = process_table
        self._away = {
            "supervisord": Outage(SupervisordAway, SupervisordBack, notifier, clock),
            "journal": Outage(JournalAway, JournalBack, notifier, clock),
            "coordination": Outage(CoordinationAway, CoordinationBack, notifier, clock),
        }
        self._ledger = Ledger(journal, self._away["journal"])
        self._coordinator: Coordinator | None = None
        self._drainer: Drainer | None = None
        self._requests = Requests(self._ledger, notifier, clock)
        self._state = state
        self._schedule = Schedule(clock)
        self._pool_sizes = PoolSizes()
        self._hints: dict[str, list[Advice]] = {}
        """The hints of the last look, by worker."""
        self._examined: set[str] = set()
        """Workers of which it is known, after a damaged journal, whether they were left quiet."""
        self.ended = False
        """Set from outside, also by a signal handler: the listener does no further step."""

    def wait_seconds(self) -> float | None:
        """Seconds until something is due without an event; None: nothing is due."""
        if self._drainer is None:
            return self._config.heartbeat_seconds
        polls = bool(self._ledger.drains) and not self._config.dry_run
        return self._schedule.wait_seconds([self._config.poll_interval_seconds] if polls else [])

    def request(self, payload: str) -> None:
        """A person's request came; the next turn takes it."""
        self._requests.receive(payload, only_looks=self._config.dry_run)

    def turn(self, *, ticked: bool) -> None:
        """One turn. An error in it is reported and does not end the listener."""
        is_whole = False
        with self._guarded("turn"):
            try:
                self._turn(ticked=ticked)
            except ShuttingDown:
                self._notifier.report(SupervisordShuttingDown())
            except SupervisordError as error:
                self._away["supervisord"].away(error)
            except JournalError as error:
                self._away["journal"].away(error)
            except CoordinationUnknown as error:
                self._away["coordination"].away(error)
            else:
                self._away["supervisord"].back()
                is_whole = True
        self._write_state()
        if not is_whole:
            # The turn is still due. Without a delay it would fail a thousand times a second.
            self._schedule.rest(self._config.poll_interval_seconds)

    def _write_state(self) -> None:
        """Only the listener that holds the journal writes: another one that waits for it knows nothing."""
        if self._state is not None and self._drainer is not None:
            away = {what: outage.error for what, outage in self._away.items() if outage.is_away}
            with self._guarded("state file"):
                self._state.write(self._ledger.contents, away)

    def _turn(self, *, ticked: bool) -> None:
        drainer = self._drainer or self._take_over()
        if self._requests.are_waiting:
            self._requests.take(self._surveyor.members())
            self._schedule.check_within(0.0)
        if not self._config.dry_run:
            if self._ledger.drains and self._schedule.is_check_due:
                self._renew(drainer.slots)
            self._step_all(drainer)
            self._ledger.catch_up()
        if ticked:
            if self._state is not None:
                self._state.ticked()
            self._schedule.ticked(self._tick_delay_seconds())
        counts = self._schedule.is_tick_due
        if (counts or self._schedule.is_check_due) and not self.ended:
            self._check(drainer, counts=counts)

    def _tick_delay_seconds(self) -> float:
        """All hosts get their TICK in the same second: each host delays its report by another time."""
        if self._coordinator is None or not self._coordinator.is_shared:
            return 0.0
        share = zlib.crc32(self._config.host.encode()) / 2**32
        return share * min(self._config.heartbeat_seconds / 2, MAX_TICK_DELAY_SECONDS)

    def _take_over(self) -> Drainer:
        """Lock the journal and take up the drains of the last listener. Raises JournalError."""
        drains_left: Sequence[Drain] = ()
        if self._config.dry_run:
            self.report_left(self._journal.peek().drains.values())
        else:
            drains_left = take_over(self._journal, self._ledger, self._away["journal"], self._notifier)
        self._coordinator = self._coordinate(self._ledger.contents)
        if not self._config.dry_run:
            note_name(self._ledger, self._coordinator.name, self._clock)
        slots = Slots(
            self._config,
            self._coordinator,
            self._ledger,
            self._away["coordination"],
            self._notifier,
            self._clock,
        )
        drainer = Drainer(
            self._config,
            self._pools,
            self._supervisord,
            self._surveyor,
            slots,
            self._ledger,
            self._notifier,
            self._clock,
            process_table=self._process_table,
        )
        self._notifier.attach(StreamSink(slots.record))
        for drain in drains_left:
            drainer.take_up(drain)
        if self._coordinator.is_shared or self._ledger.contents.requests:
            self._schedule.check_within(0.0)  # Slots must be renewed before they expire, and people wait.
        self._drainer = drainer
        return drainer

    def _renew(self, slots: Slots) -> None:
        """Send the heartbeat of the pools that drain, first: later their slots may have expired.

        If supervisord did not answer the last time, the heartbeat does not wait for it. Raises
        SupervisordError.
        """
        waits_for_supervisord = not self._away["supervisord"].is_away
        if not waits_for_supervisord:
            self._renew_unseen(slots)
        draining = {drain.pool for drain in self._ledger.drains.values()}
        try:
            self._for_each(
                [pool for pool in self._pools.values() if pool.name in draining],
                lambda pool: pool.name,
                lambda pool: self._renew_seen(slots, pool),
            )
        except SupervisordError:
            if waits_for_supervisord:
                self._renew_unseen(slots)
            raise

    def _renew_unseen(self, slots: Slots) -> None:
        self._for_each(self._pools.values(), lambda pool: pool.name, slots.renew_unseen)

    def _renew_seen(self, slots: Slots, pool: Pool) -> None:
        (survey,) = self._surveyor.look(self._ledger.contents, pool).pools
        if survey.failure is None:
            slots.publish(survey)
        else:
            slots.renew_unseen(pool)

    def _for_each(self, pools: Iterable[T], name: Callable[[T], str], do: Callable[[T], None]) -> None:
        """Call `do` for each pool until coordination does not answer: the others would probably wait in vain.

        A pool for which coordination did not answer comes last the next time, so that it starves no other.
        """
        ordered = sorted(pools, key=lambda pool: self._away["coordination"].has_lost(name(pool)))
        for pool in ordered:
            if self.ended:
                return
            try:
                with self._guarded(f"pool {name(pool)}"):
                    do(pool)
            except CoordinationUnknown as error:
                self._away["coordination"].away(error, name(pool))
                self._check_soon()
                return

    def _step_all(self, drainer: Drainer) -> None:
        before = len(self._ledger.drains)
        for drain in list(self._ledger.drains.values()):
            if self.ended:
                return
            with self._guarded(f"worker {drain.worker}"):
                drainer.step(drain)
        if len(self._ledger.drains) < before:
            self._schedule.check_within(0.0)  # A slot is free for another worker.

    @contextlib.contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        """Report an error of one worker or pool under its name, and go on with the others.

        Errors of supervisord, the journal and coordination affect all, and are raised.
        """
        try:
            yield
        except (SupervisordError, JournalError, CoordinationUnknown):
            raise
        except Exception as error:  # noqa: BLE001 - a listener that dies leaves workers quiet
            self._notifier.report(Failed(name, f"{type(error).__name__}: {error}", _where(error)))

    # --- checks ---------------------------------------------------------------------------------

    def _check(self, drainer: Drainer, *, counts: bool) -> None:
        self._schedule.check_begins(counts=counts)
        if self._coordinator is not None and self._coordinator.is_shared:
            self._check_soon()  # the heartbeat
        if self._ledger.contents.requests or self._ledger.contents.pauses:
            self._requests.end(self._surveyor.members())
        contents = self._ledger.contents
        survey = self._surveyor.check(contents) if counts else self._surveyor.look(contents)
        self._report_notes(survey)
        self._for_each(
            survey.pools,
            lambda pool: pool.pool.name,
            lambda pool: self._check_pool(drainer, pool, counts=counts),
        )
        if self._ledger.contents.adopts and all(self._is_examined(pool) for pool in survey.pools):
            self._ledger.save(dataclasses.replace(self._ledger.contents, adopts=False), must=False)

    def _is_examined(self, survey: PoolSurvey) -> bool:
        """It is known of every worker of the pool whether it was left quiet."""
        workers = {finding.worker for finding in survey.findings}
        return survey.failure is None and workers <= self._examined

    def _check_pool(self, drainer: Drainer, survey: PoolSurvey, *, counts: bool) -> None:
        try:
            self._judge_pool(drainer, survey, counts=counts)
        finally:
            if self._state is not None:
                self._state.looked(survey)

    def _judge_pool(self, drainer: Drainer, survey: PoolSurvey, *, counts: bool) -> None:
        if survey.failure is not None:
            drainer.slots.renew_unseen(survey.pool)
            raise survey.failure
        self._report_seen(survey)
        self._report_hints(survey)
        drainer.slots.publish(survey)
        self._begin_drains(drainer, survey, counts=counts)

    def _begin_drains(self, drainer: Drainer, survey: PoolSurvey, *, counts: bool) -> None:
        for finding in survey.findings:
            if self._is_to_adopt(survey.pool, finding) and not self.ended:
                self._begin(drainer, survey, finding, Reason.ADOPTED)
            elif finding.verdict.hold is Hold.STRIKES and not counts:
                continue  # Only the next TICK counts strikes.
            elif not finding.verdict.asks:
                self._report_held(finding, finding.verdict.hold, finding.verdict.words)
        for finding in survey.asking():
            if self.ended or finding.worker in self._ledger.drains:
                continue
            answer = drainer.slots.consider(survey, finding.request())
            if not answer.granted:
                self._report_refused(survey, finding, answer, counts=counts)
                self._check_soon()
            elif self._config.dry_run:
                self._report_held(finding, None, f"{finding.verdict.words}: would be drained now")
            elif finding.verdict.reason is not None:
                self._begin(drainer, survey, finding, finding.verdict.reason)

    def _begin(self, drainer: Drainer, survey: PoolSurvey, finding: Finding, reason: Reason) -> None:
        self._notifier.forget(WorkerHeld, finding.worker)
        with self._guarded(f"worker {finding.worker}"):
            drainer.begin(survey, finding, reason)
        if finding.worker not in self._ledger.drains:
            # Another worker may be more urgent now: it need not wait for the heartbeat.
            self._schedule.check_within(self._config.poll_interval_seconds)

    def _is_to_adopt(self, pool: Pool, finding: Finding) -> bool:
        """After a damaged journal: the worker is quiet, perhaps because of a drain. Only a restart helps."""
        seen, worker = finding.seen, finding.worker
        contents = self._ledger.contents
        if not contents.adopts or self._config.dry_run or worker in self._examined:
            return False
        if pool.name in contents.pauses:
            return False
        quiet = seen.reading.quiet if seen.reading is not None else None
        is_unknown = quiet is None and pool.kind.traits.confirms_quiet
        runs_undrained = seen.process.state is ProcessState.RUNNING and worker not in self._ledger.drains
        if not runs_undrained or not (is_unknown or quiet):
            self._examined.add(worker)
            return False
        return quiet is True

    def _check_soon(self) -> None:
        self._schedule.check_within(self._config.heartbeat_seconds)

    # --- reports --------------------------------------------------------------------------------

    def _report_held(
        self, finding: Finding, cause: Hold | Cause | None, words: str, event: type[WorkerHeld] = WorkerHeld
    ) -> None:
        """Report why a worker with a reason for a drain is not drained, once per change of the cause."""
        if finding.verdict.reason is None and finding.verdict.hold is not Hold.MEMORY_UNKNOWN:
            self._notifier.forget(WorkerHeld, finding.worker)
            return
        if self._state is not None:
            self._state.decided(finding.worker, words)
        made = DryRunVerdict if self._config.dry_run else event
        seen = finding.seen
        self._notifier.report(made(finding.worker, seen.process.pid, seen.memory_bytes, cause, words))

    def _report_refused(self, survey: PoolSurvey, finding: Finding, answer: Answer, *, counts: bool) -> None:
        """Report the refusal of a slot, and whether it can ever end."""
        words, workers = f"{finding.verdict.words}, but {answer.words}", None
        if answer.refused is Cause.TOO_FEW_IN_SERVICE and self._coordinator is not None:
            least = answer.min_available
            workers = self._pool_sizes.too_few(survey, least, self._coordinator, ask=counts)
        if workers is None:
            self._report_held(finding, answer.refused, words)
        else:
            words = f"{words}; {in_words(workers)}"
            self._report_held(finding, answer.refused, words, WorkerHeldForEver)

    def report_left(self, drains: Iterable[Drain] | None = None) -> None:
        """Report each unfinished drain; `drains` None: the drains of this listener."""
        for drain in self._ledger.drains.values() if drains is None else drains:
            if drain.state is not State.ASKING:
                self._notifier.report(DrainLeft(drain.worker, drain.pid, drain.state))

    def report_unexpected(self, event: str) -> None:
        """Report an event that is no TICK: perhaps no TICK is sent at all."""
        self._notifier.report(UnexpectedEvent(event))

    def _report_hints(self, survey: PoolSurvey) -> None:
        """Report each hint about a worker once, until a look does not find it any more."""
        found: dict[str, list[Advice]] = {finding.worker: [] for finding in survey.findings}
        for worker, advice in survey.hints():
            found[worker].append(advice)
        for worker, hints in found.items():
            for advice in hints:
                if advice not in self._hints.get(worker, ()):
                    made = WorkerUnsafe if advice.refuses else WorkerHint
                    self._notifier.report(made(worker, advice.text))
            self._hints[worker] = hints

    def _report_notes(self, survey: Survey) -> None:
        for note in survey.notes:
            self._notifier.report(PoolNote(note))

    def _report_seen(self, survey: PoolSurvey) -> None:
        for finding in survey.findings:
            self._report_near_limit(survey, finding)
            seen, reading = finding.seen, finding.seen.reading
            self._notifier.report(
                WorkerSeen(
                    worker=finding.worker,
                    pool=survey.pool.name,
                    pid=seen.process.pid or None,
                    rss_bytes=seen.memory_bytes,
                    busy=reading.busy if reading else None,
                    quiet=reading.quiet if reading else None,
                    verdict=finding.verdict.words,
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
            WorkerNearLimit(finding.worker, seen.process.pid, survey.pool.name, seen.memory_bytes, warn_bytes)
        )


def _where(error: BaseException) -> str:
    """File and line where the error was raised; empty if unknown."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
