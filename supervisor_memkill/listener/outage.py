"""Something that the listener needs and that may go away: reported when it goes and when it is back."""

from __future__ import annotations

from supervisor_memkill.clock import Clock
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.events import Away, Back


class Outage:
    """Whether one thing is away, and since when."""

    def __init__(self, away: type[Away], back: type[Back], notifier: Notifier, clock: Clock) -> None:
        self._away = away
        self._back = back
        self._notifier = notifier
        self._clock = clock
        self._since: float | None = None
        self._reported: set[str] = set()
        self._lost: set[str] = set()

    @property
    def is_away(self) -> bool:
        return self._since is not None

    def has_lost(self, part: str) -> bool:
        """It is away for this part."""
        return part in self._lost

    def away(self, error: object, part: str = "") -> None:
        """It did not answer. Reported when it goes, and for each other error once while it is away.

        `part`: the part of it that was asked, such as one pool; the others may be there.
        """
        self._lost.add(part)
        if self._since is None:
            self._since = self._clock()
        if str(error) not in self._reported:
            self._reported.add(str(error))
            self._notifier.report(self._away(str(error)))

    def back(self, part: str = "") -> None:
        """It answered; it is back once no part of it is away any more."""
        self._lost.discard(part)
        if self._since is not None and not self._lost:
            self._notifier.report(self._back(self._clock() - self._since))
            self._since = None
            self._reported.clear()
