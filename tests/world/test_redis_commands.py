"""Our own Redis client: its methods give what redis-py's give, and no reply goes to the wrong command."""

from __future__ import annotations

import ast
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

import supervisor_memkill
from supervisor_memkill.workers.custom import SIZE_COMMANDS
from supervisor_memkill.world.redis_commands import Pipeline, RedisClient
from supervisor_memkill.world.redis_url import parse
from supervisor_memkill.world.redis_wire import NoReply, ReplyError
from tests.coordination.servers import redis_server
from tests.harness import PATIENCE_SECONDS, wait_for
from tests.real_redis import RealRedis

Method = Callable[[Any], Any]

METHODS: list[Method] = [
    lambda it: it.ping(),
    lambda it: it.info("keyspace").keys(),
    lambda it: it.info("memory")["maxmemory"],
    lambda it: [type(part) for part in it.time()],
    lambda it: [it.type("text"), it.type("nothing")],
    lambda it: [it.exists("text"), it.exists("text", "set", "nothing")],
    lambda it: [it.expire("ends", 100), it.expire("nothing", 100)],
    lambda it: [it.pttl("text"), it.pttl("nothing")],
    lambda it: it.scan(0, match="te*", count=1000),
    lambda it: [it.get("text"), it.get("nothing")],
    lambda it: [it.set("other", 1.5, nx=True, ex=10), it.set("other", b"x", nx=True), it.set("other", "ü")],
    lambda it: [it.hget("hash", "a"), it.hget("hash", "nothing")],
    lambda it: [it.hmget("hash", ["a", "nothing"]), it.hmget("nothing", ("a",))],
    lambda it: [sorted(it.hvals("hash")), it.hvals("nothing"), it.hlen("hash")],
    lambda it: [it.smembers("set"), it.smembers("nothing"), it.scard("set")],
    lambda it: [it.srandmember("one"), it.srandmember("nothing")],
    lambda it: [it.zrange("sorted", 0, -1), it.zcard("sorted")],
    lambda it: [it.lpush("list", "l", 1), it.rpush("list", "r"), it.lrange("list", 0, -1), it.llen("list")],
    lambda it: [it.lrem("list", 1, "b"), it.ltrim("list", -2, -1), it.lpop("list"), it.lpop("nothing")],
    lambda it: it.xrevrange("stream", max="+", min="-", count=1),
    lambda it: it.xrevrange("nothing", count=1),
    lambda it: it.xinfo_groups("stream"),
    lambda it: [one["name"] for one in it.xinfo_consumers("stream", "workers")],
    lambda it: [type(it.xadd("new", {"a": "b", "c": 1}, maxlen=5)), it.xrevrange("new", count=5)[0][1]],
    lambda it: it.xadd("exact", {"a": "b"}, maxlen=5, approximate=False).count("-"),
    lambda it: it.register_script("return {KEYS[1], ARGV[1], 7, false}")(keys=["k"], args=[1]),
    lambda it: it.pipeline(transaction=False).get("text").time().smembers("set").execute()[::2],
    lambda it: it.pipeline().set("text", "new").expire("text", 100).execute(),
    lambda it: it.pipeline(transaction=False).execute(),
    lambda it: it.execute_command("CLIENT GETNAME"),
    lambda it: it.execute_command("GET", "bytes"),
]


def fill(server: RealRedis) -> None:
    with server.client() as client:
        client.flushall()
        client.set("text", "grün\r\n")
        client.set("ends", "soon")
        client.set("bytes", b"\xff!")
        client.hset("hash", mapping={"a": "1", "b": ""})
        client.sadd("set", "x", "y")
        client.sadd("one", "only")
        client.zadd("sorted", {"low": 1, "high": 2})
        client.rpush("list", "a", "b", "b")
        client.xadd("stream", {"key": "value"}, id="5-1")
        client.xgroup_create("stream", "workers", id="0")
        client.xreadgroup("workers", "first", {"stream": ">"})


@contextlib.contextmanager
def client_of(url: str, timeout_seconds: float = PATIENCE_SECONDS) -> Iterator[RedisClient]:
    client = RedisClient(parse(url), "memkill-test", timeout_seconds)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture(scope="module")
def server() -> Iterator[RealRedis]:
    with redis_server() as running:
        yield running


