"""When the listener must do something without an event of supervisord."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from supervisor_memkill.clock import Clock
from supervisor_memkill.config.values import Config

MAX_TICK_DELAY_SECONDS = 5.0


class Schedule:
    """The times of the next check, of the next one that counts strikes, and of the end of a delay."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._check_at: float | None = None
        self._tick_at: float | None = None
        self._rests_until = 0.0
        self._stepped_at = 0.0

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

    def stepped(self) -> None:
        """Every drain did a step."""
        self._stepped_at = self._clock()

    def rest(self, seconds: float) -> None:
        """Wait at least this time, whatever is due: after a failed turn."""
        self._rests_until = self._clock() + seconds

    def wait_seconds(
        self, other: float | None, step_after_seconds: float | None = None, steps_at: Iterable[float] = ()
    ) -> float | None:
        """Seconds until something is due; None: nothing is due. `other`: until something else is due.

        `step_after_seconds`: from one step of the drains to the next; None: there is no drain. `steps_at`:
        when a step is due earlier, unless one was done since.
        """
        now = self._clock()
        dues = [due for due in (self._check_at, self._tick_at) if due is not None]
        if other is not None:
            dues.append(now + other)
        if step_after_seconds is not None:
            dues.append(self._stepped_at + step_after_seconds)
            dues += [at for at in steps_at if at > self._stepped_at]
        return max(0.0, min(dues) - now, self._rests_until - now) if dues else None


def tick_delay_seconds(config: Config) -> float:
    """All hosts get their TICK in the same second: each host delays its report by another time."""
    share = zlib.crc32(config.host.encode()) / 2**32
    return share * min(config.heartbeat_seconds / 2, MAX_TICK_DELAY_SECONDS)
