"""Makes one message of many events of one name: the first soon, what follows at the end of a window."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import field

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.notices.delivery import Delivery

GATHER_SECONDS = 5.0
"""The first event waits for others of its name: a storm begins with many at once."""
WINDOW_SECONDS = 300.0
"""After a message, those that follow are one message again."""
MAX_SHOWN = 10
"""Events that a message shows; the others are counted."""


@dataclass(frozen=True)
class Batch:
    """Events of one name."""

    name: str
    shown: Sequence[Delivery]
    """The first ones."""
    count: int
    """All of them."""


@dataclasses.dataclass
class _Waiting:
    quiet_until: float = 0.0
    """The window of the last message."""
    send_at: float | None = None
    """None: nothing waits."""
    shown: list[Delivery] = field(default_factory=list)
    count: int = 0

    def batch(self, name: str) -> Batch:
        return Batch(name, tuple(self.shown), self.count)


class Digest:
    """The events that wait, by name. `now` is any clock that goes on."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Waiting] = {}

    def take(self, delivery: Delivery, now: float) -> None:
        waiting = self._waiting.setdefault(delivery.event.name, _Waiting())
        if waiting.send_at is None:
            waiting.send_at = max(now + GATHER_SECONDS, waiting.quiet_until)
        if waiting.count < MAX_SHOWN:
            waiting.shown.append(delivery)
        waiting.count += 1

    def next_at(self) -> float | None:
        """When the next batch is due; None: nothing waits."""
        return min((one.send_at for one in self._waiting.values() if one.send_at is not None), default=None)

    def due(self, now: float) -> list[Batch]:
        """The batches to send now."""
        found = []
        for name, waiting in self._waiting.items():
            if waiting.send_at is not None and waiting.send_at <= now:
                found.append(waiting.batch(name))
                self._waiting[name] = _Waiting(quiet_until=now + WINDOW_SECONDS)
        return found

    def rest(self) -> list[Batch]:
        """Everything that waits, at the end."""
        found = [one.batch(name) for name, one in self._waiting.items() if one.count]
        self._waiting.clear()
        return found
