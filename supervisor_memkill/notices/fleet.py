"""One message about an event that happens on many hosts, through Redis.

The first host to claim an event's name sends the message; the others leave their lines with it. A line that
nobody took is sent by the host that left it, so that the death of the first host hides nothing. Where Redis
is away or does not allow it, each host sends its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from supervisor_memkill.errors import MemkillError, one_line
from supervisor_memkill.notices.digest import WINDOW_SECONDS
from supervisor_memkill.world.redis_client import ask

MAX_LINES, MAX_CHARACTERS = 100, 800
"""Of what other hosts left: whoever may write to Redis may have written it."""
KEPT_SECONDS = 3600


class Fleet(Protocol):
    """The other hosts. Whatever goes wrong, each host is on its own."""

    def leave(self, name: str, lines: Sequence[str]) -> bool:
        """Leave the lines with the host that sends messages about this event. False: that is this host."""
        ...

    def collect(self, name: str) -> list[str]:
        """The lines that other hosts left; each is given once."""
        ...

    def take_back(self, name: str, lines: Sequence[str]) -> bool:
        """Whether one of these lines was still there: nobody sent them."""
        ...


class Alone:
    """There is no other host."""

    def leave(self, name: str, lines: Sequence[str]) -> bool:
        return False

    def collect(self, name: str) -> list[str]:
        return []

    def take_back(self, name: str, lines: Sequence[str]) -> bool:
        return False


class RedisFleet:
    """The hosts that share a Redis, and send to the same URLs."""

    def __init__(self, connect: Callable[[], Any], prefix: str, host: str, group: str) -> None:
        """`group`: the same for hosts with the same URLs, and for no others."""
        self._redis = functools.cache(connect)
        self._prefix = prefix
        self._host = host
        self._group = group

    def leave(self, name: str, lines: Sequence[str]) -> bool:
        try:
            return bool(ask(self._redis, lambda redis: self._leave(redis, name, lines)))
        except MemkillError:
            return False

    def _leave(self, redis: Any, name: str, lines: Sequence[str]) -> bool:
        claim, kept = self._keys(name)
        if redis.set(claim, self._host, nx=True, ex=int(WINDOW_SECONDS)) or redis.get(claim) == self._host:
            return False
        redis.rpush(kept, *lines)
        redis.ltrim(kept, -MAX_LINES, -1)
        redis.expire(kept, KEPT_SECONDS)
        return True

    def collect(self, name: str) -> list[str]:
        found: list[str] = []
        try:
            # One by one: the command for several is newer than some servers.
            while len(found) < MAX_LINES and (line := self._pop(name)) is not None:
                found.append(one_line(line[:MAX_CHARACTERS]))
        except MemkillError:
            pass
        return found

    def _pop(self, name: str) -> str | None:
        line = ask(self._redis, lambda redis: redis.lpop(self._keys(name)[1]))
        return None if line is None else str(line)

    def take_back(self, name: str, lines: Sequence[str]) -> bool:
        kept = self._keys(name)[1]
        try:
            return bool(ask(self._redis, lambda redis: sum([redis.lrem(kept, 1, line) for line in lines])))
        except MemkillError:
            return True  # Rather twice than never.

    def _keys(self, name: str) -> tuple[str, str]:
        """In one slot of a cluster."""
        tag = f"{self._prefix}:{{notice:{name}:{self._group}}}"
        return f"{tag}:claim", f"{tag}:lines"
