"""The HTTP server of the page: GET and HEAD of one page, and neither a slow nor a stuck client in its way."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections import OrderedDict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from supervisor_memkill.clock import Clock
from supervisor_memkill.commands.web.page import policy
from supervisor_memkill.commands.web.site import Answer, Site, refusal

SILENT_SECONDS = 10.0
"""A client that sends or takes nothing for so long is cut off."""
WHOLE_SECONDS = 60.0
"""So is one whose only request takes longer in all."""
MAX_CONNECTIONS = 32
ROOM_SECONDS = 0.5
"""How long a new client waits until an old one has gone."""
YOUNG_SECONDS = 2.0
"""Of too many clients the oldest is cut off, unless it is as young as this."""


class _Handler(BaseHTTPRequestHandler):
    timeout = SILENT_SECONDS
    server: PageServer

    def parse_request(self) -> bool:
        """Every method goes to `answer`: http.server would look for a function with its name."""
        if not super().parse_request():
            return False
        self._send(
            self.server.site.answer(
                self.command,
                self.path,
                {name: self.headers.get(name) for name in ("Host", "Authorization", "Cookie")},
                str(self.client_address[0]),
            )
        )
        return False

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """A request that is none. The answer repeats nothing of it."""
        self.close_connection = True
        self.request_version = "HTTP/1.0"  # Otherwise the answer would have no headers.
        self._send(refusal(HTTPStatus(code), "this is not a request", "The server did not understand it."))

    def _send(self, answer: Answer) -> None:
        packs = "gzip" in ((getattr(self, "headers", None) or {}).get("Accept-Encoding") or "")
        body = answer.made.packed if packs else answer.made.plain
        self.send_response(answer.status)
        headers = {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Length": str(len(body)),
            **({"Content-Encoding": "gzip"} if packs else {}),
            "Vary": "Accept-Encoding",
            "Cache-Control": "no-store",
            "Connection": "close",
            "Content-Security-Policy": policy(),
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            **answer.headers,
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        """What the header `Server` shows."""
        return "supervisor-memkill"

    def log_message(self, *arguments: object) -> None:
        """Who looks at the page is no event."""


class Connections:
    """The open connections, the oldest first, and never more than `most`."""

    def __init__(self, clock: Clock = time.monotonic, most: int = MAX_CONNECTIONS) -> None:
        self._clock = clock
        self._most = most
        self._changed = threading.Condition()
        self._open: OrderedDict[socket.socket, float] = OrderedDict()

    def admit(self, connection: socket.socket) -> bool:
        """False: there is no room. The oldest connection is cut off to make room."""
        with self._changed:
            if len(self._open) >= self._most:
                oldest, since = next(iter(self._open.items()))
                if self._clock() - since >= YOUNG_SECONDS:
                    _cut(oldest)
                self._changed.wait_for(lambda: len(self._open) < self._most, ROOM_SECONDS)
            if len(self._open) >= self._most:
                return False
            self._open[connection] = self._clock()
            return True

    def leave(self, connection: socket.socket) -> None:
        with self._changed:
            if self._open.pop(connection, None) is not None:
                self._changed.notify()

    def cut_old(self, seconds: float = WHOLE_SECONDS) -> None:
        """Cut off those that last for so long. Their threads end by that, and leave."""
        with self._changed:
            now = self._clock()
            for connection, since in self._open.items():
                if now - since >= seconds:
                    _cut(connection)


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # The client has gone.
        connection.shutdown(socket.SHUT_RDWR)


class PageServer(ThreadingMixIn, HTTPServer):
    """Listens. Each client has a thread of its own."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], site: Site) -> None:
        """Raises OSError."""
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.site = site
        self.connections = Connections()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Without the search for a host name, which may take time."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        if self.connections.admit(request):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        self.connections.leave(request)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        self.connections.cut_old()

    def server_close(self) -> None:
        """Also a browser that holds a connection in reserve gets no page any more."""
        super().server_close()
        self.connections.cut_old(0.0)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event."""


class Log:
    """Lines on stderr, of which equal ones come at most once in `QUIET_SECONDS`."""

    QUIET_SECONDS = 10.0

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}

    def __call__(self, text: str) -> None:
        now = self._clock()
        with self._lock:
            recent = {line: at for line, at in self._last.items() if now - at < self.QUIET_SECONDS}
            self._last = recent
            if text in recent or len(recent) > MAX_CONNECTIONS:
                return
            recent[text] = now
        line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} supervisor-memkill serve: {text}\n"
        with contextlib.suppress(OSError):  # Nobody reads it any more, or the disk is full.
            sys.stderr.write(line)
            sys.stderr.flush()
