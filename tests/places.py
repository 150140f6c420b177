"""The places of a drain where a listener may die: what it tells to `at` of drainer.Drainer."""

from __future__ import annotations

from collections.abc import Callable

from supervisor_memkill.notices.drain_events import StepActed, StepSaved
from supervisor_memkill.notices.event import Event

PLACES = (
    "asking.saved",
    "quieting.saved",
    "quieting.acted",
    "draining.saved",
    "stopping.saved",
    "stopping.acted",
    "starting.saved",
    "starting.acted",
    "settling.saved",
)
"""Every one that a drain passes which nobody disturbs."""


class Places:
    """A sink that calls a test back at each place."""

    def __init__(self, at: Callable[[str], None]) -> None:
        self._at = at

    def take(self, event: Event) -> None:
        if isinstance(event, StepSaved):
            self._at(f"{event.state.value}.saved")
        elif isinstance(event, StepActed):
            self._at(f"{event.state.value}.acted")
