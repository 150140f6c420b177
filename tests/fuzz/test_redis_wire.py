"""Whatever listens where Redis should: an answer, or none in one line."""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supervisor_memkill.errors import Unknown
from supervisor_memkill.world.redis_client import ask, connect
from tests.fuzz.effort import tries
from tests.fuzz.values import NUMBER_TEXTS, TEXTS, assert_one_line, near
from tests.world.answering_server import FakeServer


class Says(FakeServer):
    """A server that answers the first words of every connection with `answer`, and closes."""

    def __init__(self) -> None:
        self.answer = b""
        super().__init__(self._say, read=lambda connection: connection.recv(65536))

    def _say(self, connection: socket.socket) -> None:
        connection.sendall(self.answer)


@pytest.fixture(scope="module")
def server() -> Iterator[Says]:
    server = Says()
    try:
        yield server
    finally:
        server.close()


QUESTIONS: list[Callable[[Any], Any]] = [
    lambda redis: redis.smembers("processes"),
    lambda redis: redis.pipeline(transaction=False).hmget("x", ["a", "b"]).hvals("y").execute(),
    lambda redis: redis.pipeline(transaction=False).get("x").time().exists("y").execute(),
    lambda redis: redis.lrange("x", 0, -1),
    lambda redis: redis.register_script("return 1")(keys=["x"], args=["{}"]),
    lambda redis: redis.xadd("x", {"a": "b"}, maxlen=10, approximate=True),
]
PIECES = st.one_of(
    st.builds("{}{}\r\n".format, st.sampled_from(list("+-:$*%~,#_(!=>|")), st.one_of(NUMBER_TEXTS, TEXTS)),
    near(
        st.sampled_from(
            [
                "$5\r\nhello\r\n",
                "*2\r\n$1\r\na\r\n:1\r\n",
                "-ERR no\r\n",
                "%1\r\n+a\r\n:1\r\n",
                "~1\r\n+a\r\n",
            ]
        )
    ),
).filter(lambda text: len(text) < 500)
RAW = st.one_of(
    st.builds(
        lambda oks, pieces: b"+OK\r\n" * oks + "".join(pieces).encode(),
        st.integers(0, 5),
        st.lists(PIECES, max_size=4),
    ),
    st.binary(max_size=40),
)
"""Without what would be waited for: the server closes when all is said."""


@tries(60)
@example(b":x\r\n")
@example(b"$x\r\n")
@example(b"*1\r\n" * 5000)
@example(b"+OK\r\n" * 3 + b":x\r\n")
@example(b"%1\r\n*0\r\n+x\r\n")
@example(b"HTTP/1.1 400 Bad Request\r\n\r\n")
@given(RAW)
def test_any_bytes_are_an_answer_or_unknown(server: Says, raw: bytes) -> None:
    server.answer = raw
    client = functools.cache(lambda: connect(f"redis://127.0.0.1:{server.port}/0", "test"))
    for question in QUESTIONS:
        try:
            ask(client, question)
        except Unknown as error:
            assert_one_line(str(error))
    client().close()
