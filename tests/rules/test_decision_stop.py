"""A drain in STOPPING: whether the stop was ours, and when it is sent again."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_memkill.coordination.contract import Cause
from supervisor_memkill.processes import ProcessId, ProcessState
from supervisor_memkill.rules.causes import Reason, StepCause
from supervisor_memkill.rules.drain import (
    Action,
    State,
    StopAnswer,
)
from tests.builders import (
    EPOCH,
    FULL,
    PID,
    START,
    answer,
    reading,
)
from tests.rules.steps import (
    NOW,
    A,
    P,
    S,
    outcome,
    seen,
    step,
    stopping,
)


@pytest.mark.parametrize(
    ("what", "record", "stop", "ours"),
    [
        ("acknowledged, whatever the clock says", {"stop_answer": StopAnswer.ACCEPTED}, EPOCH + 999, True),
        ("answer lost, just before the margin", {}, EPOCH - 6, False),
        ("answer lost, time fits by the margin", {}, EPOCH - 5, True),
        ("answer lost, time fits", {}, EPOCH + 1, True),
        ("answer lost, time fits by stopwaitsecs and the margin", {}, EPOCH + 15, True),
        ("answer lost, just after stopwaitsecs and the margin", {}, EPOCH + 16, False),
        ("answer lost, killed after stopwaitsecs", {"stop_wait_seconds": 30.0}, EPOCH + 31, True),
        ("answer lost, long before", {}, EPOCH - 60, False),
        ("answer lost, long after", {}, EPOCH + 60, False),
        ("refused: it was being stopped already", {"stop_answer": StopAnswer.REFUSED}, EPOCH, False),
        ("never sent", {"stop_attempts": 0}, EPOCH, False),
    ],
)
def test_stopped_worker_is_started_only_when_the_stop_was_ours(
    what: str, record: dict[str, Any], stop: int, ours: bool
) -> None:
    expected = (S.STARTING, A.START) if ours else (S.LET_GO, None)
    assert outcome(step(stopping(**record), seen(P.STOPPED, stop=stop))) == expected, what


def test_time_of_the_first_stop_that_may_have_arrived_is_kept() -> None:
    later = seen(P.RUNNING, now=EPOCH + 50)
    assert step(stopping(stop_attempts=1), later).drain.stop.asked_epoch == EPOCH
    assert step(stopping(stop_attempts=0), later).drain.stop.asked_epoch == EPOCH + 50


def test_worker_that_somebody_started_and_stopped_again_stays_stopped() -> None:
    record = stopping(stop_answer=StopAnswer.ACCEPTED)
    assert outcome(step(record, seen(P.STOPPED, start=START + 1, stop=EPOCH))) == (S.LET_GO, None)


@pytest.mark.parametrize("state", [P.STOPPING, P.STOPPED])
@pytest.mark.parametrize(
    ("what", "record", "start", "is_ours"),
    [
        ("began before the answer", {}, EPOCH - 20, True),
        ("began in the second of the answer", {}, EPOCH - 10, True),
        ("began after the answer", {}, EPOCH - 9, False),
        ("began before the drained process: another supervisord", {}, START - 1, False),
        ("an older version wrote no time", {"stop_accepted_at": None}, EPOCH - 20, False),
        ("no answer", {"stop_answer": StopAnswer.NONE}, EPOCH - 20, False),
        ("refused", {"stop_answer": StopAnswer.REFUSED}, EPOCH - 20, False),
    ],
)
def test_process_that_an_operator_started_before_the_answer_to_the_stop_got_this_stop(
    state: ProcessState, what: str, record: dict[str, Any], start: int, is_ours: bool
) -> None:
    """Nothing else stopped it, so it is started again. The answer came ten seconds before this look."""
    record = {"stop_answer": StopAnswer.ACCEPTED, "stop_accepted_at": NOW - 10, **record}
    given = {"pid": PID + 1} if state is P.STOPPING else {"stop": EPOCH}
    taken = step(stopping(**record), seen(state, start=start, looked_at=NOW, **given))
    others = (S.SETTLING, None) if state is P.STOPPING else (S.LET_GO, None)
    ours = (S.STOPPING, None) if state is P.STOPPING else (S.STARTING, A.START)
    assert outcome(taken) == (ours if is_ours else others), what
    assert (taken.cause is StepCause.STOPPED_NEW_PROCESS) is is_ours
    assert taken.drain.pid == (PID if state is P.STOPPED else PID + 1)


def test_stop_that_reached_a_new_process_is_finished_with_this_process() -> None:
    record = stopping(stop_answer=StopAnswer.ACCEPTED, stop_accepted_at=NOW, created=5.0)
    reached = seen(P.STOPPING, pid=PID + 1, start=EPOCH, looked_at=NOW, is_kill_logged=True)
    taken = step(record, reached).drain
    assert (taken.pid, taken.start, taken.created) == (PID + 1, EPOCH, None)
    assert taken.stop.was_kill, "the log says how the old process ended"
    stopped = step(taken, seen(P.STOPPED, start=EPOCH, stop=EPOCH + 1, looked_at=NOW + 1), now=NOW + 1)
    assert outcome(stopped) == (S.STARTING, A.START)


def test_stop_that_reached_the_drained_process_reached_no_later_one() -> None:
    """A look saw it STOPPING, so that an operator stopped the process that another one started since."""
    record = stopping(stop_answer=StopAnswer.ACCEPTED, stop_accepted_at=NOW)
    looked = step(record, seen(P.STOPPING, looked_at=NOW)).drain
    later = seen(P.STOPPED, start=EPOCH, stop=EPOCH + 1, now=EPOCH + 1, looked_at=NOW + 1)
    assert outcome(step(looked, later, now=NOW + 1)) == (S.LET_GO, None)


@pytest.mark.parametrize("state", [P.RUNNING, P.UNKNOWN])
def test_stop_that_no_look_has_seen_yet_may_reach_a_later_process(state: ProcessState) -> None:
    record = stopping(stop_answer=StopAnswer.ACCEPTED, stop_accepted_at=NOW)
    assert step(record, seen(state, pid=PID, looked_at=NOW)).drain.stop.accepted_at == NOW


def test_process_of_the_same_second_as_the_drained_one_can_get_its_stop() -> None:
    record = stopping(stop_answer=StopAnswer.ACCEPTED, stop_accepted_at=NOW)
    assert outcome(step(record, seen(P.STOPPING, pid=PID + 1, looked_at=NOW))) == (S.STOPPING, None)


@pytest.mark.parametrize(("stop", "is_ours"), [(EPOCH + 15, True), (EPOCH + 16, False)])
def test_stop_long_after_the_answer_is_an_operators(stop: int, is_ours: bool) -> None:
    """stopwaitsecs and the margin are over."""
    record = stopping(stop_answer=StopAnswer.ACCEPTED, stop_accepted_at=NOW - 100, stop_wait_seconds=10.0)
    late = seen(P.STOPPED, start=EPOCH, stop=stop, now=EPOCH + 100, looked_at=NOW)
    assert step(record, late).drain.state is (S.STARTING if is_ours else S.LET_GO)


def test_worker_that_a_restarted_supervisord_never_started_stays_stopped() -> None:
    """We did not stop it: the restarted supervisord does not start it by itself."""
    assert outcome(step(stopping(), seen(P.STOPPED, start=0, stop=0))) == (S.LET_GO, None)


def test_stop_is_repeated_only_for_a_process_that_no_stop_reached() -> None:
    assert outcome(step(stopping(), seen(P.STOPPING))) == (S.STOPPING, None)
    assert outcome(step(stopping(), seen(P.RUNNING))) == (S.STOPPING, A.STOP)
    accepted = stopping(stop_answer=StopAnswer.ACCEPTED)
    assert outcome(step(accepted, seen(P.RUNNING))) == (S.STOPPING, None)


def test_stop_of_a_worker_in_service_is_repeated_only_while_peers_suffice() -> None:
    record = stopping(is_quiet=False, quiet_attempts=0)
    assert step(record, seen(P.RUNNING)).wants_answer
    alone = seen(P.RUNNING, asked=True, answer=answer(others=0))
    assert outcome(step(record, alone)) == (S.LET_GO, None)
    slot_lost = seen(P.RUNNING, asked=True, answer=answer(Cause.SLOTS_TAKEN))
    assert outcome(step(record, slot_lost)) == (S.LET_GO, None)
    together = seen(P.RUNNING, reading=reading(), asked=True, answer=answer())
    assert outcome(step(record, together)) == (S.STOPPING, A.STOP)
    beside_another = seen(P.RUNNING, reading=reading(), asked=True, answer=FULL)
    assert outcome(step(record, beside_another)) == (S.LET_GO, None)
    hard = seen(P.RUNNING, reading=reading(), memory_bytes=500, asked=True, answer=FULL)
    assert outcome(step(record, hard, hard_limit_bytes=400)) == (S.STOPPING, A.STOP)
    unknown = seen(P.RUNNING, reading=reading(recognised=None), asked=True, answer=answer())
    assert step(record, unknown).cause is StepCause.NOT_DRAINABLE_NOW
    protected = seen(P.RUNNING, reading=reading(jobs=("Import",)), asked=True, answer=answer())
    assert step(record, protected, protect_jobs=("Imp*",)).cause is StepCause.PROTECTED_JOB
    told = stopping(is_quiet=False, quiet_attempts=1)
    assert outcome(step(told, alone)) == (S.STOPPING, None), "it may be quiet, so the drain stays"


def test_lost_stop_of_a_worker_that_may_be_quiet_waits_for_a_protected_job() -> None:
    record, protects = stopping(is_quiet=False, quiet_attempts=1), ("Imp*",)
    given: dict[str, Any] = {"asked": True, "answer": answer()}
    busy = seen(reading=reading(quiet=None, jobs=("Import",)), **given)
    assert outcome(step(record, busy, protect_jobs=protects)) == (S.STOPPING, None)
    hard = seen(reading=reading(quiet=None, jobs=("Import",)), memory_bytes=500, **given)
    assert outcome(step(record, hard, protect_jobs=protects, hard_limit_bytes=400)) == (S.STOPPING, A.STOP)
    free = seen(reading=reading(quiet=None, jobs=("Mail",)), **given)
    assert outcome(step(record, free, protect_jobs=protects)) == (S.STOPPING, A.STOP)


@pytest.mark.parametrize(
    ("attempts", "given", "expected"),
    [
        (0, {}, (S.LET_GO, None)),
        (1, {}, (S.STOPPING, None)),
        (1, {"asked": True, "answer": answer(others=0)}, (S.STOPPING, None)),
        (1, {"asked": True, "answer": answer()}, (S.STOPPING, A.STOP)),
    ],
)
def test_lost_stop_of_a_resumed_worker_is_not_repeated(
    attempts: int, given: dict[str, Any], expected: tuple[State, Action | None]
) -> None:
    """It is in service again: a second stop needs enough peers."""
    record = stopping(quiet_attempts=attempts)
    taken = step(record, seen(reading=reading(quiet=False), **given))
    assert outcome(taken) == expected
    assert taken.wants_answer is (attempts == 1 and not given)
    still_quiet = step(record, seen(reading=reading(quiet=True)))
    assert outcome(still_quiet) == (S.STOPPING, A.STOP)


def test_start_waits_for_old_processes_at_most_stopwaitsecs() -> None:
    record = stopping(stop_answer=StopAnswer.ACCEPTED, tree=(ProcessId(PID, 1.0), ProcessId(101, 2.0)))
    alive = seen(P.STOPPED, stop=EPOCH, survivors=(101,))
    waiting = step(record, alive)
    assert outcome(waiting) == (S.STOPPING, None)
    assert outcome(step(waiting.drain, alive, now=NOW + 9.9)) == (S.STOPPING, None)
    late = step(waiting.drain, alive, now=NOW + 10.0)
    assert outcome(late) == (S.STARTING, A.START)
    assert late.cause is StepCause.SURVIVORS
    gone = step(waiting.drain, seen(P.STOPPED, stop=EPOCH), now=NOW + 1.0)
    assert (outcome(gone), gone.cause) == ((S.STARTING, A.START), None)


@pytest.mark.parametrize(
    ("record", "is_started"),
    [
        ({"stop_answer": StopAnswer.REFUSED, "is_quiet": False, "quiet_attempts": 0}, False),
        ({"stop_answer": StopAnswer.NONE, "is_quiet": False, "quiet_attempts": 0}, True),
        ({"stop_answer": StopAnswer.NONE, "stop_attempts": 0, "quiet_attempts": 0}, False),
        ({"stop_answer": StopAnswer.NONE, "stop_attempts": 0, "quiet_attempts": 1}, True),
        ({"stop_answer": StopAnswer.REFUSED, "is_quiet": True, "quiet_attempts": 0}, False),
        ({"stop_answer": StopAnswer.REFUSED, "is_quiet": True, "quiet_attempts": 1}, True),
        (
            {
                "stop_answer": StopAnswer.REFUSED,
                "is_quiet": True,
                "quiet_attempts": 0,
                "reason": Reason.ADOPTED,
            },
            True,
        ),
        ({"stop_answer": StopAnswer.REFUSED, "is_quiet": False, "quiet_attempts": 1}, True),
    ],
)
def test_worker_that_ended_is_started_only_if_an_action_of_ours_may_have_reached_it(
    record: dict[str, Any], is_started: bool
) -> None:
    expected = (S.STARTING, A.START) if is_started else (S.LET_GO, None)
    assert outcome(step(stopping(**record), seen(P.EXITED, stop=EPOCH))) == expected


@pytest.mark.parametrize(
    ("stop", "is_ours"),
    [(-4, False), (-3, True), (0, True), (14, True), (15, True), (16, False)],
)
def test_stop_of_the_time_at_which_a_new_listener_began_is_ours(stop: int, is_ours: bool) -> None:
    """supervisord hung while the former listener died: it carries the stop out, and starts the next one."""
    began = EPOCH + 300
    record = stopping(stop_wait_seconds=10.0, stop_taken_up_epoch=began)
    taken = step(record, seen(P.STOPPED, stop=began + stop))
    assert taken.drain.state is (S.STARTING if is_ours else S.LET_GO)


def test_stop_long_before_the_new_listener_began_is_not_ours() -> None:
    """The operator stopped the worker while no listener ran."""
    record = stopping(stop_wait_seconds=10.0, stop_taken_up_epoch=EPOCH + 300)
    assert step(record, seen(P.STOPPED, stop=EPOCH + 100)).drain.state is S.LET_GO
    assert step(record, seen(P.STOPPED, stop=EPOCH + 10)).drain.state is S.STARTING
    refused = stopping(stop_answer=StopAnswer.REFUSED, stop_taken_up_epoch=EPOCH + 300)
    assert step(refused, seen(P.STOPPED, stop=EPOCH + 300)).drain.state is S.LET_GO
