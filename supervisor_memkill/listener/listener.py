"""The listener and its turns.

The first turn takes up the drains of the last listener. Each turn does one step of every drain. When a check
is due, it then looks at all workers and begins new drains. A turn never waits: whatever takes time is a
state of a drain, and the next turn looks again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from supervisor_memkill.clock import Clock
from supervisor_memkill.config.values import Config
from supervisor_memkill.coordination.contract import CoordinationUnknown, Coordinator
from supervisor_memkill.listener import observer
from supervisor_memkill.listener.adoption import Adoption
from supervisor_memkill.listener.drainer import Drainer
from supervisor_memkill.listener.findings import Finding, Pool, PoolSurvey
from supervisor_memkill.listener.fleet import Fleet
from supervisor_memkill.listener.growth import GrowthWatch
from supervisor_memkill.listener.guard import Guard
from supervisor_memkill.listener.heartbeat import Heartbeat
from supervisor_memkill.listener.held_workers import HeldWorkers
from supervisor_memkill.listener.holds import Holds
from supervisor_memkill.listener.journal import Journal, JournalError, JournalHeld
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.largest import without_peers
from supervisor_memkill.listener.ledger import Ledger
from supervisor_memkill.listener.outage import Outage
from supervisor_memkill.listener.probe import Probe
from supervisor_memkill.listener.reports import Reports
from supervisor_memkill.listener.requests import Requests
from supervisor_memkill.listener.schedule import Schedule, tick_delay_seconds
from supervisor_memkill.listener.shortage import Machine, ShortageWatch
from supervisor_memkill.listener.sources import Sources
from supervisor_memkill.listener.state import StateKeeper
from supervisor_memkill.listener.survey import Surveyor
from supervisor_memkill.listener.take_over import TakeOver, unfinished
from supervisor_memkill.notices.drain_events import DrainLeft
from supervisor_memkill.notices.event import Notifier, Sink
from supervisor_memkill.notices.events import (
    CoordinationAway,
    CoordinationBack,
    JournalAway,
    JournalBack,
    ListenerStandsBy,
    ListenerTakesOver,
    ListenerTicked,
    SupervisordAway,
    SupervisordBack,
    SupervisordShuttingDown,
    UnexpectedEvent,
)
from supervisor_memkill.notices.pool_events import MeasureUnreadable
from supervisor_memkill.processes import ProcessInfo
from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.policy import Hold
from supervisor_memkill.world.commands import Begin, begin_guarded
from supervisor_memkill.world.event_protocol import Event
from supervisor_memkill.world.machine import MachineMemory
from supervisor_memkill.world.memory import ProcessTable
from supervisor_memkill.world.supervisord import ShuttingDown, Supervisord, SupervisordError

T = TypeVar("T")


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
        history: Sink | None = None,
        siblings: Callable[[], int] = lambda: 0,
        machine: Machine | None = None,
        begin_command: Begin = begin_guarded,
        began_at: float | None = None,
        turn_begins: Callable[[], None] = lambda: None,
    ) -> None:
        """`coordinate` makes the coordinator from the journal's contents; `state` None: no state file.

        `history` takes the events while this listener holds the journal; a dry run has none.
        `siblings` counts the other running processes of the same event listener. `machine` None: this
        machine. `begin_command` begins the commands that drains run in the background. `began_at`: when
        supervisord started this process, on the boot clock; None: when it takes charge. `turn_begins` is
        called when a turn begins.
        """
        self._config = config
        self._pools = {pool.name: pool for pool in pools}
        self._surveyor = surveyor
        self._notifier = notifier
        self._clock = clock
        self._process_table = process_table
        self._siblings = siblings
        self._turn_begins = turn_begins
        self._stands_by = False
        self._away = {
            "supervisord": Outage(SupervisordAway, SupervisordBack, notifier, clock),
            "journal": Outage(JournalAway, JournalBack, notifier, clock),
            "coordination": Outage(CoordinationAway, CoordinationBack, notifier, clock),
        }
        self._ledger = Ledger(journal, self._away["journal"])
        self._coordinator: Coordinator | None = None
        self._drainer: Drainer | None = None
        self._requests = Requests(self._ledger, notifier, clock)
        self._fleet = Fleet(self._requests, self._ledger, clock)
        self._state = state
        self._schedule = Schedule(clock)
        machine = machine if machine is not None else MachineMemory()
        self._growth = GrowthWatch(machine.available_bytes, process_table, clock)
        self._shortage = ShortageWatch(config.min_free, machine, notifier, clock)
        self._probe = Probe(clock, self._growth, self._shortage)
        self._taking_over = TakeOver(
            config,
            self._pools,
            supervisord,
            surveyor,
            journal,
            coordinate,
            self._ledger,
            self._fleet,
            self._away,
            notifier,
            clock,
            process_table=process_table,
            shortage=lambda: self._shortage.present,
            begin_command=begin_command,
            history=history,
            began_at=began_at,
        )
        self._reports = Reports(notifier)
        self._held = HeldWorkers(
            notifier, Holds(notifier, clock), self._fleet, state, clock, is_dry_run=config.dry_run
        )
        self._sources = Sources(notifier, clock)
        self._adoption = Adoption(self._ledger)
        self._guard = Guard(notifier, self._away["coordination"])
        self._heartbeat = Heartbeat(
            self._pools,
            surveyor,
            self._ledger,
            self._away["supervisord"],
            lambda pools, do: self._for_each(pools, lambda pool: pool.name, do),
        )
        self.ended = False
        """Set from outside, also by a signal handler: the listener does no further step."""

    @property
    def is_in_charge(self) -> bool:
        """It has the journal, or is a dry run, which needs none."""
        return self._drainer is not None

    def wait_seconds(self) -> float | None:
        """Seconds until something is due without an event; None: nothing is due."""
        if self._drainer is None:
            return self._config.heartbeat_seconds
        probe = self._probe.wait_seconds
        if not self._ledger.drains or self._config.dry_run:
            return self._schedule.wait_seconds(probe)
        return self._schedule.wait_seconds(probe, self._config.poll_interval_seconds, self._ends_of_settle())

    def _ends_of_settle(self) -> Iterator[float]:
        """When `settle` is over for the new process of each drain."""
        for drain in self._ledger.drains.values():
            pool = self._pools.get(drain.pool)
            if drain.state is State.SETTLING and drain.running_since is not None and pool is not None:
                yield drain.running_since + pool.config.settle_seconds

    def take_event(self, event: Event) -> bool:
        """An event came; whether it is about a worker under drain, whose next step may be due."""
        self._surveyor.known.take(event)
        return event.changed is not None and event.changed in self._ledger.drains

    def request(self, payload: str) -> None:
        """A person's request came; the next turn takes it."""
        self._requests.receive(payload, only_looks=self._config.dry_run)

    def turn(self, *, ticked: bool) -> None:
        """One turn. An error in it is reported and does not end the listener."""
        self._turn_begins()
        is_whole = False
        with self._guard.guarded("turn"):
            try:
                self._turn(ticked=ticked)
            except ShuttingDown:
                self._notifier.report(SupervisordShuttingDown())
            except SupervisordError as error:
                self._surveyor.known.doubt()
                self._away["supervisord"].away(error)
            except JournalHeld as error:
                self._stand_by(error)
            except JournalError as error:
                self._away["journal"].away(error)
            except CoordinationUnknown as error:
                self._away["coordination"].away(error)
            else:
                is_whole = True
        self._write_state()
        if not is_whole:
            # The turn is still due. Without a delay it would fail a thousand times a second.
            self._schedule.rest(self._config.poll_interval_seconds)

    def _write_state(self) -> None:
        """Only the listener that holds the journal writes: another one that waits for it knows nothing."""
        if self._state is not None and self._drainer is not None:
            away = {what: state for what, one in self._away.items() if (state := one.state) is not None}
            with self._guard.guarded("state file"):
                refused = {name: one.why for name, one in self._requests.refusals.items() if one.why}
                self._state.write(self._ledger.contents, away, refused)

    def _stand_by(self, error: JournalHeld) -> None:
        """Another process of the same event listener works. Any other owner of the journal is a mistake."""
        if self._stands_by:
            return
        siblings = self._siblings()
        self._stands_by = siblings > 0
        if self._stands_by:
            self._notifier.report(ListenerStandsBy(siblings))
        else:
            self._away["journal"].away(error)

    def _turn(self, *, ticked: bool) -> None:
        drainer = self._drainer or self._take_over()
        self._take_requests()
        if not self._config.dry_run:
            self._ledger.keep()
            if self._ledger.drains and self._schedule.is_check_due:
                self._heartbeat.renew(drainer.slots)
            self._step_all(drainer)
            self._ledger.catch_up()
        if ticked:
            self._notifier.report(ListenerTicked())
            if self._state is not None:
                self._state.ticked()
            is_shared = self._coordinator is not None and self._coordinator.is_shared
            self._schedule.ticked(tick_delay_seconds(self._config) if is_shared else 0.0)
        is_probe = self._probe.begins()
        grows = is_probe and self._growth.wants_check()
        is_short = is_probe and self._shortage.wants_check()
        if grows or is_short:
            self._schedule.check_within(0.0)
        counts = self._schedule.is_tick_due
        if (counts or self._schedule.is_check_due) and not self.ended:
            self._check(drainer, counts=counts, measures=grows)

    def _take_requests(self) -> bool:
        """Take the requests that came. True: the present survey knows nothing of them."""
        if not self._requests.are_waiting:
            return False
        table = self._process_table()

        def age_seconds(process: ProcessInfo) -> float:
            age = observer.age_seconds(process, table)
            return process.uptime_seconds if age is None else age

        self._requests.take(self._surveyor.members(anew=True), age_seconds)
        self._schedule.check_within(0.0)
        return True

    def _take_over(self) -> Drainer:
        """Take charge. Raises JournalError."""
        self._coordinator, drainer = self._taking_over.take_charge()
        has_hard_limit = any(pool.config.hard_max_rss is not None for pool in self._pools.values())
        if self._coordinator.is_shared or self._ledger.contents.requests or has_hard_limit:
            # Slots must be renewed before they expire, people wait, and memory may grow fast.
            self._schedule.check_within(0.0)
        self._drainer = drainer
        if self._state is not None:
            self._state.named(self._coordinator.name)
            self._notifier.attach(self._state)
        if self._stands_by:
            self._notifier.report(ListenerTakesOver())
        return drainer

    def _for_each(self, pools: Iterable[T], name: Callable[[T], str], do: Callable[[T], None]) -> None:
        if not self._guard.for_each(pools, name, do, has_ended=lambda: self.ended):
            self._check_soon()

    def _step_all(self, drainer: Drainer) -> None:
        before = len(self._ledger.drains)
        self._schedule.stepped()
        for drain in list(self._ledger.drains.values()):
            if self.ended:
                return
            with self._guard.guarded(f"worker {drain.worker}"):
                drainer.step(drain)
                self._away["supervisord"].back()  # The step asked for the worker's process.
        if len(self._ledger.drains) < before:
            self._schedule.check_within(0.0)  # A slot is free for another worker.

    # --- checks ---------------------------------------------------------------------------------

    def _check(self, drainer: Drainer, *, counts: bool, measures: bool) -> None:
        self._schedule.check_begins(counts=counts)
        if self._coordinator is not None and self._coordinator.is_shared:
            self._check_soon()  # the heartbeat
        self._take_requests()  # The heartbeat of a pool that drains may have brought some.
        if self._ledger.contents.requests or self._ledger.contents.pauses:
            self._requests.end(self._surveyor.members())
        contents = self._ledger.contents
        shortage = self._shortage.present
        survey = (
            self._surveyor.check(contents, shortage)
            if counts
            else self._surveyor.look(contents, shortage=shortage, measures=measures)
        )
        self._away["supervisord"].back()
        self._held.keep_only(survey)
        self._reports.report_survey(survey, is_check=counts)
        self._for_each(
            survey.pools,
            lambda pool: pool.pool.name,
            lambda pool: self._check_pool(drainer, pool, counts=counts),
        )
        self._adoption.checked(survey)

    def _check_pool(self, drainer: Drainer, survey: PoolSurvey, *, counts: bool) -> None:
        try:
            self._judge_pool(drainer, survey, counts=counts)
        finally:
            self._growth.looked(survey)
            self._reports.report_end(survey)
            if self._state is not None:
                self._state.looked(survey)

    def _judge_pool(self, drainer: Drainer, survey: PoolSurvey, *, counts: bool) -> None:
        if survey.failure is not None:
            drainer.slots.renew_unseen(survey.pool)
            raise survey.failure
        self._sources.note(survey)
        self._reports.report_pool(survey)
        if survey.lost_measure:
            pool = survey.pool
            self._notifier.report(MeasureUnreadable(pool.name, pool.measure, survey.lost_measure))
        drainer.slots.publish(survey)
        if not self._take_requests():
            self._begin_drains(drainer, survey, counts=counts)

    def _begin_drains(self, drainer: Drainer, survey: PoolSurvey, *, counts: bool) -> None:
        for finding in survey.findings:
            if not self.ended and not self._config.dry_run and self._adoption.wants(survey.pool, finding):
                self._begin(drainer, survey, finding, Reason.ADOPTED)
            elif finding.verdict.hold is Hold.STRIKES and not counts:
                continue  # Only the next TICK counts strikes.
            elif not finding.verdict.asks:
                self._held.held(survey, finding, finding.verdict.hold, finding.verdict.words)
        for finding in survey.asking():
            if self.ended or self._requests.are_waiting or finding.worker in self._ledger.drains:
                continue
            answer = drainer.slots.consider(survey, finding.request())
            if finding.verdict.reason is Reason.MIN_FREE_NOW:
                answer = without_peers(answer, survey.pool.config)
            if self._state is not None:
                self._state.answered(finding.worker, answer)
            if not answer.granted:
                self._held.refused(survey, finding, answer, self._coordinator, ask=counts)
                self._check_soon()
            elif self._config.dry_run:
                self._held.held(survey, finding, None, f"{finding.verdict.words}: would be drained now")
            elif finding.verdict.reason is not None:
                self._begin(drainer, survey, finding, finding.verdict.reason)

    def _begin(self, drainer: Drainer, survey: PoolSurvey, finding: Finding, reason: Reason) -> None:
        self._held.asks(finding.worker)
        with self._guard.guarded(f"worker {finding.worker}"):
            drainer.begin(survey, finding, reason)
        if finding.worker in self._ledger.drains:
            self._held.is_drained(finding.worker)
        else:
            # Another worker may be more urgent now: it need not wait for the heartbeat.
            self._schedule.check_within(self._config.poll_interval_seconds)

    def _check_soon(self) -> None:
        self._schedule.check_within(self._config.heartbeat_seconds)

    # --- reports --------------------------------------------------------------------------------

    def report_left(self) -> None:
        """Report each unfinished drain, when this listener ends."""
        for drain in unfinished(self._ledger.drains.values()):
            self._notifier.report(DrainLeft(drain.worker, drain.pid, drain.state))

    def report_unexpected(self, event: str) -> None:
        """Report an event that is no TICK: perhaps no TICK is sent at all."""
        self._notifier.report(UnexpectedEvent(event))
