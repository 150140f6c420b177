"""A server that answers as a test wants, in the place of supervisord or of Redis."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


def http_request(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as stream:
        length = 0
        while (line := stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return stream.read(length)


class FakeServer:
    """A server that reads each request, then does as it is told with the connection."""

    def __init__(
        self,
        answer: Callable[[socket.socket], None],
        read: Callable[[socket.socket], bytes] = http_request,
    ) -> None:
        """`read`: the request that this connection has, as a whole."""
        self.requests: list[bytes] = []
        self._answer, self._read = answer, read
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                self.requests.append(self._read(connection))
                self._answer(connection)

    def close(self) -> None:
        # Closing alone would leave the thread in accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


def http_answer(body: bytes, status: str = "200 OK", length: int | None = None) -> bytes:
    length = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\r\n".encode() + body
