"""Finds the configuration and puts the parts together, in the same way for every command."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import socket
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from supervisor_memkill.clock import boot_clock
from supervisor_memkill.config import supervisord_files
from supervisor_memkill.config.load import load
from supervisor_memkill.config.options import Config, PoolConfig
from supervisor_memkill.config.sections import ParsedFiles, read_file
from supervisor_memkill.coordination.contract import Coordinator
from supervisor_memkill.coordination.in_process import InProcessCoordinator
from supervisor_memkill.errors import ConfigError, MemkillError
from supervisor_memkill.listener import journal
from supervisor_memkill.listener.findings import Pool
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.survey import Surveyor
from supervisor_memkill.workers.contract import Tools
from supervisor_memkill.workers.registry import load_kind
from supervisor_memkill.world.machine import memory_limit_bytes
from supervisor_memkill.world.memory import ProcessTable
from supervisor_memkill.world.redis_client import connect
from supervisor_memkill.world.supervisord import Supervisord

CLIENT_NAME = "supervisor-memkill"

EVERYTHING = PoolConfig(name="-", programs=("*",))
"""The pool used when none is configured: it shows the memory of every worker, and sets no limit."""


@dataclass(frozen=True)
class Configuration:
    """The configuration in force, and what supervisord's own files say."""

    config: Config
    reading: ParsedFiles
    """The sections that `config` was made from."""
    supervisords: ParsedFiles | None
    """supervisord's own files; None: not found, or not readable while --config names another file."""
    supervisords_path: Path | None
    """supervisord's main file at one of the places where supervisorctl looks; None: not found."""
    is_found: bool
    """False: no file was named, and none was found."""

    @property
    def eventlistener_groups(self) -> frozenset[str]:
        groups = self.reading.eventlistener_groups
        return groups | self.supervisords.eventlistener_groups if self.supervisords else groups

    def supervisord(self, arguments: argparse.Namespace, environ: Mapping[str, str]) -> Supervisord:
        """Address and password from the arguments, else the environment, else the section [supervisorctl].

        Raises ConfigError and UsageError.
        """
        reading = self.supervisords or self.reading
        address = supervisord_files.server_address(reading.supervisorctl, environ)
        return Supervisord(
            arguments.serverurl or environ.get("SUPERVISOR_SERVER_URL") or address.serverurl,
            arguments.username or environ.get("SUPERVISOR_USERNAME") or address.username,
            arguments.password or environ.get("SUPERVISOR_PASSWORD") or address.password,
        )


def find_configuration(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Configuration:
    """Read the file that --config names, else supervisord's own files. Raises ConfigError."""
    path = _find_supervisords_config()
    node = socket.gethostname()
    supervisords: ParsedFiles | None = None
    if arguments.config is not None:
        reading = read_file(arguments.config)
        supervisords = _read_if_possible(path, environ, node)
    elif path is not None:
        reading = supervisords = supervisord_files.read_supervisord(path, environ, node)
    else:
        reading = ParsedFiles(())
    config = load(reading, environ, node, load_kind)
    if arguments.dry_run:
        config = dataclasses.replace(config, dry_run=True)
    is_found = arguments.config is not None or path is not None
    return Configuration(config, reading, supervisords, path, is_found)


def _find_supervisords_config() -> Path | None:
    try:
        here = Path.cwd()
    except OSError:  # Removed, as a deploy does with old releases.
        here = Path("/")
    return supervisord_files.find_supervisord_config(Path(sys.argv[0]), here, os.path.exists)


def _read_if_possible(path: Path | None, environ: Mapping[str, str], node: str) -> ParsedFiles | None:
    """supervisord's files, when only the address of its server and its event listeners are needed."""
    if path is None:
        return None
    try:
        return supervisord_files.read_supervisord(path, environ, node)
    except ConfigError:
        return None


@dataclass(frozen=True)
class Context:
    """Everything that a command works with."""

    config: Config
    supervisord: Supervisord
    pools: tuple[Pool, ...]
    surveyor: Surveyor
    journal_path: Path

    def coordinator(self, contents: Contents) -> Coordinator:
        """Coordination through Redis if it is configured, else in process; a dry run only reads.

        Raises SupervisordError: supervisord's identifier is part of this listener's name.
        """
        url = self.config.redis
        if url is None:
            return InProcessCoordinator(boot_clock, contents.drain_ended_at)
        from supervisor_memkill.coordination.read_only import ReadOnlyCoordinator
        from supervisor_memkill.coordination.redis import RedisCoordinator

        listener = f"{self.config.host}/{self.supervisord.identification()}"
        shared = RedisCoordinator(
            functools.cache(lambda: connect(url, CLIENT_NAME)),
            listener,
            contents.instance,
            prefix=self.config.key_prefix,
            heartbeat_seconds=self.config.heartbeat_seconds,
            slot_ttl_seconds=self.config.slot_ttl_seconds,
        )
        return ReadOnlyCoordinator(shared, listener, boot_clock) if self.config.dry_run else shared


def build(
    configuration: Configuration, supervisord: Supervisord, environ: Mapping[str, str], *, own_group: str
) -> Context:
    """Put the parts together. `own_group`: the listener's group in supervisord; empty by hand."""
    config = configuration.config
    pools = build_pools(config, supervisord)
    surveyor = build_surveyor(
        pools,
        supervisord,
        own_group=own_group,
        eventlistener_groups=configuration.eventlistener_groups,
        stop_as_group=supervisord_files.reader(supervisord.pid, configuration.supervisords_path, environ),
    )
    journal_path = config.journal or journal.default_path(supervisord.url, environ, os.geteuid())
    return Context(config, supervisord, tuple(pools), surveyor, journal_path)


def build_pools(config: Config, supervisord: Supervisord) -> list[Pool]:
    """Each configured pool with its kind."""
    return [
        Pool(pool, load_kind(pool.worker)(pool.kind_values, _tools(config, pool, supervisord)))
        for pool in config.pools or (EVERYTHING,)
    ]


def _tools(config: Config, pool: PoolConfig, supervisord: Supervisord) -> Tools:
    @functools.cache
    def redis() -> object:
        if pool.redis is None:
            raise MemkillError(f"[memkill:{pool.name}] has no redis")
        return connect(pool.redis, CLIENT_NAME)

    return Tools(
        redis=redis,
        signal=supervisord.signal,
        clock=boot_clock,
        host=config.host,
        key_namespace=pool.key_namespace,
        has_redis=pool.redis is not None,
        max_rss_bytes=pool.max_rss.exact_bytes if pool.max_rss else None,
    )


def build_surveyor(
    pools: Collection[Pool],
    supervisord: Supervisord,
    *,
    own_group: str,
    eventlistener_groups: Collection[str],
    stop_as_group: Callable[[], Mapping[str, bool]],
) -> Surveyor:
    """`own_group`: see `build`; `stop_as_group`: see Surveyor."""
    return Surveyor(
        supervisord,
        tuple(pools),
        boot_clock,
        own_group=own_group,
        process_table=ProcessTable,
        machine_bytes=memory_limit_bytes,
        eventlistener_groups=eventlistener_groups,
        stop_as_group=stop_as_group,
    )
