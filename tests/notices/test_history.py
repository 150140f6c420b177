"""The history has one record for each finished drain, with what the events say, and none for another."""

from __future__ import annotations

from supervisor_memkill.coordination.contract import Cause
from supervisor_memkill.notices.drain_events import DrainBusy, DrainDraining, DrainNotBegun, DrainSettling
from supervisor_memkill.notices.history import HistorySink
from supervisor_memkill.notices.intervals import Interval
from supervisor_memkill.notices.pool_events import (
    PoolLooked,
    WorkerHeldLong,
    WorkerHeldLongOver,
    WorkerJobs,
    WorkerSeen,
)
from supervisor_memkill.notices.records import DrainRecord, HeldRecord
from supervisor_memkill.rules.causes import StepCause
from tests.notices.recorded import DONE, KILLED, LET_GO, NEW, ONE, QUIETING, STEP, STOPPING, Kept, recorded


def seen(pid: int, up_seconds: float, rss_bytes: int | None) -> WorkerSeen:
    return WorkerSeen("jobs:one", "jobs", pid, rss_bytes, 1, False, "under its limit", up_seconds=up_seconds)


def test_finished_drain_is_one_record_with_all_that_its_last_event_says() -> None:
    drain = DrainRecord(
        at=1000.5,
        host="web-1",
        pool="jobs",
        worker="jobs:one",
        reason="max_rss",
        outcome="done",
        kind="sidekiq",
        pid=8,
        cause="idle",
        before_bytes=300,
        after_bytes=90,
        quiet_seconds=1.5,
        stopped_seconds=0.5,
        took_seconds=4.0,
    )
    assert recorded(QUIETING, DrainBusy(*ONE, 3, None), STOPPING, DONE) == [drain]


def test_killed_drain_names_the_jobs_that_it_cut() -> None:
    (record,) = recorded(STOPPING, KILLED)
    assert isinstance(record, DrainRecord)
    assert (record.outcome, record.cause) == ("killed", "drain_timeout")
    assert (record.jobs_cut, record.jobs) == (2, ("Mail", "Report"))


def test_killed_worker_that_is_let_go_is_one_record() -> None:
    """Its record is the one with the jobs; a later drain of the same worker has its own."""
    first, second = recorded(STOPPING, KILLED, LET_GO, QUIETING, LET_GO)
    assert isinstance(first, DrainRecord) and isinstance(second, DrainRecord)
    assert (first.outcome, second.outcome) == ("killed", "let_go")
    assert (second.cause, second.before_bytes, second.took_seconds) == ("stopped_by_others", 300, 9.0)


def test_drain_after_a_killed_one_is_recorded_when_it_is_let_go() -> None:
    records = recorded(STOPPING, KILLED, QUIETING, LET_GO)
    assert [record.outcome for record in records if isinstance(record, DrainRecord)] == ["killed", "let_go"]


def test_drain_that_did_not_begin_is_no_record() -> None:
    assert recorded(QUIETING, DrainNotBegun(*ONE, StepCause.QUIET_NOT_SENT, "why")) == []


def test_record_has_the_curve_of_the_process_that_was_drained() -> None:
    (record,) = recorded(
        seen(7, 60.0, 100),
        seen(7, 120.0, None),
        seen(7, 180.0, 300),
        QUIETING,
        seen(7, 190.0, 310),
        DrainDraining(*ONE, *STEP),
        STOPPING,
        DrainSettling(*NEW, *STEP),
        seen(8, 5.0, 90),
        DONE,
    )
    assert isinstance(record, DrainRecord)
    assert record.curve == ((60, 100), (180, 300), (190, 310))


def test_drain_that_this_listener_took_up_late_has_no_curve_of_another_process() -> None:
    (record,) = recorded(seen(8, 5.0, 90), DONE)
    assert isinstance(record, DrainRecord) and record.curve is None


def test_worker_that_is_held_for_long_is_a_record_at_its_beginning_and_at_its_end() -> None:
    long = WorkerHeldLong("jobs:one", 7, "jobs", Cause.SLOTS_TAKEN, "why", 3660.0)
    over = WorkerHeldLongOver("jobs:one", 7, "jobs", None, "why", 9000.0)
    assert recorded(long, over) == [
        HeldRecord(1000.5, "web-1", "jobs", "jobs:one", "slots_taken", "why", 3660.0, False, 7),
        HeldRecord(1000.5, "web-1", "jobs", "jobs:one", None, "why", 9000.0, True, 7),
    ]


def test_each_look_gives_the_store_its_chance_to_write_what_waits() -> None:
    store = Kept()
    HistorySink(store, "web-1").take(PoolLooked("jobs", 1, readings_up=None, failure=None))
    assert store.tended == 1 and not store.records


# --- the running jobs ---------------------------------------------------------------------------------------


def jobs(*names: str, pid: int = 7, size: int = 300) -> WorkerJobs:
    return WorkerJobs("jobs:one", "jobs", pid, 900, size, 60.0, names)


def test_drain_has_the_job_classes_that_were_seen_in_its_process() -> None:
    (record,) = recorded(jobs("Mail", "Report"), jobs("Mail"), QUIETING, jobs("Mail"), STOPPING, DONE)
    assert isinstance(record, DrainRecord)
    assert record.job_classes == {"Mail": 3, "Report": 1}


def test_job_classes_of_the_new_process_are_not_those_of_the_drain() -> None:
    (record,) = recorded(jobs("Mail"), QUIETING, STOPPING, jobs("Sync", pid=8), DONE)
    assert isinstance(record, DrainRecord) and record.job_classes == {"Mail": 1}


def test_without_named_jobs_no_store_of_intervals_is_made() -> None:
    made: list[str] = []

    def store() -> KeptIntervals:
        made.append("store")
        return KeptIntervals()

    sink = HistorySink(Kept(), "web-1", lambda: 1000.5, intervals=store, ticks=lambda: 0.0)
    sink.take(seen(7, 60.0, 300))
    assert made == []
    sink.take(jobs("Mail"))
    sink.take(jobs("Mail"))
    assert made == ["store"]


class KeptIntervals:
    """A store that keeps intervals in memory."""

    def __init__(self) -> None:
        self.intervals: list[Interval] = []
        self.tended = 0

    def keep(self, interval: Interval) -> None:
        self.intervals.append(interval)

    def tend(self) -> None:
        self.tended += 1


def test_intervals_of_the_looks_are_kept_with_the_time_of_day() -> None:
    store, now = KeptIntervals(), [0.0]
    sink = HistorySink(Kept(), "web-1", lambda: 1000.5, intervals=lambda: store, ticks=lambda: now[0])
    for moment, size in ((0.0, 300), (10.0, 320), (30.0, 350)):
        now[0] = moment
        sink.take(jobs("Mail", size=size))
        sink.take(seen(7, 60.0 + moment, size))
        sink.take(PoolLooked("jobs", 1, readings_up=None, failure=None))
    (interval,) = store.intervals
    assert (interval.at, interval.before_bytes, interval.after_bytes) == (1000.5, 300, 350)
    assert interval.running_seconds == {"Mail": 30.0} and store.tended > 0
