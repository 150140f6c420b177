"""Checks of Redis: that of the listeners, and those of the workers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from supervisor_memkill.commands.doctor.facts import Facts, RedisFacts
from supervisor_memkill.commands.doctor.finding import Fault, Finding, Severity
from supervisor_memkill.units import format_duration, format_size

AWAY = Fault(
    "redis-away",
    Severity.ERROR,
    "the Redis through which listeners coordinate does not answer",
    "no drain begins",
    "correct redis or redis_file in [memkill], or start this Redis; with one host alone, remove the line",
)
OLD = Fault(
    "redis-old",
    Severity.ERROR,
    "Redis is older than 5.0",
    "it lacks commands that coordination needs, and no drain begins",
    "install Redis 5 or later, or Valkey",
)
CLUSTER = Fault(
    "redis-cluster-by-plain-url",
    Severity.ERROR,
    "this Redis is a node of a cluster, and the URL names one server",
    "it refuses the keys that other nodes hold, and no drain begins in those pools",
    "write redis+cluster://HOST:PORT in place of redis://, or rediss+cluster:// with TLS",
)
REPLICA = Fault(
    "redis-replica",
    Severity.ERROR,
    "this Redis is a replica",
    "it refuses every write, and no drain begins",
    "write the URL of the master, or redis+sentinel://HOST:PORT/MASTER/DB",
)
FORBIDDEN = Fault(
    "redis-forbidden",
    Severity.ERROR,
    "the user of Redis lacks permissions",
    "coordination fails, and no drain begins",
    "give this user the permissions that docs/fleet.rst names (ACL SETUSER)",
)
FULL = Fault(
    "redis-full",
    Severity.ERROR,
    "Redis is above its maxmemory, and refuses to write",
    "no drain begins; frameworks cannot take or add jobs either",
    "set a larger maxmemory, or remove data",
)
EVICTS = Fault(
    "redis-evicts",
    Severity.WARNING,
    "Redis evicts any key when it is full (allkeys-*)",
    "it may evict jobs of a framework; or the data of a pool: then no drain begins for slot_ttl",
    "set maxmemory-policy noeviction or volatile-lru",
)
CLOCK = Fault(
    "redis-clock",
    Severity.NOTE,
    "the clocks of Redis and of this machine differ",
    "the times in a pool's stream differ from those in the log; slots use the clock of Redis alone",
    "run a time service, such as chrony, on both machines",
)
FAULTS = (AWAY, OLD, CLUSTER, REPLICA, FORBIDDEN, FULL, EVICTS, CLOCK)

OLDEST_MAJOR = 5
CLOCK_SECONDS = 10.0


def check_answers(facts: Facts) -> Iterator[Finding]:
    for redis in facts.redis:
        if redis.away and redis.is_ours:  # The workers' own Redis is the source of their readings.
            yield AWAY.found(redis.away, redis.url)
        major = re.match(r"(\d+)\.", redis.version)
        if major and int(major[1]) < OLDEST_MAJOR:
            yield OLD.found(f"its version is {redis.version}", redis.url)


def check_role(facts: Facts) -> Iterator[Finding]:
    for redis in _ours(facts):
        if redis.is_cluster:
            yield CLUSTER.found("cluster mode is enabled", redis.url)
        if redis.is_replica:
            yield REPLICA.found("its role is that of a replica", redis.url)
        if redis.forbidden:
            yield FORBIDDEN.found(f"refused: {', '.join(redis.forbidden)}", redis.url)
        if redis.is_full:
            limit = f" of {format_size(redis.maxmemory_bytes)}" if redis.maxmemory_bytes else ""
            yield FULL.found(f"it is above its maxmemory{limit}", redis.url)


def check_eviction(facts: Facts) -> Iterator[Finding]:
    for redis in facts.redis:
        if redis.policy.startswith("allkeys-"):
            limit = "none is set yet"
            if redis.maxmemory_bytes:
                limit = format_size(redis.maxmemory_bytes)
            yield EVICTS.found(f"maxmemory-policy is {redis.policy}, maxmemory: {limit}", redis.url)


def check_clock(facts: Facts) -> Iterator[Finding]:
    for redis in _ours(facts):
        ahead = redis.clock_ahead_seconds
        if abs(ahead) > CLOCK_SECONDS:
            side = "ahead of" if ahead > 0 else "behind"
            yield CLOCK.found(f"its clock is {format_duration(abs(ahead))} {side} this machine's", redis.url)


def _ours(facts: Facts) -> list[RedisFacts]:
    return [one for one in facts.redis if one.is_ours]


CHECKS = (check_answers, check_role, check_eviction, check_clock)
