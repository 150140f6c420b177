"""Every error that this program raises on purpose; ``main`` turns what reaches it into one line."""

from __future__ import annotations

from collections.abc import Sequence


def one_line(text: str) -> str:
    """The text with what would break its line, or rule a terminal, written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class MemkillError(Exception):
    """Something went wrong that the operator can be told in one line."""

    def __init__(self, text: object = "") -> None:
        super().__init__(one_line(str(text)))


class UsageError(MemkillError):
    """The program was called wrongly, or where it cannot work (exit status 2)."""


class ConfigError(MemkillError):
    """One or more problems of the configuration, all found in one reading (exit status 2)."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__()
        self.problems = tuple(map(one_line, problems))

    def __str__(self) -> str:
        return "\n".join(self.problems)


class Unknown(MemkillError):
    """A reading failed. Nothing may be concluded from it: whoever meets it holds."""


class NotSent(MemkillError):
    """An act on a worker was given up before anything reached it."""
