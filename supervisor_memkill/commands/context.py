"""Puts the parts together, for the listener and for the dry run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping

from supervisor_memkill.clock import boot_clock
from supervisor_memkill.config.config import Config, PoolConfig
from supervisor_memkill.coordination.contract import Coordinator
from supervisor_memkill.coordination.in_process import InProcessCoordinator
from supervisor_memkill.errors import MemkillError
from supervisor_memkill.listener.journal import Contents
from supervisor_memkill.listener.survey import Pool, Surveyor
from supervisor_memkill.workers.contract import Tools
from supervisor_memkill.workers.registry import load_kind
from supervisor_memkill.world.machine import memory_limit_bytes
from supervisor_memkill.world.memory import ProcessTable
from supervisor_memkill.world.redis_url import connect
from supervisor_memkill.world.supervisord import Supervisord

CLIENT_NAME = "supervisor-memkill"

EVERYTHING = PoolConfig(name="-", programs=("*",))
"""Stands in where no pool is configured: every worker's memory is shown, and none is over."""


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
    )


def coordinate(config: Config, supervisord: Supervisord, contents: Contents) -> Coordinator:
    """Through Redis where one is configured, else in process.

    A dry run only looks. Raises SupervisordError: its identifier is part of this listener's name.
    """
    url = config.redis
    if url is None:
        return InProcessCoordinator(boot_clock, contents.drain_ended_at)
    from supervisor_memkill.coordination.read_only import LookingCoordinator
    from supervisor_memkill.coordination.redis import RedisCoordinator

    listener = f"{config.host}/{supervisord.identification()}"
    shared = RedisCoordinator(
        functools.cache(lambda: connect(url, CLIENT_NAME)),
        listener,
        contents.instance,
        prefix=config.key_prefix,
        heartbeat_seconds=config.heartbeat_seconds,
        slot_ttl_seconds=config.slot_ttl_seconds,
    )
    return LookingCoordinator(shared, listener, boot_clock) if config.dry_run else shared


def build_surveyor(
    pools: Collection[Pool],
    supervisord: Supervisord,
    *,
    own_group: str,
    eventlistener_groups: Collection[str],
    stop_as_group: Callable[[], Mapping[str, bool]],
) -> Surveyor:
    """`own_group`: the listener's; empty by hand. For `stop_as_group` see Surveyor."""
    return Surveyor(
        supervisord,
        tuple(pools),
        boot_clock,
        own_group=own_group,
        tables=ProcessTable,
        machine_bytes=memory_limit_bytes,
        eventlistener_groups=eventlistener_groups,
        stop_as_group=stop_as_group,
    )
