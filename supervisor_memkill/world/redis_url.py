"""Redis URLs as text: parsed, and shown without their password. Nothing connects here.

``redis://``, ``rediss://`` (TLS) and ``unix://`` as redis-py takes them, Celery's ``redis+socket://``, and
two that redis-py does not take: ``redis+sentinel://host:port,host:port/master/db`` and
``redis+cluster://host:port,host:port``, each also as ``rediss+...``. For what the frameworks write otherwise,
`redis_spellings` says what to write instead.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.units import parse_yes_no
from supervisor_memkill.world import redis_spellings

_ESCAPE_HINT = "(in a password write @ / ? # [ ] and % as %40 %2F %3F %23 %5B %5D and %25)"
_NODE = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]*)(?::([0-9]{1,5}))?")
_SHOWABLE_NODE = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+)(:[0-9]+)?")
_QUERY_VALUE = re.compile(r"([?&])([^?&=\s]+)=([^&\s]*)")


class Reach(enum.Enum):
    """How the servers of a URL are reached."""

    SERVER = enum.auto()
    """One server, over TCP."""
    SOCKET = enum.auto()
    """One server, through its unix socket."""
    SENTINELS = enum.auto()
    """Sentinels name the server."""
    CLUSTER = enum.auto()


_SCHEMES = {
    "redis": (Reach.SERVER, False),
    "rediss": (Reach.SERVER, True),
    "unix": (Reach.SOCKET, False),
    "redis+socket": (Reach.SOCKET, False),
    "redis+sentinel": (Reach.SENTINELS, False),
    "rediss+sentinel": (Reach.SENTINELS, True),
    "redis+cluster": (Reach.CLUSTER, False),
    "rediss+cluster": (Reach.CLUSTER, True),
}
"""Each scheme, and whether it is with TLS. ``redis+socket://`` is Celery's name for ``unix://``."""
_SCHEME_ALLOWED = f"a URL that begins with {', '.join(f'{scheme}://' for scheme in _SCHEMES)}"

DB = ("db", "virtual_host")
"""The option for the database, and Celery's name for it."""
_CERT_REQS = ("none", "optional", "required")
SENTINEL_SSL = "sentinel_ssl"


