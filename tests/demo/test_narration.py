"""The listener's log, as the listener writes it, retold."""

from __future__ import annotations

import io

import pytest

from supervisor_memkill.coordination.contract import Answer, Cause
from supervisor_memkill.demo.narration import parse, retell
from supervisor_memkill.notices.log import EventLog


def retold(event: str, /, level: str = "info", **fields: object) -> str:
    """What becomes of an event on its way through the log."""
    stream = io.StringIO()
    getattr(EventLog(stream), level)(event, **fields)
    parsed = parse(stream.getvalue().rstrip("\n"))
    assert parsed is not None
    return retell(parsed)


def held(answer: Answer) -> str:
    why = f"over its limit, but {answer.words}"
    return retold("worker.held", worker="jobs:b", pid=7, rss="50MB", why=why)


def test_the_begin_of_a_drain_names_memory_and_limit() -> None:
    sentence = retold("drain.quieting", worker="jobs:b", pid=7, rss="82MB", max_rss="60MB")
    assert sentence.startswith("jobs:b is over its limit (82MB of 60MB): ")


@pytest.mark.parametrize("cause", [Cause.SLOTS_TAKEN, Cause.MORE_URGENT])
def test_who_waits_for_a_peer_is_said_to_wait_for_that_peer(cause: Cause) -> None:
    sentence = held(Answer(cause, others_in_service=2, min_available=1, draining=1, detail="jobs:a"))
    assert sentence == "jobs:b is over its limit (50MB) and waits until jobs:a is back: never two at once."


def test_another_cause_of_waiting_is_said_in_the_listeners_words() -> None:
    sentence = held(Answer(Cause.TOO_FEW_IN_SERVICE, others_in_service=0, min_available=1, draining=0))
    assert sentence.endswith("and waits: 0 others are in service and min_available is 1.")


def test_the_end_of_a_drain_tells_what_it_gave_back() -> None:
    sentence = retold("drain.done", worker="jobs:b", before="82MB", after="14MB", took="6.1s")
    assert sentence == "jobs:b is in service again: 82MB before, 14MB now, after 6.1s."


def test_what_goes_wrong_is_always_shown() -> None:
    assert retold("drain.let_go", "warning", worker="jobs:b", cause="it changed") == (
        "WARNING: drain.let_go worker=jobs:b cause=it changed"
    )


def test_an_inner_step_is_not_told() -> None:
    assert retold("drain.busy", worker="jobs:b", busy=1) == ""


def test_a_field_that_is_missing_breaks_nothing() -> None:
    assert "?" in retold("drain.done", worker="jobs:b")


@pytest.mark.parametrize("line", ["", "Traceback (most recent call last):", "2026-01-02 is no event"])
def test_a_line_of_another_form_is_passed_over(line: str) -> None:
    assert parse(line) is None
