"""Too little memory is left on the machine: which worker is taken before the kernel chooses. Pure."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.rules.drain import Drain, State
from supervisor_memkill.units import format_size

URGENT_SHARE = 0.5
"""Below this share of min_free there is no time for running jobs."""
URGENT_SECONDS = 10.0
"""Nor if what is left will be used up in this time, as fast as memory is used now."""
RELIEF_SECONDS = 30.0
"""A stop that takes longer gives no memory back in time, whatever stopwaitsecs is."""
URGENT_STALL_PERCENT = 10.0
"""Nor if all processes waited for memory for this share of the last 10 s (PSI, "full avg10")."""


class Yields(enum.Enum):
    """Whether a pool's workers may be taken when the machine's memory runs short."""

    NO = "no"
    YES = "yes"
    ALWAYS = "always"
    """Even if too few other workers are in service, when there is no time left."""


@dataclass(frozen=True)
class Shortage:
    """Less memory than `min_free` is left."""

    free_bytes: int
    min_free_bytes: int
    is_urgent: bool
    """There is no time for running jobs."""
    urgent_since: float | None = None
    """Since when, on the boot clock; None: there is time, or that is unknown."""

    @property
    def reason(self) -> Reason:
        return Reason.MIN_FREE_NOW if self.is_urgent else Reason.MIN_FREE

    @property
    def words(self) -> str:
        """For an operator."""
        left = f"{format_size(self.free_bytes)} left, below min_free ({format_size(self.min_free_bytes)})"
        return f"{left}, and no time for running jobs" if self.is_urgent else left


def judge(
    free_bytes: int, min_free_bytes: int, used_per_second: float, stalled_percent: float
) -> Shortage | None:
    """Whether too little is left; None: enough is left.

    `used_per_second`: bytes by which the free memory shrinks. `stalled_percent`: see `URGENT_STALL_PERCENT`.
    """
    if free_bytes >= min_free_bytes:
        return None
    is_urgent = (
        free_bytes < min_free_bytes * URGENT_SHARE
        or free_bytes < used_per_second * URGENT_SECONDS
        or stalled_percent >= URGENT_STALL_PERCENT
    )
    return Shortage(free_bytes, min_free_bytes, is_urgent)


def is_relief_under_way(
    drains: Collection[Drain], settle_seconds: Mapping[str, float], shortage: Shortage, now: float
) -> bool:
    """A worker is being replaced for the machine, or stops already: its memory comes back first.

    Each way to relief has a limit in time: meanwhile no other worker is taken. `settle_seconds`: `settle` by
    pool.
    """
    return any(
        _gives_relief(drain, shortage, now)
        for drain in drains
        if not drain.why_not_back(settle_seconds.get(drain.pool, 0.0), now)
    )


def _gives_relief(drain: Drain, shortage: Shortage, now: float) -> bool:
    """Soon. A worker that does not come back into service, which was ruled out, has no memory to give."""
    if drain.state is State.STOPPING:
        return now - drain.since < RELIEF_SECONDS
    if drain.state is State.STARTING:
        return True
    if not drain.reason.is_for_machine or drain.state is State.ASKING:
        return False
    if drain.state is State.SETTLING:
        return True
    if shortage.urgent_since is not None:
        # Its next step is its stop, if it can be stopped.
        return now - shortage.urgent_since < URGENT_SECONDS
    return now < drain.deadline


def asks_for_machine(drains: Mapping[str, Drain]) -> str | None:
    """The worker whose drain for the machine waits for its slot."""
    waiting = (d.worker for d in drains.values() if d.reason.is_for_machine and d.state is State.ASKING)
    return next(waiting, None)
