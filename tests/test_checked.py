"""The readers of single values from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from supervisor_memkill import checked

NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (checked.text, ""),
        (checked.text, "\ud800"),
        (checked.flag, True),
        (checked.flag, False),
        (checked.whole, -(2**63) + 1),
        (checked.whole, 2**63 - 1),
        (checked.count, 0),
        (checked.count, 2**63 - 1),
        (checked.number, -1),
        (checked.number, 1e300),
        (checked.seconds, -1.5),
        (checked.mapping, {"a": object()}),
        (checked.items, [object()]),
        (checked.or_none(checked.count), 3),
        (checked.or_none(checked.count), None),
    ],
)
def test_what_fits_is_returned_unchanged(read: Callable[[Any], Any], value: Any) -> None:
    assert read(value) is value


def test_whole_seconds_become_a_float() -> None:
    assert type(checked.seconds(3)) is float


@pytest.mark.parametrize(
    ("read", "values"),
    [
        (checked.text, [None, b"x", 0, ["x"]]),
        (checked.flag, [None, 0, 1, "true"]),
        (checked.whole, [None, True, 1.0, "1", 2**63, -(2**63)]),
        (checked.count, [None, True, 1.0, "1", 2**63, -1]),
        (checked.number, [None, True, "1", NAN, INFINITY, -INFINITY, 10**400]),
        (checked.seconds, [None, True, "1", NAN, INFINITY, -INFINITY, 2**63, -(2**63), 1e300]),
        (checked.items, [None, {}, "x", (1,)]),
        (checked.mapping, [None, [], "x", {1: 2}]),
        (checked.or_none(checked.text), [0, b""]),
    ],
)
def test_anything_else_is_refused(read: Callable[[Any], Any], values: list[Any]) -> None:
    for value in values:
        with pytest.raises(ValueError, match="is "):
            read(value)


def test_a_refusal_shows_only_the_beginning_of_the_value() -> None:
    with pytest.raises(ValueError, match=r"^'x{39} is not a whole number$"):
        checked.whole("x" * 1000)
