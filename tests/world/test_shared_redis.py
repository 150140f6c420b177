"""A Redis that hangs costs a turn few time limits, however many pools ask."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_memkill.errors import MemkillError, Unknown
from supervisor_memkill.world.redis_client import ask
from supervisor_memkill.world.redis_wire import NoReply, ReplyError
from supervisor_memkill.world.shared_redis import MAX_MISSES, MISS_SECONDS, RedisClients

URL, OTHER = "redis://one", "redis://other"


class Server:
    """A Redis that hangs, refuses or answers; the clock is its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0
        self.connected: list[str] = []
        self.hangs = True
        self.clients = RedisClients(self.connect, lambda: self.now)

    def connect(self, url: str) -> Server:
        self.connected.append(url)
        return self

    def ping(self) -> str:
        self.asked += 1
        if self.hangs:
            self.now += 2.0
            raise NoReply("Timeout reading from one")
        return "PONG"

    def refuse(self) -> str:
        self.asked += 1
        raise ReplyError("WRONGTYPE of another program")


def ping(redis: Any) -> str | None:
    try:
        return ask(redis, lambda client: str(client.ping()))
    except Unknown:
        return None


@pytest.fixture
def server() -> Server:
    return Server()


def test_redis_that_hangs_is_not_asked_again_in_the_same_turn(server: Server) -> None:
    for _ in range(50):
        assert ping(server.clients.for_readings(URL)) is None
    assert server.asked == MAX_MISSES


def test_what_is_not_asked_fails_with_the_last_error(server: Server) -> None:
    """So the outage is one line in the log, as the outage of one pool is."""
    texts = set()
    for _ in range(5):
        with pytest.raises(Unknown) as error:
            ask(server.clients.for_readings(URL), lambda client: client.ping())
        texts.add(str(error.value))
    assert texts == {"Redis: Timeout reading from one"}


def test_next_turn_asks_again(server: Server) -> None:
    redis = server.clients.for_readings(URL)
    for _ in range(5):
        ping(redis)
    server.hangs = False
    assert ping(redis) is None
    server.clients.turn_begins()
    assert ping(redis) == "PONG"


def test_an_answer_between_two_misses_shows_that_redis_is_there(server: Server) -> None:
    redis = server.clients.for_readings(URL)
    for _ in range(10):
        server.hangs = True
        assert ping(redis) is None
        server.hangs = False
        assert ping(redis) == "PONG"


def test_refusals_cost_no_time_and_stay_with_the_pool_that_asked(server: Server) -> None:
    redis, server.hangs = server.clients.for_readings(URL), False
    for _ in range(50):
        with pytest.raises(Unknown, match="WRONGTYPE"):
            ask(redis, lambda client: client.refuse())
    assert server.asked == 50
    assert ping(redis) == "PONG"


def test_failures_below_the_limit_are_no_misses(server: Server) -> None:
    """A Redis that is restarted turns connections away at once."""
    redis = server.clients.for_readings(URL)

    def turn_away(client: Server) -> None:
        server.now += MISS_SECONDS * 0.9
        raise NoReply("Error 111 connecting")

    for _ in range(10):
        with pytest.raises(Unknown):
            ask(redis, turn_away)
    server.hangs = False
    assert ping(redis) == "PONG"


def test_readings_that_do_not_come_cost_coordination_nothing(server: Server) -> None:
    for _ in range(5):
        ping(server.clients.for_readings(URL))
    server.hangs = False
    assert ping(server.clients.for_readings(URL)) is None
    assert ping(server.clients.for_coordination(URL)) == "PONG"


def test_one_redis_does_not_answer_for_another(server: Server) -> None:
    for _ in range(5):
        ping(server.clients.for_readings(URL))
    server.hangs = False
    assert ping(server.clients.for_readings(OTHER)) == "PONG"


def test_all_pools_and_coordination_share_one_client(server: Server) -> None:
    """50 pools of 500 hosts would otherwise be 25,500 connections: Redis takes 10,000 by default."""
    server.hangs = False
    for _ in range(50):
        assert ping(server.clients.for_readings(URL)) == "PONG"
    assert ping(server.clients.for_coordination(URL)) == "PONG"
    assert server.connected == [URL]


def test_client_that_cannot_be_made_is_tried_again() -> None:
    """A cluster is asked when its client is made."""
    tries = []

    def connect(url: str) -> object:
        tries.append(url)
        raise Unknown("the cluster does not answer")

    redis = RedisClients(connect, lambda: 0.0).for_coordination(URL)
    for _ in range(3):
        with pytest.raises(MemkillError):
            ask(redis, lambda client: client)
    assert tries == [URL] * 3
