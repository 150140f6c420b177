"""One client for each Redis, for all pools, and an end to waiting for a Redis that does not answer.

A Redis that hangs costs a time limit for each question. With many pools, one turn would ask for minutes, and
drains would have to wait for it. So once a turn has waited in vain for `MAX_MISSES` answers in a row, its
other questions fail at once. The next turn asks again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from supervisor_memkill.clock import Clock
from supervisor_memkill.errors import Unknown

MAX_MISSES = 2
"""One is not enough: a lost packet, or one part of a cluster, must not cost all pools their answers."""
MISS_SECONDS = 1.0
"""A failure that came sooner was a refusal, and costs no time."""

T = TypeVar("T")


class SharedRedis:
    """A client that many parts use; `redis_client.ask` asks through it."""

    def __init__(self, connect: Callable[[], Any], clock: Clock) -> None:
        """`connect` makes the client, and is called again if it raised an error."""
        self._connect = connect
        self._clock = clock
        self._misses = 0
        """Answers that did not come, in this turn and since the last answer."""
        self._error = ""

    def __call__(self) -> Any:
        """The client. Raises MemkillError as `redis_client.connect`."""
        return self._connect()

    def turn_begins(self) -> None:
        self._misses = 0

    def patiently(self, ask: Callable[[], T]) -> T:
        """The answer, unless this turn has waited long enough. Raises Unknown."""
        if self._misses >= MAX_MISSES:
            raise Unknown(self._error)
        began_at = self._clock()
        try:
            answer = ask()
        except Unknown as error:
            self._misses += self._clock() - began_at >= MISS_SECONDS
            self._error = str(error)
            raise
        self._misses = 0
        return answer


class RedisClients:
    """The clients of one listener by URL."""

    def __init__(self, connect: Callable[[str], Any], clock: Clock) -> None:
        self._connect = functools.cache(connect)
        self._clock = clock
        self._shared: dict[tuple[str, bool], SharedRedis] = {}

    def for_readings(self, url: str) -> SharedRedis:
        """For the kinds of all pools with this URL."""
        return self._of(url, is_coordination=False)

    def for_coordination(self, url: str) -> SharedRedis:
        """It counts for itself: readings that do not come must not cost the pools their heartbeats."""
        return self._of(url, is_coordination=True)

    def _of(self, url: str, *, is_coordination: bool) -> SharedRedis:
        key = (url, is_coordination)
        if key not in self._shared:
            self._shared[key] = SharedRedis(lambda: self._connect(url), self._clock)
        return self._shared[key]

    def turn_begins(self) -> None:
        """From now on, a Redis that did not answer in the last turn is asked again."""
        for one in self._shared.values():
            one.turn_begins()
