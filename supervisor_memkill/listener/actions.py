"""The actions of a drain. Only this module changes a worker."""

from __future__ import annotations

from collections.abc import Callable

from supervisor_memkill.errors import MemkillError, NotSent
from supervisor_memkill.notices.drain_events import DrainStopHelpFailed
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.words import action_failed
from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.rules.drain import NEEDS_JOURNAL, Action, Drain, Outcome
from supervisor_memkill.workers.contract import Kind, Note, Target
from supervisor_memkill.world.memory import ProcessTable
from supervisor_memkill.world.supervisord import (
    AlreadyStarted,
    NoSuchProcess,
    NotRunning,
    Refused,
    ShuttingDown,
    Supervisord,
    Unreachable,
)


class TooLate(NotSent):
    """The observation that an action is based on is too old."""


_WITHOUT_EFFECT = (NotSent, Unreachable, Refused, NoSuchProcess)


class Actions:
    """Does the actions on the workers of one supervisord, and returns their outcomes."""

    def __init__(
        self,
        supervisord: Supervisord,
        notifier: Notifier,
        take_evidence: Callable[[Drain, ProcessInfo], None],
        process_table: Callable[[], ProcessTable] = ProcessTable,
    ) -> None:
        """`take_evidence` begins the command `before_stop`, and raises no error."""
        self._take_evidence = take_evidence
        self._supervisord = supervisord
        self._notifier = notifier
        self._process_table = process_table

    def do(
        self, drain: Drain, action: Action, kind: Kind | None, is_late: Callable[[ProcessInfo], bool]
    ) -> tuple[Outcome, Note | None]:
        """Do the action; its outcome, and the kind's new note (None: no new one).

        `is_late` tells, by the present process, whether the observation is too old. It is called immediately
        before the action, after pid and start were compared. Raises ShuttingDown.
        """
        try:
            return self._do(drain, action, kind, is_late)
        except ShuttingDown:
            raise
        except AlreadyStarted:
            return Outcome.DONE, None
        except MemkillError as error:
            self._notifier.report(action_failed(drain, action, error))
            if isinstance(error, TooLate):
                return Outcome.TOO_LATE, None
            if isinstance(error, NotRunning):
                return Outcome.REFUSED, None
            return (Outcome.NOT_SENT if isinstance(error, _WITHOUT_EFFECT) else Outcome.UNCERTAIN), None

    def _do(
        self, drain: Drain, action: Action, kind: Kind | None, is_late: Callable[[ProcessInfo], bool]
    ) -> tuple[Outcome, Note | None]:
        worker = drain.worker
        if action is Action.START:
            self._supervisord.start(worker)
            return Outcome.DONE, None
        process = self._recorded_process(drain)
        target, table = Target(process, drain.note), self._process_table()
        if action in NEEDS_JOURNAL and is_late(process):
            raise TooLate("the observation this action is based on is too old")
        if action is Action.THAW:
            self._supervisord.signal(worker, "CONT")
        elif action is Action.EVIDENCE:
            self._take_evidence(drain, process)
        elif action is Action.STOP:
            self._help_stop(drain, kind, target, table)
            self._supervisord.stop(worker)
        elif kind is None:
            raise NotSent("the pool is not in the configuration any more")
        elif action is Action.QUIET:
            return Outcome.DONE, kind.quiet(target, table)
        elif action is Action.RESUME:
            kind.resume(target, table)
        return Outcome.DONE, None

    def _recorded_process(self, drain: Drain) -> ProcessInfo:
        """The present process, which is the recorded one and RUNNING. Raises NotSent, ShuttingDown."""
        try:
            process = self._supervisord.process(drain.worker)
        except ShuttingDown:
            raise
        except MemkillError as error:
            # The action was not begun: its outcome is not uncertain.
            raise NotSent(str(error)) from error
        if process is None or not drain.is_process(process) or process.state is not ProcessState.RUNNING:
            raise NotSent("the worker has another process now, or does not run")
        return process

    def _help_stop(self, drain: Drain, kind: Kind | None, target: Target, table: ProcessTable) -> None:
        try:
            if kind is not None:
                kind.before_stop(target, table)
        except ShuttingDown:
            raise
        except Exception as error:  # noqa: BLE001 - a kind may be anybody's code
            # supervisord's own stop follows all the same.
            self._notifier.report(DrainStopHelpFailed(drain.worker, drain.pid, str(error)))
