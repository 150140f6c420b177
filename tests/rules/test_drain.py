"""What a drain does next, for every state and whatever is seen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from supervisor_memkill.coordination.contract import Answer, Cause
from supervisor_memkill.processes import ProcessId, ProcessState
from supervisor_memkill.rules.decision import Seen, Step, decide
from supervisor_memkill.rules.drain import (
    OVER,
    TRANSITIONS,
    Action,
    Drain,
    IllegalTransitionError,
    Outcome,
    State,
    StopAnswer,
    acknowledge,
    from_json,
    move,
    to_json,
)
from supervisor_memkill.workers.contract import Reading, Traits
from tests.builders import (
    CUSTOM_LIKE,
    EPOCH,
    PID,
    PLAIN_LIKE,
    SIDEKIQ_LIKE,
    START,
    answer,
    drain,
    info,
    plan,
    reading,
)

P, S, A = ProcessState, State, Action
NOW = 100.0
BEFORE_STOP = (S.QUIETING, S.DRAINING, S.RESUMING)
UNDER_WAY = tuple(state for state in S if state not in OVER)


def step(record: Drain, seen: Seen, *, now: float = NOW, traits: Any = None, **settings: Any) -> Step:
    going_by = plan(traits, **settings) if traits else plan(**settings)
    return decide(record, seen, going_by, now)


def seen(state: ProcessState = P.RUNNING, **values: Any) -> Seen:
    """One observation; `pid`, `start`, `stop` go to supervisord's word, the rest to the observation."""
    words = {name: values.pop(name) for name in ("pid", "start", "stop", "now") if name in values}
    values.setdefault("memory_bytes", 300)
    return Seen(info(state, **words), **values)


def outcome(taken: Step) -> tuple[State, Action | None]:
    return taken.drain.state, taken.action


def acknowledged(record: Drain, action: Action, came: Outcome, before: Drain | None = None) -> Drain:
    return acknowledge(record, action, came, NOW, before=before or record)


# --- all states ---------------------------------------------------------------------------------


@pytest.mark.parametrize("state", UNDER_WAY)
def test_worker_gone_from_the_configuration_is_let_go(state: State) -> None:
    assert outcome(step(drain(state), Seen(None))) == (S.LET_GO, None)


@pytest.mark.parametrize("state", UNDER_WAY)
@pytest.mark.parametrize("process_state", [P.UNKNOWN, P.BACKOFF, P.STOPPING])
def test_nothing_is_done_while_supervisord_is_in_between(state: State, process_state: ProcessState) -> None:
    if state is S.ASKING:
        return
    record = drain(state, quiet_attempts=1, stop_attempts=1)
    taken = step(record, seen(process_state, stop=EPOCH))
    assert outcome(taken) == (state, None)


def test_pair_that_the_table_does_not_list_raises() -> None:
    with pytest.raises(IllegalTransitionError):
        move(drain(S.DONE), S.QUIETING, NOW)


def test_every_state_leads_to_an_end() -> None:
    """From each state there is a way to DONE or LET_GO, so that no drain can be stuck by the table."""
    ends = {state for state in S if not TRANSITIONS[state]}
    assert ends == OVER
    leading = set(ends)
    while grown := {s for s in S if TRANSITIONS[s] & leading} - leading:
        leading |= grown
    assert leading == set(S)


# --- asking -------------------------------------------------------------------------------------


def test_nothing_begins_before_coordination_was_asked() -> None:
    taken = step(drain(S.ASKING), seen(reading=reading()))
    assert taken.wants_answer
    assert outcome(taken) == (S.ASKING, None)


@pytest.mark.parametrize(
    "now_read",
    [
        None,
        reading(recognised=None),
        reading(recognised=False),
        reading(hold="its scheduler is slow"),
    ],
    ids=["nothing", "unknown", "another process", "not now"],
)
@pytest.mark.parametrize("traits", [SIDEKIQ_LIKE, PLAIN_LIKE])
def test_nothing_begins_on_a_process_that_is_not_to_be_drained_at_this_moment(
    now_read: Reading | None, traits: Traits
) -> None:
    """What the check saw is a moment old when the slot is granted."""
    record = drain(S.ASKING, reason="hard_max_rss")
    observed = seen(reading=now_read, asked=True, answer=answer())
    taken = step(record, observed, traits=traits, hard_limit_bytes=250)
    assert outcome(taken) == (S.LET_GO, None)


def test_nothing_begins_while_coordination_does_not_answer() -> None:
    taken = step(drain(S.ASKING), seen(reading=reading(), asked=True))
    assert outcome(taken) == (S.ASKING, None)
    assert not taken.wants_answer


@pytest.mark.parametrize(
    ("what", "given", "expected"),
    [
        ("granted", {}, (S.QUIETING, A.QUIET)),
        ("refused", {"answer": answer(Cause.SLOTS_TAKEN)}, (S.LET_GO, None)),
        ("held, peers gone", {"answer": answer(others=0)}, (S.LET_GO, None)),
        ("memory fell", {"memory_bytes": 200}, (S.LET_GO, None)),
        ("memory unknown", {"memory_bytes": None}, (S.LET_GO, None)),
        ("another pid", {"pid": PID + 1}, (S.LET_GO, None)),
        ("another start", {"start": START + 1}, (S.LET_GO, None)),
    ],
)
def test_drain_begins_only_when_all_is_still_so(
    what: str, given: dict[str, Any], expected: tuple[State, Action | None]
) -> None:
    observed = seen(**{"reading": reading(), "asked": True, "answer": answer(), **given})
    assert outcome(step(drain(S.ASKING), observed)) == expected, what


