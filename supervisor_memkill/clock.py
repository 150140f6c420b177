"""The clock that deadlines are measured on."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds on a clock that nobody can set, and that includes the time in which the machine sleeps."""

    def __call__(self) -> float: ...


def boot_clock() -> float:
    """Seconds since boot, including suspension if the system supports that (CLOCK_BOOTTIME).

    The value is comparable between processes of one boot, so it may stand in the journal.
    """
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
