"""The client for one Redis server: the commands that the listener and the kinds use, as methods.

redis-py needs 10 MB of memory and more, in a process that runs on every host for months. Most of that is for
what is never used here: asyncio, clusters, search, several hundred commands. So redis-py is loaded only for
sentinels and clusters. This client has some of the methods of redis-py's, with the same arguments and
results: a kind works with either.
"""

from __future__ import annotations

import dataclasses
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from supervisor_memkill.world.redis_url import RedisUrl
from supervisor_memkill.world.redis_wire import Connection, ReplyError, Word, packed

Convert = Callable[[Any], Any]

_WHOLE = re.compile("[0-9]{1,19}")


def _unchanged(reply: Any) -> Any:
    return reply


def _is_ok(reply: Any) -> bool | None:
    return None if reply is None else reply == "OK"


def _pairs(reply: Sequence[Any] | None) -> dict[Any, Any]:
    return {} if reply is None else dict(zip(reply[::2], reply[1::2], strict=True))


def _records(reply: Sequence[Sequence[Any]]) -> list[dict[Any, Any]]:
    return list(map(_pairs, reply))


def _entries(reply: Sequence[Sequence[Any]]) -> list[tuple[Any, dict[Any, Any]]]:
    return [(identity, _pairs(fields)) for identity, fields in reply]


def _wholes(reply: Sequence[Any]) -> tuple[int, ...]:
    return tuple(map(int, reply))


def _page(reply: Sequence[Any]) -> tuple[int, list[str]]:
    cursor, keys = reply
    return int(cursor), keys


def _facts(reply: str) -> dict[str, Any]:
    lines = (line.partition(":") for line in reply.splitlines() if ":" in line and not line.startswith("#"))
    return {name: int(value) if _WHOLE.fullmatch(value) else value for name, _, value in lines}


class Commands:
    """Redis's commands as methods. Where they run, and what a method returns, is up to `_do`."""

    def _do(self, convert: Convert, *words: Word) -> Any:
        raise NotImplementedError

    def execute_command(self, *words: Word) -> Any:
        """Run any command; a first word such as ``SCRIPT LOAD`` is two. The reply is returned as it comes."""
        return self._do(_unchanged, *str(words[0]).split(), *words[1:])

    def ping(self) -> Any:
        return self._do(lambda reply: reply == "PONG", "PING")

    def info(self, *sections: str) -> Any:
        """The facts by name: int where a value is a whole number, else str."""
        return self._do(_facts, "INFO", *sections)

    def time(self) -> Any:
        """Seconds and microseconds of the server's clock."""
        return self._do(_wholes, "TIME")

    def type(self, key: str) -> Any:
        return self._do(_unchanged, "TYPE", key)

    def exists(self, *keys: str) -> Any:
        return self._do(_unchanged, "EXISTS", *keys)

    def expire(self, key: str, seconds: int) -> Any:
        return self._do(bool, "EXPIRE", key, seconds)

    def pttl(self, key: str) -> Any:
        """Milliseconds; -1: no end, -2: no such key."""
        return self._do(_unchanged, "PTTL", key)

    def scan(self, cursor: int = 0, *, match: str, count: int) -> Any:
        """The next cursor (0: the end), and some keys."""
        return self._do(_page, "SCAN", cursor, "MATCH", match, "COUNT", count)

    def get(self, key: str) -> Any:
        return self._do(_unchanged, "GET", key)

    def set(self, key: str, value: Word, *, nx: bool = False, ex: int | None = None) -> Any:
        """`ex`: seconds. True, or None if `nx` and there is such a key."""
        options = (*(() if ex is None else ("EX", ex)), *(("NX",) if nx else ()))
        return self._do(_is_ok, "SET", key, value, *options)

    def hget(self, key: str, field: str) -> Any:
        return self._do(_unchanged, "HGET", key, field)

    def hmget(self, key: str, fields: Sequence[str]) -> Any:
        return self._do(_unchanged, "HMGET", key, *fields)

    def hvals(self, key: str) -> Any:
        return self._do(_unchanged, "HVALS", key)

    def smembers(self, key: str) -> Any:
        return self._do(set, "SMEMBERS", key)

    def srandmember(self, key: str) -> Any:
        return self._do(_unchanged, "SRANDMEMBER", key)

    def scard(self, key: str) -> Any:
        return self._do(_unchanged, "SCARD", key)

    def hlen(self, key: str) -> Any:
        return self._do(_unchanged, "HLEN", key)

    def llen(self, key: str) -> Any:
        return self._do(_unchanged, "LLEN", key)

    def zcard(self, key: str) -> Any:
        return self._do(_unchanged, "ZCARD", key)

    def zrange(self, key: str, start: int, end: int) -> Any:
        return self._do(_unchanged, "ZRANGE", key, start, end)

    def lrange(self, key: str, start: int, end: int) -> Any:
        return self._do(_unchanged, "LRANGE", key, start, end)

    def lpush(self, key: str, *values: Word) -> Any:
        return self._do(_unchanged, "LPUSH", key, *values)

    def rpush(self, key: str, *values: Word) -> Any:
        return self._do(_unchanged, "RPUSH", key, *values)

    def ltrim(self, key: str, start: int, end: int) -> Any:
        return self._do(_is_ok, "LTRIM", key, start, end)

    def lpop(self, key: str) -> Any:
        return self._do(_unchanged, "LPOP", key)

    def lrem(self, key: str, count: int, value: Word) -> Any:
        return self._do(_unchanged, "LREM", key, count, value)

    def xadd(self, key: str, fields: Mapping[str, Word], *, maxlen: int, approximate: bool = True) -> Any:
        flat = [word for pair in fields.items() for word in pair]
        return self._do(
            _unchanged, "XADD", key, "MAXLEN", *(("~",) if approximate else ()), maxlen, "*", *flat
        )

    # `max` and `min` are redis-py's names.
    def xrevrange(self, key: str, *, max: str = "+", min: str = "-", count: int) -> Any:  # noqa: A002
        """The newest entries first: the id and the fields of each."""
        return self._do(_entries, "XREVRANGE", key, max, min, "COUNT", count)

    def xinfo_groups(self, key: str) -> Any:
        return self._do(_records, "XINFO", "GROUPS", key)

    def xinfo_consumers(self, key: str, group: str) -> Any:
        return self._do(_records, "XINFO", "CONSUMERS", key, group)


