"""Where in Redis the records of a framework are, if they are not where a pool looks for them."""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import MemkillError
from supervisor_memkill.workers.ownership import Hosts
from supervisor_memkill.world.redis_client import ask, is_cluster_client
from supervisor_memkill.world.redis_commands import RedisClient

SCANS, SCAN_KEYS, SEARCH_SECONDS = 20, 1000, 1.0
"""The search of one Redis ends after so many calls in one database, or after this time."""
SHOWN = 5


@dataclass(frozen=True)
class Place:
    """A set of worker records."""

    database: int | None
    """None: the database that the pool uses."""
    key: str
    size: int


def places(redis: Callable[[], Any], name: str, is_record: Callable[[str, str], bool]) -> list[Place]:
    """The sets named `name`, or ending in ``:name``, whose members are records, in all databases.

    `is_record` gets the key and one member. Raises Unknown. A part that cannot be searched is left out.
    """
    end = time.monotonic() + SEARCH_SECONDS

    def search(client: Any, database: int | None) -> list[Place]:
        keys = dict.fromkeys([name, *_scan(client, f"*:{name}", end)])
        return [
            Place(database, key, client.scard(key))
            for key in keys
            if client.type(key) == "set" and is_record(key, client.srandmember(key) or "")
        ]

    found = ask(redis, lambda client: search(client, None))
    for database, other in _other_databases(redis):
        with contextlib.suppress(MemkillError), contextlib.closing(other):
            found += _ask(other, lambda client, database=database: search(client, database))  # type: ignore[misc]
    return found


def _ask(client: Any, question: Callable[[Any], list[Place]]) -> list[Place]:
    return ask(lambda: client, question)


def _scan(client: Any, pattern: str, end: float) -> Iterator[str]:
    if is_cluster_client(client):  # its nodes have cursors of their own
        return
    cursor = 0
    for _ in range(SCANS):
        cursor, keys = client.scan(cursor, match=pattern, count=SCAN_KEYS)
        yield from keys
        if not cursor or time.monotonic() > end:
            return


def _other_databases(redis: Callable[[], Any]) -> Iterator[tuple[int, RedisClient]]:
    """A client for each other database that is not empty; none for a client of redis-py."""
    client = redis()
    if not isinstance(client, RedisClient):
        return
    try:
        names = ask(redis, lambda it: list(it.info("keyspace")))
    except MemkillError:  # forbidden to this user
        return
    numbers = [int(name[2:]) for name in names if re.fullmatch("db[0-9]{1,9}", name)]
    for number in numbers:
        if number != client.target.db:
            yield number, client.with_database(number)


def describe(found: Iterable[Place], framework: str, expected_key: str, namespace_of: str) -> str:
    """A clause about records at other places; empty if there are none.

    `namespace_of` is the ending of a key that follows its namespace, such as ``:processes``.
    """
    words = []
    for place in found:
        where = []
        if place.database is not None:
            where.append(f"in database {place.database} (set redis to that database)")
        if place.key != expected_key:
            namespace = place.key.removesuffix(namespace_of) if place.key.endswith(namespace_of) else ""
            where.append(
                f"with the namespace {namespace[:60]!r} (set key_namespace)"
                if namespace
                else "without a namespace (remove key_namespace)"
            )
        if where:
            words.append(f"{place.size} {framework} records are {' '.join(where)}")
    return "; ".join(words[:SHOWN])


def describe_hosts(found: Iterable[str], framework: str, hosts: Hosts) -> str:
    """A clause about records at the expected place, by the host that they name; empty if there are none."""
    counts = Counter(found)
    if not counts:
        return ""
    own = sorted(name for name in counts if name in hosts)
    if own:
        return f"{framework} records of this host ({', '.join(own[:SHOWN])}) exist, but of other processes"
    shown = ", ".join(repr(host[:60]) for host, _ in counts.most_common(SHOWN))
    more = f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else ""
    return f"{framework} records of the hosts {shown}{more} exist, but none of this host, {hosts.own!r}"
