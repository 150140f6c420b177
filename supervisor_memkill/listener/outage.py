"""Outages of what the listener needs: supervisord, the journal, coordination."""

from __future__ import annotations

from collections.abc import Callable

from supervisor_memkill.clock import Clock
from supervisor_memkill.listener.state_values import OutageState
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.events import Away, Back


class Outage:
    """Knows whether one of them is away, and since when; reports the beginning and the end."""

    def __init__(
        self, away: Callable[[str], Away], back: Callable[[float], Back], notifier: Notifier, clock: Clock
    ) -> None:
        """`away` makes the event from the error, `back` from the length of the outage in seconds."""
        self._away = away
        self._back = back
        self._notifier = notifier
        self._clock = clock
        self._since: float | None = None
        self.error = ""
        """The last error; it counts only while `is_away`."""
        self._reported: set[str] = set()
        self._lost: set[str] = set()

    @property
    def is_away(self) -> bool:
        return self._since is not None

    @property
    def state(self) -> OutageState | None:
        """For the state file; None: it is not away."""
        return None if self._since is None else OutageState(self.error, self._since)

    def has_lost(self, part: str) -> bool:
        """This part did not answer the last time."""
        return part in self._lost

    def away(self, error: object, part: str = "") -> None:
        """Note a failure; each different error is reported once per outage.

        `part`: the part that failed, such as one pool; other parts may work.
        """
        self._lost.add(part)
        self.error = str(error)
        if self._since is None:
            self._since = self._clock()
        if str(error) not in self._reported:
            self._reported.add(str(error))
            self._notifier.report(self._away(str(error)))

    def back(self, part: str = "") -> None:
        """Note an answer; the outage is over when all parts answered."""
        self._lost.discard(part)
        if self._since is not None and not self._lost:
            self._notifier.report(self._back(self._clock() - self._since))
            self._since = None
            self._reported.clear()