@pytest.mark.parametrize("state", [P.STARTING, P.STOPPING, P.STOPPED, P.EXITED, P.BACKOFF, P.FATAL])
def test_only_a_running_process_is_taken(state: ProcessState) -> None:
    observed = seen(state, asked=True, answer=answer())
    assert outcome(step(drain(S.ASKING), observed)) == (S.LET_GO, None)


@pytest.mark.parametrize(
    ("memory_bytes", "expected"), [(300, (S.LET_GO, None)), (500, (S.STOPPING, A.STOP))], ids=["soft", "hard"]
)
def test_protected_job_that_runs_by_now_is_drained_above_the_hard_limit_only(
    memory_bytes: int, expected: tuple[State, Action | None]
) -> None:
    observed = seen(reading=reading(jobs=("Import",)), asked=True, answer=answer(), memory_bytes=memory_bytes)
    taken = step(drain(S.ASKING), observed, hard_limit_bytes=400, protect_jobs=("Imp*",))
    assert outcome(taken) == expected


def test_kind_without_a_quiet_goes_straight_to_its_stop() -> None:
    observed = seen(reading=reading(), asked=True, answer=answer())
    assert outcome(step(drain(S.ASKING), observed, traits=PLAIN_LIKE)) == (S.STOPPING, A.STOP)


def test_over_the_hard_limit_nothing_is_waited_for() -> None:
    observed = seen(reading=reading(), asked=True, answer=answer(), memory_bytes=500)
    taken = step(drain(S.ASKING), observed, hard_limit_bytes=400)
    assert (outcome(taken), taken.cause) == ((S.STOPPING, A.STOP), "over hard_max_rss")
    soft = step(drain(S.ASKING), observed, traits=PLAIN_LIKE)
    assert (outcome(soft), soft.cause) == ((S.STOPPING, A.STOP), "its stop is its drain")


def test_slot_taken_for_the_hard_limit_serves_nothing_less() -> None:
    """Read again, it is over max_rss only: it has to wait for a slot like any other."""
    observed = seen(reading=reading(), asked=True, answer=answer(), memory_bytes=300)
    record = drain(S.ASKING, reason="hard_max_rss")
    assert outcome(step(record, observed, hard_limit_bytes=400)) == (S.LET_GO, None)
    over = seen(reading=reading(), asked=True, answer=answer(), memory_bytes=401)
    assert outcome(step(record, over, hard_limit_bytes=400)) == (S.STOPPING, A.STOP)


def test_worker_that_is_quiet_already_is_not_signalled_again() -> None:
    observed = seen(reading=reading(quiet=True), asked=True, answer=answer(others=0))
    assert outcome(step(drain(S.ASKING, is_quiet=True), observed)) == (S.DRAINING, None)


# --- before our stop: what others do --------------------------------------------------------------


@pytest.mark.parametrize("state", BEFORE_STOP)
def test_stopped_by_somebody_before_our_stop_stays_stopped(state: State) -> None:
    record = drain(state, quiet_attempts=1)
    assert outcome(step(record, seen(P.STOPPED, stop=EPOCH))) == (S.LET_GO, None)


@pytest.mark.parametrize("state", BEFORE_STOP)
@pytest.mark.parametrize("ended", [P.EXITED, P.FATAL])
def test_worker_that_ends_by_itself_after_our_quiet_is_started(state: State, ended: ProcessState) -> None:
    record = drain(state, quiet_attempts=1)
    assert outcome(step(record, seen(ended, stop=EPOCH))) == (S.STARTING, A.START)


@pytest.mark.parametrize("state", [*BEFORE_STOP, S.STOPPING])
@pytest.mark.parametrize("new", [{"pid": PID + 1}, {"start": START + 60}])
def test_restarted_by_somebody_is_only_watched_back_into_service(state: State, new: dict[str, Any]) -> None:
    taken = step(drain(state, quiet_attempts=1), seen(reading=reading(idle=True, quiet=True), **new))
    assert outcome(taken) == (S.SETTLING, None)
    assert (taken.drain.pid, taken.drain.start) == (new.get("pid", PID), new.get("start", START))


# --- quieting -------------------------------------------------------------------------------------


def quieting(**values: Any) -> Drain:
    return drain(S.QUIETING, **{"quiet_attempts": 1, "quiet_sent_at": 90.0, **values})


def test_quiet_counts_only_when_a_reading_confirms_it() -> None:
    assert outcome(step(quieting(), seen(reading=reading(quiet=None)))) == (S.QUIETING, None)
    assert outcome(step(quieting(), seen(reading=reading(quiet=False)))) == (S.QUIETING, None)
    taken = step(quieting(), seen(reading=reading(quiet=True)))
    assert outcome(taken) == (S.DRAINING, None)
    assert taken.drain.is_quiet


