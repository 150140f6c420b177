"""The events about processes that one supervisord has for its listener: in order, or lost, late, repeated.

A listener that subscribes to TICKs alone gets none of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.world.event_protocol import PROCESS_STATE, Event
from tests.simulation.engine import Engine

DELAYS = (0.05, 0.5, 3.0, 15.0)
FATES = ("lost", "late", "late, and all others behind it", "repeated")


@dataclass
class _Sent:
    event: Event
    happened_at: float
    due: float


@dataclass
class ProcessEvents:
    """Keeps the events until the listener takes them; knows what the listener cannot know yet."""

    engine: Engine
    rng: random.Random
    fault_share: Callable[[], float]
    """The share of events that do not come in order, at this moment."""
    count: Callable[[str], None]
    """Counts a fault."""
    is_subscribed: bool = True
    wake: Callable[[], None] = lambda: None
    _sent: list[_Sent] = field(default_factory=list)
    _lost: dict[int, float] = field(default_factory=dict)
    """By number: when each lost event happened, until a later number shows that it is missing."""
    _number: int = 0
    _stalled_until: float = 0.0

    def next_number(self) -> int:
        """The number of the next event for this listener, of whatever sort."""
        self._number += 1
        return self._number

    def happen(self, worker: str, state: ProcessState) -> None:
        """The state of a process has changed."""
        if not self.is_subscribed:
            return
        now, number = self.engine.now, self.next_number()
        event = Event(f"{PROCESS_STATE}_{state.name}", number, pool_serial=number, changed=worker)
        fate = self.rng.choice(FATES) if self.rng.random() < self.fault_share() else "fine"
        delay = self.rng.choice(DELAYS) if fate != "fine" else self.rng.uniform(0.0, 0.01)
        if fate != "fine":
            self.count(f"event {fate}")
        if fate == "lost":
            self._lost[number] = now
            return
        if fate == "late, and all others behind it":
            self._stalled_until = max(self._stalled_until, now + delay)
        due = now + delay if fate.startswith("late") else max(now, self._stalled_until)
        self._send(_Sent(event, now, max(due, self._stalled_until)))
        if fate == "repeated":
            self._send(_Sent(event, now, due + delay))

    def _send(self, sent: _Sent) -> None:
        self._sent.append(sent)
        self.engine.at(sent.due, self.wake)

    def take(self) -> Event | None:
        """The next event that has arrived."""
        for sent in self._sent:
            if sent.due <= self.engine.now:
                self._sent.remove(sent)
                self.arrived(sent.event.pool_serial or 0)
                return sent.event
        return None

    @property
    def stalled_seconds(self) -> float:
        """For so long no later event, such as a TICK, can come: an earlier one is still on its way."""
        return max(0.0, self._stalled_until - self.engine.now)

    def stalled_within(self, seconds: float) -> bool:
        """Events were held back until less than so long ago."""
        return self.engine.now - self._stalled_until < seconds

    def arrived(self, number: int) -> None:
        """An event with this number arrived: what is missing before it shows."""
        self._lost = {lost: at for lost, at in self._lost.items() if lost > number}

    def all_reported(self) -> None:
        """supervisord reports all processes now: no earlier event matters any more."""
        self._lost.clear()
        for sent in self._sent:
            sent.happened_at = self.engine.now

    def known_until(self) -> float:
        """All that happened until then can be known by these events."""
        return min([self.engine.now, *self._lost.values(), *(sent.happened_at for sent in self._sent)])

    def forget(self) -> None:
        """Another supervisord."""
        self._sent.clear()
        self._lost.clear()
        self._number, self._stalled_until = 0, 0.0
