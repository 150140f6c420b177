"""Connections of an HTTP server: bounded in number and time, so that no client exhausts threads or files."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import OrderedDict
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from supervisor_memkill.clock import Clock

SILENT_SECONDS = 10.0
"""A client that sends or takes nothing for so long is cut off."""
WHOLE_SECONDS = 60.0
"""So is one whose only request takes longer in all."""
MAX_CONNECTIONS = 32
ROOM_SECONDS = 0.5
"""How long a new client waits until an old one has gone."""
YOUNG_SECONDS = 2.0
"""Of too many clients the oldest is cut off, unless it is as young as this."""


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


class BoundedServer(ThreadingMixIn, TCPServer):
    """Listens. Each client has a thread of its own, and only so many are connected at a time."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    most_connections = MAX_CONNECTIONS

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        """Raises OSError."""
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.connections = Connections(most=self.most_connections)
        super().__init__(address, handler)

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
        super().shutdown_request(request)
        self.connections.leave(request)

    def service_actions(self) -> None:
        self.connections.cut_old()

    def server_close(self) -> None:
        """Also a browser that holds a connection in reserve gets no page any more."""
        super().server_close()
        self.connections.cut_old(0.0)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event."""