def test_idle_is_not_believed_before_the_quiet_is_confirmed() -> None:
    assert outcome(step(quieting(), seen(reading=reading(busy=0, idle=True)))) == (S.QUIETING, None)


@pytest.mark.parametrize(
    ("what", "now", "observed", "expected"),
    [
        ("too early", 119.0, reading(), None),
        ("in time", 120.0, reading(), A.QUIET),
        ("unknown", 120.0, reading(quiet=None), None),
        ("not recognised", 120.0, reading(recognised=False), None),
        ("no reading", 120.0, None, None),
    ],
)
def test_quiet_is_sent_again_only_to_a_worker_that_is_known_to_take_jobs(
    what: str, now: float, observed: Any, expected: Action | None
) -> None:
    taken = step(quieting(), seen(reading=observed, asked=True, answer=answer()), now=now)
    assert outcome(taken) == (S.QUIETING, expected), what


def test_quiet_is_sent_again_only_while_peers_suffice() -> None:
    assert step(quieting(), seen(reading=reading()), now=200.0).wants_answer
    together = seen(reading=reading(), asked=True, answer=answer())
    assert outcome(step(quieting(), together, now=200.0)) == (S.QUIETING, A.QUIET)
    assert outcome(step(quieting(quiet_sent_at=None), together, now=200.0)) == (S.QUIETING, A.QUIET)


@pytest.mark.parametrize("given", [answer(others=0), answer(Cause.SLOTS_TAKEN)])
@pytest.mark.parametrize("now", [200.0, 9999.0])
def test_worker_whose_quiet_got_lost_holds_no_slot_when_it_may_not_go(given: Answer, now: float) -> None:
    """It is in service, and another that could go may need the slot."""
    refused = seen(reading=reading(), asked=True, answer=given)
    assert outcome(step(quieting(), refused, now=now)) == (S.LET_GO, None)
    unknown = seen(reading=reading(quiet=None), asked=True, answer=given)
    assert outcome(step(quieting(), unknown, now=now)) == (S.QUIETING, None)
    too_early = seen(reading=reading(), asked=True, answer=given)
    assert outcome(step(quieting(quiet_sent_at=now - 1), too_early, now=now)) == (S.QUIETING, None)


def test_nothing_is_repeated_while_coordination_does_not_answer() -> None:
    silent = seen(reading=reading(), asked=True)
    assert outcome(step(quieting(), silent, now=200.0)) == (S.QUIETING, None)
    assert outcome(step(quieting(), silent, now=9999.0)) == (S.QUIETING, None)
    record = stopping(is_quiet=False, quiet_attempts=0)
    assert outcome(step(record, seen(P.RUNNING, asked=True))) == (S.STOPPING, None)


def test_quiet_that_could_harm_when_repeated_is_not() -> None:
    taken = step(quieting(), seen(reading=reading(quiet=None)), now=2000.0, traits=CUSTOM_LIKE)
    assert outcome(taken) == (S.DRAINING, None)


def test_process_that_our_quiet_suspended_is_woken() -> None:
    taken = step(quieting(), seen(reading=reading(recognised=False, quiet=None, frozen=True)))
    assert outcome(taken) == (S.QUIETING, A.THAW)


def test_nothing_done_when_the_quiet_did_not_go_out() -> None:
    """A first quiet that certainly reached nobody ends the drain; nothing is owed."""
    assert acknowledged(quieting(), A.QUIET, Outcome.NOT_SENT).state is S.LET_GO
    assert acknowledged(quieting(), A.QUIET, Outcome.UNCERTAIN).state is S.QUIETING
    assert acknowledged(quieting(quiet_attempts=2), A.QUIET, Outcome.NOT_SENT).state is S.QUIETING


# --- draining -------------------------------------------------------------------------------------


def draining(**values: Any) -> Drain:
    return drain(S.DRAINING, **{"quiet_attempts": 1, "quiet_sent_at": 10.0, "is_quiet": True, **values})


@pytest.mark.parametrize(
    ("what", "observed", "expected"),
    [
        ("busy", reading(quiet=True, busy=2), (S.DRAINING, None)),
        ("0, not yet trustworthy", reading(quiet=True, busy=0), (S.DRAINING, None)),
        ("unknown", reading(recognised=None, in_service=None, quiet=None, busy=None), (S.DRAINING, None)),
        ("no reading", None, (S.DRAINING, None)),
        ("idle", reading(quiet=True, busy=0, idle=True), (S.STOPPING, A.STOP)),
        ("takes jobs again", reading(quiet=False), (S.QUIETING, None)),
    ],
)
def test_stop_follows_only_a_trustworthy_idle(
    what: str, observed: Any, expected: tuple[State, Action | None]
) -> None:
    assert outcome(step(draining(), seen(reading=observed))) == expected, what


def test_hard_limit_cuts_the_wait_short() -> None:
    observed = seen(reading=reading(quiet=True, busy=1), memory_bytes=500)
    assert outcome(step(draining(), observed, hard_limit_bytes=400)) == (S.STOPPING, A.STOP)
    at_it = seen(reading=reading(quiet=True, busy=1), memory_bytes=400)
    assert outcome(step(draining(), at_it, hard_limit_bytes=400)) == (S.DRAINING, None)
    unknown = seen(reading=reading(quiet=True, busy=1), memory_bytes=None)
    assert outcome(step(draining(), unknown, hard_limit_bytes=400)) == (S.DRAINING, None)


