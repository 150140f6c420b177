"""Reads what a page shows: the values of ``status``, ``history`` and ``suspects``, also with ``--fleet``.

Everything is read anew for each page: the files, supervisord, the listener's state, Redis. The suspects alone
are kept for a while, because the calculation takes long.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from supervisor_memkill.clock import Clock, boot_clock
from supervisor_memkill.commands import history, status_read, suspects
from supervisor_memkill.commands.by_hand import examine_by_hand
from supervisor_memkill.commands.configuration import Configuration
from supervisor_memkill.commands.context import Context, build
from supervisor_memkill.commands.found_listener import find_listener
from supervisor_memkill.commands.history_values import Shown, Wanted, shown
from supervisor_memkill.commands.status_of import status_of
from supervisor_memkill.commands.status_values import Status
from supervisor_memkill.commands.suspects_values import Shown as Suspects
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import ConfigError, MemkillError
from supervisor_memkill.notices.records import Record
from supervisor_memkill.units import parse_duration
from supervisor_memkill.world.supervisord import SupervisordError

Records = tuple[list[Record], list[str]]
SUSPECTS_SECONDS = 60.0
"""How long the suspects are kept."""


@dataclass(frozen=True)
class Seen:
    """What one page shows."""

    at: float
    """Epoch seconds."""
    status: Status | None
    """None: not even the configuration could be read; `problems` says why."""
    history: Shown | None = None
    """Of this supervisord; None: it cannot be read."""
    fleet_history: Shown | None = None
    """Of all hosts; None: no Redis is configured, or it does not answer."""
    suspects: Suspects | None = None
    """None: they cannot be read."""
    problems: tuple[str, ...] = ()
    """What could not be read, one sentence each, beside the problems of `status`."""

    @property
    def all_problems(self) -> tuple[str, ...]:
        """Each once."""
        of_status = self.status.problems if self.status is not None else ()
        return tuple(dict.fromkeys([*of_status, *self.problems]))


class Reader:
    """Reads for one page after the other, one at a time."""

    def __init__(
        self, arguments: argparse.Namespace, environ: Mapping[str, str], clock: Clock = boot_clock
    ) -> None:
        self._arguments = arguments
        self._environ = environ
        self._clock = clock
        self._suspects: tuple[float, Path, Suspects] | None = None
        """When they were calculated, and for which journal."""

    def read(self) -> Seen:
        """Raises nothing that a person could mend: that is a problem in the page."""
        now = time.time()
        try:
            configuration = examine_by_hand(self._arguments, self._environ)
            return self._read(configuration, now)
        except ConfigError as error:
            return Seen(now, None, problems=error.problems)
        except MemkillError as error:
            return Seen(now, None, problems=(str(error),))

    def _read(self, configuration: Configuration, now: float) -> Seen:
        supervisord = configuration.supervisord(self._arguments, self._environ)
        context = build(configuration, supervisord, self._environ, own_group="")
        try:
            found = find_listener(configuration, context)
            status, journal = status_of(found, self._clock()), found.journal
        except SupervisordError as error:
            status, journal = status_read.unseen(error), context.journal.path
        problems = list[str]()
        since = now - parse_duration(history.DEFAULT_SINCE)
        here = _history(lambda: history.read_here(context, journal), since, problems)
        suspected = self._suspected(context, journal, problems)
        of_fleet = None
        if configuration.config.redis:
            here_alone = status
            status = status_read.with_fleet(here_alone, self._arguments, configuration)
            if _answers(status, here_alone):
                of_fleet = _history(
                    lambda: history.read_fleet(configuration, since), since, problems, is_fleet=True
                )
        status = status_read.with_problems(status, configuration)
        return Seen(now, status, here, of_fleet, suspected, tuple(problems))

    def _suspected(self, context: Context, journal: Path, problems: list[str]) -> Suspects | None:
        now = self._clock()
        if self._suspects is not None:
            at, of, made = self._suspects
            if of == journal and now - at < SUSPECTS_SECONDS:
                return made
        try:
            made = suspects.read_here(context, journal)
        except MemkillError as error:
            problems.append(str(error))
            return None
        self._suspects = (now, journal, made)
        return made


def _answers(status: Status, without_fleet: Status) -> bool:
    """Redis gave its pools: whoever waits for a page does not wait for it twice."""
    return bool(status.fleet) or status.problems == without_fleet.problems


def _history(
    records: Callable[[], Records], since: float, problems: list[str], *, is_fleet: bool = False
) -> Shown | None:
    try:
        found, notes = records()
    except MemkillError as error:
        problems.append(str(error))
        return None
    return shown(found, Wanted(since=since), notes=notes, is_fleet=is_fleet)
