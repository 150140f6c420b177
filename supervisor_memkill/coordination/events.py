"""Reads the stream of a pool in Redis, which every host of the pool writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from supervisor_memkill.coordination.contract import CoordinationUnknown
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import MemkillError
from supervisor_memkill.world.redis_client import ask

MAX_READ = 5000
"""Entries of one pool. A listener keeps about 1000; a whole node of the stream may be more."""


@dataclass(frozen=True)
class Entry:
    """One event that a listener recorded."""

    at: float
    """Epoch seconds, by the clock of Redis."""
    fields: Mapping[str, str]


def read_events(redis: Callable[[], Any], prefix: str, pool: str, since: float) -> list[Entry]:
    """The last events of the pool since this time, the oldest first. Raises CoordinationUnknown.

    `since`: epoch seconds.
    """
    key, least = f"{prefix}:{{{pool}}}:events", max(0, int(since * 1000))
    try:
        answer = ask(redis, lambda client: client.xrevrange(key, max="+", min=least, count=MAX_READ))
    except MemkillError as error:
        raise CoordinationUnknown(str(error)) from error
    try:
        return [_entry(identity, fields) for identity, fields in reversed(answer)]
    except (AttributeError, TypeError, ValueError) as error:
        raise CoordinationUnknown(
            f"Redis: the stream of the pool {pool} is not understood: {error}"
        ) from error


def _entry(identity: Any, fields: Any) -> Entry:
    # An entry that was deleted while it was read has no fields.
    values = {str(name): str(value) for name, value in (fields or {}).items()}
    return Entry(int(str(identity).partition("-")[0]) / 1000, values)