@pytest.mark.parametrize(
    ("on_timeout", "traits", "expected"),
    [
        ("stop", CUSTOM_LIKE, (S.STOPPING, A.STOP)),
        ("wait", CUSTOM_LIKE, (S.DRAINING, None)),
        ("resume", CUSTOM_LIKE, (S.RESUMING, A.RESUME)),
        ("resume", PLAIN_LIKE, (S.STOPPING, A.STOP)),
    ],
)
def test_drain_timeout_does_what_the_pool_says(
    on_timeout: str, traits: Any, expected: tuple[State, Action | None]
) -> None:
    observed = seen(reading=reading(quiet=None, busy=1))
    early = step(draining(), observed, now=3599.0, traits=traits, on_timeout=on_timeout)
    assert outcome(early) == (S.DRAINING, None)
    late = step(draining(), observed, now=3600.0, traits=traits, on_timeout=on_timeout)
    assert outcome(late) == expected


@pytest.mark.parametrize("jobs", [("Import", "Mail"), None])
def test_drain_does_not_time_out_while_a_protected_job_runs_or_may_run(jobs: Any) -> None:
    observed = seen(reading=reading(quiet=True, jobs=jobs))
    assert outcome(step(draining(), observed, now=9999.0, protect_jobs=("Imp*",))) == (S.DRAINING, None)
    free = seen(reading=reading(quiet=True, jobs=("Mail",)))
    assert outcome(step(draining(), free, now=9999.0, protect_jobs=("Imp*",))) == (S.STOPPING, A.STOP)


def test_hard_limit_does_not_wait_for_a_quiet_to_be_confirmed() -> None:
    observed = seen(reading=reading(), memory_bytes=401, asked=True, answer=answer())
    assert outcome(step(quieting(), observed, hard_limit_bytes=400)) == (S.STOPPING, A.STOP)
    alone = seen(reading=reading(), memory_bytes=401, asked=True, answer=answer(others=0))
    assert outcome(step(quieting(), alone, hard_limit_bytes=400)) == (S.QUIETING, None)


def test_stop_tells_how_long_the_worker_took_no_new_jobs() -> None:
    idle = seen(reading=reading(quiet=True, busy=0, idle=True))
    assert step(draining(quiet_sent_at=NOW - 48.0), idle).drain.quiet_seconds == 48.0
    assert step(draining(quiet_sent_at=None), idle).drain.quiet_seconds is None


def test_drain_of_an_unconfirmed_quiet_that_times_out_counts_as_quiet() -> None:
    """Whether the quiet arrived cannot be learnt any more, and waiting for peers would have no end."""
    taken = step(draining(is_quiet=False), seen(reading=reading(quiet=None)), now=9999.0, traits=CUSTOM_LIKE)
    assert outcome(taken) == (S.STOPPING, A.STOP)
    assert taken.drain.is_quiet and not taken.wants_answer


@pytest.mark.parametrize("state", [P.STOPPING, P.STARTING])
def test_process_that_somebody_stops_or_starts_while_the_slot_is_asked_for_is_left_alone(
    state: ProcessState,
) -> None:
    observed = seen(state, reading=reading(), asked=True, answer=answer())
    assert outcome(step(drain(S.ASKING), observed)) == (S.LET_GO, None)


@pytest.mark.parametrize("action", [A.START, A.THAW])
@pytest.mark.parametrize("came", list(Outcome))
def test_what_came_of_a_start_or_a_thaw_says_nothing_of_the_stop(action: Action, came: Outcome) -> None:
    record = drain(S.STARTING, stop_attempts=1, stop_answer=StopAnswer.NONE)
    assert acknowledged(record, action, came) == record


def test_timeout_of_a_quiet_never_confirmed_stops_only_while_peers_suffice() -> None:
    taken = step(quieting(), seen(reading=reading()), now=9999.0)
    assert taken.wants_answer
    together = seen(reading=reading(), asked=True, answer=answer())
    assert outcome(step(quieting(), together, now=9999.0)) == (S.STOPPING, A.STOP)


def test_quiet_that_nothing_confirms_and_nobody_acknowledged_needs_peers_to_stop() -> None:
    """Killed between save and act, the listener does not know whether the worker still takes jobs."""
    record = draining(is_quiet=False)
    idle = reading(quiet=None, busy=0, idle=True)
    assert step(record, seen(reading=idle), traits=CUSTOM_LIKE).wants_answer
    alone = seen(reading=idle, asked=True, answer=answer(others=0))
    assert outcome(step(record, alone, traits=CUSTOM_LIKE)) == (S.DRAINING, None)


def test_resume_is_repeated_until_it_went_out() -> None:
    record = drain(S.RESUMING, quiet_attempts=1)
    assert outcome(step(record, seen(reading=reading()), traits=CUSTOM_LIKE)) == (S.RESUMING, A.RESUME)
    assert acknowledged(record, A.RESUME, Outcome.UNCERTAIN).state is S.RESUMING
    assert acknowledged(record, A.RESUME, Outcome.DONE).state is S.LET_GO


