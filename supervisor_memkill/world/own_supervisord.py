"""The gateway of a listener: it speaks with the supervisord that started the listener, and with no other.

The address comes from the environment. A supervisord without a server section passes on the address of the
supervisord above it, and after an outage another supervisord may have taken the address.
"""

from __future__ import annotations

import socket
from typing import Any

from supervisor_memkill.world.starter import Starter
from supervisor_memkill.world.supervisord import (
    NoAnswer,
    NoSocket,
    Refused,
    Supervisord,
    Unreachable,
)


class OtherSupervisord(Refused):
    """Not the supervisord that started this listener: nothing was done."""


class OwnSupervisord(Supervisord):
    """The supervisord that started this listener. Before each call its pid is compared."""

    def __init__(
        self, url: str, username: str | None = None, password: str | None = None, *, starter: Starter
    ) -> None:
        """Raises UsageError as `Supervisord` does."""
        super().__init__(url, username, password)
        self._starter = starter

    def _call(self, method: str, *arguments: str | bool | int) -> Any:
        if method != "getPID":
            # Before each call: another supervisord may have taken the address without an error in between.
            # Its answers would look as if an operator had stopped or removed every worker.
            self._ask_who_it_is()
        answer = super()._call(method, *arguments)
        if method == "getPID":
            self._check(answer)
        return answer

    def _ask_who_it_is(self) -> None:
        """Raises Unreachable if nothing answers: the call itself was not sent, and has no late effect."""
        try:
            self.pid()
        except NoAnswer as error:
            raise Unreachable(str(error)) from error

    def _connect(self) -> socket.socket:
        try:
            return super()._connect()
        except NoSocket as error:
            if not self._starter.lives():
                raise
            raise NoSocket(
                f"the socket at {self.url} was removed, although its supervisord runs (pid"
                f" {self._starter.pid}): nobody can reach this supervisord; kill -HUP of this pid makes a new"
                " socket, and restarts all of its programs; if the socket is in /tmp, name another place in"
                " [unix_http_server]"
            ) from error

    def _check(self, pid: object) -> None:
        own = self._starter.pid
        if pid != own:
            raise OtherSupervisord(
                f"another supervisord (pid {pid!r}) answers at {self.url} than the one that started this"
                f" listener (pid {own}): nothing is done; give each supervisord a [unix_http_server] or"
                " [inet_http_server] section with an address of its own"
            )
        if not self._starter.lives():
            raise OtherSupervisord(
                f"the supervisord that started this listener (pid {own}) has ended: nothing is done"
            )
