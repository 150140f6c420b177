"""What the listener has to do when, without an event of supervisord."""

from __future__ import annotations

from collections.abc import Iterable

from supervisor_memkill.clock import Clock


class Schedule:
    """The next check, the next check that counts strikes, and the rest after a turn that failed."""

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
        """A TICK came, and its moment is there: this check counts."""
        return self._is_due(self._tick_at)

    def _is_due(self, at: float | None) -> bool:
        return at is not None and self._clock() >= at

    def check_within(self, seconds: float) -> None:
        """No later than that; an earlier check stays."""
        due = self._clock() + seconds
        self._check_at = due if self._check_at is None else min(due, self._check_at)

    def ticked(self, delay_seconds: float) -> None:
        """A TICK came: the check that counts follows after the delay."""
        if self._tick_at is None:
            self._tick_at = self._clock() + delay_seconds

    def check_begins(self, *, counts: bool) -> None:
        """What was due is done with this check."""
        self._check_at = None
        if counts:
            self._tick_at = None

    def rest(self, seconds: float) -> None:
        """Nothing before that, whatever is due: tried again at once it would fail again."""
        self._rests_until = self._clock() + seconds

    def wait_seconds(self, others: Iterable[float]) -> float | None:
        """How long until something is due, one of `others` (seconds) included; None: nothing is."""
        now = self._clock()
        waits = [max(0.0, due - now) for due in (self._check_at, self._tick_at) if due is not None]
        waits += others
        return max(min(waits), self._rests_until - now) if waits else None
