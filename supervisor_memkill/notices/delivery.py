"""Hands chosen events to a worker in a thread of its own, and reports what became of them.

The log and the other sinks are used by the listener's thread alone: the outcomes wait for its next event.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import NamedTuple

from supervisor_memkill.notices.background import CAPACITY, Background, Worker
from supervisor_memkill.notices.event import Event, Notifier

END_SECONDS, GIVE_UP_SECONDS = 5.0, 1.5
"""How long the listener's end waits for deliveries, and then for those that it gave up.

Together less than supervisord's default of stopwaitsecs, 10 s.
"""

Outcome = Callable[[Notifier], None]
Outcomes = queue.SimpleQueue[Outcome]
"""Filled by the worker's thread, emptied by the listener's."""


class Delivery(NamedTuple):
    """One event, and when it happened in epoch seconds."""

    event: Event
    at: float


class DeliverySink:
    """Takes the events that were chosen; it never waits for their delivery."""

    def __init__(
        self,
        name: str,
        chooses: Callable[[Event], bool],
        worker: Worker[Delivery],
        outcomes: Outcomes,
        dropped: Callable[[int], Event],
        notifier: Notifier,
        *,
        wall: Callable[[], float] = time.time,
        capacity: int = CAPACITY,
    ) -> None:
        """`dropped` makes the event that reports how many others were dropped."""
        self._chooses = chooses
        self._outcomes = outcomes
        self._made = dropped
        self._notifier = notifier
        self._wall = wall
        self._background = Background(name, worker, capacity)
        self._dropped = 0
        self._room = capacity // 2

    def begin(self) -> None:
        """Let the worker do what it has to do without an event."""
        self._background.begin()

    def take(self, event: Event) -> None:
        self.report()
        if self._chooses(event) and not self._background.put(Delivery(event, self._wall())):
            self._dropped += 1

    def report(self, *, ends: bool = False) -> None:
        """Report what became of earlier events, and what was dropped once that is over."""
        while not self._outcomes.empty():
            self._outcomes.get_nowait()(self._notifier)
        if self._dropped and (ends or len(self._background) <= self._room):
            dropped, self._dropped = self._dropped, 0
            self._notifier.report(self._made(dropped))

    def end(self) -> None:
        """Take no further event, and do not wait yet."""
        self._background.end()

    def close(self, seconds: float = END_SECONDS) -> None:
        """Wait for the deliveries, give up the rest, and report what was lost."""
        self._dropped += self._background.join(seconds, GIVE_UP_SECONDS)
        self.report(ends=True)