def test_kind_that_cannot_confirm_a_quiet_cannot_deny_it_either() -> None:
    record = draining()
    assert outcome(step(record, seen(reading=reading(quiet=False)), traits=CUSTOM_LIKE)) == (S.DRAINING, None)


def test_what_cannot_be_resumed_goes_through_to_the_restart() -> None:
    """Tried for as long as the drain had; what may take jobs again is stopped only where peers suffice."""
    record = drain(S.RESUMING, quiet_attempts=1, since=0.0, began_at=0.0, deadline=60.0)
    at: dict[str, Any] = {"now": 60.0, "traits": CUSTOM_LIKE}
    assert step(record, seen(reading=reading()), now=59.0, traits=CUSTOM_LIKE).action is A.RESUME
    assert outcome(step(record, seen(reading=reading(quiet=True)), **at)) == (S.STOPPING, A.STOP)
    assert outcome(step(record, seen(reading=reading(quiet=False)), **at)) == (S.LET_GO, None)
    unknown = reading(quiet=None)
    assert step(record, seen(reading=unknown), **at).wants_answer
    alone = seen(reading=unknown, asked=True, answer=answer(others=0))
    assert outcome(step(record, alone, **at)) == (S.RESUMING, None)


def test_worker_that_is_being_resumed_counts_as_quiet_no_more() -> None:
    """The resume may have arrived, and nobody may know."""
    timed_out = step(
        draining(), seen(reading=reading(quiet=None)), now=9999.0, traits=CUSTOM_LIKE, on_timeout="resume"
    )
    assert outcome(timed_out) == (S.RESUMING, A.RESUME) and not timed_out.drain.is_quiet
    assert timed_out.drain.is_out


# --- stopping -------------------------------------------------------------------------------------


def stopping(**values: Any) -> Drain:
    defaults: dict[str, Any] = {
        "quiet_attempts": 1,
        "is_quiet": True,
        "stop_attempts": 1,
        "stop_asked_epoch": EPOCH,
        "stop_sent_at": 90.0,
    }
    return drain(S.STOPPING, **{**defaults, **values})


