"""The history of a fleet, as Redis has it, says what each host wrote into its own history."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from supervisor_memkill.commands.history_fleet import records_of
from supervisor_memkill.coordination.events import Entry
from supervisor_memkill.notices.drain_events import DrainKilled, StepEnded
from supervisor_memkill.notices.event import Event
from supervisor_memkill.notices.pool_events import WorkerHeldLong, WorkerHeldLongOver
from supervisor_memkill.notices.records import DrainRecord
from supervisor_memkill.notices.stream import StreamSink
from supervisor_memkill.rules.causes import Reason, StepCause
from supervisor_memkill.rules.drain import State
from tests.notices.recorded import DONE, KILLED, LET_GO, QUIETING, STOPPING, recorded


def entries(*events: Event, host: str = "web-1/supervisor") -> list[Entry]:
    """What the listener on this host sends to the stream for these events."""
    found = list[Entry]()

    def record(pool: str, event: str, fields: Mapping[str, str]) -> None:
        found.append(Entry(1000.5, {"event": event, "host": host, **fields}))

    sink = StreamSink(record)
    for event in events:
        sink.take(event)
    return found


HELD_LONG = WorkerHeldLong("jobs:one", 7, "jobs", None, "why", 3660.0)
OVER = WorkerHeldLongOver("jobs:one", 7, "jobs", None, "why", 9000.0)


@pytest.mark.parametrize(
    "events",
    [
        (QUIETING, STOPPING, DONE),
        (STOPPING, KILLED),
        (STOPPING, KILLED, LET_GO),
        (STOPPING, KILLED, QUIETING, StepEnded("jobs:one", 7, State.QUIETING, touched=True), LET_GO),
        (LET_GO, LET_GO),
        (HELD_LONG, OVER),
        (DrainKilled("jobs:one", 7, "jobs", Reason.MAX_RSS, StepCause.IDLE),),
    ],
)
def test_stream_and_own_history_say_the_same(events: tuple[Event, ...]) -> None:
    found = records_of("jobs", entries(*events))
    assert (found.records, found.not_understood) == (tuple(recorded(*events)), 0)


def test_killed_worker_of_one_host_hides_no_drain_of_another() -> None:
    both = [*entries(KILLED), *entries(LET_GO, host="web-2/supervisor")]
    assert [record.host for record in records_of("jobs", both).records] == ["web-1", "web-2"]


def test_entry_of_an_earlier_version_lacks_fields_and_is_shown() -> None:
    old = {
        "event": "drain.done",
        "host": "web-1/blue",
        "worker": "jobs:one",
        "pid": "8",
        "reason": "max_rss",
        "before_bytes": "300",
        "after_bytes": "90",
        "quiet_seconds": "1.5",
        "stopped_seconds": "0.5",
        "took_seconds": "4.0",
    }
    (record,) = records_of("jobs", [Entry(5.0, old)]).records
    assert isinstance(record, DrainRecord)
    assert (record.host, record.before_bytes, record.kind, record.cause) == ("web-1/blue", 300, None, None)
    bare = records_of("jobs", [Entry(5.0, {"event": "drain.let_go", "worker": "jobs:one"})])
    assert isinstance(bare.records[0], DrainRecord) and bare.records[0].took_seconds is None


@pytest.mark.parametrize(
    "fields",
    [
        {"event": "drain.done"},
        {"event": "drain.done", "worker": "a", "pid": "-1"},
        {"event": "drain.done", "worker": "a", "took_seconds": "nan"},
        {"event": "drain.done", "worker": "a", "took_seconds": "-1"},
        {"event": "drain.done", "worker": "a", "before_bytes": "9" * 30},
        {"event": "drain.killed", "worker": "a", "busy": "x"},
        {"event": "worker.held_long", "worker": "a"},
    ],
)
def test_entry_that_no_version_writes_is_counted_and_hides_no_other(fields: Mapping[str, str]) -> None:
    found = records_of("jobs", [Entry(1.0, fields), *entries(DONE), Entry(1.0, {})])
    assert (len(found.records), found.not_understood) == (1, 1)


def test_entry_of_an_impossible_time_is_counted() -> None:
    found = records_of("jobs", [Entry(2.0**61, {"event": "drain.done", "worker": "a"})])
    assert (found.records, found.not_understood) == ((), 1)
