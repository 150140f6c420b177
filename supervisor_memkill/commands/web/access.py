"""Who may see the page: by a password, and on loopback by the name that the browser used. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
from dataclasses import field

from supervisor_memkill.dataclass import dataclass

LOCALHOST = "localhost"


@dataclass(frozen=True)
class Access:
    """The rules of one server."""

    password: str | None = field(default=None, repr=False)
    """Not empty. None: everybody who reaches the server may see the page."""
    names: frozenset[str] = frozenset()
    """Further names of this server, in lower case, beside those of the loopback interface."""

    def knows_host(self, header: str | None) -> bool:
        """Whether a browser may use this name for the server: the header ``Host``, None: there is none.

        Without a password, a page of a stranger could otherwise give its own name this machine's address, and
        read what its visitor may see (DNS rebinding). A password does not follow to another name.
        """
        if self.password is not None or header is None:
            return True
        name = _without_port(header.strip().lower())
        if name in self.names or name == LOCALHOST:
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False

    def allows(self, authorization: str | None) -> bool:
        """Whether the header ``Authorization`` has the password. The name of the user does not matter."""
        if self.password is None:
            return True
        given = _password_in(authorization or "")
        return given is not None and hmac.compare_digest(_digest(given), _digest(self._password_bytes))

    @property
    def _password_bytes(self) -> bytes:
        """Bytes of the environment that are not UTF-8 count as they are."""
        return (self.password or "").encode(errors="surrogateescape")


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _password_in(authorization: str) -> bytes | None:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return None


def _digest(secret: bytes) -> bytes:
    """Of equal length for all: the comparison does not show how long the password is."""
    return hashlib.sha256(secret).digest()
