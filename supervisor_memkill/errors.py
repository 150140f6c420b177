"""The errors that this program raises itself; ``main`` prints one line for an error that reaches it."""

from __future__ import annotations

from collections.abc import Sequence


def one_line(text: str) -> str:
    """The text with line breaks and control characters written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class MemkillError(Exception):
    """A failure that one line explains to the operator."""

    def __init__(self, text: object = "") -> None:
        super().__init__(one_line(str(text)))


class UsageError(MemkillError):
    """Wrong usage, or a place where the program cannot work (exit status 2)."""


class ConfigError(MemkillError):
    """All problems of the configuration (exit status 2)."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__()
        self.problems = tuple(map(one_line, problems))

    def __str__(self) -> str:
        return "\n".join(self.problems)


class Unknown(MemkillError):
    """A reading failed. It allows no conclusion, so no drain may begin because of it."""


class NotSent(MemkillError):
    """An action was given up before anything reached the worker."""
