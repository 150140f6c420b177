"""Carries out drains. One step of one drain is: observe, decide, save, act."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping

from supervisor_memkill.clock import Clock
from supervisor_memkill.config.values import Config
from supervisor_memkill.coordination.contract import Answer, Cause
from supervisor_memkill.fresh import fresh_token
from supervisor_memkill.listener.actions import Actions
from supervisor_memkill.listener.drain_observer import DrainObserver
from supervisor_memkill.listener.evidence import EvidenceTaker
from supervisor_memkill.listener.findings import Finding, Pool, PoolSurvey
from supervisor_memkill.listener.largest import without_peers
from supervisor_memkill.listener.ledger import Ledger
from supervisor_memkill.listener.same_process import creation_time, with_present_start
from supervisor_memkill.listener.slots import Slots
from supervisor_memkill.listener.survey import Surveyor
from supervisor_memkill.notices import words
from supervisor_memkill.notices.drain_events import (
    DrainEvent,
    DrainPoolChanged,
    DrainTakenUp,
    KindFailed,
    LimitBelowBaseline,
    StepActed,
    StepEnded,
    StepSaved,
)
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.processes import (
    Measure,
    ProcessInfo,
    ProcessState,
    ProgramInfo,
)
from supervisor_memkill.rules.after_drain import back_offs_after, late_quiets_after
from supervisor_memkill.rules.back_off import BackOff, BackOffCause
from supervisor_memkill.rules.causes import Reason, StepCause
from supervisor_memkill.rules.decision import decide
from supervisor_memkill.rules.drain import (
    NEEDS_JOURNAL,
    OVER,
    Action,
    Drain,
    Outcome,
    State,
    Stop,
    StopAnswer,
    acknowledge,
    change_stop,
)
from supervisor_memkill.rules.policy import Hold
from supervisor_memkill.rules.shortage import Shortage
from supervisor_memkill.rules.step import OnTimeout, Plan, Seen
from supervisor_memkill.workers.contract import Kind, Traits
from supervisor_memkill.world.commands import Begin, begin_guarded
from supervisor_memkill.world.memory import ProcessTable
from supervisor_memkill.world.supervisord import Supervisord, SupervisordError

ORPHAN_TRAITS = Traits(quiets=True, confirms_quiet=True)
"""For a drain whose pool is not in the configuration any more."""

LATE_SECONDS = 30.0
"""The greatest age of the observation that an action is based on: a slow disk needs time for the journal."""
REAPS_LATE_SECONDS = 2.0
"""The part of a stop's margin that is kept for delays of supervisord itself."""


_CAUSES_OF_THE_END = {Action.QUIET: StepCause.QUIET_NOT_SENT, Action.RESUME: StepCause.RESUMED}
"""The actions whose outcome can end a drain (drain.acknowledge)."""


_LATE_HOLDS = (Hold.DRAIN_HOURS, Hold.PAUSED, Hold.UNSAFE_SETTINGS)
"""They hold a drain that has not begun, even if they came after it asked for its slot."""


