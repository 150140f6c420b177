"""What a drain that is over leaves behind."""

from __future__ import annotations

import dataclasses

import pytest

from supervisor_memkill.rules.after_drain import back_offs_after, late_quiets_after
from supervisor_memkill.rules.back_off import BACK_OFF_SECONDS, BackOff, BackOffCause, next_back_off
from supervisor_memkill.rules.causes import Reason, StepCause
from supervisor_memkill.rules.drain import Drain
from tests.builders import PID, START, drain
from tests.rules.steps import NOW, S, quieting, settling

OTHER = next_back_off(None, 5.0, BackOffCause.AFTER_RESUME)


def back_off(before: Drain, *, is_done: bool, former: BackOff | None = None) -> BackOff | None:
    """The worker's own; that of another worker stays."""
    over = dataclasses.replace(before, state=S.DONE if is_done else S.LET_GO)
    there = {"jobs:two": OTHER} if former is None else {"jobs:two": OTHER, "jobs:one": former}
    found = dict(back_offs_after(before, over, there, NOW))
    assert found.pop("jobs:two") is OTHER and None not in found.values()
    return found.pop("jobs:one", None)


TOTAL = Reason.MAX_TOTAL_RSS


@pytest.mark.parametrize(
    ("what", "before", "cause"),
    [
        ("well within its limit", settling(memory_after_bytes=179), None),
        ("at once near its limit", settling(memory_after_bytes=180), BackOffCause.BELOW_BASELINE),
        ("memory unknown", settling(), None),
        ("as large as before", settling(memory_after_bytes=290), BackOffCause.BELOW_BASELINE),
        ("restarted for its age", settling(memory_after_bytes=180, reason=Reason.MAX_AGE), None),
        ("the same, as large as before", settling(memory_after_bytes=290, reason=Reason.MAX_AGE), None),
        ("without a limit", settling(memory_after_bytes=180, limit_bytes=0), None),
        ("no gain", settling(memory_after_bytes=270, reason=TOTAL), BackOffCause.NOTHING_GAINED),
        ("gain", settling(memory_after_bytes=269, reason=TOTAL), None),
        *(
            (f"{words} for the machine", settling(memory_after_bytes=after, reason=reason), cause)
            for reason in (Reason.MIN_FREE, Reason.MIN_FREE_NOW)
            for words, after, cause in (("no gain", 270, BackOffCause.NOTHING_GAINED), ("gain", 269, None))
        ),
        (
            "memory before unknown",
            settling(memory_after_bytes=270, memory_before_bytes=None, reason=TOTAL),
            None,
        ),
    ],
)
def test_worker_whose_new_process_frees_nothing_is_not_drained_at_once(
    what: str, before: Drain, cause: BackOffCause | None
) -> None:
    found = back_off(before, is_done=True)
    assert (found.cause if found else None) is cause, what


def test_back_off_names_the_limit_that_it_applies_to() -> None:
    found = back_off(settling(memory_after_bytes=190), is_done=True)
    assert found is not None
    assert (found.limit_bytes, found.memory_bytes, found.until) == (200, 190, NOW + BACK_OFF_SECONDS)
    again = back_off(settling(memory_after_bytes=190), is_done=True, former=found)
    assert again is not None and again.seconds == 2 * found.seconds
    assert back_off(settling(memory_after_bytes=100), is_done=True, former=found) is None


def test_back_off_knows_what_the_new_process_used_and_doubles() -> None:
    record = settling(memory_after_bytes=290, reason=Reason.MIN_FREE_NOW)
    found = back_off(record, is_done=True)
    assert found is not None
    assert (found.limit_bytes, found.memory_bytes, found.until) == (0, 290, NOW + BACK_OFF_SECONDS)
    again = back_off(record, is_done=True, former=found)
    assert again is not None and again.seconds == 2 * found.seconds
    assert again.cause is BackOffCause.NOTHING_GAINED, "no drain for its limit has shown that it is too low"


@pytest.mark.parametrize("reason", [TOTAL, Reason.MIN_FREE, Reason.MIN_FREE_NOW])
@pytest.mark.parametrize(("limit", "remains"), [(320, True), (330, False), (0, False)])
def test_limit_below_the_baseline_is_not_forgotten_by_a_drain_for_the_machine_that_frees_nothing(
    reason: Reason, limit: int, remains: bool
) -> None:
    """Otherwise a drain for the limit would follow at once, and one for the machine, for ever."""
    below = next_back_off(None, 5.0, BackOffCause.BELOW_BASELINE, limit, 290)
    record = settling(memory_after_bytes=290, reason=reason, limit_bytes=limit)
    found = back_off(record, is_done=True, former=below)
    cause = BackOffCause.BELOW_BASELINE if remains else BackOffCause.NOTHING_GAINED
    assert found is not None and (found.cause, found.limit_bytes) == (cause, limit if remains else 0)
    assert (found.seconds, found.memory_bytes) == (2 * below.seconds, 290)


