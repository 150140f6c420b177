"""How many wrong passwords each address may try: a few at once, then one in a while. No thread waits.

An address that tried too often gets no answer to a further password for a while, right or wrong: only so a
guess costs time. Other addresses are not affected. Behind a proxy all browsers have one address, so that a
browser that has shown the page before is known by a cookie, and is never held.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import threading
from collections import OrderedDict

from supervisor_memkill.clock import Clock, boot_clock
from supervisor_memkill.dataclass import dataclass

AT_ONCE = 10
"""Wrong passwords of one address that cost it nothing."""
SECONDS_EACH = 5.0
"""After them it may try one in so many seconds."""
MAX_ADDRESSES = 1024
"""The address that tried least recently is forgotten first."""
IPV6_PREFIX = 64
"""Whoever has one address of IPv6 has all that begin alike."""
COOKIE = "memkill-known"


@dataclass(frozen=True)
class _Debt:
    tries: float
    at: float

    def left(self, now: float) -> float:
        return max(0.0, self.tries - (now - self.at) / SECONDS_EACH)


class Tries:
    """The tries of all addresses, and the cookie of those who know the password."""

    def __init__(self, clock: Clock = boot_clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._debts: OrderedDict[str, _Debt] = OrderedDict()
        self._token = secrets.token_urlsafe(16)

    def begin(self, address: str) -> float:
        """Count a try of this address before its password is compared; the seconds to wait if it may not.

        It counts first, so that many tries at the same moment are no more than one after another.
        """
        group = _group(address)
        with self._lock:
            now = self._clock()
            debt = self._debts[group].left(now) if group in self._debts else 0.0
            if debt > AT_ONCE - 1:
                return (debt - AT_ONCE + 1) * SECONDS_EACH
            self._set(group, _Debt(debt + 1, now))
            return 0.0

    def was_right(self, address: str) -> None:
        """The last try of this address does not count."""
        group = _group(address)
        with self._lock:
            now = self._clock()
            if group in self._debts:
                self._set(group, _Debt(max(0.0, self._debts[group].left(now) - 1), now))

    def _set(self, group: str, debt: _Debt) -> None:
        self._debts[group] = debt
        self._debts.move_to_end(group)
        if debt.tries <= 0:
            del self._debts[group]
        elif len(self._debts) > MAX_ADDRESSES:
            self._debts.popitem(last=False)

    def knows(self, cookies: str | None) -> bool:
        """Whether the header ``Cookie`` is that of a browser that has sent the right password before."""
        given = (one.strip().partition("=") for one in (cookies or "").split(";"))
        return any(
            name == COOKIE and hmac.compare_digest(value.encode(errors="replace"), self._token.encode())
            for name, _, value in given
        )

    @property
    def cookie(self) -> str:
        """The header ``Set-Cookie`` for a browser that has sent the right password.

        Without a path: the browser sends it where it sends the password. Alone, it opens nothing.
        """
        return f"{COOKIE}={self._token}; HttpOnly; SameSite=Strict"


def _group(address: str) -> str:
    """The addresses that one host may use at will count as one."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv4Address):
        return address
    if known.ipv4_mapped is not None:
        return str(known.ipv4_mapped)
    return str(ipaddress.ip_network((known, IPV6_PREFIX), strict=False))
