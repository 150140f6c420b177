"""What a drain that is over leaves behind: how long its worker is not drained again, and a late quiet.

Pure. Times are seconds on the boot clock.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TypeGuard

from supervisor_memkill.rules.back_off import BackOff, BackOffCause, is_below_baseline, next_back_off
from supervisor_memkill.rules.causes import StepCause
from supervisor_memkill.rules.drain import Drain, State

Lives = Mapping[str, tuple[int, int]]
"""By worker, the pid and start of a process."""


def back_offs_after(
    before: Drain, drain: Drain, back_offs: Mapping[str, BackOff], now: float
) -> Mapping[str, BackOff]:
    """The back-offs of all workers after the end of this drain; `before` is its record before the end."""
    worker, former = drain.worker, back_offs.get(drain.worker)
    if drain.state is State.DONE:
        others = {name: one for name, one in back_offs.items() if name != worker}
        back_off = _after_done(drain, former, now)
        return others if back_off is None else {**others, worker: back_off}
    if drain.touched and before.state is State.RESUMING:
        # It still has the same jobs: a drain at once would end by resume again.
        return {**back_offs, worker: next_back_off(former, now, BackOffCause.AFTER_RESUME)}
    if not drain.touched and before.state is State.QUIETING:
        return {**back_offs, worker: next_back_off(former, now, BackOffCause.NOT_BEGUN)}
    return back_offs


def _after_done(drain: Drain, former: BackOff | None, now: float) -> BackOff | None:
    after, limit, before = drain.memory_after_bytes, drain.limit_bytes, drain.memory_before_bytes
    if after is None:
        return former if _may_stay(former, drain) else None
    if drain.reason.takes_largest and before is not None and is_below_baseline(after, before):
        was_below = former is not None and former.cause is BackOffCause.BELOW_BASELINE
        if not was_below or not limit or not is_below_baseline(after, limit):
            return next_back_off(former, now, BackOffCause.NOTHING_GAINED, memory_bytes=after)
        # NOTHING_GAINED would let a drain for the limit follow, and that one frees nothing, as is known.
        return next_back_off(former, now, BackOffCause.BELOW_BASELINE, limit, after)
    if drain.reason.is_own_limit and limit and is_below_baseline(after, limit):
        return next_back_off(former, now, BackOffCause.BELOW_BASELINE, limit, after)
    if _may_stay(former, drain) and former.is_shown_again_by(after):
        # What the process before it needed could hold a drain that gains something by now.
        return dataclasses.replace(former, memory_bytes=after)
    return None


def _may_stay(former: BackOff | None, drain: Drain) -> TypeGuard[BackOff]:
    """This drain, too, may end with a process that would free nothing.

    A restart for another reason, such as max_age, would else begin the row of delays anew each time.
    """
    if former is None or not former.cause.frees_nothing:
        return False
    is_for_memory = drain.reason.is_own_limit or drain.reason.takes_largest
    return former.cause is BackOffCause.BELOW_BASELINE or not is_for_memory


def late_quiets_after(before: Drain, drain: Drain, cause: StepCause | None, lives: Lives) -> Lives:
    """The processes that may turn quiet yet, although no drain of theirs is under way.

    Such a worker takes jobs when its drain ends, and the quiet that was sent may still take effect. After a
    resume it does not: the worker handles both in the order in which they were sent.
    """
    if before.state is State.ASKING:
        return lives
    others = {worker: life for worker, life in lives.items() if worker != drain.worker}
    if drain.quiet_attempts > 0 and cause is StepCause.QUIET_LOST:
        return {**others, drain.worker: (drain.pid, drain.start)}
    return others