@pytest.mark.real
@pytest.mark.parametrize("number", range(len(METHODS)))
def test_each_method_gives_what_redis_py_gives(server: RealRedis, number: int) -> None:
    """A kind works with either. With sentinels and clusters it gets redis-py's client."""
    method = METHODS[number]
    library = redis.Redis(
        port=server.port,
        decode_responses=True,
        encoding_errors="replace",
        client_name="memkill-test",
        protocol=2,
    )
    with library, client_of(server.url) as own:
        fill(server)
        expected = method(library)
        fill(server)
        found = method(own)
    assert found == expected
    assert type(found) is type(expected)


def test_no_code_uses_a_method_that_this_client_lacks() -> None:
    """By the names that are used for clients. Only sentinels and clusters have redis-py's other methods."""
    package = Path(supervisor_memkill.__file__).parent
    library = {name for name in dir(redis.Redis) if not name.startswith("_")}
    used = {
        node.attr
        for path in package.rglob("*.py")
        if path.name not in ("redis_client.py", "redis_tls.py")  # of redis-py
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if node.value.id in ("redis", "pipe", "client") and node.attr in library
    }
    assert {"smembers", "hmget", "time", "pipeline", "register_script"} <= used
    assert {*used, *SIZE_COMMANDS.values()} <= {*dir(RedisClient), *dir(Pipeline)}


@pytest.mark.real
def test_a_refusal_leaves_the_connection_in_order(server: RealRedis) -> None:
    fill(server)
    with client_of(server.url) as client:
        with pytest.raises(ReplyError, match="WRONGTYPE") as refused:
            client.get("set")
        assert refused.value.code == "WRONGTYPE"
        pipe = client.pipeline(transaction=False).get("text").get("set").scard("set")
        with pytest.raises(ReplyError, match="WRONGTYPE"):
            pipe.execute()
        text, error, size = (
            client.pipeline(transaction=False).get("text").get("set").scard("set").execute(False)
        )
        assert (text, type(error), size) == ("grün\r\n", ReplyError, 2)
        assert client.scard("set") == 2


@pytest.mark.real
def test_a_transaction_that_redis_refuses_is_an_error_and_changes_nothing(server: RealRedis) -> None:
    fill(server)
    with client_of(server.url) as client:
        pipe = client.pipeline().set("text", "new")
        pipe.execute_command("NOCOMMAND")
        with pytest.raises(ReplyError, match="unknown command"):
            pipe.execute(raise_on_error=False)
        assert client.get("text") == "grün\r\n"
        changed, error = client.pipeline().set("text", "new").get("set").execute(raise_on_error=False)
        assert changed is True and isinstance(error, ReplyError)


@pytest.mark.real
def test_a_script_is_sent_again_to_a_redis_that_lost_it(server: RealRedis) -> None:
    with client_of(server.url) as client, server.client() as other:
        script = client.register_script("return ARGV[1]")
        assert script(args=["one"]) == "one"
        other.script_flush()
        assert script(args=["two"]) == "two"


@pytest.mark.real
def test_threads_get_the_replies_to_their_own_commands(server: RealRedis) -> None:
    wrong: list[tuple[int, Any]] = []
    with client_of(server.url) as client:
        script = client.register_script("return ARGV[1]")

        def ask(own: int) -> None:
            wrong.extend((own, found) for _ in range(200) if (found := script(args=[own])) != str(own))

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
    assert wrong == []


@pytest.mark.real
def test_a_large_reply_and_a_large_command_arrive_whole(server: RealRedis) -> None:
    text = "gr\r\nün" * 500_000
    with client_of(server.url) as client:
        client.set("large", text)
        assert client.get("large") == text
        assert client.pipeline(transaction=False).get("large").get("large").ping().execute() == [
            text,
            text,
            True,
        ]


class Scripted:
    """A server that sends, for each read, the next of these pieces; a None closes the connection."""

    def __init__(self, *connections: list[bytes | None]) -> None:
        self.read: list[bytes] = []
        """What came, by connection."""
        self._connections = connections
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        for pieces in self._connections:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.read.append(b"")
                self._talk(connection, pieces)

    def _talk(self, connection: socket.socket, pieces: list[bytes | None]) -> None:
        for piece in pieces:
            if piece is None:
                return
            with contextlib.suppress(OSError):
                self.read[-1] += connection.recv(65536)
                for byte in piece:
                    connection.sendall(bytes([byte]))
        with contextlib.suppress(OSError):
            connection.recv(1)  # until the client hangs up

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE_SECONDS)