class Drainer:
    """Carries out every drain from its beginning to its end."""

    def __init__(
        self,
        config: Config,
        pools: Mapping[str, Pool],
        supervisord: Supervisord,
        surveyor: Surveyor,
        slots: Slots,
        ledger: Ledger,
        notifier: Notifier,
        clock: Clock,
        *,
        process_table: Callable[[], ProcessTable] = ProcessTable,
        shortage: Callable[[], Shortage | None] = lambda: None,
        begin_command: Begin = begin_guarded,
        began_at: float | None = None,
    ) -> None:
        """`shortage` gives the machine's present shortage of memory. `began_at`: see Listener."""
        self._config = config
        self._pools = pools
        self._supervisord = supervisord
        self._surveyor = surveyor
        self.slots = slots
        self._ledger = ledger
        self._notifier = notifier
        self._clock = clock
        self._process_table = process_table
        self._shortage = shortage
        self._evidence = EvidenceTaker(pools, config.host, begin_command)
        self._observer = DrainObserver(pools, supervisord, notifier, clock, process_table, self._evidence)
        self._actions = Actions(supervisord, notifier, self._evidence.begin, process_table)
        self._asked_at: dict[str, float] = {}
        self._began_at = clock() if began_at is None else began_at
        self._taken_up: set[str] = set()
        """Workers whose stop a former listener sent without an answer, and that were not observed since."""
        self._unanswered: set[str] = set()
        """Workers whose stop supervisord did not answer, and that were not observed since."""

    def take_up(self, drain: Drain, owner: str | None) -> None:
        """Continue a drain of the last listener. `owner`: its worker's pool; None: it belongs to no pool."""
        if drain.state is State.ASKING:
            # Nothing was done to the worker. The next check decides whether it still asks.
            self._forget(drain, drained=False)
            self._ledger.remove(drain.worker, ended_at=self.slots.drain_ended_at())
            return
        self._notifier.report(DrainTakenUp(drain.worker, drain.pid, drain.state))
        if drain.state is State.STOPPING and drain.stop.answer is StopAnswer.NONE and drain.stop.attempts:
            self._taken_up.add(drain.worker)
        if owner != drain.pool:
            self._notifier.report(DrainPoolChanged(drain.worker, drain.pid, drain.pool, owner))
            self.slots.release(drain, drained=False)
            # Without a pool nothing can confirm the quiet any more: the drain is finished.
            is_quiet = drain.is_quiet or (owner is None and drain.quiet_attempts > 0)
            self._ledger.put(dataclasses.replace(drain, pool=owner or "", is_quiet=is_quiet), must=False)

    def begin(self, survey: PoolSurvey, finding: Finding, reason: Reason) -> None:
        """Write a new drain of this worker into the journal and do its first step."""
        self._surveyor.learn_programs()  # `supervisorctl update` may have changed them.
        program = self._surveyor.program(finding.worker)
        advice = survey.pool.advice(finding.seen.process, program, self._process_table())
        if not finding.is_quiet and any(one.refuses for one in advice):
            return  # The next check reports it.
        drain = self._new_drain(survey, finding, reason, program)
        if self._ledger.put(drain, must=True):
            self._report_saved(drain)
            self.step(drain)

    def _new_drain(
        self, survey: PoolSurvey, finding: Finding, reason: Reason, program: ProgramInfo | None
    ) -> Drain:
        process, now = finding.seen.process, self._clock()
        return Drain(
            worker=process.worker,
            pool=survey.pool.name,
            token=fresh_token(16),
            reason=reason,
            pid=process.pid,
            start=process.start,
            state=State.ASKING,
            began_at=now,
            since=now,
            deadline=now + survey.pool.config.idle_within_seconds,
            memory_before_bytes=finding.seen.memory_bytes,
            limit_bytes=survey.terms.limit_bytes or 0,
            stop=Stop(wait_seconds=float(program.stopwaitsecs)) if program else Stop(),
            is_quiet=finding.is_quiet,
            created=creation_time(process.pid, self._process_table()),
        )

    def step(self, drain: Drain) -> None:
        """One step of one drain."""
        seen = self._observer.observe(drain)
        drain = with_present_start(drain, seen.process, self._process_table())
        drain, plan = self._with_settings(drain, seen)
        drain = _with_note(self._with_late_answer(drain, seen), seen)
        step = decide(drain, seen, plan, self._clock())
        if step.wants_answer:
            answer = self._ask(step.drain)
            if answer is not None:
                seen = self._observer.observe(drain)  # The answer may have taken long; decide by the present.
                drain = with_present_start(_with_note(drain, seen), seen.process, self._process_table())
            seen = dataclasses.replace(seen, asked=True, answer=answer)
            step = decide(drain, seen, plan, self._clock())
        if step.drain.state in OVER:
            self._finish(drain, step.drain, step.cause)
            return
        if step.drain.state is State.STOPPING:
            step = dataclasses.replace(step, drain=self._observer.with_tree(step.drain, seen))
        must_be_saved = step.action in NEEDS_JOURNAL
        if not self._ledger.put(step.drain, must=must_be_saved) and must_be_saved:
            return
        for event in words.of_step(drain, step, seen, plan, self._clock(), self._measure(drain)):
            self._notifier.report(event)
        self._report_saved(step.drain)
        if step.action is not None:
            self._act(drain, step.drain, step.action, seen.looked_at)
        kept = self._ledger.drains.get(drain.worker)
        if kept is not None:
            if kept.evidence is None or not kept.evidence.runs:
                self._evidence.forget(kept.worker)
            self._notifier.report(StepEnded(kept.worker, kept.pid, kept.state, kept.touched))
            if step.action is Action.STOP and kept.stop.answer is StopAnswer.ACCEPTED:
                self.step(kept)  # See at once which process the stop reached: an operator may restart it.

    def _report_saved(self, drain: Drain) -> None:
        self._notifier.report(StepSaved(drain.worker, drain.pid, drain.state))

    def _with_settings(self, drain: Drain, seen: Seen) -> tuple[Drain, Plan]:
        """The record with the stopwaitsecs in force, and the settings for this step."""
        pool = self._pools.get(drain.pool)
        if pool is None:
            return drain, Plan(ORPHAN_TRAITS, None, OnTimeout.STOP, 0.0)
        program = self._program(drain, seen)
        is_stop_under_way = drain.stop.attempts and drain.state is not State.SETTLING
        if program is not None and not is_stop_under_way:
            drain = change_stop(drain, wait_seconds=float(program.stopwaitsecs))
        terms = self._surveyor.terms(pool.config)
        return drain, Plan(
            traits=pool.kind.traits,
            hard_limit_bytes=terms.hard_limit_bytes,
            on_timeout=pool.config.on_timeout,
            settle_seconds=terms.settle_seconds,
            min_uptime_seconds=terms.min_uptime_seconds,
            protect_jobs=terms.protect_jobs,
            losses=self._losses(drain, pool, program, seen.process),
            is_machine_short=self._is_machine_short,
            before_stop_seconds=pool.config.before_stop_timeout_seconds if pool.config.before_stop else None,
        )

    @property
    def _is_machine_short(self) -> bool:
        """There is no time for running jobs."""
        shortage = self._shortage()
        return shortage is not None and shortage.is_urgent

    def _program(self, drain: Drain, seen: Seen) -> ProgramInfo | None:
        """supervisord's settings of the worker; they are asked for if they matter and are not known yet."""
        program = self._surveyor.program(drain.worker)
        if program is None and seen.process is not None and self._clock() >= drain.deadline:
            with contextlib.suppress(SupervisordError):
                self._surveyor.learn_programs()
            program = self._surveyor.program(drain.worker)
        return program

    def _losses(
        self, drain: Drain, pool: Pool, program: ProgramInfo | None, process: ProcessInfo | None
    ) -> tuple[str, ...]:
        """The settings by which a stop with running jobs would lose them. Unknown settings would."""
        if process is None:
            return ()
        try:
            advice = pool.advice(process, program, self._process_table())
        except Exception as error:  # noqa: BLE001 - a kind may be anybody's code
            self._notifier.report(KindFailed(drain.worker, drain.pid, f"{type(error).__name__}: {error}"))
            return ("the kind could not check the worker's settings",)
        return tuple(one.text for one in advice if one.refuses or one.cuts_jobs)

    def _with_late_answer(self, drain: Drain, seen: Seen) -> Drain:
        """After a hang supervisord handles requests in order: the stop that it shows is the listener's.

        A stop that a former listener sent may be an operator's, too. It is the former listener's if it is of
        the time at which supervisord started this listener.
        """
        process, worker = seen.process, drain.worker
        if process is None or worker not in self._unanswered | self._taken_up:
            return drain
        is_own = worker in self._unanswered
        self._unanswered.discard(worker)
        self._taken_up.discard(worker)
        if process.state not in (ProcessState.STOPPING, ProcessState.STOPPED):
            return drain
        if is_own:
            return change_stop(drain, answer=StopAnswer.ACCEPTED, accepted_at=seen.looked_at)
        began_epoch = process.now - int(self._clock() - self._began_at)
        return change_stop(drain, taken_up_epoch=drain.stop.taken_up_epoch or began_epoch)

    def _ask(self, drain: Drain) -> Answer | None:
        """The answer of coordination after a new look at the pool; None if it does not answer."""
        pool = self._pools.get(drain.pool)
        if pool is None:
            return _refusal(Cause.NO_MEMBER)
        if self.slots.has_new_name:
            return None
        self._asked_at[drain.worker] = self._clock()
        pools = self._surveyor.look(self._ledger.contents, pool, self._shortage(), anew=True).pools
        (survey,) = pools
        if survey.failure is not None:
            raise survey.failure
        finding = survey.finding(drain.worker)
        if finding is None:
            return _refusal(Cause.NO_MEMBER)
        if drain.state is State.ASKING and not _still_asks(drain, finding):
            return _refusal(Cause.NO_REASON, finding.verdict.words)
        request = dataclasses.replace(
            finding.request(drain.token), hard=drain.reason.is_hard, already_out=drain.is_quiet
        )
        answer = self.slots.acquire(survey, request)
        is_last_resort = self._is_machine_short and drain.reason.is_for_machine
        return without_peers(answer, pool.config) if is_last_resort and answer is not None else answer

    # --- act ------------------------------------------------------------------------------------

    def _act(self, before: Drain, drain: Drain, action: Action, looked_at: float) -> None:
        asked_at = self._clock()

        def is_late(process: ProcessInfo) -> bool:
            return self._is_late(drain, looked_at) or (
                action is Action.STOP and self._fits_no_more(drain, process, asked_at)
            )

        outcome, note = self._actions.do(drain, action, self._kind(drain), is_late)
        self._notifier.report(StepActed(drain.worker, drain.pid, drain.state, action, outcome))
        if note is not None:
            drain = dataclasses.replace(drain, note=note)
        if action is Action.STOP and outcome is Outcome.UNCERTAIN:
            self._unanswered.add(drain.worker)
        drain = acknowledge(drain, action, outcome, self._clock(), before=before)
        if drain.state in OVER:
            self._finish(self._ledger.drains[drain.worker], drain, _CAUSES_OF_THE_END[action])
        else:
            self._ledger.put(drain, must=False)

    def _kind(self, drain: Drain) -> Kind | None:
        pool = self._pools.get(drain.pool)
        return pool.kind if pool else None

    def _measure(self, drain: Drain) -> Measure:
        pool = self._pools.get(drain.pool)
        return pool.measure if pool else "rss"

    def _is_late(self, drain: Drain, looked_at: float) -> bool:
        """The observation is too old, or another worker may have the slot by now."""
        now = self._clock()
        if now - looked_at >= LATE_SECONDS:
            return True
        if drain.is_quiet:
            return False
        asked_at = self._asked_at.get(drain.worker, -math.inf)
        return now - asked_at >= self._config.slot_ttl_seconds

    def _fits_no_more(self, drain: Drain, process: ProcessInfo, asked_at: float) -> bool:
        """The stop would be later than the journal allows, and would be taken for an operator's stop.

        `process` was requested at `asked_at`.
        """
        later = process.now - drain.stop.last_asked_epoch + self._clock() - asked_at
        return not 0 <= later <= drain.stop.margin_seconds - REAPS_LATE_SECONDS

    # --- end ------------------------------------------------------------------------------------

    def _finish(self, before: Drain, drain: Drain, cause: StepCause | None) -> None:
        contents, now = self._ledger.contents, self._clock()
        pool = self._pools.get(drain.pool)
        for event in words.of_end(before, drain, cause, now, pool.config.worker if pool else None):
            self._notifier.report(event)
        back_offs = back_offs_after(before, drain, contents.back_offs, now)
        if drain.state is State.DONE:
            self._report_baseline(drain, contents.back_offs.get(drain.worker), back_offs.get(drain.worker))
        self._forget(drain, drained=drain.touched)
        late_quiets = late_quiets_after(before, drain, cause, contents.late_quiets)
        self._ledger.remove(
            drain.worker, ended_at=self.slots.drain_ended_at(), back_offs=back_offs, late_quiets=late_quiets
        )

    def _report_baseline(self, drain: Drain, former: BackOff | None, back_off: BackOff | None) -> None:
        """Report a new delay; another drain may end within one."""
        if back_off is None or (former is not None and former.until == back_off.until):
            return
        if back_off.cause is BackOffCause.BELOW_BASELINE:
            after, limit, measure = back_off.memory_bytes or 0, back_off.limit_bytes, self._measure(drain)
            below = LimitBelowBaseline(drain.worker, drain.pid, after, limit, back_off.seconds, measure)
            self._notifier.report(below)

    def _forget(self, drain: Drain, *, drained: bool) -> None:
        """Give the slot back. The journal forgets the drain after that: a crash must leave no slot taken."""
        self.slots.release(drain, drained=drained)
        self._asked_at.pop(drain.worker, None)
        self._unanswered.discard(drain.worker)
        self._taken_up.discard(drain.worker)
        self._evidence.forget(drain.worker)
        self._notifier.forget(DrainEvent, drain.worker)


def _refusal(cause: Cause, detail: str = "") -> Answer:
    return Answer(cause, 0, 0, 0, detail)


def _still_asks(drain: Drain, finding: Finding) -> bool:
    """The reason of a drain that has not begun still stands. The last reading judges its own limit."""
    verdict = finding.verdict
    if drain.reason is Reason.ADOPTED:
        return finding.seen.pause is None  # Without its restart it would stay quiet until drain_hours open.
    return verdict.asks or (drain.reason.is_own_limit and verdict.hold not in _LATE_HOLDS)


def _with_note(drain: Drain, seen: Seen) -> Drain:
    return drain if seen.reading is None else dataclasses.replace(drain, note=seen.reading.note)
