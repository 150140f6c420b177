"""Readers for single values that come from outside: JSON of a journal, XML-RPC, answers of Redis.

Each returns the value with its type known, or raises ValueError with a text that shows at most the first
40 characters of the value. A truth value is never taken for a number.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

BOUND = 2**63
"""Numbers at or beyond this size are refused: no clock, size or count of a machine gets there."""


def text(value: Any) -> str:
    """A string, which may be empty."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40} is not a text")
    return value


def flag(value: Any) -> bool:
    """True or false; 0 and 1 are neither."""
    if not isinstance(value, bool):
        raise ValueError(f"{value!r:.40} is neither true nor false")
    return value


def whole(value: Any) -> int:
    """An integer, which may be negative."""
    if type(value) is not int or not -BOUND < value < BOUND:
        raise ValueError(f"{value!r:.40} is not a whole number")
    return value


def count(value: Any) -> int:
    """An integer of 0 or more."""
    if whole(value) < 0:
        raise ValueError(f"{value!r:.40} is below 0")
    return int(value)


def number(value: Any) -> float:
    """An integer or a finite float, returned as it is; NaN and infinity are refused."""
    if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"{value!r:.40} is not a number")
    return value  # type: ignore[no-any-return]


def seconds(value: Any) -> float:
    """A number of seconds, as a float; NaN, infinity and numbers beyond `BOUND` are refused."""
    if type(value) not in (int, float) or not -BOUND < value < BOUND:
        raise ValueError(f"{value!r:.40} is not a number of seconds")
    return float(value)


def mapping(value: Any) -> Mapping[str, Any]:
    """A JSON object. Its values are not checked."""
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{value!r:.40} is not an object")
    return value


def items(value: Any) -> list[Any]:
    """A JSON list. Its items are not checked."""
    if not isinstance(value, list):
        raise ValueError(f"{value!r:.40} is not a list")
    return value


def or_none(read: Callable[[Any], T]) -> Callable[[Any], T | None]:
    """The reader that also takes None."""
    return lambda value: None if value is None else read(value)
