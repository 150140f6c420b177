"""What the tests of a Redis that refuses share: the calls, the words of an error, the rights of a user."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from supervisor_memkill.coordination.contract import CoordinationUnknown, Published, SlotClaim
from supervisor_memkill.coordination.redis import RedisCoordinator
from supervisor_memkill.world.redis_client import TIMEOUT_SECONDS
from tests.builders import report
from tests.coordination.servers import (
    POOL,
    ask,
    over,
    rules,
)

SECRET = "s3cret-of-the-test"
REPORTS = [over("a", 2.5), over("b"), report("c")]
MARGIN_SECONDS = 4.0
"""For a machine that is busy otherwise."""

NEEDED = [
    *("ping", "evalsha", "script|load", "time"),
    *("hget", "hset", "hdel", "hgetall", "del"),
    *("zadd", "zrem", "zcount", "zscore", "zrangebyscore", "zrevrangebyscore", "xadd"),
]
"""All that a user of Redis must be allowed, beside the keys PREFIX:*; with a database but 0 also select."""


def publish(coordinator: RedisCoordinator, *slot_claims: SlotClaim) -> Published:
    return coordinator.publish(POOL, rules(), REPORTS, list(slot_claims))


CALLS: dict[str, Callable[[RedisCoordinator], Any]] = {
    "publish": publish,
    "consider": lambda coordinator: coordinator.consider(POOL, rules(), ask("a", 2.5)),
    "acquire": lambda coordinator: coordinator.acquire(POOL, rules(), ask("a", 2.5)),
    "release": lambda coordinator: coordinator.release(POOL, "a", "token-a", drained=True),
    "view": lambda coordinator: coordinator.view(POOL),
    "record": lambda coordinator: coordinator.record(POOL, "drain.done", {"worker": "a"}),
}
WRITES = ["publish", "acquire", "release", "record"]


def refusal(coordinator: RedisCoordinator, call: str) -> str:
    """The words of its error, which must come within the time limit."""
    began = time.monotonic()
    with pytest.raises(CoordinationUnknown) as refused:
        CALLS[call](coordinator)
    assert time.monotonic() - began < 2 * TIMEOUT_SECONDS + MARGIN_SECONDS
    words = str(refused.value)
    assert words.startswith("Redis: ")
    assert len(words) > len("Redis: ")
    assert SECRET not in words
    return words
