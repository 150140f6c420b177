"""A gate before Redis, by which a test decides what of one client's traffic gets through, and when."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable
from types import TracebackType

from tests.real_redis import RealRedis


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                serve(self.request)

        super().__init__(("127.0.0.1", 0), Handler)


class RedisGate:
    """Passes everything on, unless it is told to refuse, or to hold requests back."""

    def __init__(self, server: RealRedis) -> None:
        self.refusals = 0
        """Connections turned away so far."""
        self.held = threading.Event()
        """A request is being held back."""
        self._upstream = ("127.0.0.1", server.port)
        self._word = b""
        self._open = threading.Event()
        self._open.set()
        self._refusing = False
        self._clients: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server = _Server(self._serve)
        self.url = f"redis://127.0.0.1:{self._server.server_address[1]}/0"

    def __enter__(self) -> RedisGate:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        self._open.set()
        self._server.shutdown()
        self._server.server_close()

    def refuse(self) -> None:
        """Close every connection, and every new one at once."""
        with self._lock:
            self._refusing = True
            for client in self._clients:
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)

    def hold(self, word: bytes = b"") -> None:
        """Hold back every request with this word in it, in small letters; by default all of them."""
        self._word = word
        self.held.clear()
        self._open.clear()

    def open(self) -> None:
        """Let everything pass, what is held back included."""
        self._refusing = False
        self._open.set()

    def lead_to(self, server: RealRedis) -> None:
        """New connections go to this server, as after a failover. Those that are open stay."""
        self._upstream = ("127.0.0.1", server.port)

    def _serve(self, client: socket.socket) -> None:
        """One connection, in a thread of its own."""
        with self._lock:
            if self._refusing:
                self.refusals += 1
                return
            self._clients.add(client)
        with contextlib.suppress(OSError), socket.create_connection(self._upstream) as upstream:
            replies = threading.Thread(target=self._pass_replies, args=(upstream, client), daemon=True)
            replies.start()
            self._pass_requests(client, upstream)
            upstream.shutdown(socket.SHUT_RDWR)
            replies.join()
        with self._lock:
            self._clients.discard(client)

    def _pass_requests(self, client: socket.socket, upstream: socket.socket) -> None:
        while data := client.recv(65536):
            if not self._open.is_set() and self._word in data.lower():
                self.held.set()
                self._open.wait()
            upstream.sendall(data)

    def _pass_replies(self, upstream: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := upstream.recv(65536):
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)
