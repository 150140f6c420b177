"""A page is made at most once at a time, and at most about once a second, however many people look at it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from supervisor_memkill.clock import Clock

T = TypeVar("T")

FRESH_SECONDS = 1.0
LOOKS_SHARE = 10
"""What took long to make is kept so many times longer."""
MOST_FRESH_SECONDS = 30.0
WAIT_SECONDS = 10.0


class MadeOnce(Generic[T]):
    """What `make` gives, which may be as old as it takes to make it, times `LOOKS_SHARE`."""

    def __init__(self, make: Callable[[], T], clock: Clock, wait_seconds: float = WAIT_SECONDS) -> None:
        self._make = make
        self._clock = clock
        self._wait_seconds = wait_seconds
        self._lock = threading.Lock()
        self._made: T | None = None
        self._fresh_until = float("-inf")

    def get(self) -> T | None:
        """None: another thread makes it, and is not ready in time. Raises what `make` raises."""
        if not self._lock.acquire(timeout=self._wait_seconds):
            return None
        try:
            began = self._clock()
            if began >= self._fresh_until:
                self._made = self._make()
                now = self._clock()
                kept_seconds = max(FRESH_SECONDS, LOOKS_SHARE * (now - began))
                self._fresh_until = now + min(kept_seconds, MOST_FRESH_SECONDS)
            return self._made
        finally:
            self._lock.release()
