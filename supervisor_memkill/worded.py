"""Enums whose members have a stable value for programs, and words beside it for people."""

from __future__ import annotations

import enum


class Worded(enum.Enum):
    """The value goes into files, Redis and comparisons; the words may change at any time."""

    words: str
    """The member in plain English, as a clause without a full stop."""

    def __new__(cls, value: str, words: str) -> Worded:
        member = object.__new__(cls)
        member._value_ = value
        member.words = words
        return member
