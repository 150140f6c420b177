"""The pool's stream has each step of a drain once something was done to the worker, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from supervisor_memkill.notices.drain_events import (
    DrainBusy,
    DrainDone,
    DrainKilled,
    DrainLetGo,
    DrainNotBegun,
    DrainQuieting,
    DrainStopping,
    StepEnded,
)
from supervisor_memkill.notices.event import Event
from supervisor_memkill.notices.pool_events import WorkerHeldLong
from supervisor_memkill.notices.stream import StreamSink
from supervisor_memkill.rules.causes import Reason, StepCause
from supervisor_memkill.rules.drain import State

ONE = ("jobs:one", 7)
QUIETING = DrainQuieting(*ONE, "jobs", Reason.MAX_RSS, rss_bytes=300, max_rss_bytes=200)
STOPPING = DrainStopping(*ONE, "jobs", Reason.MAX_RSS, StepCause.IDLE)


def recorded(*events: Event) -> list[tuple[str, str, Mapping[str, str]]]:
    found: list[tuple[str, str, Mapping[str, str]]] = []
    sink = StreamSink(lambda pool, event, fields: found.append((pool, event, fields)))
    for event in events:
        sink.take(event)
    return found


def names(*events: Event) -> list[str]:
    return [event for _, event, _ in recorded(*events)]


def ended(state: State, *, touched: bool) -> StepEnded:
    return StepEnded(*ONE, state, touched)


def test_state_is_recorded_with_its_fields_as_texts() -> None:
    (entry,) = recorded(QUIETING, ended(State.QUIETING, touched=True))
    fields = {
        "worker": "jobs:one",
        "pid": "7",
        "reason": "max_rss",
        "rss_bytes": "300",
        "max_rss_bytes": "200",
    }
    assert entry == ("jobs", "drain.quieting", fields)


def test_state_whose_action_was_not_sent_is_recorded_when_it_is_sent_later() -> None:
    late = ended(State.STOPPING, touched=True)
    assert names(STOPPING, ended(State.STOPPING, touched=False), late, late) == ["drain.stopping"]


def test_drain_that_did_nothing_to_its_worker_leaves_nothing() -> None:
    not_begun = DrainNotBegun(*ONE, StepCause.QUIET_NOT_SENT, "why")
    assert names(QUIETING, ended(State.QUIETING, touched=False), not_begun) == []
    assert names(QUIETING, not_begun, ended(State.STOPPING, touched=True)) == []


def test_end_is_recorded_and_ends_what_waited() -> None:
    done = DrainDone(*ONE, "jobs", Reason.MAX_RSS, before_bytes=300, after_bytes=90, quiet_seconds=1.5)
    (entry,) = recorded(STOPPING, done, ended(State.STOPPING, touched=True))
    assert entry[1] == "drain.done" and entry[2]["before_bytes"] == "300"
    let_go = DrainLetGo(*ONE, "jobs", Reason.MAX_RSS, StepCause.GONE, State.QUIETING, "why")
    (_, event, fields) = recorded(let_go)[0]
    assert (event, fields["state"], fields["cause"]) == ("drain.let_go", "quieting", "gone")


def test_other_events_of_a_drain_are_not_recorded_and_end_nothing() -> None:
    assert names(STOPPING, DrainBusy(*ONE, 3, None), ended(State.STOPPING, touched=True)) == [
        "drain.stopping"
    ]


def test_worker_that_was_held_for_long_is_recorded() -> None:
    (entry,) = recorded(WorkerHeldLong(*ONE, "jobs", None, "why", 3660.0))
    assert entry[:2] == ("jobs", "worker.held_long")
    assert (entry[2]["why"], entry[2]["held_seconds"]) == ("why", "3660.0")


def test_killed_drain_is_recorded_with_the_jobs_that_it_cut() -> None:
    killed = DrainKilled(*ONE, "jobs", Reason.MAX_RSS, busy=2, jobs=("Mail", "Report"))
    (entry,) = recorded(STOPPING, killed)
    assert entry[1] == "drain.killed"
    assert (entry[2]["busy"], entry[2]["jobs"]) == ("2", "Mail,Report")
