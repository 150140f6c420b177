"""The Redis client: how it connects, what it decodes, and what it does when no answer comes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import redis

from supervisor_memkill.errors import MemkillError, Unknown
from supervisor_memkill.world.redis_client import ask, connect
from tests.harness import free_port, wait_for
from tests.real.redis_gate import RedisGate
from tests.real_redis import RealRedis
from tests.redis_servers import answer_of, sentinel

SECRET = "s3cret"


def test_a_malformed_url_makes_no_client_and_shows_no_password() -> None:
    with pytest.raises(MemkillError) as refused:
        connect(f"redis://:{SECRET}@host:port/0", "test")
    assert SECRET not in str(refused.value)
    assert "port" in str(refused.value)


@pytest.mark.real
def test_a_client_selects_its_database_names_itself_and_decodes(redis_server: RealRedis) -> None:
    with closing(connect(f"redis://127.0.0.1:{redis_server.port}/3", "memkill-test")) as client:
        client.set("key", "grün")
        assert client.get("key") == "grün"
        assert {"db=3", "name=memkill-test"} <= set(client.execute_command("CLIENT INFO").split())


@pytest.mark.real
def test_a_value_that_is_not_utf8_does_not_fail_the_reading(redis_server: RealRedis) -> None:
    with closing(connect(redis_server.url, "test")) as client:
        client.set("key", b"\xff!")
        assert client.get("key") == "\ufffd!"


@pytest.mark.real
def test_a_password_with_special_characters_arrives_through_a_socket(short_path: Path) -> None:
    server = RealRedis(short_path)
    try:
        server.start().client().config_set("requirepass", "p@ss/x")
        with closing(connect(f"unix://:p%40ss%2Fx@{server.socket}?db=2", "test")) as client:
            assert client.ping()
            assert "db=2" in client.execute_command("CLIENT INFO").split()
    finally:
        server.stop()


@pytest.mark.real
def test_a_connection_that_the_server_closed_meanwhile_is_replaced(redis_server: RealRedis) -> None:
    with closing(connect(redis_server.url, "test")) as client, closing(redis_server.client()) as other:
        client.ping()
        other.client_kill_filter(_id=client.execute_command("CLIENT ID"))
        wait_for(lambda: len(other.client_list()) == 1)
        assert client.ping()


@pytest.mark.real
def test_a_cluster_is_reached_through_any_of_its_nodes(short_path: Path) -> None:
    arguments = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    server = RealRedis(short_path, *arguments)
    try:
        server.start()
        answer_of(server.port, "CLUSTER ADDSLOTSRANGE 0 16383")
        wait_for(lambda: "cluster_state:ok" in answer_of(server.port, "CLUSTER INFO"))
        url = f"redis+cluster://127.0.0.1:{server.port},127.0.0.1:1"
        with closing(connect(url, "test")) as client:
            client.set("{a}key", "value")
            assert client.eval("return redis.call('GET', KEYS[1])", 1, "{a}key") == "value"
    finally:
        server.stop()


@pytest.mark.real
def test_a_master_is_found_through_the_sentinel_that_answers(
    redis_server: RealRedis, short_path: Path
) -> None:
    settings = [f"requirepass {SECRET}", f"sentinel monitor mymaster 127.0.0.1 {redis_server.port} 1"]
    with sentinel(short_path, settings) as port:
        url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{port}/mymaster/4?sentinel_password={SECRET}"
        with closing(connect(url, "test")) as client:
            client.set("key", "value")
        with closing(connect(f"redis://127.0.0.1:{redis_server.port}/4", "test")) as client:
            assert client.get("key") == "value"


@contextmanager
def _server_that_hangs_up() -> Iterator[tuple[int, Callable[[], int]]]:
    """A port whose every connection is closed at once, and the number of those so far."""
    accepted: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                accepted.append(1)
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], lambda: len(accepted)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=10)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:{}", "redis+sentinel://127.0.0.1:{}/m"])
def test_a_redis_that_hangs_up_is_tried_at_most_twice(url: str) -> None:
    with _server_that_hangs_up() as (port, tries):
        with closing(connect(url.format(port), "test")) as client, pytest.raises(Unknown, match="Redis"):
            ask(lambda: client, lambda redis: redis.ping())
        assert 1 <= tries() <= 2


def test_a_cluster_that_does_not_answer_is_unknown_and_shows_no_password() -> None:
    with pytest.raises(Unknown) as away:
        connect(f"redis+cluster://:{SECRET}@127.0.0.1:1", "test")
    assert SECRET not in str(away.value)
    assert "127.0.0.1:1" in str(away.value)


def test_every_answer_of_a_server_behind_sentinels_is_waited_for_two_seconds_at_most() -> None:
    with closing(connect("redis+sentinel://127.0.0.1:1/main", "test")) as client:
        options = client.connection_pool.connection_kwargs
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (2.0, 2.0)


def test_sentinels_that_do_not_answer_are_one_sentence_without_a_password() -> None:
    """redis-py 6.4 to 7.1 put whole clients with the sentinels' password into their text."""
    url = "redis+sentinel://:secret@127.0.0.1:1,127.0.0.1:2/mymaster/0?sentinel_password=T0PSECRET"
    client = connect(url, "test")
    with pytest.raises(Unknown) as raised:
        ask(lambda: client, lambda redis: redis.ping())
    assert str(raised.value).startswith("Redis: no sentinel answers")
    assert "SECRET" not in str(raised.value) and "<" not in str(raised.value)


def _with_a_command(client: redis.Redis) -> None:
    client.set("key", "value")


def _with_a_script(client: redis.Redis) -> None:
    client.register_script("return redis.call('SET', KEYS[1], 'value')")(keys=["key"])


@pytest.mark.real
@pytest.mark.parametrize("write", [_with_a_command, _with_a_script])
def test_after_a_failover_the_address_is_looked_up_anew(
    redis_server: RealRedis, short_path: Path, write: Callable[[redis.Redis], None]
) -> None:
    """The former master keeps its connections, and refuses every write (redis/redis-py#460)."""
    (short_path / "new").mkdir()
    new = RealRedis(short_path / "new").start()
    try:
        with RedisGate(redis_server) as gate, closing(connect(gate.url, "test")) as client:
            ask(lambda: client, write)
            with closing(redis_server.client()) as former:
                former.replicaof("127.0.0.1", new.port)
            gate.lead_to(new)
            with pytest.raises(Unknown, match="this Redis is a replica, as after a failover"):
                ask(lambda: client, write)
            ask(lambda: client, write)
            with closing(new.client()) as other:
                assert other.get("key") == "value"
    finally:
        new.stop()
