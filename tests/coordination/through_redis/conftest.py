"""Hosts that share one Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.builders import report
from tests.coordination.servers import (
    Fleet,
    Host,
    over,
    redis_server,
)

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def client() -> Iterator[redis.Redis]:
    with redis_server() as server:
        yield server.client()


@pytest.fixture
def fleet(client: redis.Redis) -> Fleet:
    client.flushall()
    client.script_flush()
    return Fleet(client)


@pytest.fixture
def pair(fleet: Fleet) -> tuple[Host, Host]:
    """Two hosts that each have one worker that asks and one that does not; the pool is settled."""
    one = fleet.host("one", over("a", 2.5), report("b"))
    two = fleet.host("two", over("c"), report("d"))
    fleet.settled(one, two)
    return one, two
