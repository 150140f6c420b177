"""Watches how much memory the machine has left, once per second (see probe.py), where min_free is set."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from supervisor_memkill.clock import Clock
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.pool_events import MachineRecovered, MachineShort, MachineUnreadable
from supervisor_memkill.rules.shortage import Shortage, judge
from supervisor_memkill.units import Size


class Machine(Protocol):
    """Where the memory of the machine is read; see `world.machine.MachineMemory`."""

    def limit_bytes(self) -> int: ...

    def available_bytes(self) -> int:
        """What the system as a whole can still hand out. Raises OSError."""
        ...

    def free_bytes(self) -> int:
        """What the control group can still use, at most `available_bytes`. Raises OSError."""
        ...

    def stalled_percent(self) -> float: ...


class ShortageWatch:
    """The shortage at the last probe."""

    def __init__(self, min_free: Size | None, machine: Machine, notifier: Notifier, clock: Clock) -> None:
        """`min_free` None: nothing is watched."""
        self._min_free = min_free
        self._machine = machine
        self._notifier = notifier
        self._clock = clock
        self._last: tuple[float, int] | None = None
        """When the free memory was read last, and its bytes."""
        self._used_per_second = 0.0
        """Between the last two readings."""
        self.present: Shortage | None = None
        """None: enough is left, or it is unknown."""
        self._is_reported = False

    @property
    def is_watching(self) -> bool:
        return self._min_free is not None

    def wants_check(self) -> bool:
        """Probe. True: a worker must be chosen now."""
        if self._min_free is None:
            return False
        try:
            free_bytes = self._machine.free_bytes()
        except (OSError, ValueError) as error:
            # Nothing is taken because of a reading that failed, and it shows no recovery.
            self._last, self._used_per_second, self.present = None, 0.0, None
            self._notifier.report(MachineUnreadable(str(error)))
            return False
        self._notifier.forget(MachineUnreadable)
        self.present = self._with_urgent_since(self._judge(free_bytes, self._min_free))
        self._report()
        return self.present is not None

    def _with_urgent_since(self, found: Shortage | None) -> Shortage | None:
        if found is None or not found.is_urgent:
            return found
        before = self.present.urgent_since if self.present is not None else None
        return dataclasses.replace(found, urgent_since=self._clock() if before is None else before)

    def _report(self) -> None:
        if self.present is not None:
            self._notifier.report(MachineShort(self.present.words, self.present.is_urgent))
        elif self._is_reported:
            self._notifier.forget(MachineShort)
            self._notifier.report(MachineRecovered())
        self._is_reported = self.present is not None

    def _judge(self, free: int, min_free: Size) -> Shortage | None:
        now = self._clock()
        before, self._used_per_second = self._used_per_second, 0.0
        if self._last is not None and now > self._last[0]:
            self._used_per_second = (self._last[1] - free) / (now - self._last[0])
        self._last = (now, free)
        min_free_bytes = min_free.exact_bytes or min_free.resolve(self._machine.limit_bytes())
        is_short = free < min_free_bytes
        # A burst of one second is not yet a trend.
        trend = min(before, self._used_per_second)
        return judge(free, min_free_bytes, trend, self._machine.stalled_percent() if is_short else 0.0)
