"""The events that supervisord sends to one process of the listener."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING

from supervisor_memkill.world.event_protocol import REMOTE_COMMUNICATION, Event

if TYPE_CHECKING:
    from tests.simulation.machine import Machine


class Inbox:
    """Gives a TICK at each full period of the wall clock, in place of the queue between the two threads."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._serial = 0
        self._next = self._after(machine.wall())

    def _after(self, wall: float) -> float:
        period = self._machine.shape.tick
        return wall - wall % period + period

    def get(self, timeout: float | None = None) -> Event:
        if self._machine.mail:
            return self._mail()
        wait = self._next - self._machine.wall()
        if wait > 2 * self._machine.shape.tick:  # The clock was set back.
            self._next = self._after(self._machine.wall())
            wait = self._next - self._machine.wall()
        if wait > 0:
            # No real wait is shorter; a rounding error must not stop the clock.
            self._machine.breathe(max(0.001, wait if timeout is None else min(wait, timeout)))
        return self.get_nowait()

    def _mail(self) -> Event:
        self._serial += 1
        return Event(REMOTE_COMMUNICATION, self._serial, request=self._machine.mail.popleft())

    def get_nowait(self) -> Event:
        if self._machine.mail:
            return self._mail()
        wall = self._machine.wall()
        if wall < self._next:
            raise queue.Empty
        when, self._serial = self._next, self._serial + 1
        self._next = self._after(max(when, wall - 3 * self._machine.shape.tick))
        name = f"TICK_{self._machine.shape.tick:.0f}"
        return Event(name=name, serial=self._serial, when=int(when))
