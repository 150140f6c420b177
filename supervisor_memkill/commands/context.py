"""Puts the parts together, in the same way for every command."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from supervisor_memkill.clock import boot_clock
from supervisor_memkill.commands.prepared import Settled
from supervisor_memkill.config import program_files, supervisord_files
from supervisor_memkill.config.program_files import ProgramFiles
from supervisor_memkill.config.supervisord_sections import StopAsGroup
from supervisor_memkill.config.values import Config, PoolConfig
from supervisor_memkill.coordination.contract import Coordinator
from supervisor_memkill.coordination.in_process import InProcessCoordinator
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import MemkillError
from supervisor_memkill.listener.findings import Pool
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.journal_place import JournalPlace
from supervisor_memkill.listener.known_processes import KnownProcesses
from supervisor_memkill.listener.recognition import Recognition
from supervisor_memkill.listener.survey import Surveyor
from supervisor_memkill.workers.contract import Tools
from supervisor_memkill.workers.registry import load_kind
from supervisor_memkill.world.event_protocol import is_sent_changes
from supervisor_memkill.world.machine import memory_limit_bytes
from supervisor_memkill.world.memory import ProcessTable, PsutilBackend
from supervisor_memkill.world.shared_redis import RedisClients
from supervisor_memkill.world.supervisord import Supervisord

if TYPE_CHECKING:
    from supervisor_memkill.commands.configuration import Configuration
    from supervisor_memkill.coordination.redis import RedisCoordinator

CLIENT_NAME = "supervisor-memkill"
NEEDS_REDIS = "--fleet needs redis in [memkill]: without it no other host takes part"

EVERYTHING = PoolConfig(name="-", programs=("*",))
"""The pool used when none is configured: it shows the memory of every worker, and sets no limit."""


@dataclass(frozen=True)
class Context:
    """Everything that a command works with."""

    config: Config
    supervisord: Supervisord
    pools: tuple[Pool, ...]
    surveyor: Surveyor
    journals: tuple[JournalPlace, ...]
    """Where the listener may keep its journal, the likeliest place first; there is at least one."""
    files: tuple[Path, ...]
    """The files of the configuration that count: supervisord's main file, and those with our sections."""
    in_files: Callable[[], ProgramFiles]
    """What supervisord's files say about its programs now."""
    redis: RedisClients
    process_table: Callable[[], ProcessTable] = ProcessTable

    @property
    def journal(self) -> JournalPlace:
        """The first place with a file, else the likeliest place."""
        return next((place for place in self.journals if place.existing()), self.journals[0])

    def coordinator(self, contents: Contents) -> Coordinator:
        """Coordination through Redis if it is configured, else in process; a dry run only reads.

        Raises SupervisordError: supervisord's identifier is part of this listener's name.
        """
        url = self.config.redis
        if url is None:
            return InProcessCoordinator(boot_clock, contents.drain_ended_at)
        from supervisor_memkill.coordination.read_only import ReadOnlyCoordinator
        from supervisor_memkill.coordination.redis import RedisCoordinator
        from supervisor_memkill.world.former_process import MachineProcesses

        listener = f"{self.config.host}/{self.supervisord.identification()}"
        shared = RedisCoordinator(
            self.redis.for_coordination(url),
            listener,
            contents.instance,
            prefix=self.config.key_prefix,
            heartbeat_seconds=self.config.heartbeat_seconds,
            slot_ttl_seconds=self.config.slot_ttl_seconds,
            epochs=contents.epochs,
            processes=MachineProcesses(),
        )
        if not self.config.dry_run:
            return shared
        return ReadOnlyCoordinator(shared, listener, boot_clock)


def connect_to_pools(config: Config, url: str) -> RedisCoordinator:
    """The pools in this Redis, for a command that is no listener and has no workers."""
    from supervisor_memkill.coordination.redis import RedisCoordinator
    from supervisor_memkill.world.redis_client import connect

    return RedisCoordinator(
        functools.cache(lambda: connect(url, CLIENT_NAME)),
        "",
        "",
        prefix=config.key_prefix,
        heartbeat_seconds=config.heartbeat_seconds,
        slot_ttl_seconds=config.slot_ttl_seconds,
    )


