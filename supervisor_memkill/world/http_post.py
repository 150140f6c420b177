"""One POST over a connection that is there, by HTTP/1.0: the answer ends with its length or the connection.

The standard library's http.client loads email and ssl; see xml_rpc.py. supervisord's server speaks no TLS.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Mapping

OK, UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 200, 401, 403, 404
"""The statuses that supervisord's server answers with."""
HEAD_LIMIT_BYTES = 64 * 1024
_CHUNK_BYTES = 64 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: .*)?")


class NoHttp(Exception):
    """What came is no answer, or not the whole of it."""


class TooLong(NoHttp):
    """The answer is longer than the limit."""


def post(
    connection: socket.socket,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    limit_seconds: float,
    limit_bytes: int,
    take: Callable[[bytes], None],
    silence_seconds: float | None = None,
) -> int:
    """Send the body once; the status of the answer. `take` gets the body of an answer that is OK, in parts.

    A long answer is never whole in memory: Python would keep much of that memory for itself.
    `silence_seconds`: the longest time without any part of it; None: the limit alone. Raises NoHttp;
    TimeoutError if the whole answer is not there within the limits; OSError; what `take` raises.
    """
    end = time.monotonic() + limit_seconds
    silence_seconds = silence_seconds or limit_seconds
    connection.settimeout(silence_seconds)
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {path} HTTP/1.0\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode("latin-1") + body)
    received = bytearray()
    while (split := received.find(b"\r\n\r\n")) < 0:
        if len(received) > HEAD_LIMIT_BYTES:
            raise NoHttp("the head of its answer does not end")
        received += _some(connection, end, silence_seconds)
    status, length = _read_head(bytes(received[:split]))
    part, taken_bytes = bytes(received[split + 4 :]), 0
    while True:
        part = part if length is None else part[: length - taken_bytes]
        taken_bytes += len(part)
        if taken_bytes > limit_bytes:
            raise TooLong
        if part and status == OK:
            take(part)
        if taken_bytes == length:
            return status
        part = _some(connection, end, silence_seconds, may_end=length is None)
        if not part:
            return status


def _some(connection: socket.socket, end: float, silence_seconds: float, *, may_end: bool = False) -> bytes:
    """What comes next; empty: the server closed the connection, and `may_end`. Raises NoHttp."""
    # The limit of the socket is for one read: a slow answer in many pieces would never exceed it.
    left_seconds = end - time.monotonic()
    if left_seconds <= 0:
        raise TimeoutError
    connection.settimeout(min(left_seconds, silence_seconds))
    chunk = connection.recv(_CHUNK_BYTES)
    if not chunk and not may_end:
        raise NoHttp("it closed the connection")
    return chunk


def _read_head(head: bytes) -> tuple[int, int | None]:
    """The status, and the length of the body; None: it ends with the connection. Raises NoHttp."""
    first, *lines = head.split(b"\r\n")
    status = _STATUS.fullmatch(first)
    if status is None:
        raise NoHttp("it does not speak HTTP")
    length = None
    for line in lines:
        name, _, value = line.partition(b":")
        if name.lower() == b"transfer-encoding":
            raise NoHttp("its answer has a form that HTTP/1.0 does not know")
        if name.lower() == b"content-length":
            if not re.fullmatch(rb"[0-9]{1,15}", value.strip()):
                raise NoHttp("the length of its answer is no number")
            length = int(value)
    return int(status[1]), length
