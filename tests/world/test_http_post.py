"""One POST, and what comes back within its time limit."""

from __future__ import annotations

import contextlib
from typing import Any, cast

import pytest

from supervisor_memkill.world.http_post import HEAD_LIMIT_BYTES, NoHttp, TooLong, post

LIMIT_SECONDS = 5.0


class Piecemeal:
    """A socket whose answer comes in these pieces, and then no more. b"": the server closes it."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self.limits = list[float]()
        self.sent = b""

    def settimeout(self, seconds: float) -> None:
        self.limits.append(seconds)

    def sendall(self, sent: bytes) -> None:
        self.sent += sent

    def recv(self, size: int) -> bytes:
        if not self._pieces:
            raise TimeoutError
        return self._pieces.pop(0)


def answer(*pieces: bytes, limit_seconds: float = LIMIT_SECONDS, limit_bytes: int = 100) -> tuple[int, bytes]:
    """The status, and the body as far as it is passed on, of an answer in these pieces."""
    status, parts = answer_in_parts(*pieces, limit_seconds=limit_seconds, limit_bytes=limit_bytes)
    return status, b"".join(parts)


def answer_in_parts(
    *pieces: bytes, limit_seconds: float = LIMIT_SECONDS, limit_bytes: int = 100
) -> tuple[int, list[bytes]]:
    """The status and the parts of the body as they are passed on."""
    connection, parts = cast(Any, Piecemeal(*pieces)), list[bytes]()
    return post(connection, "/RPC2", {}, b"", limit_seconds, limit_bytes, parts.append), parts


def test_answer_in_pieces_gets_no_more_time_than_a_whole_one() -> None:
    """Each read may wait for what is left of the limit, and not for the limit anew."""
    connection = Piecemeal(b"HTTP/1.0 200 OK\r\n", b"Content-Length: 3\r\n\r\n", b"a", b"b")
    with pytest.raises(TimeoutError):
        post(cast(Any, connection), "/RPC2", {}, b"", LIMIT_SECONDS, 100, list[bytes]().append)
    assert connection.limits[0] == LIMIT_SECONDS
    assert connection.limits == sorted(set(connection.limits), reverse=True), "less for each read"
    assert len(connection.limits) == 6


def test_an_answer_may_be_given_more_time_as_a_whole_than_for_each_part() -> None:
    connection = Piecemeal(b"HTTP/1.0 200 OK\r\n", b"Content-Length: 3\r\n\r\n", b"a", b"b", b"c")
    post(cast(Any, connection), "/RPC2", {}, b"", 6 * LIMIT_SECONDS, 100, list[bytes]().append, LIMIT_SECONDS)
    assert set(connection.limits) == {LIMIT_SECONDS}


def test_request_has_its_path_its_fields_its_length_and_its_body() -> None:
    connection = Piecemeal(b"HTTP/1.0 200 OK\r\n\r\n", b"")
    fields = {"Accept": "text/xml", "X-A": "b"}
    post(cast(Any, connection), "/RPC2", fields, b"body", LIMIT_SECONDS, 100, list[bytes]().append)
    head = b"POST /RPC2 HTTP/1.0\r\nAccept: text/xml\r\nX-A: b\r\nContent-Length: 4\r\n"
    assert connection.sent == head + b"\r\nbody"


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ((b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",), (200, b"abc")),
        ((b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", b"ab", b"c"), (200, b"abc")),
        ((b"HTTP/1.0 200 OK\r", b"\n\r\nab", b"c", b""), (200, b"abc")),
        ((b"HTTP/1.1 401 Unauthorized\r\nServer: Medusa\r\ncontent-length:0\r\n\r\n",), (401, b"")),
        ((b"HTTP/1.0 200\r\nCONTENT-LENGTH: 1\r\n\r\n", b"a and another answer"), (200, b"a")),
    ],
)
def test_answer_ends_with_its_length_or_else_with_the_connection(
    pieces: tuple[bytes, ...], expected: tuple[int, bytes]
) -> None:
    assert answer(*pieces) == expected


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ((b"",), "it closed the connection"),
        ((b"HTTP/1.0 200 OK\r\n", b""), "it closed the connection"),
        ((b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", b"ab", b""), "it closed the connection"),
        ((b"SSH-2.0-OpenSSH\r\n\r\n",), "it does not speak HTTP"),
        ((b"\r\n\r\n",), "it does not speak HTTP"),
        ((b"HTTP/2 200 OK\r\n\r\n",), "it does not speak HTTP"),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",), "a form that HTTP/1.0"),
        ((b"HTTP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n",), "length of its answer is no number"),
        ((b"HTTP/1.0 200 OK\r\nContent-Length:\r\n\r\n", b""), "length of its answer is no number"),
    ],
)
def test_what_is_no_whole_answer_is_an_error_that_says_why(pieces: tuple[bytes, ...], words: str) -> None:
    with pytest.raises(NoHttp, match=words):
        answer(*pieces)


def test_head_without_an_end_is_given_up() -> None:
    first = b"HTTP/1.0 200 OK\r\nX: "
    end = (b"\r\nContent-Length: 0\r\n\r\n",)
    longest = first + b"x" * (HEAD_LIMIT_BYTES - len(first))
    assert answer(longest, *end) == (200, b"")
    with pytest.raises(NoHttp, match="does not end"):
        answer(longest + b"x", *end)


def test_body_is_passed_on_as_it_comes() -> None:
    """The whole body is never in memory here."""
    head = b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\n"
    assert answer_in_parts(head + b"a", b"bc", b"d") == (200, [b"a", b"bc", b"d"])
    assert answer_in_parts(head, b"a", b"bcd") == (200, [b"a", b"bcd"])


def test_body_of_a_refusal_is_read_and_not_passed_on() -> None:
    head = b"HTTP/1.0 404 Not Found\r\nContent-Length: 3\r\n\r\n"
    assert answer(head, b"a", b"bc") == (404, b"")
    with pytest.raises(NoHttp, match="closed"):
        answer(head, b"a", b"")


@pytest.mark.parametrize("length", [b"", b"Content-Length: 101\r\n"])
def test_answer_longer_than_the_limit_is_given_up(length: bytes) -> None:
    head = b"HTTP/1.0 200 OK\r\n" + length + b"\r\n"
    with pytest.raises(TooLong):
        answer(head, b"x" * 101)
    with pytest.raises(NoHttp, match="closed") if length else contextlib.nullcontext():
        assert answer(head, b"x" * 100, b"") == (200, b"x" * 100)


def test_nothing_is_read_after_the_limit() -> None:
    with pytest.raises(TimeoutError):
        answer(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", limit_seconds=0.0)
