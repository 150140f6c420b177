"""Addresses of supervisord: one form for all spellings of the same address."""

from __future__ import annotations

import contextlib
import ipaddress
import os
from urllib.parse import urlsplit

UNIX = "unix://"


def same_form(url: str) -> str:
    """The address in the one form that all its spellings have; the text itself if it is no address."""
    if url.startswith(UNIX):
        # /var/run is a link to /run: the same socket
        with contextlib.suppress(ValueError):  # A zero byte is in no path.
            return f"{UNIX}{os.path.realpath(url.removeprefix(UNIX))}"
        return url
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        return url
    return url if host is None else f"{parts.scheme}://{'localhost' if is_loopback(host) else host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether this host name is one of this machine's own that supervisord's addresses use."""
    if host in ("localhost", "ip6-localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # not the rest of 127.0.0.0/8: two supervisords may share a port there
    return address.is_unspecified or str(address) in ("127.0.0.1", "::1")


def is_of_this_machine(url: str) -> bool:
    """Whether a supervisord at this address runs on this machine, as far as the address shows."""
    if url.startswith(UNIX):
        return True
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return False
    if host is None:
        return False
    try:
        return is_loopback(host) or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
