"""One connection to Redis, and what breaks it: no failure mixes replies, leaks a file, or lasts too long."""

from __future__ import annotations

import contextlib
import linecache
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from supervisor_memkill.errors import Unknown
from supervisor_memkill.world import redis_commands, redis_wire
from supervisor_memkill.world.redis_client import ask
from supervisor_memkill.world.redis_commands import RedisClient
from supervisor_memkill.world.redis_url import parse
from supervisor_memkill.world.redis_wire import MAX_IDLE_SECONDS, MAX_TIME_LIMITS, NoReply, connect_to_one
from tests.coordination.servers import FakeClock, redis_server
from tests.harness import PATIENCE_SECONDS, wait_for
from tests.real_redis import RealRedis
from tests.world.test_redis_commands import NAMED, Scripted, client_of


@pytest.fixture(scope="module")
def server() -> Iterator[RealRedis]:
    with redis_server() as running:
        yield running


@contextlib.contextmanager
def accepting() -> Iterator[tuple[socket.socket, str]]:
    """A socket that connections can be accepted from, and its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_SECONDS)
        yield listener, f"redis://127.0.0.1:{listener.getsockname()[1]}"


def words_of(client: RedisClient) -> str:
    with pytest.raises(Unknown) as unknown:
        ask(lambda: client, lambda redis: redis.get("key"))
    return str(unknown.value)


@pytest.mark.parametrize(
    ("refusal", "advice"),
    [
        (b"-ERR max number of clients reached\r\n", "max number of clients reached'; raise maxclients"),
        (b"-DENIED Redis is running in protected mode because ...\r\n", "set a password for it"),
        (b"-NOAUTH Authentication required.\r\n", "the URL needs its password"),
    ],
)
def test_the_last_words_of_a_server_that_hangs_up_are_shown(refusal: bytes, advice: str) -> None:
    """They look like a refusal of the connection's name, which proxies refuse and go on."""
    with Scripted([refusal, None]) as server, client_of(server.url) as client:
        assert advice in words_of(client)


def test_a_refused_name_is_forgotten_after_the_first_reply() -> None:
    refusal = b"-ERR unsupported command 'CLIENT'\r\n"
    with Scripted([refusal, b"+PONG\r\n", b"", None]) as server, client_of(server.url) as client:
        assert client.ping()
        assert "CLIENT" not in words_of(client)


@pytest.mark.real
def test_a_redis_with_too_many_clients_says_so() -> None:
    with redis_server("--maxclients", "1") as server, contextlib.closing(socket.socket()) as other:

        def is_taken() -> bool:
            other.close()
            other.__init__()  # type: ignore[misc]
            other.connect(("127.0.0.1", server.port))
            other.sendall(b"PING\r\n")
            return other.recv(100) == b"+PONG\r\n"

        wait_for(is_taken)
        with client_of(server.url) as client:
            assert "max number of clients reached'; raise maxclients of this Redis" in words_of(client)


@pytest.mark.real
def test_a_missing_password_is_named_even_if_the_command_is_large() -> None:
    """Redis hangs up at the length of the command, and the rest of it meets a closed connection."""
    with redis_server() as server, server.client() as other:
        other.config_set("requirepass", "word")
        for size in (20_000, 10_000_000):
            with client_of(server.url) as client, pytest.raises(Unknown) as unknown:
                ask(lambda: client, lambda redis, size=size: redis.set("key", "x" * size))  # type: ignore[misc]
            assert "the URL needs its password: redis://:PASSWORD@HOST" in str(unknown.value)


def test_a_server_that_never_ends_its_reply_is_given_up() -> None:
    """Although each byte comes in time."""
    now, limit_seconds = 0.0, 30.0
    with accepting() as (listener, url):
        peers: list[socket.socket] = []

        def clock() -> float:
            """A byte comes each time that the time is asked for: ten seconds pass."""
            nonlocal now
            if not peers:
                peers.append(listener.accept()[0])
            peers[0].sendall(b"+")
            now += 10
            return now

        client = RedisClient(parse(url), "", limit_seconds, clock)
        with contextlib.closing(client), pytest.raises(NoReply, match="Timeout reading"):
            client.ping()
        peers[0].close()
    assert now <= MAX_TIME_LIMITS * limit_seconds + 20


@pytest.mark.parametrize(
    ("idle_seconds", "connections"), [(MAX_IDLE_SECONDS - 1, 1), (MAX_IDLE_SECONDS + 1, 2)]
)
def test_a_connection_that_was_idle_for_long_is_replaced(idle_seconds: float, connections: int) -> None:
    """A load balancer may have dropped it without a word: the next command would be lost."""
    clock = FakeClock()
    with Scripted([NAMED, b"+PONG\r\n", b"+PONG\r\n"], [NAMED, b"+PONG\r\n"]) as server:
        with contextlib.closing(RedisClient(parse(server.url), "test", 5.5, clock)) as client:
            client.ping()
            clock.now += idle_seconds  # More than the limit of one exchange, which begins anew.
            client.ping()
        assert len(server.read) == connections


