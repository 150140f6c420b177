"""Commands of the operator, as those know them that begin them.

What runs a command is imported with the first one: few listeners have any.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from supervisor_memkill.dataclass import dataclass


@dataclass(frozen=True)
class CommandEnd:
    """How a command ended."""

    seconds: float
    """How long it took."""
    error: str = ""
    """Why it failed; empty: it succeeded."""


class BackgroundCommand(Protocol):
    """A command that runs in the background. Its methods never wait for it."""

    def end(self) -> CommandEnd | None:
        """How it ended; None: it runs."""
        ...

    def give_up(self) -> None:
        """End it with all processes that it started. Its end is not asked for any more."""
        ...


class Begin(Protocol):
    """Begins a command. It raises no error: a command that cannot be run has ended."""

    def __call__(self, words: Sequence[str], limit_seconds: float) -> BackgroundCommand: ...


def begin_guarded(words: Sequence[str], limit_seconds: float) -> BackgroundCommand:
    """A `Begin`: the command has a guard, which ends it with this process at the latest."""
    from supervisor_memkill.world.guarded_command import GuardedCommand

    return GuardedCommand(words, limit_seconds)


def is_missing(command: str) -> bool:
    """The command, a path or a name in PATH without placeholders, cannot be executed."""
    if not command or "%(" in command:
        return False
    import shutil

    return shutil.which(command) is None
