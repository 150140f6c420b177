"""What one machine's listener hears of supervisord, which sends it no event any more after a stray word.

The events wait for its next process (supervisor/events.py: the buffer of an event listener's pool).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from supervisor_memkill.listener.hearing import DEAF_PERIODS, DOUBT_PERIODS, Hearing
from supervisor_memkill.listener.own_group import OwnGroup
from supervisor_memkill.notices.event import Event, Notifier
from supervisor_memkill.notices.events import ListenerDeaf
from supervisor_memkill.notices.log import LogSink
from supervisor_memkill.processes import ProcessInfo
from tests.simulation.trace import LogLines

if TYPE_CHECKING:
    from tests.simulation.machine import Machine


class Ears:
    """Of all lives of one listener; also the file that counts its restarts, and what it asks supervisord."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._deaf_lives = 0
        self._has_reported = False
        self.restarts = 0
        self.period_seconds = 0.0

    @property
    def is_deaf(self) -> bool:
        """supervisord sends nothing to this life of the listener."""
        return self._deaf_lives > 0

    def deafen(self, lives: int) -> None:
        """As by the greeting of a login shell: so many lives hear nothing, this one included."""
        self._deaf_lives = max(self._deaf_lives, lives)

    def heal(self) -> None:
        """The cause is gone. The process that has no events gets none all the same."""
        self._deaf_lives = min(self._deaf_lives, 1)

    @property
    def longest_silence_seconds(self) -> float:
        """Within so much time a listener that hears nothing must end, if supervisord answers it."""
        period = self._machine.shape.tick
        return (DEAF_PERIODS * 2**self.restarts + DOUBT_PERIODS) * period if self.is_deaf else 0.0

    # --- one life ---------------------------------------------------------------------------------

    def hearing(self) -> Hearing | None:
        """What measures the silence in one life; None: this world deafens nobody."""
        machine = self._machine
        if not machine.world.weather.deafens:
            return None
        self._has_reported = False
        stream: Any = LogLines(machine.world.trace, machine.name, "")
        notifier = Notifier([LogSink(stream, "info", lambda: 0.0), self])
        asked: Any = self
        standing = OwnGroup(asked, "memkill", "memkill").standing
        return Hearing(machine.shape.tick, standing, asked, notifier, machine.clock)

    def take(self, event: Event) -> None:
        self._has_reported = self._has_reported or isinstance(event, ListenerDeaf)

    def all_processes(self) -> Sequence[ProcessInfo]:
        """supervisord's answer about the listener, which is no look at the workers."""
        found: Sequence[ProcessInfo] = self._machine.ask_supervisord(self._machine.supervisord.all_processes)
        return found

    def save(self, *, restarts: int, period_seconds: float) -> bool:
        if not self._machine.disk_is_full:
            self.restarts, self.period_seconds = restarts, period_seconds
        return not self._machine.disk_is_full

    def judge_end(self) -> None:
        """The listener ended because it heard nothing. Raises BrokenPromise if that is not so."""
        promises, machine = self._machine.world.promises, self._machine
        # TICKs that are so late count as none, even if the next one would come at this moment.
        if not self.is_deaf and not machine.events.stalled_within(machine.shape.tick):
            promises.broken(
                "deaf", machine, "the listener ends because it hears nothing, and it is sent events"
            )
        if not self._has_reported:
            promises.broken(
                "deaf", machine, "the listener ends because it hears nothing, and does not say so"
            )
        machine.world.trace.count("ended because it heard nothing")

    def life_ended(self) -> None:
        self._deaf_lives = max(0, self._deaf_lives - 1)