@pytest.mark.parametrize(
    ("what", "record", "stop", "ours"),
    [
        ("acknowledged, whatever the clock says", {"stop_answer": StopAnswer.ACCEPTED}, EPOCH + 999, True),
        ("answer lost, time fits", {}, EPOCH + 1, True),
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


def test_started_by_somebody_and_stopped_again_is_an_operators() -> None:
    record = stopping(stop_answer=StopAnswer.ACCEPTED)
    assert outcome(step(record, seen(P.STOPPED, start=START + 1, stop=EPOCH))) == (S.LET_GO, None)


def test_never_started_under_this_supervisord_is_left_as_it_is() -> None:
    """supervisord was restarted: what it does not start by itself was not left stopped by us."""
    assert outcome(step(stopping(), seen(P.STOPPED, start=0, stop=0))) == (S.LET_GO, None)


def test_refusal_counts_as_somebody_elses_stop_only_at_the_first_attempt() -> None:
    first = acknowledged(stopping(), A.STOP, Outcome.REFUSED)
    assert first.stop_answer is StopAnswer.REFUSED
    later = acknowledged(stopping(stop_attempts=2), A.STOP, Outcome.REFUSED)
    assert later.stop_answer is StopAnswer.NONE


def test_stop_whose_answer_got_lost_may_be_ours_or_not() -> None:
    assert acknowledged(stopping(), A.STOP, Outcome.UNCERTAIN) == stopping()


def test_stop_that_was_not_sent_leaves_the_record_of_those_that_were() -> None:
    """Its time must not make an operator's stop look like ours."""
    before = stopping(stop_answer=StopAnswer.REFUSED, stop_asked_epoch=EPOCH, stop_last_asked_epoch=EPOCH + 9)
    again = step(before, seen(P.RUNNING))
    assert again.action is A.STOP and again.drain != before
    assert acknowledged(again.drain, A.STOP, Outcome.NOT_SENT, before) == before
    first = step(draining(), seen(reading=reading(quiet=True, busy=0, idle=True))).drain
    assert (first.state, first.stop_attempts) == (S.STOPPING, 1)
    assert acknowledged(first, A.STOP, Outcome.NOT_SENT, draining()).stop_attempts == 0


def test_stop_is_sent_again_only_to_a_process_that_no_stop_reached() -> None:
    assert outcome(step(stopping(), seen(P.STOPPING))) == (S.STOPPING, None)
    assert outcome(step(stopping(), seen(P.RUNNING))) == (S.STOPPING, A.STOP)
    accepted = stopping(stop_answer=StopAnswer.ACCEPTED)
    assert outcome(step(accepted, seen(P.RUNNING))) == (S.STOPPING, None)


def test_stop_that_takes_out_is_sent_again_only_while_peers_suffice() -> None:
    record = stopping(is_quiet=False, quiet_attempts=0)
    assert step(record, seen(P.RUNNING)).wants_answer
    alone = seen(P.RUNNING, asked=True, answer=answer(others=0))
    assert outcome(step(record, alone)) == (S.LET_GO, None)
    slot_lost = seen(P.RUNNING, asked=True, answer=answer(Cause.SLOTS_TAKEN))
    assert outcome(step(record, slot_lost)) == (S.LET_GO, None)
    together = seen(P.RUNNING, asked=True, answer=answer())
    assert outcome(step(record, together)) == (S.STOPPING, A.STOP)
    told = stopping(is_quiet=False, quiet_attempts=1)
    assert outcome(step(told, alone)) == (S.STOPPING, None), "it may be quiet: it is not forgotten"


def test_start_waits_for_the_old_tree_but_no_longer_than_stopwaitsecs() -> None:
    record = stopping(stop_answer=StopAnswer.ACCEPTED, tree=(ProcessId(PID, 1.0), ProcessId(101, 2.0)))
    alive = seen(P.STOPPED, stop=EPOCH, survivors=(101,))
    waiting = step(record, alive)
    assert outcome(waiting) == (S.STOPPING, None)
    assert outcome(step(waiting.drain, alive, now=NOW + 9.9)) == (S.STOPPING, None)
    late = step(waiting.drain, alive, now=NOW + 10.0)
    assert outcome(late) == (S.STARTING, A.START)
    assert "101" in late.cause
    gone = step(waiting.drain, seen(P.STOPPED, stop=EPOCH), now=NOW + 1.0)
    assert (outcome(gone), gone.cause) == ((S.STARTING, A.START), "")


def test_worker_that_ended_by_itself_before_a_first_stop_is_supervisords_matter() -> None:
    record = stopping(stop_answer=StopAnswer.REFUSED, is_quiet=False, quiet_attempts=0)
    assert outcome(step(record, seen(P.EXITED, stop=EPOCH))) == (S.LET_GO, None)
    quieted = stopping(stop_answer=StopAnswer.REFUSED)
    assert outcome(step(quieted, seen(P.EXITED, stop=EPOCH))) == (S.STARTING, A.START)


# --- starting -------------------------------------------------------------------------------------


def starting(**values: Any) -> Drain:
    defaults = {"stopped_start": START, "start_attempts": 1, "next_start_at": NOW, "stop_sent_at": 90.0}
    return drain(S.STARTING, **{**defaults, **values})


@pytest.mark.parametrize("state", [P.STOPPED, P.EXITED, P.FATAL])
def test_start_that_fails_is_tried_again_with_a_growing_pause(state: ProcessState) -> None:
    record, now, pauses = starting(), NOW, []
    for _ in range(9):
        taken = step(record, seen(state), now=now)
        assert outcome(taken) == (S.STARTING, A.START)
        record = taken.drain
        assert outcome(step(record, seen(state), now=record.next_start_at - 0.1)) == (S.STARTING, None)
        pauses.append(record.next_start_at - now)
        now = record.next_start_at
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60, 60]


def test_started_then_stopped_by_somebody_stays_stopped() -> None:
    observed = seen(P.STOPPED, start=EPOCH, stop=EPOCH + 5)
    assert outcome(step(starting(), observed, now=9999.0)) == (S.LET_GO, None)


def test_start_in_backoff_is_supervisords_to_repeat() -> None:
    assert outcome(step(starting(), seen(P.BACKOFF, start=EPOCH), now=9999.0)) == (S.STARTING, None)


def test_fresh_process_is_watched() -> None:
    for state in (P.STARTING, P.RUNNING):
        taken = step(starting(), seen(state, pid=7, start=EPOCH))
        assert outcome(taken) == (S.SETTLING, None)
        assert (taken.drain.pid, taken.drain.start) == (7, EPOCH)
        assert taken.drain.stopped_seconds == 10.0


# --- settling -------------------------------------------------------------------------------------


def settling(**values: Any) -> Drain:
    defaults = {"quiet_attempts": 1, "stop_attempts": 1, "running_since": 90.0, "start_attempts": 1}
    return drain(S.SETTLING, **{**defaults, **values})


@pytest.mark.parametrize(
    ("what", "now", "observed", "expected"),
    [
        ("settled and in service", 100.0, reading(), S.DONE),
        ("not settled yet", 99.0, reading(), S.SETTLING),
        ("kind finds it wanting", 100.0, reading(in_service=False), S.SETTLING),
        ("kind does not know", 100.0, reading(in_service=None), S.SETTLING),
        ("no reading", 100.0, None, S.SETTLING),
        ("our quiet reached it late", 100.0, reading(quiet=True, in_service=False), S.DRAINING),
    ],
)
def test_done_only_when_seen_in_service(what: str, now: float, observed: Any, expected: State) -> None:
    assert outcome(step(settling(), seen(reading=observed), now=now)) == (expected, None), what


def test_settle_counts_from_running_and_anew_for_each_process() -> None:
    taken = step(settling(), seen(P.STARTING), now=200.0)
    assert taken.drain.running_since is None
    taken = step(taken.drain, seen(reading=reading()), now=201.0)
    assert taken.drain.running_since == 201.0
    another = step(taken.drain, seen(pid=8, start=EPOCH, reading=reading()), now=250.0)
    assert outcome(another) == (S.SETTLING, None)
    assert another.drain.running_since == 250.0


def test_fresh_process_stopped_by_somebody_stays_stopped() -> None:
    assert outcome(step(settling(), seen(P.STOPPED, stop=EPOCH))) == (S.LET_GO, None)


def test_fresh_process_that_ends_by_itself_is_started_again_after_the_pause() -> None:
    taken = step(settling(next_start_at=NOW + 1), seen(P.EXITED, start=EPOCH, stop=EPOCH))
    assert outcome(taken) == (S.STARTING, None)
    again = step(taken.drain, seen(P.EXITED, start=EPOCH, stop=EPOCH), now=NOW + 1)
    assert outcome(again) == (S.STARTING, A.START)


def test_what_a_fresh_process_needs_is_what_it_had_once_it_had_settled() -> None:
    """Its kind may see it in service much later, when it has worked for long."""
    early = step(settling(), seen(reading=reading(in_service=None), memory_bytes=50)).drain
    assert (early.state, early.memory_after_bytes) == (S.SETTLING, 50)
    late = step(early, seen(reading=reading(), memory_bytes=300)).drain
    assert (late.state, late.memory_after_bytes) == (S.DONE, 50)
    another = step(early, seen(pid=77, start=START + 50, reading=reading(in_service=None))).drain
    assert another.memory_after_bytes is None


def test_fresh_process_that_a_late_quiet_suspended_is_woken() -> None:
    observed = seen(reading=reading(recognised=False, in_service=False, frozen=True))
    assert outcome(step(settling(), observed)) == (S.SETTLING, A.THAW)


# --- the record -----------------------------------------------------------------------------------


def test_record_survives_json() -> None:
    record = stopping(
        stop_answer=StopAnswer.ACCEPTED, tree=(ProcessId(5, 1.25),), note={"b1": 1.5, "identity": "h:5:x"}
    )
    assert from_json(json.loads(json.dumps(to_json(record)))) == record


def test_record_of_an_earlier_version_lacks_what_came_later() -> None:
    values = to_json(stopping())
    for name in ("stop_margin_seconds", "memory_after_bytes", "stop_last_asked_epoch"):
        del values[name]
    read = from_json(values)
    assert (read.stop_margin_seconds, read.memory_after_bytes, read.stop_last_asked_epoch) == (5.0, None, 0)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("since", [True, "5", float("nan"), 2**63, -(2**63)]),
        ("pid", [True, 1.0, -1, 2**63]),
        ("worker", [None, 7]),
        ("is_quiet", [None, 1]),
        ("note", [None, []]),
    ],
)
def test_record_with_a_value_of_another_sort_is_none(name: str, values: Sequence[object]) -> None:
    for wrong in values:
        with pytest.raises(ValueError, match=r"is no|is neither"):
            from_json({**to_json(stopping()), name: wrong})