@dataclass(frozen=True)
class RedisUrl:
    """The parts of a URL."""

    reach: Reach
    is_tls: bool = False
    nodes: tuple[tuple[str, int], ...] = ()
    path: str = ""
    """The path of the socket, with `Reach.SOCKET` only."""
    master: str = ""
    """The name of the master, with `Reach.SENTINELS` only."""
    db: int = 0
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Keyword arguments for the client: user name, passwords, TLS."""


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


def is_cluster(url: str) -> bool:
    """Whether the URL is that of a cluster; False for one that is malformed."""
    try:
        return parse(url).reach is Reach.CLUSTER
    except ValueError:
        return False


def parse(url: str) -> RedisUrl:
    """The parts of the URL. Raises ValueError with a text that does not repeat the URL."""
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in _SCHEMES:
        raise ValueError(redis_spellings.instead_of(url, _SCHEME_ALLOWED))
    if re.search(r"\s", url):
        raise ValueError("a URL without white space")
    if "%%" in url:
        raise ValueError(
            "a URL without %% (in a password write %25 for %; %% is for supervisord's environment=)"
        )
    try:
        parts = urlsplit(f"{scheme}://{rest}")
    except ValueError:  # its text may hold the password
        raise ValueError(f"a well-formed URL {_ESCAPE_HINT}") from None
    if parts.fragment or "@" in parts.path:
        raise ValueError(f"a URL without # or a second @ {_ESCAPE_HINT}")
    reach, is_tls = _SCHEMES[scheme]
    options, query_db = _parse_query(scheme, parts.query)
    userinfo, at, hosts = parts.netloc.rpartition("@")
    options |= _parse_userinfo(userinfo, has_password="password" in options) if at else {}
    target = _PARSERS[reach](reach, hosts, parts)
    db = target.db if query_db is None else query_db
    return RedisUrl(reach, is_tls, target.nodes, target.path, target.master, db, options)


def _parse_userinfo(userinfo: str, *, has_password: bool) -> dict[str, str]:
    """User name and password, which count for more than those in the query, as in redis-py."""
    username, colon, password = userinfo.partition(":")
    if username and not colon and not has_password:
        raise ValueError(
            "redis://:PASSWORD@HOST, or redis://USER:@HOST for a user without a password; a word alone before"
            " the @ is a password for Sidekiq (redis-client) and a user for redis-py"
        )
    found = {"username": unquote(username), "password": unquote(password)}
    return {key: value for key, value in found.items() if value}


def _parse_cert_reqs(text: str) -> str:
    """``none`` as redis-py writes it, ``CERT_NONE`` as Celery does, ``None`` as in a program."""
    word = text.lower().removeprefix("cert_")
    if word not in _CERT_REQS:
        raise ValueError(f"one of {', '.join(_CERT_REQS)} (also CERT_NONE and so on)")
    return word


def _parse_text(text: str) -> str:
    if not text:
        raise ValueError("a value; leave the option out for its default")
    return text


_AUTH: Mapping[str, Callable[[str], Any]] = {"username": str, "password": str}
_TLS: Mapping[str, Callable[[str], Any]] = {
    "ssl_cert_reqs": _parse_cert_reqs,
    "ssl_check_hostname": parse_yes_no,
    **dict.fromkeys(
        ("ssl_ca_certs", "ssl_ca_path", "ssl_ca_data", "ssl_certfile", "ssl_keyfile"), _parse_text
    ),
    **dict.fromkeys(("ssl_password", "ssl_ciphers"), _parse_text),
}
SENTINEL_AUTH: Mapping[str, Callable[[str], Any]] = {"sentinel_username": str, "sentinel_password": str}


def _query_options(scheme: str) -> Mapping[str, Callable[[str], Any]]:
    """The options that a URL may have besides `DB`. The time limits are fixed, so no URL may change them."""
    reach, is_tls = _SCHEMES[scheme]
    options = {**_AUTH, **(_TLS if is_tls else {})}
    if reach is Reach.SENTINELS:
        options |= {**SENTINEL_AUTH, **({SENTINEL_SSL: parse_yes_no} if is_tls else {})}
    return options


def _parse_query(scheme: str, query: str) -> tuple[dict[str, Any], int | None]:
    allowed = _query_options(scheme)
    db_keys = () if _SCHEMES[scheme][0] is Reach.CLUSTER else DB
    options: dict[str, Any] = {}
    db: int | None = None
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key in options or (key in db_keys and db is not None):
            raise ValueError(f"a URL that has {key} once")
        if key in db_keys:
            db = _parse_db(value.removeprefix("/") if key == "virtual_host" else value)
        elif key in allowed:
            try:
                options[key] = allowed[key](value)
            except ValueError as error:
                raise ValueError(f"a URL whose {key} is {error}") from None
        else:
            raise ValueError(redis_spellings.unknown_option(key, scheme, (*db_keys, *allowed), tuple(_TLS)))
    return options, db


def _parse_server(reach: Reach, hosts: str, parts: SplitResult) -> RedisUrl:
    if ";" in hosts or ";" in parts.path:
        raise ValueError("the URL of one server; of Celery's list with ; name the server that is in use")
    nodes = _parse_nodes(hosts, default_port=6379)
    if len(nodes) > 1:
        raise ValueError("a URL of one host; several are for redis+sentinel:// and redis+cluster://")
    host, port = nodes[0]
    return RedisUrl(reach, nodes=((host or "localhost", port),), db=_parse_db(parts.path.strip("/") or "0"))


def _parse_socket(reach: Reach, hosts: str, parts: SplitResult) -> RedisUrl:
    if hosts or len(parts.path) < 2 or "\0" in unquote(parts.path):
        raise ValueError("the absolute path of a socket after unix://, such as unix:///run/redis.sock?db=0")
    return RedisUrl(reach, path=unquote(parts.path))


def _parse_sentinels(reach: Reach, hosts: str, parts: SplitResult) -> RedisUrl:
    master, _, db = parts.path.strip("/").partition("/")
    nodes = _parse_nodes(hosts, default_port=26379)
    if not master or not all(host for host, _ in nodes):
        raise ValueError("redis+sentinel://HOST:PORT,HOST:PORT/MASTER/DB")
    if master.isdigit() and not db:
        raise ValueError(
            "redis+sentinel://HOST:PORT,HOST:PORT/MASTER/DB, with MASTER, the name that the sentinels know"
        )
    return RedisUrl(reach, nodes=nodes, master=unquote(master), db=_parse_db(db or "0"))


def _parse_cluster(reach: Reach, hosts: str, parts: SplitResult) -> RedisUrl:
    nodes = _parse_nodes(hosts, default_port=6379)
    if parts.path.strip("/") not in ("", "0") or not all(host for host, _ in nodes):
        raise ValueError("redis+cluster://HOST:PORT,HOST:PORT (a cluster has no database but 0)")
    return RedisUrl(reach, nodes=nodes)


_PARSERS: Mapping[Reach, Callable[[Reach, str, SplitResult], RedisUrl]] = {
    Reach.SERVER: _parse_server,
    Reach.SOCKET: _parse_socket,
    Reach.SENTINELS: _parse_sentinels,
    Reach.CLUSTER: _parse_cluster,
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
        namespace = "; a namespace goes into key_namespace" if re.fullmatch(r"[0-9]+/.+", text) else ""
        raise ValueError(f"a URL whose database is a whole number, such as redis://HOST:PORT/0{namespace}")
    return int(text)


def _mask_query_value(matched: re.Match[str]) -> str:
    if "pass" in unquote(matched[2]).lower():
        return f"{matched[1]}{matched[2]}=***"
    return matched[0]
