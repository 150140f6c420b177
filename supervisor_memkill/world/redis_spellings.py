"""What to write instead of a Redis URL that is not taken here. No text of this module shows a password."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SOCKETS = ("redis+unix", "redis-socket", "unix+redis")
_TLS = ("redis+ssl", "redis+tls", "redis-ssl", "redis-tls", "ssl", "tls")
_SENTINELS = ("sentinel", "redis-sentinel", "redis+sentinels", "redis-sentinels")
_CLUSTERS = ("cluster", "redis-cluster", "redis+clusters")
_TLS_SENTINELS = ("sentinels", "rediss-sentinel", "rediss+sentinels", "sentinel+ssl", "redis+sentinel+ssl")
_TLS_CLUSTERS = ("rediss-cluster", "redis+cluster+ssl")
_MEANT = {
    **dict.fromkeys(_SOCKETS, "unix"),
    "valkey": "redis",
    "valkeys": "rediss",
    **dict.fromkeys(_TLS, "rediss"),
    **dict.fromkeys(_SENTINELS, "redis+sentinel"),
    **dict.fromkeys(_TLS_SENTINELS, "rediss+sentinel"),
    **dict.fromkeys(_CLUSTERS, "redis+cluster"),
    **dict.fromkeys(_TLS_CLUSTERS, "rediss+cluster"),
}
"""The schemes of other clients, and the one to write here."""

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+)(:[0-9]{1,5})?")
_CLIENTS_OWN = (
    *("socket_timeout", "socket_connect_timeout", "socket_keepalive", "socket_keepalive_options", "timeout"),
    *("connect_timeout", "read_timeout", "write_timeout", "retry_on_timeout", "retry_on_error", "retry"),
    *("health_check_interval", "max_connections", "client_name", "decode_responses", "encoding", "protocol"),
    *("encoding_errors", "socket_read_size", "visibility_timeout", "pool_size", "driver", "id"),
)
"""Options that other programs set for their own connections."""


def instead_of(url: str, allowed: str) -> str:
    """The refusal of a text that begins with none of the schemes; `allowed` says which ones there are."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        advice = _without_scheme(url)
        return f"{allowed}; write {advice}" if advice else allowed
    if url[0] in "'\"":
        return f"{allowed}; write it without quotes"
    meant = _MEANT.get(scheme.lower())
    return f"{_translated(meant, rest)} in place of {scheme.lower()}://" if meant else allowed


def _without_scheme(url: str) -> str:
    if url.startswith(("/", "unix:/")):
        return _socket(url.removeprefix("unix:"))
    if _HOST.fullmatch(url):
        return f"redis://{url}/0"
    return "redis://:PASSWORD@HOST:PORT/0" if "@" in url else ""


def _socket(path: str) -> str:
    return f"unix://{path if re.fullmatch('/[/A-Za-z0-9._-]+', path) else '/PATH/OF/THE/SOCKET'}?db=0"


def _translated(meant: str, rest: str) -> str:
    """The URL with placeholders for what is secret or is not in it."""
    if meant == "unix":
        return _socket(rest.partition("?")[0])
    first, *others = rest.split(";")
    hosts, _, tail = first.rpartition("@")[2].partition("/")
    nodes = hosts.split(",")
    for other in others:  # of Celery's list
        hosts, _, tail = other.rpartition("://")[2].rpartition("@")[2].partition("/")
        nodes += hosts.split(",")
    shown = ",".join(node if _HOST.fullmatch(node) else "HOST:PORT" for node in nodes)
    user = ":PASSWORD@" if "@" in rest else ""
    db = re.split("[/?#]", tail)[-1 if "/" in tail.partition("?")[0] else 0]
    db = db if db.isdigit() else "0"
    return f"{meant}://{user}{shown}{_path(meant, db)}"


def _path(meant: str, db: str) -> str:
    if "sentinel" in meant:
        return f"/MASTER/{db} (MASTER is the name that the sentinels know)"
    return "" if "cluster" in meant else f"/{db}"


def unknown_option(key: str, scheme: str, allowed: Sequence[str], tls: Sequence[str]) -> str:
    """The refusal of an option after the ``?``; `tls`: the options of TLS."""
    if key in tls or key in ("ssl", "tls"):
        return _without_tls(key, scheme)
    if key in _CLIENTS_OWN:
        return f"a URL without {key}, which is fixed here: remove it (options: {', '.join(allowed)})"
    import difflib  # only for an error

    near = difflib.get_close_matches(key.lower(), allowed, n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"a URL with nothing after its ? but {', '.join(allowed)}{meant}"


def _without_tls(key: str, scheme: str) -> str:
    if scheme.startswith("rediss"):
        return f"a URL without {key}, because {scheme}:// is with TLS already"
    if not scheme.startswith("redis") or scheme.endswith("socket"):
        return f"a URL without {key}, because a unix socket has no TLS"
    return f"a URL that begins with {scheme.replace('redis', 'rediss', 1)}:// (TLS), because it has {key}"
