"""Celery's remote control on a real Redis: what it waits for, what it leaves behind, and its errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import kombu.pidbox
import pytest

from supervisor_memkill.errors import Unknown
from supervisor_memkill.testing.fakes import tools
from supervisor_memkill.workers.celery.broker import connection_maker
from supervisor_memkill.workers.celery.control import Broker, Command
from tests.harness import RealRedis, free_port, wait_for

pytestmark = pytest.mark.real
KOMBU: Any = kombu


class Node:
    """A worker's end of the protocol, by kombu's own classes, in a thread.

    It hears commands only once Redis has its subscription: kombu sends that with the first look for messages,
    some time after `listen` returned.
    """

    def __init__(self, url: str, name: str, answer: Callable[[], object], **options: Any) -> None:
        self.received: list[str] = []
        self._ended = threading.Event()
        self._connection = KOMBU.Connection(url, transport_options=options.pop("transport_options", {}))
        mailbox = KOMBU.pidbox.Mailbox("celery", type="fanout", **options)(self._connection)
        self._node = mailbox.Node(name, state={}, channel=self._connection.channel())

        def ping(_state: object, **arguments: object) -> object:
            self.received.append("ping")
            return answer()

        self._node.handler(ping)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with self._node.listen():
            while not self._ended.is_set():
                try:
                    self._connection.drain_events(timeout=0.05)
                except TimeoutError:
                    continue
        self._connection.release()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()


def subscriptions(server: RealRedis) -> int:
    """The number of connections that have subscribed to a pattern."""
    clients: Any = server.client().client_list(_type="pubsub")
    return sum(int(client["psub"]) for client in clients)


@pytest.fixture
def start_node(redis_server: RealRedis) -> Iterator[Callable[..., Node]]:
    nodes: list[Node] = []

    def start(name: str = "one@here", answer: Callable[[], object] = dict, **options: Any) -> Node:
        nodes.append(Node(redis_server.url, name, answer, **options))
        wait_for(lambda: subscriptions(redis_server) == len(nodes), message="the node does not subscribe")
        return nodes[-1]

    yield start
    for node in nodes:
        node.end()


def broker_of(url: str, namespace: str = "") -> Broker:
    return Broker(connection_maker(url, tools(namespace=namespace)))


def test_an_answer_comes_and_nothing_is_left_in_redis(
    redis_server: RealRedis, start_node: Callable[..., Node]
) -> None:
    start_node(answer=lambda: {"pid": 7})
    client: Any = redis_server.client()
    before, threads = set(client.keys()), threading.active_count()
    broker = broker_of(redis_server.url)
    for _ in range(3):
        assert broker.ask(["ping"], ["one@here"], 5.0) == {"ping": [("one@here", {"pid": 7})]}
    assert broker.ask(["ping"], ["other@here"], 0.1) == {"ping": []}, "not the one that was asked"
    # kombu's own, from 5.7 on: exchanges of which some bindings expire.
    assert set(client.keys()) - before <= {"_kombu.binding_deadlines"}
    assert set(client.zrange("_kombu.binding_deadlines", 0, -1)) <= {"celery.pidbox", "reply.celery.pidbox"}
    assert threading.active_count() == threads


def test_with_whole_the_answers_of_two_nodes_with_one_name_arrive(
    redis_server: RealRedis, start_node: Callable[..., Node]
) -> None:
    def late() -> object:
        time.sleep(0.2)
        return 2

    start_node(answer=lambda: 1)
    start_node(answer=late)
    answers = broker_of(redis_server.url).ask(["ping"], ["one@here"], 1.0, whole=True)
    assert sorted(value for _, value in answers["ping"]) == [1, 2]
    assert len(broker_of(redis_server.url).ask(["ping"], None, 1.0)["ping"]) == 2


def test_an_answer_that_is_pickled_is_never_read(
    redis_server: RealRedis, start_node: Callable[..., Node]
) -> None:
    """Whoever can write to the broker could run code here."""
    node = start_node(serializer="pickle")
    assert broker_of(redis_server.url).ask(["ping"], ["one@here"], 0.5) == {"ping": []}
    assert node.received == ["ping"]


def test_keys_stand_in_the_namespace(redis_server: RealRedis, start_node: Callable[..., Node]) -> None:
    start_node(transport_options={"global_keyprefix": "app:"})
    assert broker_of(redis_server.url, "app:").ask(["ping"], ["one@here"], 5.0)["ping"]
    assert not broker_of(redis_server.url).ask(["ping"], ["one@here"], 0.2)["ping"]


def test_commands_of_tell_run_without_an_answer(
    redis_server: RealRedis, start_node: Callable[..., Node]
) -> None:
    node = start_node()
    broker_of(redis_server.url).tell("one@here", [Command("ping"), Command("ping")])
    wait_for(lambda: node.received == ["ping", "ping"])


def test_a_broker_behind_a_unix_socket_answers(
    redis_server: RealRedis, start_node: Callable[..., Node]
) -> None:
    start_node()
    assert broker_of(redis_server.unix_url).ask(["ping"], ["one@here"], 5.0)["ping"]


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_is_away_is_unknown_at_once_and_tries_no_further(scheme: str) -> None:
    broker = broker_of(f"{scheme}://:secret@127.0.0.1:{free_port()}/0")
    with pytest.raises(Unknown, match=r"broker: .*refused") as caught:
        broker.ask(["ping"], None, 1.0)
    assert "secret" not in str(caught.value)


def test_a_broker_that_hangs_is_unknown_within_its_time_limit_and_used_again_later(
    redis_server: RealRedis, start_node: Callable[..., Node]
) -> None:
    start_node()
    broker = broker_of(redis_server.url)
    assert broker.ask(["ping"], ["one@here"], 5.0)["ping"]
    redis_server.pause()
    try:
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(Unknown):
                broker.ask(["ping"], ["one@here"], 1.0)
            # One time limit of 2 s; twice that leaves room for a slow machine, and none for endless tries.
            assert time.monotonic() - began < 10
    finally:
        redis_server.resume()
    wait_for(lambda: broker.ask(["ping"], ["one@here"], 1.0)["ping"])
