"""When the listener must do something without an event of supervisord."""

from __future__ import annotations

from collections.abc import Iterable

from supervisor_memkill.clock import Clock


class Schedule:
    """The times of the next check, of the next one that counts strikes, and of the end of a delay."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._check_at: float | None = None
        self._tick_at: float | None = None
        self._rests_until = 0.0

    @property
    def is_check_due(self) -> bool:
        return self._is_due(self._check_at)

    @property
    def is_tick_due(self) -> bool:
        """A TICK came, and its delay is over: the check counts strikes."""
        return self._is_due(self._tick_at)

    def _is_due(self, at: float | None) -> bool:
        return at is not None and self._clock() >= at

    def check_within(self, seconds: float) -> None:
        """Make the next check no later than in this time; an earlier check stays."""
        due = self._clock() + seconds
        self._check_at = due if self._check_at is None else min(due, self._check_at)

    def ticked(self, delay_seconds: float) -> None:
        """A TICK came: after the delay a check that counts strikes is due."""
        if self._tick_at is None:
            self._tick_at = self._clock() + delay_seconds

    def check_begins(self, *, counts: bool) -> None:
        """A check begins: none is due any more. `counts`: it is one that counts strikes."""
        self._check_at = None
        if counts:
            self._tick_at = None

    def rest(self, seconds: float) -> None:
        """Wait at least this time, whatever is due: after a failed turn."""
        self._rests_until = self._clock() + seconds

    def wait_seconds(self, others: Iterable[float]) -> float | None:
        """Seconds until something is due; `others`: further waits in seconds. None: nothing is due."""
        now = self._clock()
        waits = [max(0.0, due - now) for due in (self._check_at, self._tick_at) if due is not None]
        waits += others
        return max(min(waits), self._rests_until - now) if waits else None
