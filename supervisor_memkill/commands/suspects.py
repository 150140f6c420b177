"""``supervisor-memkill suspects``: which job classes most likely make memory grow."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from supervisor_memkill.commands import output
from supervisor_memkill.commands.command import CONFIG, JSON, SERVER_OPTIONS, SUCCESS, Command
from supervisor_memkill.errors import MemkillError, UsageError

if TYPE_CHECKING:
    from supervisor_memkill.commands.configuration import Configuration
    from supervisor_memkill.commands.context import Context
    from supervisor_memkill.commands.suspects_values import Shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pool", nargs="?", metavar="POOL", help="show only this pool")


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Show the suspects. Raises MemkillError."""
    from supervisor_memkill.commands.by_hand import find_by_hand
    from supervisor_memkill.commands.suspects_screen import screen
    from supervisor_memkill.commands.suspects_values import as_json

    configuration = find_by_hand(arguments, environ)
    made = read(arguments, environ, configuration)
    output.show_made(made, environ, as_json=as_json if arguments.json else None, screen=screen)
    return SUCCESS


def read(arguments: argparse.Namespace, environ: Mapping[str, str], configuration: Configuration) -> Shown:
    """The suspects of `arguments.pool`, or of all pools. Raises MemkillError."""
    from supervisor_memkill.commands.context import build
    from supervisor_memkill.commands.files_of_listener import journal_here

    context = build(configuration, configuration.supervisord(arguments, environ), environ, own_group="")
    made = read_here(context, journal_here(configuration, context), arguments.pool)
    if not made.pools:
        where = arguments.config or "the configuration of supervisord"
        raise UsageError(
            f"no [memkill:NAME] section in {where}, and no running job is recorded: name the file with"
            " --config"
        )
    return made


def read_here(context: Context, found: Path, only: str | None = None) -> Shown:
    """The suspects by the intervals beside the listener's journal; `only`: of this pool.

    `found`: that journal; while supervisord does not answer, the likeliest one. Raises MemkillError for an
    unknown pool, and when there are intervals that cannot be read.
    """
    from supervisor_memkill.commands.files_of_listener import journal_with
    from supervisor_memkill.commands.suspects_values import shown
    from supervisor_memkill.listener import interval_file

    journal = journal_with(context, found, interval_file.files_beside)
    kept = interval_file.read(journal)
    pools = [pool.name for pool in context.config.pools]
    made = shown(kept.intervals, pools, only)
    if only is not None and not made.pools:
        known = ", ".join(sorted({*pools, *(one.pool for one in kept.intervals)})) or "none"
        raise MemkillError(f"there is no pool {only!r}; the pools are {known}")
    return made.with_notes(interval_file.paths_beside(journal).present, kept)


COMMAND = Command(
    "suspects",
    "show which job classes most likely make the memory of the workers grow",
    run,
    (CONFIG, JSON, *SERVER_OPTIONS),
    add_arguments,
)
