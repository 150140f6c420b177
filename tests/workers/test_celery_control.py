"""Celery's remote control on a real Redis: what it waits for, what it leaves behind, and its errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kombu.pidbox
import pytest

from supervisor_memkill.errors import Unknown
from supervisor_memkill.testing.fakes import tools
from supervisor_memkill.workers.celery.broker import control_of
from supervisor_memkill.workers.celery.control import Broker, Command
from tests.harness import free_port, wait_for
from tests.real_redis import RealRedis
from tests.redis_servers import sentinel

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
        namespace = options.pop("namespace", "celery")
        mailbox = KOMBU.pidbox.Mailbox(namespace, type="fanout", **options)(self._connection)
        self._node = mailbox.Node(name, state={}, channel=self._connection.channel())

        def ping(_state: object, **arguments: object) -> object:
            self.received.append("ping")
            return answer()

        def active(_state: object, **arguments: object) -> object:
            return arguments

        self._node.handler(ping)
        self._node.handler(active)
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
        nodes.append(Node(options.pop("url", redis_server.url), name, answer, **options))
        wait_for(lambda: subscriptions(redis_server) == len(nodes), message="the node does not subscribe")
        return nodes[-1]

    yield start
    for node in nodes:
        node.end()


def broker_of(url: str, namespace: str = "") -> Broker:
    return control_of({"broker": (url,)}, tools(namespace=namespace))


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


def test_running_tasks_are_asked_for_without_their_arguments(
    redis_server: RealRedis, start_node: Callable[..., Node]
) -> None:
    """They may be huge, or objects that JSON cannot hold: then no answer comes (celery/celery issue 7601)."""
    start_node()
    answers = broker_of(redis_server.url).ask(["ping", "active"], ["one@here"], 5.0)
    assert answers == {"ping": [("one@here", {})], "active": [("one@here", {"safe": True})]}


def test_keys_stand_in_the_namespace(redis_server: RealRedis, start_node: Callable[..., Node]) -> None:
    start_node(transport_options={"global_keyprefix": "app:"})
    assert broker_of(redis_server.url, "app:").ask(["ping"], ["one@here"], 5.0)["ping"]
    assert not broker_of(redis_server.url).ask(["ping"], ["one@here"], 0.2)["ping"]


@pytest.mark.parametrize("options", [{"fanout_prefix": "/other."}, {"fanout_patterns": False}, {"sep": "|"}])
def test_options_of_the_transport_that_rename_keys_must_be_the_same(
    redis_server: RealRedis, start_node: Callable[..., Node], options: dict[str, Any]
) -> None:
    start_node(transport_options=options)
    values = {"broker": (redis_server.url,), "broker_transport_options": options}
    assert control_of(values, tools()).ask(["ping"], ["one@here"], 5.0)["ping"]


def test_an_exchange_of_another_name_must_be_the_same(
    redis_server: RealRedis, start_node: Callable[..., Node]
) -> None:
    start_node(namespace="other")
    values = {"broker": (redis_server.url,), "control_exchange": "other"}
    assert control_of(values, tools()).ask(["ping"], ["one@here"], 5.0)["ping"]
    assert not broker_of(redis_server.url).ask(["ping"], ["one@here"], 0.2)["ping"]


def test_of_a_list_the_next_broker_is_asked_where_one_does_not_answer(
    redis_server: RealRedis, start_node: Callable[..., Node]
) -> None:
    start_node()
    gone = [f"redis://127.0.0.1:{free_port()}/0" for _ in range(2)]
    near = control_of({"broker": (gone[0], redis_server.url)}, tools())
    assert near.ask(["ping"], ["one@here"], 5.0)["ping"], "at once"
    far = control_of({"broker": (*gone, redis_server.url)}, tools())
    with pytest.raises(Unknown):
        far.ask(["ping"], ["one@here"], 5.0)  # two in one look: each may take a time limit
    assert far.ask(["ping"], ["one@here"], 5.0)["ping"]


def test_sentinels_lead_to_the_broker(
    redis_server: RealRedis, start_node: Callable[..., Node], short_path: Path
) -> None:
    """The database is part of the exchange's name; older workers have another one (kombu below 5.4)."""
    monitor = [f"sentinel monitor main 127.0.0.1 {redis_server.port} 1"]
    with sentinel(short_path, monitor) as port:
        options = {"master_name": "main"}
        url = f"sentinel://127.0.0.1:{free_port()};sentinel://127.0.0.1:{port}/0"
        start_node(url=url, transport_options=options)
        values = {"broker": (url,), "broker_transport_options": options}
        assert control_of(values, tools()).ask(["ping"], ["one@here"], 5.0)["ping"]
        own = {"broker": (f"redis+sentinel://127.0.0.1:{port}/main/0",)}
        client: Any = redis_server.client()
        with client.pubsub() as listening:
            listening.psubscribe("*.pidbox*")
            assert control_of(own, tools()).ask(["ping"], ["one@here"], 5.0)["ping"]
            messages = iter(lambda: listening.get_message(timeout=0.5), None)
            heard = {one["channel"] for one in messages if one["type"] == "pmessage"}
        assert heard == {"/0.celery.pidbox", "/{db}.celery.pidbox"}


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
