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
        self._is_sent = False
        """The time of the next TICK has come: it stays sent if the clock is set back before it is taken."""
        self._looked_at = machine.engine.now

    def _after(self, wall: float) -> float:
        period = self._machine.shape.tick
        return wall - wall % period + period

    def get(self, timeout: float | None = None) -> Event:
        if self._machine.ears.is_deaf:
            assert timeout is not None, "a listener that waits without end hears nothing for ever"
            self._machine.breathe(max(0.001, timeout))
            raise queue.Empty
        if (event := self._arrived()) is not None:
            return event
        wait = 0.0 if self._is_tick_sent() else self._next - self._machine.wall()
        if wait > self._machine.shape.tick and self._machine.world.weather.deafens:
            # supervisord sends a TICK as soon as its period is another one (supervisor/supervisord.py: tick).
            self._next, wait = self._machine.wall(), 0.0
        elif wait > 2 * self._machine.shape.tick:  # The clock was set back.
            self._next = self._after(self._machine.wall())
            wait = self._next - self._machine.wall()
        wait = max(wait, self._machine.events.stalled_seconds)
        if wait > 0:
            with self._machine.waiting_for_events():
                # No real wait is shorter; a rounding error must not stop the clock.
                self._machine.breathe(max(0.001, wait if timeout is None else min(wait, timeout)))
        return self.get_nowait()

    def _is_tick_sent(self) -> bool:
        since, self._looked_at = self._looked_at, self._machine.engine.now
        self._is_sent = self._is_sent or self._machine.latest_wall_since(since) >= self._next
        return self._is_sent

    def _arrived(self) -> Event | None:
        """A request or the change of a process."""
        events = self._machine.events
        if (event := events.take()) is not None:
            self._serial += 1
            return event
        if not self._machine.mail or events.stalled_seconds:
            return None
        return self._numbered(REMOTE_COMMUNICATION, request=self._machine.mail.popleft())

    def _numbered(self, name: str, when: int | None = None, request: str | None = None) -> Event:
        number = self._machine.events.next_number()
        self._machine.events.arrived(number)
        self._serial += 1
        return Event(name, self._serial, when, request, pool_serial=number)

    def get_nowait(self) -> Event:
        if self._machine.ears.is_deaf:
            raise queue.Empty
        if (event := self._arrived()) is not None:
            return event
        if not self._is_tick_sent() or self._machine.events.stalled_seconds:
            raise queue.Empty
        when, wall, self._is_sent = self._next, self._machine.wall(), False
        self._next = self._after(max(when, wall - 3 * self._machine.shape.tick))
        name = f"TICK_{self._machine.shape.tick:.0f}"
        return self._numbered(name, when=int(when))
