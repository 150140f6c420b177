"""The HTTP server of the page: GET and HEAD of one page, and neither a slow nor a stuck client in its way."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer

from supervisor_memkill.clock import Clock
from supervisor_memkill.commands.web.page import policy
from supervisor_memkill.commands.web.site import Answer, Site, refusal
from supervisor_memkill.world.bounded_server import MAX_CONNECTIONS, SILENT_SECONDS, BoundedServer


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


class PageServer(BoundedServer, HTTPServer):
    """Serves the site."""

    request_queue_size = 64

    def __init__(self, address: tuple[str, int], site: Site) -> None:
        """Raises OSError."""
        self.site = site
        super().__init__(address, _Handler)


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