@pytest.mark.parametrize(
    ("record", "touched", "is_out"),
    [
        (drain(S.ASKING), False, False),
        (drain(S.ASKING, is_quiet=True), True, True),
        (quieting(), True, False),
        (draining(), True, True),
        (draining(is_quiet=False), True, False),
        (stopping(is_quiet=False, quiet_attempts=0), True, False),
        (stopping(is_quiet=False, quiet_attempts=0, stop_answer=StopAnswer.ACCEPTED), True, True),
        (stopping(), True, True),
        (starting(), False, True),
        (settling(), True, True),
    ],
)
def test_record_tells_whether_the_worker_was_touched_and_is_out(
    record: Drain, touched: bool, is_out: bool
) -> None:
    assert (record.touched, record.is_out) == (touched, is_out)


# --- figures and corners that a wrong sign would move -------------------------------------------------


def test_no_reading_at_all_counts_as_a_protected_job() -> None:
    assert outcome(step(draining(), seen(reading=None), now=9999.0, protect_jobs=("Imp*",))) == (
        S.DRAINING,
        None,
    )


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"stop_answer": StopAnswer.REFUSED, "is_quiet": False, "quiet_attempts": 0}, S.LET_GO),
        ({"stop_answer": StopAnswer.NONE, "is_quiet": False, "quiet_attempts": 0}, S.STARTING),
        ({"stop_answer": StopAnswer.NONE, "stop_attempts": 0, "quiet_attempts": 0}, S.LET_GO),
        ({"stop_answer": StopAnswer.NONE, "stop_attempts": 0, "quiet_attempts": 1}, S.STARTING),
        ({"stop_answer": StopAnswer.REFUSED, "is_quiet": True, "quiet_attempts": 0}, S.LET_GO),
        (
            {
                "stop_answer": StopAnswer.REFUSED,
                "is_quiet": True,
                "quiet_attempts": 0,
                "reason": "adopted",
            },
            S.STARTING,
        ),
        ({"stop_answer": StopAnswer.REFUSED, "is_quiet": False, "quiet_attempts": 1}, S.STARTING),
    ],
)
def test_worker_that_ended_by_itself_is_started_unless_nothing_was_done_to_it(
    record: dict[str, Any], expected: State
) -> None:
    assert outcome(step(stopping(**record), seen(P.EXITED, stop=EPOCH)))[0] is expected


