"""One connection to a Redis server, over TCP, TLS or a unix socket, in RESP2.

RESP2 is described at redis.io/docs/latest/develop/reference/protocol-spec. Every server speaks it.
"""

from __future__ import annotations

import re
import socket
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from supervisor_memkill.world.redis_url import Reach, RedisUrl

Word = str | bytes | int | float
"""A part of a command."""

MAX_TIME_LIMITS = 10
"""An exchange ends after so many of its time limits, even if bytes still come: slots must be renewed."""
MAX_IDLE_SECONDS = 60.0
"""A connection that was idle for longer is replaced. Load balancers drop it without a word: Azure's after
four minutes, AWS's after six (redis/node-redis#1598)."""
_CHUNK_BYTES = 65536
_MAX_LINE_BYTES = 65536
"""Redis itself sends no line of more (server.h: PROTO_INLINE_MAX_SIZE); long values are no lines."""
_MAX_VALUE_BYTES = 512 * 1024 * 1024
"""The most that Redis stores in one value (redis.conf: proto-max-bulk-len)."""
_MAX_DEPTH = 32
_KINDS = (b"", b"+", b"-", b":", b"$", b"*")
"""How a reply begins; empty: nothing of it has come."""
_WHOLE = re.compile(rb"-?[0-9]{1,19}")


class RedisError(Exception):
    """No result: see the two classes."""


class NoReply(RedisError):
    """No connection, no reply in time, or bytes that are no reply. Whether a command was run is unknown."""


class ReplyError(RedisError):
    """Redis refused a command."""

    def __init__(self, text: str) -> None:
        super().__init__(text.removeprefix("ERR "))
        self.code = text.partition(" ")[0]
        """The first word, such as NOPERM."""


