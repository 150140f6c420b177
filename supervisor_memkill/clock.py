"""The clock that deadlines are measured on."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds on a clock that nobody can set and that goes on while the machine sleeps."""

    def __call__(self) -> float: ...


def boot_clock() -> float:
    """Seconds since boot, suspension included where the system can tell (CLOCK_BOOTTIME).

    The value is comparable between processes of one boot, so it may stand in the journal.
    """
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
