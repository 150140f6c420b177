"""Redis URLs: checked without connecting, shown without their password, and turned into a client.

``redis://``, ``rediss://`` (TLS) and ``unix://`` as redis-py takes them, and two that it does not:
``redis+sentinel://host:port,host:port/master/db`` and ``redis+cluster://host:port,host:port``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from supervisor_memkill.errors import MemkillError, Unknown
from supervisor_memkill.units import parse_yes_no

TIMEOUT_SECONDS = 2.0
"""For connecting, and for each answer."""
HEALTH_CHECK_SECONDS = 15

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
_SENTINEL_AUTH: dict[str, Callable[[str], Any]] = {"sentinel_username": str, "sentinel_password": str}
_QUERY: dict[str, dict[str, Callable[[str], Any]]] = {
    "redis": _AUTH,
    "rediss": {**_AUTH, **_TLS},
    "unix": _AUTH,
    "redis+sentinel": {**_AUTH, **_SENTINEL_AUTH},
    "redis+cluster": _AUTH,
}
"""What may follow the question mark, beside ``db``. Time limits are not for the URL to change."""


@dataclass(frozen=True)
class _Target:
    """What a URL says."""

    scheme: str
    nodes: tuple[tuple[str, int], ...] = ()
    path: str = ""
    """The socket's path, of ``unix://`` alone."""
    master: str = ""
    """The name that the sentinels know the master by."""
    db: int = 0
    options: Mapping[str, Any] | None = None
    """Keyword arguments for the client."""


def check(url: str) -> None:
    """Raise ValueError, which never repeats the URL, unless `connect` could use it."""
    _parse(url)


def masked(url: str) -> str:
    """The URL, or any text that holds one, as it may be shown: without a password wherever it stands.

    A malformed URL loses more rather than less.
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


def connect(url: str, client_name: str) -> Any:
    """A redis-py client with short time limits and decoded strings, which tries once (a cluster: twice).

    Nothing is sent yet, except with ``redis+cluster://``, whose nodes are asked at once. Raises
    MemkillError for a malformed URL, and Unknown where a cluster does not answer.
    """
    try:
        target = _parse(url)
    except ValueError as error:
        raise MemkillError(f"redis URL {masked(url)}: must be {error}") from None
    if target.scheme == "redis+cluster":
        return _connect_cluster(target, url, _client_options(target, client_name))
    if target.scheme == "redis+sentinel":
        return _connect_sentinel(target, _client_options(target, client_name))

    import redis

    options = _client_options(target, client_name)
    if target.scheme == "unix":
        return redis.Redis(unix_socket_path=target.path, db=target.db, **options)
    host, port = target.nodes[0]
    return redis.Redis(host=host, port=port, db=target.db, ssl=target.scheme == "rediss", **options)


def _client_options(target: _Target, client_name: str) -> dict[str, Any]:
    return {
        **(target.options or {}),
        **_limits(),
        "client_name": client_name,
        "decode_responses": True,
        "encoding_errors": "replace",  # a job's arguments may be any bytes, and are nothing to fail on
        "health_check_interval": HEALTH_CHECK_SECONDS,
    }


def _limits() -> dict[str, Any]:
    """Options of one connection, which never tries again by itself.

    A connection's retries are nested in those of its health check and its connect: one becomes four
    tries with redis-py 7 and 8, and with 4 and 5 a hundred, ending in RecursionError. The next turn
    is the retry, and a connection that was closed meanwhile is noticed before it is used.
    """
    return {
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "retry": _retry(0),
    }


def _retry(times: int) -> Any:
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return Retry(NoBackoff(), times)


def _connect_sentinel(target: _Target, options: dict[str, Any]) -> Any:
    import redis.sentinel

    sentinel_options = _limits()
    for key in _SENTINEL_AUTH:
        if key in options:
            sentinel_options[key.removeprefix("sentinel_")] = options.pop(key)
    new_sentinel: Any = redis.sentinel.Sentinel  # has no annotations
    sentinel = new_sentinel(target.nodes, sentinel_kwargs=sentinel_options)
    return sentinel.master_for(target.master, db=target.db, **options)


def _connect_cluster(target: _Target, url: str, options: dict[str, Any]) -> Any:
    import redis.cluster
    from redis.exceptions import RedisClusterException, RedisError

    new_node: Any = redis.cluster.ClusterNode  # has no annotations
    try:
        nodes = [new_node(host, port) for host, port in target.nodes]
        client: Any = redis.cluster.RedisCluster(startup_nodes=nodes, **options)
    except (RedisError, RedisClusterException, OSError) as error:
        raise Unknown(f"redis URL {masked(url)}: the cluster does not answer: {error}") from error
    client.retry = _retry(1)  # one more try after a failover, with the slots read again
    client.cluster_error_retry_attempts = 1  # the same for redis-py before 6
    return client


def _parse(url: str) -> _Target:
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
    return _Target(scheme, target.nodes, target.path, target.master, db, options)


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


def _parse_plain(scheme: str, hosts: str, parts: SplitResult) -> _Target:
    nodes = _parse_nodes(hosts, default_port=6379)
    if len(nodes) > 1:
        raise ValueError("a URL of one host; several are for redis+sentinel:// and redis+cluster://")
    host, port = nodes[0]
    return _Target(scheme, ((host or "localhost", port),), db=_parse_db(parts.path.strip("/") or "0"))


def _parse_unix(scheme: str, hosts: str, parts: SplitResult) -> _Target:
    if hosts or len(parts.path) < 2 or "\0" in unquote(parts.path):
        raise ValueError("the absolute path of a socket after unix://, such as unix:///run/redis.sock")
    return _Target(scheme, path=unquote(parts.path))


def _parse_sentinel(scheme: str, hosts: str, parts: SplitResult) -> _Target:
    master, _, db = parts.path.strip("/").partition("/")
    nodes = _parse_nodes(hosts, default_port=26379)
    if not master or not all(host for host, _ in nodes):
        raise ValueError("redis+sentinel://HOST:PORT,HOST:PORT/MASTER/DB")
    return _Target(scheme, nodes, master=unquote(master), db=_parse_db(db or "0"))


def _parse_cluster(scheme: str, hosts: str, parts: SplitResult) -> _Target:
    nodes = _parse_nodes(hosts, default_port=6379)
    if parts.path.strip("/") not in ("", "0") or not all(host for host, _ in nodes):
        raise ValueError("redis+cluster://HOST:PORT,HOST:PORT (a cluster has no database but 0)")
    return _Target(scheme, nodes)


_PARSERS: dict[str, Callable[[str, str, SplitResult], _Target]] = {
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
    """As socket.getaddrinfo encodes it, which raises what is no OSError."""
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
