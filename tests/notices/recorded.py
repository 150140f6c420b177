"""The events of a drain, and the records that the history makes of events."""

from __future__ import annotations

from supervisor_memkill.notices.drain_events import (
    DrainDone,
    DrainKilled,
    DrainLetGo,
    DrainQuieting,
    DrainStopping,
)
from supervisor_memkill.notices.event import Event
from supervisor_memkill.notices.history import HistorySink
from supervisor_memkill.notices.records import Record
from supervisor_memkill.rules.causes import Reason, StepCause
from supervisor_memkill.rules.drain import State

ONE = ("jobs:one", 7)
NEW = ("jobs:one", 8)
STEP = ("jobs", Reason.MAX_RSS)
QUIETING = DrainQuieting(*ONE, *STEP, rss_bytes=300, max_rss_bytes=200)
STOPPING = DrainStopping(*ONE, *STEP, StepCause.IDLE)
DONE = DrainDone(*NEW, *STEP, StepCause.IDLE, 300, 90, 1.5, 0.5, 4.0, "sidekiq")
KILLED = DrainKilled(*NEW, *STEP, StepCause.DRAIN_TIMEOUT, 2, ("Mail", "Report"), 10, 300, 90, kind="rq")
LET_GO = DrainLetGo(*ONE, *STEP, StepCause.STOPPED_BY_OTHERS, State.QUIETING, "why", 300, took_seconds=9.0)


class Kept:
    """A store that keeps records in memory."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.tended = 0

    def keep(self, record: Record) -> None:
        self.records.append(record)

    def tend(self) -> None:
        self.tended += 1


def recorded(*events: Event) -> list[Record]:
    store = Kept()
    sink = HistorySink(store, "web-1", lambda: 1000.5)
    for event in events:
        sink.take(event)
    return store.records
