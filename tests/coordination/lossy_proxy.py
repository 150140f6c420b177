"""A proxy before Redis that loses a request or a reply, delays replies, hangs, and counts what passes."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
from enum import Enum, auto
from types import TracebackType


class Loses(Enum):
    """What becomes of the next script that is called."""

    NOTHING = auto()
    REQUEST = auto()
    """It never reaches Redis."""
    REPLY = auto()
    """Redis runs it, and nobody is told."""


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


class LossyProxy:
    """Passes everything on but what it is told to lose; what is lost ends its connection."""

    def __init__(self, port: int) -> None:
        """`port`: Redis's, on the loopback interface."""
        self.loses = Loses.NOTHING
        """Back to NOTHING once something is lost."""
        self.delay_seconds = 0.0
        """How late every reply comes."""
        self.hangs = False
        """It takes connections and requests, and answers none of them."""
        self.unanswered = 0
        """Requests that were taken while it hung: the client waits for each until its time limit."""
        self.connections = self.round_trips = self.request_bytes = self.reply_bytes = 0
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    proxy._serve(self.request)

        self._upstream = ("127.0.0.1", port)
        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"redis://127.0.0.1:{self._server.server_address[1]}/0"

    def __enter__(self) -> LossyProxy:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, client: socket.socket) -> None:
        """One connection, whose client waits for each reply before it sends its next request."""
        self.connections += 1
        with socket.create_connection(self._upstream) as upstream:
            is_answered = threading.Event()
            is_answered.set()
            passed = (upstream, client, is_answered)
            replies = threading.Thread(target=self._pass_replies, args=passed, daemon=True)
            is_passing = False
            while data := client.recv(1 << 20):
                if self.hangs:
                    self._hang(client)
                    break
                self.round_trips += is_answered.is_set()
                is_answered.clear()
                self.request_bytes += len(data)
                loses = self.loses if b"EVALSHA" in data.upper() else Loses.NOTHING
                if loses is not Loses.NOTHING:
                    self.loses = Loses.NOTHING
                    if loses is Loses.REPLY:
                        self._run_unheard(data)
                    break
                upstream.sendall(data)
                if not is_passing:
                    replies.start()
                    is_passing = True

    def _run_unheard(self, data: bytes) -> None:
        with socket.create_connection(self._upstream) as upstream:
            upstream.sendall(data)
            upstream.recv(1 << 20)

    def _hang(self, client: socket.socket) -> None:
        self.unanswered += 1
        while client.recv(1 << 20):
            pass

    def _pass_replies(
        self, upstream: socket.socket, client: socket.socket, is_answered: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := upstream.recv(1 << 20):
                time.sleep(self.delay_seconds)
                self.reply_bytes += len(data)
                is_answered.set()
                client.sendall(data)
