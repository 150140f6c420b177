"""Reads Sidekiq's records from Redis. A record that cannot be read concerns its own process alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import Unknown
from supervisor_memkill.workers.ownership import MOST_OTHER_NAMES, Began, Hosts
from supervisor_memkill.workers.sidekiq.records import FIELDS, Record, owner_in, parse_record
from supervisor_memkill.world.redis_client import ask


@dataclass(frozen=True)
class Found:
    """What one look at Redis showed."""

    identities: frozenset[str]
    """Of all hosts."""
    records: tuple[Record, ...] = ()
    unreadable: Mapping[int, str] | None = None
    """By pid, what is wrong with a record of this host."""

    def of(self, pids: Collection[int]) -> list[Record]:
        """The records of these pids. Raises Unknown if one of them cannot be read."""
        for pid, why in (self.unreadable or {}).items():
            if pid in pids:
                raise Unknown(why)
        return [record for record in self.records if record.pid in pids]


class RecordReader:
    """Asks for records in at most two round trips."""

    def __init__(self, redis: Callable[[], Any], prefix: str, hosts: Hosts) -> None:
        """`prefix` stands before each key."""
        self._redis = redis
        self._prefix = prefix
        self._hosts = hosts

    def read(self, is_wanted: Callable[[int], bool]) -> Found:
        """The records of this machine's host name with a wanted pid. Raises Unknown if Redis is away."""
        members = ask(self._redis, lambda redis: redis.smembers(f"{self._prefix}processes"))
        identities = frozenset(str(identity) for identity in members)
        wanted = [
            (identity, pid)
            for identity, host, pid in _owners(identities)
            if host in self._hosts and is_wanted(pid)
        ]
        found: list[Record] = []
        unreadable: dict[int, str] = {}
        for identity, pid, values in self._values(wanted):
            try:
                record = parse_record(identity, pid, *values)
            except Unknown as error:
                unreadable[pid] = str(error)
                continue
            if record is not None:
                found.append(record)
        return Found(identities, tuple(found), unreadable)

    def other_names(self, identities: Iterable[str], began: Mapping[int, Began]) -> dict[int, set[str]]:
        """For each of these pids: other hosts with a record of that pid and that start. Raises Unknown."""
        elsewhere = (
            (identity, pid)
            for identity, host, pid in _owners(identities)
            if pid in began and host not in self._hosts
        )
        names: dict[int, set[str]] = {}
        for identity, pid, values in self._values(list(islice(elsewhere, MOST_OTHER_NAMES))):
            try:
                record = parse_record(identity, pid, *values)
            except Unknown:
                continue
            owner = owner_in(identity)
            if record is not None and owner is not None and began[pid].fits(record.started_at):
                names.setdefault(pid, set()).add(owner[0])
        return names

    def _values(
        self, wanted: Sequence[tuple[str, int]]
    ) -> Iterator[tuple[str, int, tuple[Sequence[Any], list[Any]]]]:
        """Each identity and pid with the values of its hash and of its running jobs. Raises Unknown."""
        if not wanted:
            return
        replies = iter(ask(self._redis, lambda redis: self._hashes(redis, wanted)))
        for identity, pid in wanted:
            fields, work, workers = next(replies), next(replies), next(replies)
            yield identity, pid, (fields, [*work, *workers])

    def _hashes(self, redis: Any, wanted: Sequence[tuple[str, int]]) -> Sequence[Any]:
        pipe = redis.pipeline(transaction=False)
        for identity, _pid in wanted:
            key = self._prefix + identity
            pipe.hmget(key, FIELDS)
            pipe.hvals(f"{key}:work")  # from 6.5
            pipe.hvals(f"{key}:workers")  # up to 6.4
        replies: Sequence[Any] = pipe.execute()
        return replies


def _owners(identities: Iterable[str]) -> Iterator[tuple[str, str, int]]:
    """Each identity with its host and pid, in a stable order."""
    for identity in sorted(identities):
        owner = owner_in(identity)
        if owner is not None:
            yield identity, *owner
