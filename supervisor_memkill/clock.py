"""The clock that deadlines are measured on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime


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


def local_time() -> datetime:
    """The machine's local time, without a time zone; also after the time zone of the machine was changed.

    The C library reads /etc/localtime once per process, and again only after tzset.
    """
    from datetime import datetime  # Few listeners need it.

    time.tzset()
    return datetime.now()  # noqa: DTZ005 - local time is asked for
