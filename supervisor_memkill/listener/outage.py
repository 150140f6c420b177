"""Something that the listener needs and that may go away: said once when it goes, once when it is back."""

from __future__ import annotations

from supervisor_memkill.clock import Clock
from supervisor_memkill.notices.log import EventLog
from supervisor_memkill.units import format_duration


class Outage:
    """Whether one thing is away, and since when."""

    def __init__(self, name: str, log: EventLog, clock: Clock) -> None:
        """`name` is the first part of the events, ``supervisord`` in ``supervisord.away``."""
        self._name = name
        self._log = log
        self._clock = clock
        self._since: float | None = None
        self._said: set[str] = set()
        self._lost: set[str] = set()

    @property
    def is_away(self) -> bool:
        return self._since is not None

    def has_lost(self, part: str) -> bool:
        """It is away for this part."""
        return part in self._lost

    def away(self, error: object, part: str = "") -> None:
        """It did not answer. Logged when it goes, and for each other error once while it is away.

        `part`: what of it was asked for, such as one pool; the others may be there.
        """
        self._lost.add(part)
        if self._since is None:
            self._since = self._clock()
        if str(error) not in self._said:
            self._said.add(str(error))
            self._log.error(f"{self._name}.away", error=str(error))

    def back(self, part: str = "") -> None:
        """It answered; it is back once no part of it is away any more."""
        self._lost.discard(part)
        if self._since is not None and not self._lost:
            self._log.info(f"{self._name}.back", after=format_duration(self._clock() - self._since))
            self._since = None
            self._said.clear()
