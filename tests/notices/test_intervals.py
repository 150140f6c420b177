"""An interval is one bounded line, and only a whole line of this version is read."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_memkill.notices.intervals import (
    MAX_CLASSES,
    MAX_LINE_BYTES,
    MAX_NAME,
    Interval,
    from_line,
    name_of,
    to_line,
)
from tests.fuzz.effort import tries
from tests.fuzz.values import JSON, near_json

INTERVAL = Interval(
    1000.5, "jobs", "jobs:one", 7, 900, 30.25, 100, 200, {"Mail": 12.5, "Sync": 2.0}, {"Mail": 3}
)


def test_interval_survives_its_line() -> None:
    assert from_line(to_line(INTERVAL)) == INTERVAL
    uncounted = dataclasses.replace(INTERVAL, runs=None)
    assert from_line(to_line(uncounted)) == uncounted


def test_line_is_bounded_ascii_and_keeps_the_commonest_classes() -> None:
    names = {str(number) + "\U0001f600" * 500: float(number + 1) for number in range(1000)}
    runs = {name: int(number) for name, number in names.items()}
    commonest = dataclasses.replace(
        INTERVAL, running_seconds={**names, "Long": 1e6}, runs={**runs, "Long": 10**6}
    )
    line = to_line(commonest)
    assert line.isascii() and line.endswith(b"\n") and len(line) <= MAX_LINE_BYTES
    read = from_line(line)
    assert read.running_seconds["Long"] == 1e6
    assert len(read.running_seconds) == len(read.runs or ()) == MAX_CLASSES
    assert max(map(len, read.running_seconds)) <= MAX_NAME


def test_name_is_cut_and_has_only_characters_that_can_be_written() -> None:
    assert name_of("x" * 200) == "x" * MAX_NAME
    assert name_of("Caf\u00e9\ud800") == "Caf\u00e9?"


@pytest.mark.parametrize("seconds", [0.0, 0.003])
def test_class_that_did_not_run_for_as_long_as_a_line_can_say_is_left_out(seconds: float) -> None:
    """A line says hundredths of a second."""
    interval = dataclasses.replace(INTERVAL, running_seconds={"Mail": seconds, "Sync": 0.01})
    assert from_line(to_line(interval)).running_seconds == {"Sync": 0.01}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("v", 2),
        ("at", 0),
        ("at", None),
        ("pid", -1),
        ("seconds", 0.0),
        ("seconds", 0.009),
        ("before", 2**50 + 1),
        ("after", 2**50 + 1),
        ("seconds", float("inf")),
        ("before", -1),
        ("after", 1.5),
        ("running", {"Mail": -1.0}),
        ("running", {"Mail": 1e12}),
        ("running", []),
        ("runs", {"Mail": 1.5}),
        ("worker", 3),
    ],
)
def test_line_with_a_value_that_cannot_be_is_refused(name: str, value: object) -> None:
    body = {**json.loads(to_line(INTERVAL)), name: value}
    with pytest.raises(ValueError, match=r"."):
        from_line(json.dumps(body).encode())


def test_values_at_their_bounds_are_read() -> None:
    bounds = dataclasses.replace(INTERVAL, seconds=0.01, before_bytes=2**50, after_bytes=2**50)
    assert from_line(to_line(bounds)) == bounds


def test_line_without_one_of_its_values_is_refused() -> None:
    body = json.loads(to_line(INTERVAL))
    for name in set(body) - {"runs"}:
        with pytest.raises(ValueError, match="not an interval"):
            from_line(json.dumps({key: one for key, one in body.items() if key != name}).encode())


def test_line_that_is_too_long_is_refused() -> None:
    line = to_line(INTERVAL)
    assert from_line(line.ljust(MAX_LINE_BYTES)) == INTERVAL
    with pytest.raises(ValueError, match="too long"):
        from_line(to_line(INTERVAL) + b" " * MAX_LINE_BYTES)


@tries(200)
@given(st.one_of(JSON, near_json(json.loads(to_line(INTERVAL)))))
def test_values_of_any_kind_are_an_interval_or_refused(values: Any) -> None:
    try:
        interval = from_line(json.dumps(values).encode())
    except ValueError:
        return
    assert to_line(interval).isascii()