class RedisClient(Commands):
    """A client with one connection, which is made at first use and replaced after a failure.

    Each command is tried once, or not at all if a connection cannot be made: the caller's next turn is the
    retry. Every method raises NoReply, ReplyError for a refusal, or TypeError or ValueError for a reply of
    another form. It may be used by several threads; one waits for the other.
    """

    def __init__(
        self,
        target: RedisUrl,
        client_name: str,
        timeout_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.target = target
        self._client_name = client_name
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._connection: Connection | None = None
        self._lock = threading.Lock()

    def with_database(self, number: int) -> RedisClient:
        """A new client for another database of the same server."""
        target = dataclasses.replace(self.target, db=number)
        return RedisClient(target, self._client_name, self._timeout_seconds, self._clock)

    def pipeline(self, transaction: bool = True) -> Pipeline:
        return Pipeline(self.exchange, is_transaction=transaction)

    def register_script(self, text: str) -> Callable[..., Any]:
        """A function that runs the script, with `keys` and `args`.

        Redis gets its text at the first call, and again when it does not know the script any more.
        """
        digest = ""  # Redis names it: hashlib would load OpenSSL.

        def run(keys: Sequence[str] = (), args: Sequence[Word] = ()) -> Any:
            nonlocal digest
            if digest:
                try:
                    return self.execute_command("EVALSHA", digest, len(keys), *keys, *args)
                except ReplyError as error:
                    if error.code != "NOSCRIPT":
                        raise
            digest = str(self.execute_command("SCRIPT", "LOAD", text))
            return self.execute_command("EVALSHA", digest, len(keys), *keys, *args)

        return run

    def exchange(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """A reply for each command; see `Connection.exchange`. Raises TypeError or ValueError as `packed`."""
        data = packed(commands)
        with self._lock:
            try:
                if self._connection is None or not self._connection.is_usable():
                    self._drop()
                    self._connection = Connection(
                        self.target, self._client_name, self._timeout_seconds, self._clock
                    )
                return self._connection.exchange(data, len(commands))
            except BaseException:
                self._drop()  # The next reply would belong to this command.
                raise

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def hang_up(self) -> None:
        """Close the connection; the next command makes a new one, with the address looked up anew.

        If another thread has sent a command, this waits for its reply.
        """
        with self._lock:
            self._drop()

    def close(self) -> None:
        self.hang_up()

    def _do(self, convert: Convert, *words: Word) -> Any:
        (reply,) = self.exchange([words])
        if isinstance(reply, ReplyError):
            raise reply
        return convert(reply)


class Pipeline(Commands):
    """Collects commands, each by its method, and sends them together."""

    def __init__(
        self, exchange: Callable[[Sequence[Sequence[Word]]], list[Any]], *, is_transaction: bool
    ) -> None:
        self._exchange = exchange
        self._is_transaction = is_transaction
        self._queue: list[tuple[Convert, Sequence[Word]]] = []

    def _do(self, convert: Convert, *words: Word) -> Pipeline:
        self._queue.append((convert, words))
        return self

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """The result of each command since the last `execute`.

        The first refusal is raised, or, without `raise_on_error`, in its place in the list. A refused
        transaction is always raised: none of its commands was run, except by a proxy that has no MULTI.
        """
        queue, self._queue = self._queue, []
        if not queue:
            return []
        replies = self._replies([words for _, words in queue])
        found = [
            reply if isinstance(reply, ReplyError) else convert(reply)
            for (convert, _), reply in zip(queue, replies, strict=True)
        ]
        first = next((one for one in found if isinstance(one, ReplyError)), None)
        if raise_on_error and first is not None:
            raise first
        return found

    def _replies(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        if not self._is_transaction:
            return self._exchange(commands)
        *before, replies = self._exchange([("MULTI",), *commands, ("EXEC",)])
        refused = next((one for one in (*before, replies) if isinstance(one, ReplyError)), None)
        if refused is not None:
            raise refused
        return list(replies)
