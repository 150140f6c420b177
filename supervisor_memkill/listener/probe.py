"""The one moment per second in which the listener reads how much memory is left, for all that watch it."""

from __future__ import annotations

import math
from typing import Protocol

from supervisor_memkill.clock import Clock

PROBE_SECONDS = 1.0


class Watch(Protocol):
    """Watches something between two checks."""

    @property
    def is_watching(self) -> bool:
        """False: there is nothing to watch now."""
        ...


class Probe:
    """When the next reading is due."""

    def __init__(self, clock: Clock, *watches: Watch) -> None:
        self._clock = clock
        self._watches = watches
        self._due_at = -math.inf

    @property
    def wait_seconds(self) -> float | None:
        """Seconds until the next reading; None: nothing is watched."""
        if not any(watch.is_watching for watch in self._watches):
            return None
        return max(0.0, self._due_at - self._clock())

    def begins(self) -> bool:
        """Whether a reading is due. True: each watch looks now, and the next reading is a second later."""
        if self.wait_seconds != 0.0:
            return False
        self._due_at = self._clock() + PROBE_SECONDS
        return True