def build(
    configuration: Configuration,
    supervisord: Supervisord,
    environ: Mapping[str, str],
    *,
    own_group: str,
    own_name: str = "",
    recognition: Recognition | None = None,
) -> Context:
    """Put the parts together. `own_group`, `own_name`: the listener in supervisord; empty by hand.

    `recognition`: see Surveyor.
    """
    settled = configuration.settled(supervisord.url, environ, is_listener=bool(own_group))
    return put_together(
        settled,
        supervisord,
        configuration.environ,
        own_group=own_group,
        own_name=own_name,
        recognition=recognition,
    )


def put_together(
    settled: Settled,
    supervisord: Supervisord,
    environ: Mapping[str, str],
    *,
    own_group: str = "",
    own_name: str = "",
    recognition: Recognition | None = None,
) -> Context:
    """The same, from what is settled. `environ`: supervisord's."""
    redis = redis_clients()
    pools = build_pools(settled.config, supervisord, redis)
    in_files = supervisord_files.program_reader(settled.supervisords_path, environ)
    # One backend for all tables: it remembers the parents of the processes.
    process_table = functools.partial(ProcessTable, PsutilBackend())
    surveyor = build_surveyor(
        pools,
        supervisord,
        own_group=own_group,
        eventlistener_groups=settled.eventlistener_groups,
        stop_as_group=supervisord_files.reader(settled.supervisords_path, environ),
        in_files=in_files,
        recognition=recognition,
        known=_known_processes(supervisord, in_files, process_table, own_group, own_name)
        if own_group
        else None,
        process_table=process_table,
    )
    return Context(
        settled.config,
        supervisord,
        tuple(pools),
        surveyor,
        settled.journals,
        settled.files,
        in_files,
        redis,
        process_table,
    )


def redis_clients() -> RedisClients:
    """The clients of one command or listener; none is connected yet."""

    def connect(url: str) -> object:
        from supervisor_memkill.world import redis_client

        return redis_client.connect(url, CLIENT_NAME)

    return RedisClients(connect, boot_clock)


def _known_processes(
    supervisord: Supervisord,
    in_files: Callable[[], ProgramFiles],
    process_table: Callable[[], ProcessTable],
    own_group: str,
    own_name: str,
) -> KnownProcesses:
    return KnownProcesses(
        supervisord,
        process_table,
        boot_clock,
        wall=time.time,
        own_worker=f"{own_group}:{own_name}",
        is_subscribed=is_sent_changes(in_files().events.get(own_group, ())),
    )


def build_pools(config: Config, supervisord: Supervisord, redis: RedisClients | None = None) -> list[Pool]:
    """Each configured pool with its kind. `redis` None: clients of their own."""
    redis = redis or redis_clients()
    return [
        Pool(pool, load_kind(pool.worker)(pool.kind_values, _tools(config, pool, supervisord, redis)))
        for pool in config.pools or (EVERYTHING,)
    ]


def pool_of(kind: str, context: Context) -> Pool:
    """A pool with the defaults of this kind and without a limit, to measure workers as the kind does."""
    config = PoolConfig(name=kind, programs=(), worker=kind)
    found = load_kind(kind)
    values = {key: option.default for key, option in found.options.items()}
    return Pool(config, found(values, _tools(context.config, config, context.supervisord, context.redis)))


def _tools(config: Config, pool: PoolConfig, supervisord: Supervisord, redis: RedisClients) -> Tools:
    def no_redis() -> object:
        raise MemkillError(f"[memkill:{pool.name}] has no redis")

    return Tools(
        redis=no_redis if pool.redis is None else redis.for_readings(pool.redis),
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
    stop_as_group: Callable[[], StopAsGroup],
    in_files: Callable[[], ProgramFiles] = lambda: program_files.NOTHING,
    recognition: Recognition | None = None,
    known: KnownProcesses | None = None,
    process_table: Callable[[], ProcessTable] = ProcessTable,
) -> Surveyor:
    """`own_group`: see `build`; the others: see Surveyor."""
    return Surveyor(
        supervisord,
        tuple(pools),
        boot_clock,
        own_group=own_group,
        process_table=process_table,
        machine_bytes=memory_limit_bytes,
        eventlistener_groups=eventlistener_groups,
        stop_as_group=stop_as_group,
        in_files=in_files,
        recognition=recognition,
        known=known,
    )
