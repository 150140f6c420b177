"""Reads what ``status`` shows: the state of the listener here, or the pools in Redis."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

from supervisor_memkill.clock import boot_clock
from supervisor_memkill.commands.by_hand import examine_by_hand
from supervisor_memkill.commands.configuration import Configuration
from supervisor_memkill.commands.context import NEEDS_REDIS, build, connect_to_pools
from supervisor_memkill.commands.fleet_status import fleet_pool, problems
from supervisor_memkill.commands.found_listener import FoundListener, find_listener
from supervisor_memkill.commands.status_of import matches, status_of
from supervisor_memkill.commands.status_values import FleetPoolLine, Status
from supervisor_memkill.coordination.contract import CoordinationUnknown
from supervisor_memkill.errors import ConfigError, MemkillError, UsageError
from supervisor_memkill.world.supervisord import SupervisordError


def read_here(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Status:
    """Raises MemkillError."""
    configuration = examine_by_hand(arguments, environ)
    try:
        here = _of_listener(arguments, environ, configuration)
    except SupervisordError as error:
        if configuration.problems:  # The address may stand in the file that cannot be read.
            raise ConfigError([*configuration.problems, str(error)]) from error
        raise
    return with_problems(here, configuration)


def read_fleet(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Status:
    """The pools in Redis, which needs no supervisord here. Raises MemkillError."""
    configuration = examine_by_hand(arguments, environ)
    if configuration.problems and not configuration.config.redis:
        raise ConfigError(configuration.problems)
    if not configuration.config.redis:
        raise UsageError(NEEDS_REDIS)
    try:
        here = _of_listener(arguments, environ, configuration)
    except SupervisordError as error:
        here = unseen(error)
    status = with_fleet(here, arguments, configuration)
    return with_problems(dataclasses.replace(status, pools=()), configuration)


def unseen(error: MemkillError) -> Status:
    """The status while nothing can be seen, as when supervisord does not answer."""
    return status_of(FoundListener(Path(), problem=str(error), is_hidden=True), boot_clock())


def with_fleet(here: Status, arguments: argparse.Namespace, configuration: Configuration) -> Status:
    """The same with the pools in Redis, and with their problems."""
    fleet, away = list[FleetPoolLine](), list[str]()
    try:
        fleet += _pools(arguments, configuration)
    except CoordinationUnknown as error:
        away.append(str(error))
    found = [*away, *here.problems, *(one for pool in fleet for one in problems(pool))]
    return dataclasses.replace(here, fleet=tuple(fleet), problems=tuple(found))


def _of_listener(
    arguments: argparse.Namespace, environ: Mapping[str, str], configuration: Configuration
) -> Status:
    context = build(configuration, configuration.supervisord(arguments, environ), environ, own_group="")
    return status_of(find_listener(configuration, context), boot_clock(), arguments.names)


def with_problems(status: Status, configuration: Configuration) -> Status:
    """A configuration that no listener would start with again is a problem, though the present one works."""
    if not configuration.problems:
        return status
    first, *more = configuration.problems
    others = f" (and {len(more)} more: supervisor-memkill doctor)" if more else ""
    problem = f"no listener would start with the configuration on disk: {first}{others}"
    return dataclasses.replace(status, problems=(*status.problems, problem))


def _pools(arguments: argparse.Namespace, configuration: Configuration) -> Iterator[FleetPoolLine]:
    """Raises CoordinationUnknown."""
    config = configuration.config
    shared = connect_to_pools(config, config.redis or "")
    for pool in config.pools:
        line = fleet_pool(pool.name, shared.view(pool.name), arguments.names)
        if line.workers or matches(arguments.names, pool.name, ""):
            yield line
