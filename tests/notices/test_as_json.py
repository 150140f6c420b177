"""A program can read every event, and its values keep their units."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from supervisor_memkill.notices.as_json import event_as_json
from supervisor_memkill.notices.drain_events import DrainKilled
from supervisor_memkill.notices.event import Level
from supervisor_memkill.rules.causes import Reason, StepCause
from tests.notices.made import made


def read(*arguments: Any) -> dict[str, Any]:
    text = event_as_json(*arguments)
    assert text.endswith("\n") and text.count("\n") == 1
    read: dict[str, Any] = json.loads(text)
    return read


def test_event_is_one_object_with_its_fields_in_their_own_units() -> None:
    event = DrainKilled(
        "jobs:one",
        7,
        "jobs",
        Reason.MAX_RSS,
        StepCause.DRAIN_TIMEOUT,
        busy=2,
        jobs=("A", "B"),
        took_seconds=1.5,
    )
    found = read(event, 1234.5678, "here")
    assert found["line"].startswith("ERROR drain.killed worker=jobs:one")
    assert found["hint"] == DrainKilled.hint
    assert {key: found[key] for key in ("version", "time", "host", "event", "level")} == {
        "version": 1,
        "time": 1234.568,
        "host": "here",
        "event": "drain.killed",
        "level": "ERROR",
    }
    assert found["fields"] == {
        "worker": "jobs:one",
        "pid": 7,
        "pool": "jobs",
        "reason": "max_rss",
        "cause": StepCause.DRAIN_TIMEOUT.value,
        "busy": 2,
        "jobs": ["A", "B"],
        "took_seconds": 1.5,
    }


def test_other_values_become_text_and_lists() -> None:
    event = made("x", Level.INFO, "", path=Path("/a b"), names=frozenset({"b", "a"}), flag=True, odd="ä\n\0")
    found = read(event, 0, "h")
    assert found["fields"] == {"path": "/a b", "names": ["a", "b"], "flag": True, "odd": "ä\n\0"}
    assert found["hint"] is None
