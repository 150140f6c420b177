"""One POST, and what comes back within its time limit."""

from __future__ import annotations

from typing import Any, cast

import pytest

from supervisor_memkill.world.http_post import post

LIMIT_SECONDS = 5.0


class Piecemeal:
    """A socket whose answer comes in these pieces, and then no more."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self.limits = list[float]()

    def settimeout(self, seconds: float) -> None:
        self.limits.append(seconds)

    def sendall(self, sent: bytes) -> None:
        pass

    def recv(self, size: int) -> bytes:
        if not self._pieces:
            raise TimeoutError
        return self._pieces.pop(0)


def test_answer_in_pieces_gets_no_more_time_than_a_whole_one() -> None:
    """Each read may wait for what is left of the limit, and not for the limit anew."""
    connection = Piecemeal(b"HTTP/1.0 200 OK\r\n", b"Content-Length: 3\r\n\r\n", b"a", b"b")
    with pytest.raises(TimeoutError):
        post(cast(Any, connection), "/RPC2", {}, b"", LIMIT_SECONDS, 100)
    assert connection.limits[0] == LIMIT_SECONDS
    assert connection.limits == sorted(set(connection.limits), reverse=True), "less for each read"
    assert len(connection.limits) == 6
