"""A gauge shows what the last look saw; what is unknown is absent."""

from __future__ import annotations

import dataclasses

from supervisor_memkill.notices.gauges import Gauges, Samples
from supervisor_memkill.notices.pool_events import WorkerSeen
from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.rules.policy import Hold

ONE = ("jobs", "jobs:one")
SEEN = WorkerSeen(
    worker="jobs:one",
    pool="jobs",
    pid=7,
    rss_bytes=300,
    busy=2,
    quiet=False,
    verdict="",
    max_rss_bytes=200,
    hard_max_rss_bytes=400,
    state="RUNNING",
    in_service=True,
    reason=Reason.MAX_RSS,
)
UNKNOWN = WorkerSeen("jobs:one", "jobs", None, None, None, None, "", state="STOPPED")


def seen(*events: WorkerSeen, now: float = 100.0) -> Gauges:
    gauges = Gauges("1", "here")
    for event in events:
        gauges.see(event, now)
    gauges.looked("jobs", now, readings_up=True)
    return gauges


def of_workers(samples: Samples) -> dict[str, dict[tuple[str, ...], float]]:
    return {name: values for name, values in samples.items() if name.startswith("worker_")}


def test_all_that_a_look_saw_is_shown() -> None:
    gauges = seen(SEEN)
    assert gauges.samples() == {
        "info": {("1", "here"): 1},
        "last_look_timestamp_seconds": {("jobs",): 100},
        "readings_up": {("jobs",): 1},
        "worker_memory_bytes": {ONE: 300},
        "worker_limit_bytes": {ONE: 200},
        "worker_hard_limit_bytes": {ONE: 400},
        "worker_busy_jobs": {ONE: 2},
        "worker_in_service": {ONE: 1},
        "worker_state": {(*ONE, "RUNNING"): 1},
        "worker_waiting_since_timestamp_seconds": {ONE: 100},
    }


def test_unknown_is_absent_and_no_zero() -> None:
    assert of_workers(seen(UNKNOWN).samples()) == {"worker_state": {(*ONE, "STOPPED"): 1}}
    assert Gauges("1", "here").samples() == {"info": {("1", "here"): 1}}


def test_what_is_not_reached_is_shown_as_zero() -> None:
    gauges = seen()
    gauges.redis_up, gauges.supervisord_up = False, True
    gauges.looked("jobs", 1.0, readings_up=False)
    samples = gauges.samples()
    assert (samples["redis_up"], samples["supervisord_up"]) == ({(): 0}, {(): 1})
    assert samples["readings_up"] == {("jobs",): 0}


def test_worker_that_is_gone_is_not_shown_any_more() -> None:
    gauges = seen(SEEN)
    gauges.hold("jobs:one", Hold.STRIKES)
    gauges.looked("jobs", 110.0, readings_up=None)
    assert set(gauges.samples()) == {"info", "last_look_timestamp_seconds"}


def test_look_that_found_the_same_keeps_what_is_shown() -> None:
    gauges = seen(SEEN)
    gauges.looked("jobs", 110.0, readings_up=True, unchanged=True)
    samples = gauges.samples()
    assert samples["worker_memory_bytes"] == {ONE: 300}
    assert samples["last_look_timestamp_seconds"] == {("jobs",): 110}
    assert samples["worker_waiting_since_timestamp_seconds"] == {ONE: 100}
    gauges.looked("mails", 110.0, readings_up=None, unchanged=True)
    assert gauges.samples()["worker_memory_bytes"] == {ONE: 300}


def test_look_that_is_not_complete_shows_nothing_yet() -> None:
    gauges = seen(SEEN)
    gauges.see(dataclasses.replace(SEEN, rss_bytes=999), 110.0)
    assert gauges.samples()["worker_memory_bytes"] == {ONE: 300}


def test_lost_pool_has_no_workers_and_the_others_stay() -> None:
    gauges = seen(SEEN)
    gauges.see(dataclasses.replace(SEEN, worker="mails:one", pool="mails"), 100.0)
    gauges.looked("mails", 100.0, readings_up=None)
    gauges.lost("jobs")
    assert list(gauges.samples()["worker_memory_bytes"]) == [("mails", "mails:one")]
    gauges.lost()
    assert of_workers(gauges.samples()) == {}


def test_wait_begins_with_the_reason_and_ends_with_it() -> None:
    gauges = seen(SEEN)
    gauges.see(SEEN, 160.0)
    gauges.looked("jobs", 160.0, readings_up=None)
    assert gauges.samples()["worker_waiting_since_timestamp_seconds"] == {ONE: 100}
    gauges.see(dataclasses.replace(SEEN, reason=None), 170.0)
    gauges.looked("jobs", 170.0, readings_up=None)
    assert "worker_waiting_since_timestamp_seconds" not in gauges.samples()


def test_worker_that_drains_does_not_wait() -> None:
    gauges = seen(dataclasses.replace(SEEN, is_draining=True, state="draining"))
    assert "worker_waiting_since_timestamp_seconds" not in gauges.samples()


def test_cause_is_shown_while_the_worker_waits() -> None:
    gauges = seen(SEEN)
    assert gauges.hold("jobs:one", Hold.STRIKES) == "jobs"
    assert gauges.hold("jobs:one", Hold.PAUSED) == "jobs"
    assert gauges.samples()["worker_held"] == {(*ONE, "paused"): 1}
    assert gauges.drain_begins("jobs:one", 130.0) == 30
    assert "worker_held" not in gauges.samples()


def test_wait_of_a_worker_that_nobody_saw_is_unknown() -> None:
    gauges = seen()
    assert gauges.hold("jobs:one", Hold.STRIKES) is None
    assert gauges.drain_begins("jobs:one", 130.0) is None


def test_wait_is_never_negative() -> None:
    """The machine's clock may be set back."""
    assert seen(SEEN).drain_begins("jobs:one", 50.0) == 0


def test_cause_without_a_reason_for_a_drain_is_no_wait() -> None:
    """Such as an unknown memory."""
    gauges = seen(dataclasses.replace(SEEN, reason=None))
    assert gauges.hold("jobs:one", Hold.MEMORY_UNKNOWN) == "jobs"
    assert "worker_held" not in gauges.samples()


def test_cause_of_an_earlier_wait_is_not_shown_again() -> None:
    for last in (dataclasses.replace(SEEN, reason=None), dataclasses.replace(SEEN, is_draining=True)):
        gauges = seen(SEEN)
        gauges.hold("jobs:one", Hold.PAUSED)
        gauges.see(last, 110.0)
        gauges.looked("jobs", 110.0, readings_up=None)
        gauges.see(SEEN, 120.0)
        gauges.looked("jobs", 120.0, readings_up=None)
        assert "worker_held" not in gauges.samples()
    gauges.hold("jobs:one", Hold.PAUSED)
    gauges.drain_begins("jobs:one", 130.0)
    assert "worker_held" not in gauges.samples()