NAMED = b"+OK\r\n"
"""The reply to CLIENT SETNAME."""


def test_replies_may_come_byte_by_byte() -> None:
    reply = b"*4\r\n$2\r\n\r\n\r\n:-7\r\n*2\r\n$-1\r\n*-1\r\n-ERR no\r\n"
    with Scripted([NAMED, reply]) as server, client_of(server.url) as client:
        line, number, nothing, error = client.execute_command("X")
    assert (line, number, nothing) == ("\r\n", -7, [None, None])
    assert str(error) == "no"


def test_a_late_reply_is_not_taken_for_that_of_the_next_command() -> None:
    with (
        Scripted([NAMED, b""], [NAMED, b"+second\r\n"]) as server,
        client_of(server.url, timeout_seconds=0.2) as client,
    ):
        with pytest.raises(NoReply, match="Timeout reading"):
            client.execute_command("FIRST")
        assert client.execute_command("SECOND") == "second"
        wait_for(lambda: len(server.read) == 2)
    assert b"FIRST" in server.read[0] and b"FIRST" not in server.read[1]


def test_a_command_whose_reply_was_lost_is_not_sent_again() -> None:
    """It may have taken its effect."""
    with Scripted([NAMED, b"+O", None], [NAMED, b"+OK\r\n"]) as server, client_of(server.url) as client:
        with pytest.raises(NoReply, match=r"closed by server|reset by peer"):
            client.lpush("list", "value")
        client.ping()
    assert [b"LPUSH" in one for one in server.read] == [True, False]


def test_what_nobody_asked_for_is_not_taken_for_a_reply() -> None:
    """As from a proxy that closes an idle connection with a last word."""
    with (
        Scripted([NAMED, b"+first\r\n-ERR idle\r\n"], [NAMED, b"+second\r\n"]) as server,
        client_of(server.url) as client,
    ):
        assert client.execute_command("FIRST") == "first"
        wait_for(lambda: not client_is_silent(client))
        assert client.execute_command("SECOND") == "second"


def client_is_silent(client: RedisClient) -> bool:
    connection = client._connection
    assert connection is not None
    return connection.is_usable()


def test_a_redis_without_users_gets_the_password_alone() -> None:
    """Before Redis 6, AUTH has one argument."""
    refusal = b"-ERR wrong number of arguments for 'auth' command\r\n"
    with (
        Scripted([refusal, b"+OK\r\n", NAMED, b"+PONG\r\n"]) as server,
        client_of(server.url.replace("//", "//default:word@")) as client,
    ):
        assert client.ping()
    assert server.read[0].count(b"AUTH") == 2


@pytest.mark.parametrize(
    "reply", [b"-WRONGPASS no\r\n", b"-ERR Client sent AUTH, but no password is set\r\n"]
)
def test_a_refused_password_is_an_error_and_no_command_follows(reply: bytes) -> None:
    with (
        Scripted([reply]) as server,
        client_of(server.url.replace("//", "//:word@")) as client,
        pytest.raises(ReplyError),
    ):
        client.set("key", "value")
    assert b"SET" not in server.read[0]


def test_a_database_that_does_not_exist_is_an_error_and_no_command_follows() -> None:
    with (
        Scripted([b"-ERR DB index is out of range\r\n"]) as server,
        client_of(f"{server.url}/99") as client,
        pytest.raises(ReplyError, match="out of range"),
    ):
        client.set("key", "value")
    assert b"SET\r\n" not in server.read[0]


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"$3\r\nabcd\r\n",
        b"$9999999999\r\n",
        b":1_0\r\n",
        b"*1\r\n" * 50,
        b"+" * 70_000,
        b"%1\r\n",
    ],
)
def test_what_is_no_redis_is_named(reply: bytes) -> None:
    with (
        Scripted([NAMED, reply]) as server,
        client_of(server.url) as client,
        pytest.raises(NoReply, match=r"is no Redis: it sent '.*'; correct the URL's port"),
    ):
        client.ping()


def test_a_word_that_cannot_be_sent_is_refused_before_anything_is_sent() -> None:
    with Scripted([NAMED, b"+PONG\r\n"]) as server, client_of(server.url) as client:
        for word in (None, ["x"], True, "\ud800"):
            with pytest.raises((TypeError, ValueError)):
                client.set("key", word)  # type: ignore[arg-type]
        assert client.ping()
    assert b"SET\r\n" not in server.read[0]
