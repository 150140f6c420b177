"""The sources of the readings, such as Redis or Celery's broker: their outages, and processes left behind."""

from __future__ import annotations

from functools import partial

from supervisor_memkill.clock import Clock
from supervisor_memkill.listener.findings import PoolSurvey
from supervisor_memkill.listener.outage import Outage
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.events import ReadingsAway, ReadingsBack
from supervisor_memkill.notices.pool_events import WorkerLeftBehind


class Sources:
    """Knows which pool's source is away, and reports the beginning and the end of each outage."""

    def __init__(self, notifier: Notifier, clock: Clock) -> None:
        self._notifier = notifier
        self._clock = clock
        self._outages: dict[str, Outage] = {}

    def note(self, survey: PoolSurvey) -> None:
        """Note what this look showed; nothing is asked for it."""
        self._note_outage(survey.pool.name, survey.source_away)
        for one in survey.left_behind:
            queues = tuple(sorted(one.queues)) or None
            self._notifier.report(WorkerLeftBehind(survey.pool.name, one.pid, one.record, queues))

    def _note_outage(self, pool: str, error: str | None) -> None:
        if pool not in self._outages:
            away, back = partial(ReadingsAway, pool=pool), partial(ReadingsBack, pool=pool)
            self._outages[pool] = Outage(away, back, self._notifier, self._clock)
        if error:
            self._outages[pool].away(error)
        elif error is not None:
            self._outages[pool].back()