class Connection:
    """One connection. After a NoReply it is of no use any more: close it."""

    def __init__(
        self,
        target: RedisUrl,
        client_name: str,
        timeout_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect, authenticate and select the database. Raises NoReply or ReplyError.

        `timeout_seconds`: for connecting, and for each part of a reply. `clock`: seconds.
        """
        self._where = f"unix:{target.path}" if target.reach is Reach.SOCKET else _address(target)
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._buffer = bytearray()
        self._last_words = ""
        try:
            self._socket = _new_socket(target, timeout_seconds)
        except TimeoutError:
            raise NoReply(f"Timeout connecting to {self._where}") from None
        except OSError as error:
            raise NoReply(f"Error {error.errno} connecting to {self._where}. {_reason(error)}.") from error
        weakref.finalize(self, self._socket.close)  # Clients live as long as their process: few are closed.
        self._begin()
        try:
            self._greet(target, client_name)
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        self._used_at = self._clock()
        self._end = self._used_at + MAX_TIME_LIMITS * self._timeout_seconds

    def _greet(self, target: RedisUrl, client_name: str) -> None:
        username, password = target.options.get("username"), target.options.get("password", "")
        if username or password:
            self._authenticate(username, password)
        if target.db:
            self._run("SELECT", target.db)
        if client_name:
            try:
                self._run("CLIENT", "SETNAME", client_name)
            except ReplyError as error:
                # The name is for people: proxies refuse it (redis/redis-py#2384). But it may as well be why
                # the server closes the connection now, such as "max number of clients reached".
                self._last_words = str(error)

    def _authenticate(self, username: str | None, password: str) -> None:
        if not username:
            self._run("AUTH", password)
            return
        try:
            self._run("AUTH", username, password)
        except ReplyError as error:
            if "wrong number of arguments" not in str(error):
                raise
            self._run("AUTH", password)  # Redis before 6 has no users.

    def _run(self, *words: Word) -> None:
        (reply,) = self._exchange(packed([words]), 1)
        if isinstance(reply, ReplyError):
            raise reply

    def exchange(self, commands: bytes, count: int) -> list[Any]:
        """Send so many `packed` commands, and read a reply for each.

        A reply is str, int, None, a list of these, or a ReplyError. Bytes that are not UTF-8 are replaced.
        Raises NoReply.
        """
        self._begin()
        replies = self._exchange(commands, count)
        self._used_at, self._last_words = self._clock(), ""
        return replies

    def _exchange(self, commands: bytes, count: int) -> list[Any]:
        data = memoryview(commands)
        try:
            for start in range(0, len(data), _CHUNK_BYTES):
                self._limit_time()
                self._socket.sendall(data[start : start + _CHUNK_BYTES])
            return [self._reply() for _ in range(count)]
        except TimeoutError:
            raise NoReply(f"Timeout reading from {self._where}") from None
        except OSError as error:
            raise self._is_closed(f"Error while talking to {self._where}: {_reason(error)}") from error

    def _limit_time(self) -> None:
        left = self._end - self._clock()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(min(left, self._timeout_seconds))

    def is_usable(self) -> bool:
        """Whether it was in use lately, and the server neither closed it nor sent what nobody asked for."""
        if self._buffer or self._clock() - self._used_at > MAX_IDLE_SECONDS:
            return False
        self._socket.settimeout(0)
        try:
            self._socket.recv(1)
        except OSError as error:
            # With TLS, bytes may have come that are no data.
            return isinstance(error, BlockingIOError) or type(error).__name__ == "SSLWantReadError"
        return False

    def close(self) -> None:
        """Close it. It may be closed already."""
        self._socket.close()

    def _reply(self, depth: int = 0) -> Any:
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return _text(rest)
        if kind == b"-":
            return ReplyError(_text(rest))
        if kind == b":":
            return self._whole(line)
        if kind == b"$":
            return self._value(self._whole(line))
        if kind == b"*" and depth < _MAX_DEPTH:
            size = self._whole(line)
            return None if size < 0 else [self._reply(depth + 1) for _ in range(size)]
        raise self._is_no_redis(line)

    def _value(self, size: int) -> str | None:
        if size < 0:
            return None
        if size > _MAX_VALUE_BYTES:
            raise self._is_no_redis(b"$%d" % size)
        while len(self._buffer) < size + 2:
            self._receive()
        value = self._take(size)
        if self._take(2) != b"\r\n":
            raise self._is_no_redis(value)
        return _text(value)

    def _line(self) -> bytes:
        searched = 0
        while (end := self._buffer.find(b"\r\n", searched)) < 0:
            if len(self._buffer) > _MAX_LINE_BYTES or self._buffer[:1] not in _KINDS:
                raise self._is_no_redis(bytes(self._buffer[:40]))
            searched = max(0, len(self._buffer) - 1)
            self._receive()
        line = self._take(end)
        self._take(2)
        return line

    def _whole(self, line: bytes) -> int:
        if not _WHOLE.fullmatch(line, 1):
            raise self._is_no_redis(line)
        return int(line[1:])

    def _receive(self) -> None:
        self._limit_time()
        chunk = self._socket.recv(_CHUNK_BYTES)
        if not chunk:
            raise self._is_closed("Connection closed by server.")
        self._buffer += chunk

    def _is_closed(self, text: str) -> NoReply:
        return NoReply(
            f"Connection closed by server, after {self._last_words!r}" if self._last_words else text
        )

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _is_no_redis(self, data: bytes) -> NoReply:
        shown = ascii(_text(data[:40]))
        return NoReply(f"what answers at {self._where} is no Redis: it sent {shown}; correct the URL's port")


def _new_socket(target: RedisUrl, timeout_seconds: float) -> socket.socket:
    new = connect_to_one(_addresses(target), timeout_seconds)
    return _secured(new, target, timeout_seconds) if target.is_tls else new


def connect_to_one(addresses: Sequence[tuple[int, Any]], timeout_seconds: float) -> socket.socket:
    """A connection to the first of these addresses that takes one: the family and the address of each.

    All together may take twice the limit. Raises OSError, that of the last address.
    """
    limit_seconds = min(1.0, 2 / len(addresses)) * timeout_seconds
    for family, address in addresses:
        try:
            return _connected(family, address, limit_seconds)
        except OSError as error:
            failure = error
    raise failure


def _addresses(target: RedisUrl) -> list[tuple[int, Any]]:
    if target.reach is Reach.SOCKET:
        return [(socket.AF_UNIX, target.path)]
    found = socket.getaddrinfo(*target.nodes[0], type=socket.SOCK_STREAM)
    return [(family, address) for family, *_, address in found]


def _connected(family: int, address: Any, timeout_seconds: float) -> socket.socket:
    new = socket.socket(family)
    try:
        new.settimeout(timeout_seconds)
        new.connect(address)
        if family != socket.AF_UNIX:
            new.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        new.close()
        raise
    return new


def _secured(new: socket.socket, target: RedisUrl, timeout_seconds: float) -> socket.socket:
    from supervisor_memkill.world import redis_tls  # loads OpenSSL

    host, _ = target.nodes[0]
    try:
        new.settimeout(timeout_seconds)
        return redis_tls.new_context(target.options).wrap_socket(new, server_hostname=host)
    except redis_tls.FileError as error:
        raise NoReply(f"the redis URL must be {error}") from error
    finally:
        new.close()  # the plain socket, of which wrap_socket has taken the descriptor


def _address(target: RedisUrl) -> str:
    host, port = target.nodes[0]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__


def packed(commands: Sequence[Sequence[Word]]) -> bytes:
    """The commands as they are sent. Raises TypeError or ValueError for a word that cannot be sent."""
    parts = []
    for command in commands:
        parts.append(b"*%d\r\n" % len(command))
        for word in map(_bytes, command):
            parts += (b"$%d\r\n" % len(word), word, b"\r\n")
    return b"".join(parts)


def _bytes(word: Word) -> bytes:
    if isinstance(word, bytes):
        return word
    if isinstance(word, str):
        return word.encode()
    if isinstance(word, (int, float)) and not isinstance(word, bool):
        return repr(word).encode()
    raise TypeError(f"a command cannot have a {type(word).__name__}")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")  # a job's arguments may be any bytes