def test_time_of_the_first_stop_that_may_have_gone_out_is_kept() -> None:
    later = seen(P.RUNNING, now=EPOCH + 50)
    assert step(stopping(stop_attempts=1), later).drain.stop_asked_epoch == EPOCH
    assert step(stopping(stop_attempts=0), later).drain.stop_asked_epoch == EPOCH + 50


@pytest.mark.parametrize(("offset", "ours"), [(-6, False), (-5, True), (15, True), (16, False)])
def test_stop_time_fits_within_stopwaitsecs_and_the_margin(offset: int, ours: bool) -> None:
    taken = step(stopping(), seen(P.STOPPED, stop=EPOCH + offset))
    assert outcome(taken)[0] is (S.STARTING if ours else S.LET_GO)


def test_stopped_seconds_count_from_when_it_was_seen_to_end() -> None:
    """A worker that ended by itself has no stop of ours to count from."""
    ended = step(draining(), seen(P.EXITED, stop=EPOCH), now=100.0)
    fresh = step(ended.drain, seen(P.STARTING, pid=7, start=EPOCH), now=103.0)
    assert fresh.drain.stopped_seconds == 3.0
    waiting = stopping(stop_answer=StopAnswer.ACCEPTED, stopped_seen_at=95.0)
    assert step(waiting, seen(P.STOPPED, stop=EPOCH), now=100.0).drain.stopped_seen_at == 95.0


@pytest.mark.parametrize("state", [P.STARTING, P.RUNNING])
def test_what_runs_after_our_start_is_fresh_whatever_its_pid(state: ProcessState) -> None:
    """It was seen ended before; a pid may come round, and a clock that was set back brings a time again."""
    assert outcome(step(starting(), seen(state))) == (S.SETTLING, None)


def test_process_that_supervisord_could_not_kill_is_no_fresh_one() -> None:
    """Its state is UNKNOWN, and it has the old pid still."""
    assert outcome(step(starting(), seen(P.UNKNOWN, pid=PID))) == (S.STARTING, None)


def test_quiet_of_a_kind_that_must_not_repeat_it_is_not_repeated() -> None:
    careful = Traits(quiets=True, confirms_quiet=True)
    taken = step(quieting(), seen(reading=reading(), asked=True, answer=answer()), now=999.0, traits=careful)
    assert outcome(taken) == (S.QUIETING, None)


def test_start_that_somebody_stops_is_waited_for() -> None:
    observed = seen(P.STOPPING, pid=7, start=EPOCH)
    assert outcome(step(starting(), observed)) == (S.STARTING, None)


@pytest.mark.parametrize(("state", "since"), [(P.RUNNING, NOW), (P.STARTING, None)])
def test_running_counts_from_running(state: ProcessState, since: float | None) -> None:
    assert step(starting(), seen(state, pid=7, start=EPOCH)).drain.running_since == since


def test_quiet_that_is_not_ours_is_not_answered_with_a_restart() -> None:
    record = settling(quiet_attempts=0)
    taken = step(record, seen(reading=reading(quiet=True, in_service=False)))
    assert outcome(taken) == (S.SETTLING, None)


def test_backoff_in_settling_is_supervisords_to_repeat() -> None:
    taken = step(settling(), seen(P.BACKOFF, start=EPOCH))
    assert outcome(taken) == (S.SETTLING, None)
    assert (taken.drain.pid, taken.drain.start) == (PID, START)


@pytest.mark.parametrize("state", [S.QUIETING, S.DRAINING, S.RESUMING])
@pytest.mark.parametrize("process", [P.STOPPING, P.STARTING, P.BACKOFF])
def test_process_that_is_on_its_way_is_waited_for_though_the_time_is_over(
    state: State, process: ProcessState
) -> None:
    record = drain(state, is_quiet=True, quiet_attempts=1)
    assert outcome(step(record, seen(process), now=9999.0)) == (state, None)


def test_kind_that_cannot_resume_is_told_nothing_of_the_sort() -> None:
    """on_timeout was another kind's, or an option of this one went."""
    quiet = step(drain(S.RESUMING, quiet_attempts=1), seen(reading=reading(quiet=True)))
    assert outcome(quiet) == (S.STOPPING, A.STOP)
    unknown = step(drain(S.RESUMING, quiet_attempts=1), seen(reading=None))
    assert outcome(unknown) == (S.RESUMING, None)
    assert unknown.wants_answer


@pytest.mark.parametrize(
    ("attempts", "given", "expected"),
    [
        (0, {}, (S.LET_GO, None)),
        (1, {}, (S.STOPPING, None)),
        (1, {"asked": True, "answer": answer(others=0)}, (S.STOPPING, None)),
        (1, {"asked": True, "answer": answer()}, (S.STOPPING, A.STOP)),
    ],
)
def test_stop_that_got_lost_is_not_repeated_on_a_worker_that_was_put_back_to_work(
    attempts: int, given: dict[str, Any], expected: tuple[State, Action | None]
) -> None:
    """Unless its peers suffice: it is in service again."""
    record = stopping(quiet_attempts=attempts)
    taken = step(record, seen(reading=reading(quiet=False), **given))
    assert outcome(taken) == expected
    assert taken.wants_answer is (attempts == 1 and not given)
    still_quiet = step(record, seen(reading=reading(quiet=True)))
    assert outcome(still_quiet) == (S.STOPPING, A.STOP)
