"""Events become the metrics that the table names, and no others."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families

from supervisor_memkill.notices.delivery_events import MetricsFailed
from supervisor_memkill.notices.drain_events import (
    DrainDone,
    DrainKilled,
    DrainLetGo,
    DrainNotBegun,
    DrainQuieting,
    DrainStopping,
)
from supervisor_memkill.notices.event import Event, Notifier
from supervisor_memkill.notices.events import (
    CoordinationAway,
    CoordinationBack,
    CoordinationReached,
    ListenerEnded,
    ListenerTicked,
    SupervisordAway,
)
from supervisor_memkill.notices.exposition import Metrics
from supervisor_memkill.notices.metric_table import METRICS, PREFIX, Type, series_names
from supervisor_memkill.notices.metrics import MetricsSink
from supervisor_memkill.notices.pool_events import PoolLooked, WorkerHeld, WorkerJobs
from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.rules.policy import Hold
from tests.harness import wait_for
from tests.notices.test_event import Kept
from tests.notices.test_gauges import SEEN

LOOKED = PoolLooked("jobs", 1, readings_up=None, failure=None)
STEP: dict[str, Any] = {"worker": "jobs:one", "pid": 7, "pool": "jobs", "reason": Reason.MAX_RSS}
DONE = DrainDone(
    **STEP, before_bytes=300, after_bytes=100, quiet_seconds=10, stopped_seconds=2, took_seconds=14
)


def jobs(rss_bytes: int, *names: str) -> WorkerJobs:
    return WorkerJobs("jobs:one", "jobs", 7, 900, rss_bytes, 60.0, names)


class Shown:
    """The metrics after these events, as Prometheus reads them."""

    def __init__(self, *events: Event) -> None:
        self.now = 1000.0
        self.sink = MetricsSink("1.2", "here", wall=lambda: self.now)
        self.take(*events)

    def take(self, *events: Event) -> None:
        for event in events:
            self.sink.take(event)

    def text(self) -> str:
        return prometheus_client.generate_latest(self.sink.registry).decode()

    def values(self, name: str) -> dict[tuple[str, ...], float]:
        """By the values of the labels, in the order of the table."""
        metric = next(one for one in METRICS.values() if PREFIX + name in series_names(one))
        found = {}
        for family in text_string_to_metric_families(self.text()):
            for sample in family.samples:
                if sample.name == PREFIX + name:
                    found[tuple(sample.labels[label] for label in metric.labels)] = sample.value
        return found

    def counted(self, name: str) -> dict[tuple[str, ...], float]:
        """Without those at 0."""
        return {labels: value for labels, value in self.values(name).items() if value}


def test_metrics_that_are_shown_are_those_of_the_table() -> None:
    shown = Shown(SEEN, LOOKED, WorkerHeld("jobs:one", 7, 1, Hold.STRIKES, "why"))
    shown.take(dataclasses.replace(SEEN, hard_max_rss_bytes=5), dataclasses.replace(LOOKED, readings_up=True))
    shown.take(ListenerTicked(), CoordinationReached("jobs"), DrainQuieting(**STEP), DONE)
    shown.take(SEEN, dataclasses.replace(LOOKED, readings_up=True))
    shown.take(WorkerHeld("jobs:one", 7, 1, Hold.STRIKES, "why"))
    shown.take(jobs(100, "Mail"), jobs(300, "Mail"))
    families = {family.name: family for family in text_string_to_metric_families(shown.text())}
    assert set(families) == {
        metric.full_name.removesuffix("_total") if metric.type is Type.COUNTER else metric.full_name
        for metric in METRICS.values()
    }
    for metric in METRICS.values():
        family = families[metric.full_name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.type.value, metric.help)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels), sample


def test_result_of_a_drain_is_counted_by_reason_and_outcome() -> None:
    shown = Shown(DONE, DONE, DrainLetGo(**{**STEP, "reason": Reason.RESTART}))
    assert shown.values("drains_total") == {
        ("jobs", "max_rss", "done"): 2,
        ("jobs", "restart", "let_go"): 1,
    }
    assert shown.values("drain_quiet_seconds_sum") == {("jobs",): 20}
    assert shown.values("drain_stopped_seconds_sum") == {("jobs",): 4}
    assert shown.values("drain_seconds_count") == {("jobs",): 2}


def test_growth_is_shown_by_job_class_whatever_its_name_is() -> None:
    hostile = 'a"b\\c\nd\x1b[31m\ud800'
    shown = Shown(jobs(100, "Mail"), jobs(300, "Mail", hostile))
    values = shown.values("job_class_growth_bytes")
    assert values["jobs", "Mail"] == pytest.approx(2 * 200 / 3)
    assert len(values) == 2


def test_killed_drain_is_counted_once_with_the_jobs_that_it_cut() -> None:
    """Although a second event ends the same drain."""
    killed = DrainKilled(**STEP, busy=3)
    shown = Shown(LOOKED, killed, DrainLetGo(**STEP))
    assert shown.counted("drains_total") == {("jobs", "max_rss", "killed"): 1}
    assert shown.values("jobs_cut_total") == {("jobs",): 3}
    shown.take(DrainQuieting(**STEP), DrainLetGo(**STEP))
    assert shown.values("drains_total")["jobs", "max_rss", "let_go"] == 1


def test_wait_is_measured_from_the_reason_to_the_first_state_of_the_drain() -> None:
    shown = Shown(SEEN, LOOKED)
    shown.now += 30
    shown.take(DrainQuieting(**STEP))
    shown.now += 30
    shown.take(DrainStopping(**STEP))
    assert shown.values("drain_waiting_seconds_sum") == {("jobs",): 30}
    assert shown.values("drain_waiting_seconds_count") == {("jobs",): 1}


def test_drain_that_did_not_begin_waits_again() -> None:
    shown = Shown(SEEN, LOOKED, DrainQuieting(**STEP), DrainNotBegun("jobs:one", 7, None, None), SEEN, LOOKED)
    shown.now += 5
    shown.take(DrainQuieting(**STEP))
    assert shown.values("drain_waiting_seconds_count") == {("jobs",): 2}


def test_refusal_is_counted_by_cause() -> None:
    shown = Shown(SEEN, LOOKED, *[WorkerHeld("jobs:one", 7, 1, Hold.STRIKES, "why")] * 2)
    shown.take(WorkerHeld("jobs:one", 7, 1, Hold.PAUSED, "why"), WorkerHeld("jobs:one", 7, 1, None, "why"))
    assert shown.counted("refusals_total") == {("jobs", "strikes"): 2, ("jobs", "paused"): 1}
    assert shown.values("worker_held") == {("jobs", "jobs:one", "paused"): 1}


def test_warnings_and_errors_are_counted_from_zero_on() -> None:
    """Otherwise the first one would be no increase."""
    shown = Shown(SupervisordAway("refused"), ListenerEnded())
    counts = shown.values("events_total")
    assert counts["supervisord.away", "ERROR"] == 1
    assert counts["drain.killed", "ERROR"] == 0
    assert not [name for name, _ in counts if name in ("listener.ended", "worker.seen")]


def test_drains_and_refusals_of_a_pool_are_counted_from_zero_on() -> None:
    """Otherwise Prometheus would show no increase for the first drain after the start of the listener."""
    shown = Shown(LOOKED)
    assert set(shown.values("drains_total").values()) == {0}
    assert set(shown.values("drains_total")) == {
        ("jobs", reason.value, outcome) for reason in Reason for outcome in ("done", "killed", "let_go")
    }
    refusals = shown.values("refusals_total")
    assert {refusals["jobs", one] for one in ("slots_taken", "too_few_in_service", "strikes")} == {0}
    assert not {("jobs", "under_limit"), ("jobs", "no_limit"), ("jobs", "no_reason")} & set(refusals)
    assert shown.values("jobs_cut_total") == {("jobs",): 0}
    for name in ("drain_waiting", "drain_quiet", "drain_stopped", "drain"):
        assert shown.values(f"{name}_seconds_count") == {("jobs",): 0}
    shown.take(DONE, LOOKED)
    assert shown.counted("drains_total") == {("jobs", "max_rss", "done"): 1}, "a further look resets nothing"


def test_outage_of_supervisord_makes_its_workers_unknown() -> None:
    shown = Shown(SEEN, LOOKED, SupervisordAway("refused"))
    assert shown.values("supervisord_up") == {(): 0}
    assert shown.values("worker_memory_bytes") == {}
    shown.take(SEEN, LOOKED)
    assert shown.values("supervisord_up") == {(): 1}
    assert len(shown.values("worker_memory_bytes")) == 1


def test_failed_look_makes_the_workers_of_its_pool_unknown() -> None:
    shown = Shown(SEEN, LOOKED, dataclasses.replace(LOOKED, failure="KeyError()"))
    assert shown.values("worker_memory_bytes") == {}


def test_redis_is_shown_from_its_first_answer_on() -> None:
    shown = Shown(SEEN, LOOKED)
    assert shown.values("redis_up") == {}, "this listener has no Redis"
    for event, expected in (
        (CoordinationReached("jobs"), 1),
        (CoordinationAway("refused"), 0),
        (CoordinationBack(3.0), 0),
        (CoordinationReached("jobs"), 1),
    ):
        shown.take(event)
        assert shown.values("redis_up") == {(): expected}


def test_time_of_the_last_tick_is_shown() -> None:
    shown = Shown(LOOKED)
    assert shown.values("last_tick_timestamp_seconds") == {}
    shown.take(ListenerTicked())
    assert shown.values("last_tick_timestamp_seconds") == {(): 1000}


# --- the file ----------------------------------------------------------------------------------


def metrics(path: Path) -> tuple[Metrics, Kept]:
    log = Kept()
    return Metrics("1", "here", path, None, Notifier([log])), log


def reported(made: Metrics, log: Kept) -> list[Event]:
    """What the thread found is reported with the next event."""
    made.take(SEEN)
    return log.events


def test_file_is_written_after_a_look_and_has_no_workers_after_the_end(tmp_path: Path) -> None:
    path = tmp_path / "memkill.prom"
    made, _ = metrics(path)
    made.take(ListenerTicked())
    made.take(SEEN)
    assert not path.exists()
    made.take(LOOKED)
    wait_for(lambda: path.exists() and "worker_memory_bytes{" in path.read_text(), message="the file")
    made.take(ListenerEnded())
    made.end()
    made.close(60)
    assert "worker_memory_bytes{" not in path.read_text()
    assert "last_tick_timestamp_seconds" in path.read_text()
    assert list(tmp_path.iterdir()) == [path]


def test_listener_that_stands_by_writes_nothing(tmp_path: Path) -> None:
    """It has no look of its own."""
    path = tmp_path / "memkill.prom"
    made, _ = metrics(path)
    made.take(SupervisordAway("refused"))
    made.take(ListenerEnded())
    made.end()
    made.close(60)
    assert not path.exists()


def test_file_that_cannot_be_written_is_reported_once_and_tried_again(tmp_path: Path) -> None:
    directory = tmp_path / "later"
    made, log = metrics(directory / "memkill.prom")
    for _ in range(3):
        made.take(LOOKED)
        wait_for(lambda: not len(made._background), message="the try")
    wait_for(lambda: reported(made, log), message="the failure")
    directory.mkdir()
    made.take(LOOKED)
    made.end()
    made.close(60)
    assert (directory / "memkill.prom").exists()
    assert log.events == [MetricsFailed("metrics_textfile", "No such file or directory")]


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_names_follow_the_conventions(metric: Any) -> None:
    assert (metric.type is Type.COUNTER) == metric.name.endswith("_total")
    assert metric.type is not Type.HISTOGRAM or metric.name.endswith("_seconds")
    bounded = {"job_class"} if metric.name == "job_class_growth_bytes" else set()  # 10 of a pool
    assert set(metric.labels) - bounded <= {
        *("pool", "worker", "state", "cause", "reason", "outcome", "event", "level", "version", "host")
    }