BELOW = next_back_off(None, 5.0, BackOffCause.BELOW_BASELINE, 200, 190)
NOTHING = next_back_off(None, 5.0, BackOffCause.NOTHING_GAINED, memory_bytes=190)
RESUMED = next_back_off(None, 5.0, BackOffCause.AFTER_RESUME)


@pytest.mark.parametrize(
    ("what", "former", "reason", "after", "stays"),
    [
        ("the limit is as low as before", BELOW, Reason.MAX_AGE, 180, True),
        ("the limit is as low as before", BELOW, Reason.RESTART, 180, True),
        ("the new process is far below the limit", BELOW, Reason.MAX_AGE, 179, False),
        ("the new process is as large as before", NOTHING, Reason.MAX_AGE, 171, True),
        ("the new process is smaller", NOTHING, Reason.RESTART, 170, False),
        ("its memory is unknown", BELOW, Reason.MAX_AGE, None, True),
        ("its memory is unknown", NOTHING, Reason.MAX_AGE, None, True),
        ("its memory is unknown", BELOW, Reason.MAX_RSS, None, True),
        ("its memory is unknown", NOTHING, Reason.MAX_RSS, None, False),
        ("it had grown, and gave memory back", BELOW, Reason.MIN_FREE, 190, True),
        ("it had grown, and gave memory back", NOTHING, Reason.MIN_FREE, 190, False),
        ("it had grown, and gave memory back", NOTHING, Reason.MAX_RSS, 179, False),
        ("the drain did not end by resume", RESUMED, Reason.MAX_AGE, 190, False),
        ("the drain did not end by resume", RESUMED, Reason.MAX_AGE, None, False),
    ],
)
def test_drain_for_another_reason_ends_a_delay_only_if_its_new_process_is_smaller(
    what: str, former: BackOff, reason: Reason, after: int | None, stays: bool
) -> None:
    """With max_age, too low a limit would else restart the worker some times after each of its ages."""
    record = settling(memory_after_bytes=after, reason=reason, memory_before_bytes=400)
    as_now = former if after is None else dataclasses.replace(former, memory_bytes=after)
    assert back_off(record, is_done=True, former=former) == (as_now if stays else None), what


@pytest.mark.parametrize(("after", "is_held"), [(190, False), (290, True)])
def test_delay_that_stays_goes_by_the_new_process(after: int, is_held: bool) -> None:
    """The process before it may have needed as much as the hard limit, or far less."""
    former = next_back_off(None, 5.0, BackOffCause.BELOW_BASELINE, 200, 480 - after)
    record = settling(memory_after_bytes=after, reason=Reason.RESTART, memory_before_bytes=400)
    found = back_off(record, is_done=True, former=former)
    assert found is not None and found.until == former.until
    assert found.applies(Reason.HARD_MAX_RSS, 200, NOW, hard_limit_bytes=300, memory_bytes=400) is is_held
    assert found.applies(Reason.MIN_FREE, 200, NOW, memory_bytes=310) is is_held


@pytest.mark.parametrize(
    ("what", "before", "cause"),
    [
        ("resumed", drain(S.RESUMING, quiet_attempts=1), BackOffCause.AFTER_RESUME),
        ("resumed and never touched", drain(S.RESUMING), None),
        ("its quiet could not be sent", quieting(quiet_attempts=0), BackOffCause.NOT_BEGUN),
        ("its quiet was lost", quieting(), None),
        ("not begun at all", drain(S.ASKING), None),
        ("stopped by somebody else", settling(), None),
    ],
)
def test_worker_that_was_let_go_is_not_drained_at_once_if_it_would_end_likewise(
    what: str, before: Drain, cause: BackOffCause | None
) -> None:
    found = back_off(before, is_done=False)
    assert (found.cause if found else None) is cause, what


def test_drain_that_is_let_go_ends_no_back_off() -> None:
    assert back_off(settling(), is_done=False, former=OTHER) is OTHER


ANOTHER = {"jobs:two": (8, 9)}


def late(before: Drain, cause: StepCause | None) -> object:
    """Of a worker whose quiet was noted before."""
    over = dataclasses.replace(before, state=S.LET_GO)
    found = dict(late_quiets_after(before, over, cause, {**ANOTHER, "jobs:one": (1, 2)}))
    assert found.pop("jobs:two") == (8, 9)
    return found.pop("jobs:one", None)


def test_quiet_that_was_given_up_as_lost_may_take_effect_yet() -> None:
    assert late(quieting(), StepCause.QUIET_LOST) == (PID, START)


@pytest.mark.parametrize(
    "cause", [StepCause.RESUMED, StepCause.BACK_AT_WORK, StepCause.STOPPED_BY_OTHERS, None]
)
def test_quiet_that_took_effect_is_expected_no_more(cause: StepCause | None) -> None:
    assert late(quieting(), cause) is None


def test_quiet_that_certainly_was_not_sent_is_not_expected() -> None:
    assert late(quieting(quiet_attempts=0), StepCause.QUIET_LOST) is None


def test_drain_that_got_no_slot_changes_nothing_about_an_earlier_quiet() -> None:
    assert late(drain(S.ASKING), StepCause.REFUSED) == (1, 2)
