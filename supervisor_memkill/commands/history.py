"""``supervisor-memkill history``: past drains, and what was held for long."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from supervisor_memkill.commands import output
from supervisor_memkill.commands.command import CONFIG, JSON, SERVER_OPTIONS, SUCCESS, Command
from supervisor_memkill.errors import MemkillError, UsageError
from supervisor_memkill.units import parse_duration

if TYPE_CHECKING:
    from pathlib import Path

    from supervisor_memkill.commands.configuration import Configuration
    from supervisor_memkill.commands.context import Context
    from supervisor_memkill.commands.history_values import Wanted
    from supervisor_memkill.notices.records import Record

DEFAULT_SINCE = "7d"
ALL = "all"
SINCE_ALLOWED = f"a duration such as 24h, a date such as 2026-11-29 or '2026-11-29 03:00', or {ALL}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="show only this pool, worker (group:name) or group; *, ? and [...] match",
    )
    parser.add_argument(
        "--since",
        metavar="TIME",
        default=DEFAULT_SINCE,
        help=f"how far back: {SINCE_ALLOWED} (default: {DEFAULT_SINCE})",
    )
    parser.add_argument(
        "--reason", action="append", default=[], metavar="REASON", help="show only drains with this reason"
    )
    parser.add_argument(
        "--outcome",
        action="append",
        default=[],
        metavar="OUTCOME",
        help="show only done, killed, let_go or held; --reason and --outcome may be repeated",
    )
    parser.add_argument(
        "--fleet", action="store_true", help="show the drains of all hosts of the pools, through Redis"
    )


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Show the history. Raises MemkillError."""
    from supervisor_memkill.commands.by_hand import find_by_hand
    from supervisor_memkill.commands.history_screen import screen
    from supervisor_memkill.commands.history_values import as_json, shown

    wanted = _wanted(arguments)
    configuration = find_by_hand(arguments, environ)
    if arguments.fleet:
        records, notes = read_fleet(configuration)
    else:
        records, notes = _of_this_supervisord(arguments, environ, configuration)
    _check_names(wanted, records, configuration)
    made = shown(records, wanted, notes=notes, is_fleet=arguments.fleet)
    output.show_made(made, environ, as_json=as_json if arguments.json else None, screen=screen)
    return SUCCESS


# --- what is asked for ----------------------------------------------------------------------------------


def _wanted(arguments: argparse.Namespace) -> Wanted:
    from supervisor_memkill.commands.history_values import OUTCOMES, REASONS, Wanted

    for option, values, known in (
        ("--reason", arguments.reason, REASONS),
        ("--outcome", arguments.outcome, OUTCOMES),
    ):
        for value in values:
            if value not in known:
                raise UsageError(f"{option}: {value!r} is not known; it is one of {', '.join(known)}")
    return Wanted(
        tuple(arguments.names),
        since_of(arguments.since, time.time()),
        tuple(arguments.reason),
        tuple(arguments.outcome),
    )


def since_of(text: str, now: float) -> float:
    """The time that --since names, in epoch seconds. Raises UsageError."""
    if text == ALL:
        return 0.0
    try:
        return max(0.0, now - parse_duration(text))
    except ValueError:
        pass
    try:
        return max(0.0, datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"--since: {text!r} is not {SINCE_ALLOWED}") from None


def _check_names(wanted: Wanted, records: list[Record], configuration: Configuration) -> None:
    """Raises MemkillError for a name that nothing has: it is misspelt rather than without a drain."""
    from fnmatch import fnmatchcase

    pools = [pool.name for pool in configuration.config.pools]
    for name in wanted.names:
        one = type(wanted)((name,))
        is_pool = any(fnmatchcase(pool, name) for pool in pools)
        if not is_pool and not any(one.names_record(record) for record in records):
            known = ", ".join(sorted({*pools, *(record.pool for record in records)})) or "none"
            raise MemkillError(f"the history has no pool, worker or group {name!r}; the pools are {known}")


# --- where the records come from ------------------------------------------------------------------------


def _of_this_supervisord(
    arguments: argparse.Namespace, environ: Mapping[str, str], configuration: Configuration
) -> tuple[list[Record], list[str]]:
    """Raises MemkillError when there is a history that cannot be read."""
    from supervisor_memkill.commands.context import build
    from supervisor_memkill.commands.files_of_listener import journal_here

    context = build(configuration, configuration.supervisord(arguments, environ), environ, own_group="")
    return read_here(context, journal_here(configuration, context))


def read_here(context: Context, found: Path) -> tuple[list[Record], list[str]]:
    """The records beside the listener's journal, and what is missing, one sentence each.

    `found`: that journal; while supervisord does not answer, the likeliest one. Raises MemkillError when
    there is a history that cannot be read.
    """
    from supervisor_memkill.commands.files_of_listener import journal_with
    from supervisor_memkill.listener import history_file

    journal = journal_with(context, found, history_file.paths_beside)
    history = history_file.read(journal)
    path, _ = history_file.paths_beside(journal)
    notes = []
    if not history.records and not history.damaged and not history.of_other_version:
        notes.append(f"the listener has written no history yet ({path})")
    if history.damaged:
        notes.append(f"{path}: damaged lines, which are not shown: {history.damaged}")
    if history.of_other_version:
        notes.append(f"{path}: records of a newer version, which are not shown: {history.of_other_version}")
    return list(history.records), notes


def read_fleet(configuration: Configuration, since: float = 0.0) -> tuple[list[Record], list[str]]:
    """The records of all configured pools since this time (epoch seconds). Raises MemkillError."""
    import functools

    from supervisor_memkill.commands.context import CLIENT_NAME
    from supervisor_memkill.commands.history_fleet import records_of
    from supervisor_memkill.coordination.events import read_events
    from supervisor_memkill.world.redis_client import connect

    config = configuration.config
    url = config.redis
    if url is None:
        raise UsageError("--fleet needs redis in [memkill]: without it there is no other host")
    redis = functools.cache(lambda: connect(url, CLIENT_NAME))
    records, notes = list["Record"](), []
    for pool in config.pools:
        history = records_of(pool.name, read_events(redis, config.key_prefix, pool.name, since))
        records += history.records
        if history.not_understood:
            notes.append(
                f"pool {pool.name}: {history.not_understood} entries of its stream are not understood"
            )
    return records, notes


COMMAND = Command(
    "history",
    "show past drains: time, reason, memory before and after, duration, jobs cut",
    run,
    (CONFIG, JSON, *SERVER_OPTIONS),
    add_arguments,
)
