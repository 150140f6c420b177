"""Uses each Redis URL as the listener does; a line per URL: ok, or refused or unknown and why."""

from __future__ import annotations

import functools
import sys
from typing import Any

from supervisor_memkill.errors import MemkillError, Unknown
from supervisor_memkill.world.redis_client import ask, check, connect


def write_and_read(key: str, redis: Any) -> None:
    redis.set(key, "value")
    assert redis.register_script("return redis.call('GET', KEYS[1])")(keys=[key]) == "value"


def outcome(url: str) -> str:
    """What becomes of a write and of a script on two keys of different slots."""
    try:
        check(url)
    except ValueError as error:
        return f"refused must be {error}"
    client = functools.cache(lambda: connect(url, "memkill-test"))
    try:
        for key in ("{a}k", "{foo}k"):
            ask(client, functools.partial(write_and_read, key))
    except MemkillError as error:
        return f"{'unknown' if isinstance(error, Unknown) else 'refused'} {error}"
    return "ok"


if __name__ == "__main__":
    for line in map(outcome, sys.argv[1:]):
        print(line)
