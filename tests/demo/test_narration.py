"""The listener's log, as the listener writes it, as sentences."""

from __future__ import annotations

import io

import pytest

from supervisor_memkill.coordination.contract import Answer, Cause
from supervisor_memkill.demo.narration import narrate, parse
from supervisor_memkill.notices.event import Level
from supervisor_memkill.notices.log import LogSink
from tests.notices.made import made


def narrated(event: str, /, level: Level = Level.INFO, **fields: object) -> str:
    """The sentence for an event that went through the log."""
    stream = io.StringIO()
    LogSink(stream).take(made(event, level, **fields))
    parsed = parse(stream.getvalue().rstrip("\n"))
    assert parsed is not None
    return narrate(parsed)


def held(answer: Answer) -> str:
    why = f"over its limit, but {answer.words}"
    assert answer.refused is not None
    return narrated("worker.held", worker="jobs:b", pid=7, rss="50MB", cause=answer.refused, why=why)


def test_the_beginning_of_a_drain_names_memory_and_limit() -> None:
    sentence = narrated("drain.quieting", worker="jobs:b", pid=7, rss="82MB", max_rss="60MB")
    assert sentence.startswith("jobs:b is over its limit (82MB of 60MB): ")


@pytest.mark.parametrize("cause", [Cause.SLOTS_TAKEN, Cause.MORE_URGENT])
def test_a_worker_that_waits_for_a_peer_is_shown_with_that_peer(cause: Cause) -> None:
    sentence = held(Answer(cause, others_in_service=2, min_available=1, draining=1, detail="jobs:a"))
    assert sentence == "jobs:b is over its limit (50MB) and waits until jobs:a is back."


def test_another_cause_of_waiting_is_quoted_from_the_log() -> None:
    sentence = held(Answer(Cause.TOO_FEW_IN_SERVICE, others_in_service=0, min_available=1, draining=0))
    assert sentence.endswith("and waits: 0 others are in service and min_available is 1.")


def test_the_end_of_a_drain_shows_how_much_memory_it_gave_back() -> None:
    sentence = narrated("drain.done", worker="jobs:b", before="82MB", after="14MB", took="6.1s")
    assert sentence == "jobs:b is in service again after 6.1s: 82MB before, 14MB now."


def test_warnings_are_always_shown() -> None:
    assert narrated("drain.let_go", Level.WARNING, worker="jobs:b", cause="it changed") == (
        "WARNING: drain.let_go worker=jobs:b cause=it changed"
    )


def test_an_inner_step_is_not_shown() -> None:
    assert narrated("drain.busy", worker="jobs:b", busy=1) == ""


def test_a_field_that_is_missing_breaks_nothing() -> None:
    assert "?" in narrated("drain.done", worker="jobs:b")


@pytest.mark.parametrize("line", ["", "Traceback (most recent call last):", "2026-01-02 is no event"])
def test_a_line_that_is_no_event_is_skipped(line: str) -> None:
    assert parse(line) is None
