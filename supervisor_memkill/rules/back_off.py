"""For how long a worker is not drained again, after a drain that freed no memory or did not begin. Pure."""

from __future__ import annotations

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.worded import Worded

NEAR_LIMIT = 0.9
"""A new process above this share of its limit shows that the limit is below its baseline."""
BACK_OFF_SECONDS, MAX_BACK_OFF_SECONDS = 600.0, 86400.0
"""How long such a worker is not drained again. It doubles each time in a row, up to the maximum."""
NOT_BEGUN_SECONDS, MAX_NOT_BEGUN_SECONDS = 15.0, 600.0
"""The same for a worker whose drain could not begin: other workers are drained first."""


class BackOffCause(Worded):
    """Why a worker is not drained again at once."""

    BELOW_BASELINE = "below_baseline", "a new process needs about as much as the limit"
    NOTHING_GAINED = "nothing_gained", "its last drain gave no memory back"
    AFTER_RESUME = "after_resume", "its last drain ended by on_timeout = resume"
    NOT_BEGUN = "not_begun", "the request to take no new job could not be sent"

    @property
    def frees_nothing(self) -> bool:
        """A new process of the worker used about as much memory as the old one, or as the limit."""
        return self in (BackOffCause.BELOW_BASELINE, BackOffCause.NOTHING_GAINED)


@dataclass(frozen=True)
class BackOff:
    """A worker is not drained again before a time on the boot clock."""

    until: float
    seconds: float
    """The whole delay: the next one in a row is twice as long."""
    cause: BackOffCause
    limit_bytes: int = 0
    """It applies only while this is the limit; 0: it applies with any limit."""
    memory_bytes: int | None = None
    """What the new process used, if the cause `frees_nothing`; None: unknown."""

    def applies(
        self,
        reason: Reason,
        limit_bytes: int | None,
        now: float,
        hard_limit_bytes: int | None = None,
        memory_bytes: int | None = None,
    ) -> bool:
        """A drain that frees no memory is no reason against a drain that is not for memory.

        Nor against one for the hard limit, unless a new process uses about as much: that one needs no quiet,
        and does not end by resume. `memory_bytes`: what the worker uses now; None: unknown.
        """
        if now >= self.until or self.limit_bytes not in (0, limit_bytes):
            return False
        if reason is Reason.HARD_MAX_RSS:
            return self._makes_a_loop(hard_limit_bytes)
        if not self.cause.frees_nothing:
            return reason is not Reason.MIN_FREE_NOW
        if reason.takes_largest:
            return self._gains_nothing(reason, memory_bytes)
        # After NOTHING_GAINED, one drain for its own limit may follow. It reports a limit below the baseline,
        # and BELOW_BASELINE then holds the drains for both.
        return self.cause is BackOffCause.BELOW_BASELINE and reason.is_own_limit

    def is_shown_again_by(self, memory_bytes: int) -> bool:
        """A new process with this much memory would free as little as the one that this is about."""
        least = self.limit_bytes or self.memory_bytes
        return least is not None and is_below_baseline(memory_bytes, least)

    def _gains_nothing(self, reason: Reason, memory_bytes: int | None) -> bool:
        """A worker that has grown since then can give memory to the machine."""
        if self.cause is BackOffCause.NOTHING_GAINED and reason is Reason.MAX_TOTAL_RSS:
            return True
        if self.memory_bytes is None or memory_bytes is None:
            return True
        return is_below_baseline(self.memory_bytes, memory_bytes)

    def _makes_a_loop(self, hard_limit_bytes: int | None) -> bool:
        """A new process may be above the hard limit at once."""
        if self.cause is not BackOffCause.BELOW_BASELINE:
            return False
        if self.memory_bytes is None or hard_limit_bytes is None:
            return True
        return is_below_baseline(self.memory_bytes, hard_limit_bytes)


def is_below_baseline(memory_bytes: int, limit_bytes: int) -> bool:
    """A new process with this much memory will soon be over its limit again."""
    return memory_bytes >= limit_bytes * NEAR_LIMIT


def next_back_off(
    before: BackOff | None,
    now: float,
    cause: BackOffCause,
    limit_bytes: int = 0,
    memory_bytes: int | None = None,
) -> BackOff:
    """The delay after a drain that freed no memory; `before` is the worker's last one.

    Two drains that freed nothing are in a row, also if one was for the limit and the other for the machine.
    """
    seconds, maximum = BACK_OFF_SECONDS, MAX_BACK_OFF_SECONDS
    if cause is BackOffCause.NOT_BEGUN:
        seconds, maximum = NOT_BEGUN_SECONDS, MAX_NOT_BEGUN_SECONDS
    if before is not None and _is_in_a_row(before, cause, limit_bytes):
        seconds = min(before.seconds * 2, maximum)
    return BackOff(now + seconds, seconds, cause, limit_bytes, memory_bytes)


def _is_in_a_row(before: BackOff, cause: BackOffCause, limit_bytes: int) -> bool:
    if before.cause is cause:
        return before.limit_bytes == limit_bytes
    return before.cause.frees_nothing and cause.frees_nothing
