"""One connection to a Redis server, over TCP, TLS or a unix socket, in RESP2.

RESP2 is described at redis.io/docs/latest/develop/reference/protocol-spec. Every server speaks it.
"""

from __future__ import annotations

import contextlib
import re
import socket
import weakref
from collections.abc import Sequence
from typing import Any

from supervisor_memkill.world.redis_url import Reach, RedisUrl

Word = str | bytes | int | float
"""A part of a command."""

_CHUNK_BYTES = 65536
_MAX_LINE_BYTES = 65536
"""Redis itself sends no line of more (server.h: PROTO_INLINE_MAX_SIZE); long values are no lines."""
_MAX_VALUE_BYTES = 512 * 1024 * 1024
"""The most that Redis stores in one value (redis.conf: proto-max-bulk-len)."""
_MAX_DEPTH = 32
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

    def __init__(self, target: RedisUrl, client_name: str, timeout_seconds: float) -> None:
        """Connect, authenticate and select the database. Raises NoReply or ReplyError.

        `timeout_seconds`: for connecting, and for each part of a reply.
        """
        self._where = f"unix:{target.path}" if target.reach is Reach.SOCKET else _address(target)
        self._buffer = bytearray()
        try:
            self._socket = _new_socket(target, timeout_seconds)
        except TimeoutError:
            raise NoReply("Timeout connecting to server") from None
        except OSError as error:
            raise NoReply(f"Error {error.errno} connecting to {self._where}. {_reason(error)}.") from error
        weakref.finalize(self, self._socket.close)  # Clients live as long as their process: few are closed.
        try:
            self._greet(target, client_name)
        except BaseException:
            self.close()
            raise

    def _greet(self, target: RedisUrl, client_name: str) -> None:
        username, password = target.options.get("username"), target.options.get("password", "")
        if username or password:
            self._authenticate(username, password)
        if target.db:
            self._run("SELECT", target.db)
        if client_name:
            # The name is for people: proxies refuse it (redis/redis-py#2384).
            with contextlib.suppress(ReplyError):
                self._run("CLIENT", "SETNAME", client_name)

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
        (reply,) = self.exchange(packed([words]), 1)
        if isinstance(reply, ReplyError):
            raise reply

    def exchange(self, commands: bytes, count: int) -> list[Any]:
        """Send so many `packed` commands, and read a reply for each.

        A reply is str, int, None, a list of these, or a ReplyError. Bytes that are not UTF-8 are replaced.
        Raises NoReply.
        """
        data = memoryview(commands)
        try:
            for start in range(0, len(data), _CHUNK_BYTES):  # The time limit is for each chunk.
                self._socket.sendall(data[start : start + _CHUNK_BYTES])
            return [self._reply() for _ in range(count)]
        except TimeoutError:
            raise NoReply(f"Timeout reading from {self._where}") from None
        except OSError as error:
            raise NoReply(f"Error while talking to {self._where}: {_reason(error)}") from error

    def is_usable(self) -> bool:
        """Whether the server has neither closed it nor sent something that nobody asked for."""
        timeout = self._socket.gettimeout()
        try:
            self._socket.settimeout(0)
            self._socket.recv(1)
        except OSError as error:
            # With TLS, bytes may have come that are no data.
            is_silent = isinstance(error, BlockingIOError) or type(error).__name__ == "SSLWantReadError"
            return is_silent and not self._buffer
        finally:
            self._socket.settimeout(timeout)
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
            if len(self._buffer) > _MAX_LINE_BYTES:
                raise self._is_no_redis(self._take(_MAX_LINE_BYTES))
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
        chunk = self._socket.recv(_CHUNK_BYTES)
        if not chunk:
            raise NoReply("Connection closed by server.")
        self._buffer += chunk

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _is_no_redis(self, data: bytes) -> NoReply:
        shown = ascii(_text(data[:40]))
        return NoReply(f"what answers at {self._where} is no Redis: it sent {shown}; correct the URL's port")


def _new_socket(target: RedisUrl, timeout_seconds: float) -> socket.socket:
    if target.reach is Reach.SOCKET:
        new = socket.socket(socket.AF_UNIX)
        try:
            new.settimeout(timeout_seconds)
            new.connect(target.path)
        except BaseException:
            new.close()
            raise
        return new
    new = socket.create_connection(target.nodes[0], timeout_seconds)
    try:
        new.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        new.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if target.is_tls:
            from supervisor_memkill.world import redis_tls  # loads OpenSSL

            host, _ = target.nodes[0]
            return redis_tls.new_context(target.options).wrap_socket(new, server_hostname=host)
    except BaseException:
        new.close()
        raise
    return new


def _address(target: RedisUrl) -> str:
    host, port = target.nodes[0]
    return f"{host}:{port}"


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
    if isinstance(word, (int, float)):
        return repr(word).encode()
    raise TypeError(f"a command cannot have a {type(word).__name__}")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")  # a job's arguments may be any bytes
