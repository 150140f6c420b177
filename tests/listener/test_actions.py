"""The actions: none reaches a process that is not the recorded one, and each reports its true outcome."""

from __future__ import annotations

import io
from typing import Any

import pytest

from supervisor_memkill.errors import NotSent, Unknown
from supervisor_memkill.listener.actions import Actions
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.log import LogSink
from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.rules.drain import Action, Drain, Outcome, State
from supervisor_memkill.world.memory import ProcessTable
from supervisor_memkill.world.supervisord import (
    AlreadyStarted,
    CannotStart,
    NoAnswer,
    NoSuchProcess,
    NotRunning,
    Refused,
    ShuttingDown,
    Unreachable,
)
from tests.builders import PID, START, drain, info

NOTE = {"sent": True}
TO_THE_PROCESS = (Action.QUIET, Action.RESUME, Action.THAW, Action.EVIDENCE, Action.STOP)


class Both:
    """supervisord and the worker's kind: each call is recorded, and raises the error that the test sets."""

    def __init__(self) -> None:
        self.seen: ProcessInfo | None = info()
        self.look_error: Exception | None = None
        self.errors: dict[str, Exception] = {}
        self.done: list[str] = []

    def _do(self, act: str) -> None:
        self.done.append(act)
        if act in self.errors:
            raise self.errors[act]

    def process(self, worker: str) -> ProcessInfo | None:
        if self.look_error is not None:
            raise self.look_error
        return self.seen

    def start(self, worker: str) -> None:
        self._do("start")

    def stop(self, worker: str) -> None:
        self._do("stop")

    def signal(self, worker: str, name: str) -> None:
        self._do({"CONT": "thaw"}[name])

    def quiet(self, target: Any, table: ProcessTable) -> dict[str, bool]:
        self._do("quiet")
        return NOTE

    def resume(self, target: Any, table: ProcessTable) -> None:
        self._do("resume")

    def take_evidence(self, record: Drain, process: ProcessInfo) -> None:
        assert record.is_process(process)
        self._do("evidence")

    def before_stop(self, target: Any, table: ProcessTable) -> None:
        self._do("before stop")


@pytest.fixture
def both() -> Both:
    return Both()


def do(
    both: Any,
    action: Action,
    *,
    late: bool = False,
    without_kind: bool = False,
    log: io.StringIO | None = None,
) -> tuple[Outcome, Any]:
    record: Drain = drain(State.DRAINING)
    actions = Actions(both, Notifier([LogSink(log or io.StringIO())]), both.take_evidence, ProcessTable)
    return actions.do(record, action, None if without_kind else both, lambda process: late)


@pytest.mark.parametrize("action", list(Action))
def test_action_is_carried_out(both: Both, action: Action) -> None:
    assert do(both, action) == (Outcome.DONE, NOTE if action is Action.QUIET else None)
    helped = ["before stop"] if action is Action.STOP else []
    assert both.done == [*helped, action.value]


@pytest.mark.parametrize("action", TO_THE_PROCESS)
@pytest.mark.parametrize(
    "seen",
    [
        None,
        info(pid=PID + 1),
        info(start=START + 1),
        info(ProcessState.STOPPING),
        info(ProcessState.STARTING),
        info(ProcessState.STOPPED, pid=PID),
    ],
    ids=["gone", "another pid", "another start", "stopping", "starting", "stopped"],
)
def test_process_that_is_not_the_recorded_one_is_left_alone(
    both: Both, action: Action, seen: ProcessInfo | None
) -> None:
    """It was the recorded one when the action was decided, a moment ago."""
    both.seen = seen
    assert do(both, action) == (Outcome.NOT_SENT, None)
    assert both.done == []


@pytest.mark.parametrize("action", TO_THE_PROCESS)
def test_action_is_not_sent_when_the_worker_cannot_be_looked_at(both: Both, action: Action) -> None:
    both.look_error = NoAnswer("no answer")
    assert do(both, action) == (Outcome.NOT_SENT, None)
    assert both.done == []


@pytest.mark.parametrize("action", list(Action))
def test_only_a_quiet_a_command_or_a_stop_can_come_too_late(both: Both, action: Action) -> None:
    outcome, _ = do(both, action, late=True)
    needs_a_fresh_look = action in (Action.QUIET, Action.EVIDENCE, Action.STOP)
    assert outcome is (Outcome.TOO_LATE if needs_a_fresh_look else Outcome.DONE)
    assert both.done == ([] if needs_a_fresh_look else [action.value])


@pytest.mark.parametrize(
    ("action", "error", "outcome"),
    [
        (Action.QUIET, NotSent("not sent"), Outcome.NOT_SENT),
        (Action.QUIET, NotRunning("STOPPING"), Outcome.REFUSED),
        (Action.QUIET, Unknown("no reply"), Outcome.UNCERTAIN),
        (Action.STOP, Unreachable("no connection"), Outcome.NOT_SENT),
        (Action.STOP, Refused("wrong password"), Outcome.NOT_SENT),
        (Action.STOP, NoSuchProcess("removed"), Outcome.NOT_SENT),
        (Action.STOP, NotRunning("STOPPING"), Outcome.REFUSED),
        (Action.STOP, NoAnswer("no answer"), Outcome.UNCERTAIN),
        (Action.START, AlreadyStarted("RUNNING"), Outcome.DONE),
        (Action.START, CannotStart("no such file"), Outcome.UNCERTAIN),
    ],
)
def test_error_decides_the_outcome(both: Both, action: Action, error: Exception, outcome: Outcome) -> None:
    both.errors[action.value] = error
    assert do(both, action) == (outcome, None)


@pytest.mark.parametrize("action", list(Action))
def test_shutdown_of_supervisord_reaches_the_caller(both: Both, action: Action) -> None:
    both.look_error = both.errors[action.value] = ShuttingDown("SHUTDOWN_STATE")
    with pytest.raises(ShuttingDown):
        do(both, action)


def test_stop_is_sent_even_if_before_stop_fails(both: Both) -> None:
    both.errors["before stop"] = Unknown("no reply")
    assert do(both, Action.STOP) == (Outcome.DONE, None)


def test_worker_whose_pool_is_gone_can_only_be_stopped(both: Both) -> None:
    log = io.StringIO()
    assert do(both, Action.STOP, without_kind=True, log=log) == (Outcome.DONE, None)
    assert log.getvalue() == ""
    assert do(both, Action.QUIET, without_kind=True) == (Outcome.NOT_SENT, None)
    assert both.done == ["stop"]


@pytest.mark.parametrize(
    ("error", "said"), [(NoAnswer("it hung up"), "it hung up"), (NoAnswer(), "NoAnswer")]
)
def test_failure_is_logged_with_the_words_of_the_error(both: Both, error: NoAnswer, said: str) -> None:
    both.errors["stop"], log = error, io.StringIO()
    do(both, Action.STOP, log=log)
    assert f"pid={PID}" in log.getvalue() and said in log.getvalue()
    assert ("NoAnswer" in log.getvalue()) is (said == "NoAnswer")
