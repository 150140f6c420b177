"""Redis URLs as text: checked, parsed, and shown without their password. Nothing connects here.

``redis://``, ``rediss://`` (TLS) and ``unix://`` as redis-py takes them, and two that it does not:
``redis+sentinel://host:port,host:port/master/db`` and ``redis+cluster://host:port,host:port``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from supervisor_memkill.units import parse_yes_no

_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster")
_SCHEME_ALLOWED = f"a URL that begins with {', '.join(f'{scheme}://' for scheme in _SCHEMES)}"
_ESCAPE_HINT = "(in a password write @ / ? # and % as %40 %2F %3F %23 %25)"
_NODE = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]*)(?::([0-9]{1,5}))?")
_SHOWABLE_NODE = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+)(:[0-9]+)?")
_QUERY_VALUE = re.compile(r"([?&])([^?&=\s]+)=([^&\s]*)")

_AUTH: dict[str, Callable[[str], Any]] = {"username": str, "password": str}
_TLS: dict[str, Callable[[str], Any]] = {
    "ssl_cert_reqs": str,
    "ssl_ca_certs": str,
    "ssl_certfile": str,
    "ssl_keyfile": str,
    "ssl_check_hostname": parse_yes_no,
}
SENTINEL_AUTH: dict[str, Callable[[str], Any]] = {"sentinel_username": str, "sentinel_password": str}
_QUERY: dict[str, dict[str, Callable[[str], Any]]] = {
    "redis": _AUTH,
    "rediss": {**_AUTH, **_TLS},
    "unix": _AUTH,
    "redis+sentinel": {**_AUTH, **SENTINEL_AUTH},
    "redis+cluster": _AUTH,
}
"""The options that a URL may have besides ``db``. The time limits are fixed, so no URL may change them."""


@dataclass(frozen=True)
class RedisUrl:
    """The parts of a URL."""

    scheme: str
    nodes: tuple[tuple[str, int], ...] = ()
    path: str = ""
    """The path of the socket, for ``unix://`` only."""
    master: str = ""
    """The name of the master, for ``redis+sentinel://`` only."""
    db: int = 0
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Keyword arguments for the client: user name, passwords, TLS."""


def check(url: str) -> None:
    """Raises ValueError, with a text that does not repeat the URL, unless `connect` accepts it."""
    parse(url)


def masked(url: str) -> str:
    """The URL, or any text with a URL in it, with ``***`` in place of each password.

    In a malformed URL rather too much is masked than too little.
    """
    url = _QUERY_VALUE.sub(_mask_query_value, url)
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    userinfo, at, after = rest.rpartition("@")
    if at:
        user, colon, _ = userinfo.partition(":")
        return f"{scheme}{separator}{user if colon else ''}{colon}***@{after}"
    hosts = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if separator and hosts and not all(_SHOWABLE_NODE.fullmatch(host) for host in hosts.split(",")):
        return f"{scheme}://***"  # a password whose @HOST was forgotten
    return url


def parse(url: str) -> RedisUrl:
    """The parts of the URL. Raises ValueError with a text that does not repeat the URL."""
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in _SCHEMES:
        raise ValueError(_SCHEME_ALLOWED)
    if re.search(r"\s", url):
        raise ValueError("a URL without white space")
    try:
        parts = urlsplit(url)
    except ValueError:  # its text may hold the password
        raise ValueError(f"a well-formed URL {_ESCAPE_HINT}") from None
    if parts.fragment or "@" in parts.path:
        raise ValueError(f"a URL without # or a second @ {_ESCAPE_HINT}")
    options, query_db = _parse_query(scheme, parts.query)
    userinfo, _, hosts = parts.netloc.rpartition("@")
    options = {**_parse_userinfo(userinfo), **options}
    target = _PARSERS[scheme](scheme, hosts, parts)
    db = target.db if query_db is None else query_db
    return RedisUrl(scheme, target.nodes, target.path, target.master, db, options)


def _parse_userinfo(userinfo: str) -> dict[str, str]:
    username, _, password = userinfo.partition(":")
    found = {"username": unquote(username), "password": unquote(password)}
    return {key: value for key, value in found.items() if value}


def _parse_query(scheme: str, query: str) -> tuple[dict[str, Any], int | None]:
    allowed = _QUERY[scheme]
    options: dict[str, Any] = {}
    db: int | None = None
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key == "db" and scheme != "redis+cluster":
            db = _parse_db(value)
        elif key in allowed:
            try:
                options[key] = allowed[key](value)
            except ValueError as error:
                raise ValueError(f"a URL whose {key} is {error}") from None
        else:
            raise ValueError(f"a URL with nothing after its ? but {', '.join(('db', *allowed))}")
    return options, db


def _parse_plain(scheme: str, hosts: str, parts: SplitResult) -> RedisUrl:
    nodes = _parse_nodes(hosts, default_port=6379)
    if len(nodes) > 1:
        raise ValueError("a URL of one host; several are for redis+sentinel:// and redis+cluster://")
    host, port = nodes[0]
    return RedisUrl(scheme, ((host or "localhost", port),), db=_parse_db(parts.path.strip("/") or "0"))


def _parse_unix(scheme: str, hosts: str, parts: SplitResult) -> RedisUrl:
    if hosts or len(parts.path) < 2 or "\0" in unquote(parts.path):
        raise ValueError("the absolute path of a socket after unix://, such as unix:///run/redis.sock")
    return RedisUrl(scheme, path=unquote(parts.path))


def _parse_sentinel(scheme: str, hosts: str, parts: SplitResult) -> RedisUrl:
    master, _, db = parts.path.strip("/").partition("/")
    nodes = _parse_nodes(hosts, default_port=26379)
    if not master or not all(host for host, _ in nodes):
        raise ValueError("redis+sentinel://HOST:PORT,HOST:PORT/MASTER/DB")
    return RedisUrl(scheme, nodes, master=unquote(master), db=_parse_db(db or "0"))


def _parse_cluster(scheme: str, hosts: str, parts: SplitResult) -> RedisUrl:
    nodes = _parse_nodes(hosts, default_port=6379)
    if parts.path.strip("/") not in ("", "0") or not all(host for host, _ in nodes):
        raise ValueError("redis+cluster://HOST:PORT,HOST:PORT (a cluster has no database but 0)")
    return RedisUrl(scheme, nodes)


_PARSERS: dict[str, Callable[[str, str, SplitResult], RedisUrl]] = {
    "redis": _parse_plain,
    "rediss": _parse_plain,
    "unix": _parse_unix,
    "redis+sentinel": _parse_sentinel,
    "redis+cluster": _parse_cluster,
}


def _parse_nodes(hosts: str, default_port: int) -> tuple[tuple[str, int], ...]:
    nodes = []
    for node in hosts.split(","):
        matched = _NODE.fullmatch(node)
        port = int(matched[2] or default_port) if matched else 0
        if matched is None or not 1 <= port <= 65535:
            raise ValueError(f"a URL whose port is a number from 1 to 65535 {_ESCAPE_HINT}")
        host = unquote(matched[1].strip("[]"))
        if not _can_be_looked_up(host):
            raise ValueError("a URL whose host is a name or an address")
        nodes.append((host, port))
    return tuple(nodes)


def _can_be_looked_up(host: str) -> bool:
    """Whether socket.getaddrinfo can encode it; otherwise it would raise an error that is no OSError."""
    try:
        return not re.search(r"[\x00-\x20\x7f]", host) and (not host or bool(host.encode("idna")))
    except UnicodeError:
        return False


def _parse_db(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text):
        raise ValueError("a URL whose database is a whole number, such as redis://HOST:PORT/0")
    return int(text)


def _mask_query_value(matched: re.Match[str]) -> str:
    if "pass" in unquote(matched[2]).lower():
        return f"{matched[1]}{matched[2]}=***"
    return matched[0]
