"""What a command is: its name, the options that it takes, and the function that runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supervisor_memkill.dataclass import dataclass

if TYPE_CHECKING:  # The listener imports this module, and needs no argparse.
    import argparse

    Run = Callable[[argparse.Namespace, Mapping[str, str]], int]
    """Takes the arguments and the environment, returns the exit status. Raises MemkillError."""

PROGRAM = "supervisor-memkill"
OUTPUT_CLOSED = "cannot write the output: standard output is closed"

SUCCESS, FAILURE, WRONG_USE, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses. WRONG_USE includes errors in the configuration."""


@dataclass(frozen=True)
class Option:
    """One option of the command line, which stands before or after the name of a command."""

    flag: str
    """``--dry-run``."""
    help: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Further parameters of argparse's ``add_argument``."""

    def add_to(self, parser: argparse.ArgumentParser, **overrides: Any) -> None:
        parser.add_argument(self.flag, help=self.help, **{**self.settings, **overrides})

    def is_given(self, arguments: argparse.Namespace) -> bool:
        return getattr(arguments, self.flag.lstrip("-").replace("-", "_"), None) not in (None, False)


CONFIG = Option(
    "--config",
    "the file with the [memkill] sections; without it they are read from supervisord's own configuration",
    {"metavar": "FILE", "type": Path},
)
JSON = Option("--json", "write JSON instead of a table", {"action": "store_true"})
SERVER_OPTIONS = (
    Option("--serverurl", "address of supervisord, as for supervisorctl", {"metavar": "URL"}),
    Option("--username", "user name for supervisord, as for supervisorctl", {"metavar": "NAME"}),
    Option("--password", "password for supervisord, as for supervisorctl", {"metavar": "PASSWORD"}),
)
"""By default the environment's SUPERVISOR_SERVER_URL and the like, then the [supervisorctl] section."""


def _add_none(parser: argparse.ArgumentParser) -> None:
    """A command without arguments of its own."""


@dataclass(frozen=True)
class Command:
    """One command. Its module imports at the top only what is cheap: the listener imports all of them."""

    name: str
    """As a person types it."""
    help: str
    run: Run
    options: tuple[Option, ...] = ()
    """The options that it takes; any other option is an error."""
    add_arguments: Callable[[argparse.ArgumentParser], None] = _add_none
    """Adds what only this command has."""