def test_hanging_up_waits_for_the_reply_to_another_thread() -> None:
    with accepting() as (listener, url):
        client, found = RedisClient(parse(url), "", PATIENCE_SECONDS), []
        asking = threading.Thread(target=lambda: found.append(client.get("key")))
        asking.start()
        peer, _ = listener.accept()
        with peer:
            peer.recv(100)
            hanging_up = threading.Thread(target=client.hang_up)
            hanging_up.start()
            hanging_up.join(0.2)
            assert hanging_up.is_alive()
            peer.sendall(b"+value\r\n")
            for thread in (asking, hanging_up):
                thread.join(PATIENCE_SECONDS)
            assert (found, peer.recv(100)) == (["value"], b"")


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # Python closes the new socket.
@pytest.mark.real
def test_an_interruption_at_any_line_leaves_a_client_that_works(server: RealRedis) -> None:
    """As by the handler of a signal that raises KeyboardInterrupt or SystemExit."""
    files = {redis_wire.__file__, redis_commands.__file__}
    left = 0

    def is_lock(line: int) -> bool:
        """Python runs no handler between taking the lock and the block, or its end and releasing the lock."""
        text = linecache.getline(redis_commands.__file__, line).strip()
        return text in ("with self._lock:", "try:")

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in files:
            return None
        if event == "line" and not is_lock(frame.f_lineno):
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    interruptions = 0
    for is_new in (False, True):
        for line in range(1, 1000):
            client = RedisClient(parse(server.url), "test", PATIENCE_SECONDS)
            if not is_new:
                client.ping()
            left = line
            try:
                sys.settrace(trace)
                client.execute_command("ECHO", "first")
            except KeyboardInterrupt:
                interruptions += 1
            finally:
                sys.settrace(before)
            assert client.execute_command("ECHO", "second") == "second", line
            client.close()
            if left > 0:
                break
    assert interruptions > 100


@pytest.mark.parametrize("sent", [b"\x15\x03\x01\x00\x02\x02F", b"\x00", b"220 mail"])
def test_what_is_no_redis_is_named_at_its_first_byte(sent: bytes) -> None:
    with Scripted([sent, None]) as server, client_of(server.url) as client:
        words = words_of(client)
    assert "is no Redis: it sent" in words
    assert ("if this port is with TLS, write rediss://" in words) is sent.startswith(b"\x15")


@pytest.fixture
def dead() -> Iterator[tuple[int, Any]]:
    """The address of a server that takes no connection: its backlog is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(listener.getsockname())
        yield socket.AF_INET, listener.getsockname()


def test_a_dead_address_does_not_hide_the_next(dead: tuple[int, Any]) -> None:
    with accepting() as (listener, _):
        live = (socket.AF_INET, listener.getsockname())
        with connect_to_one([dead, dead, dead, live], 1.0) as found:
            assert found.getpeername() == live[1]


def test_many_dead_addresses_take_twice_the_limit_at_most(dead: tuple[int, Any]) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        connect_to_one([dead] * 20, 2.0)
    assert time.monotonic() - began < 2.0 * 20 / 2


def test_the_error_of_an_address_in_brackets_has_brackets() -> None:
    with client_of("redis://[::1]:1") as client:
        assert " connecting to [::1]:1. " in words_of(client)


def test_failures_leave_no_file_open() -> None:
    refusal: list[bytes | None] = [b"-WRONGPASS no\r\n"]
    before = len(list(Path("/proc/self/fd").iterdir()))
    with Scripted(*[refusal] * 50) as server:
        clients = [
            RedisClient(parse(url), "test", PATIENCE_SECONDS)
            for url in ("redis://127.0.0.1:1", "unix:///nonexistent", server.url.replace("//", "//:word@"))
        ]
        for client in clients:
            for _ in range(50):
                assert words_of(client)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_certificate_that_was_removed_meanwhile_is_named(tmp_path: Path) -> None:
    with accepting() as (_, url):
        secure = f"rediss{url.removeprefix('redis')}?ssl_ca_certs={tmp_path}/ca.pem"
        with client_of(secure) as client:
            assert f"ssl_ca_certs can be used ({tmp_path}/ca.pem): No such file" in words_of(client)


def test_a_deleted_entry_of_a_stream_has_no_fields() -> None:
    with (
        Scripted([NAMED, b"*1\r\n*2\r\n$3\r\n1-1\r\n*-1\r\n"]) as server,
        client_of(server.url) as client,
    ):
        assert client.xrevrange("stream", count=1) == [("1-1", {})]


@pytest.mark.parametrize("ending", [None, b"-ERR idle\r\n"])
def test_a_connection_that_was_closed_or_spoken_to_is_not_used(ending: bytes | None) -> None:
    with accepting() as (listener, url):
        connection = redis_wire.Connection(parse(url), "", PATIENCE_SECONDS)
        peer, _ = listener.accept()
        with peer:
            assert connection.is_usable()
            if ending is not None:
                peer.sendall(ending)
        select.select([connection._socket], [], [], PATIENCE_SECONDS)
        assert not connection.is_usable()
        connection.close()
