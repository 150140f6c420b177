"""Celery's broker: its URL, or the pool's Redis, in the form that kombu takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from supervisor_memkill.errors import MemkillError
from supervisor_memkill.workers.contract import Tools
from supervisor_memkill.world import redis_client, redis_url
from supervisor_memkill.world.redis_client import TIMEOUT_SECONDS
from supervisor_memkill.world.redis_url import masked

EXTRA = "pip install 'supervisor-memkill[celery]'"
CLIENT_NAME = "supervisor-memkill"

_REDIS = ("redis", "rediss", "unix", "redis+socket")
_TRANSPORTS = {
    **dict.fromkeys(_REDIS, ""),
    "amqp": "pyamqp",  # kombu's amqp:// may be librabbitmq, which has no time limits
    "pyamqp": "pyamqp",
    "amqps": "amqps",
}
"""The scheme of a URL, and kombu's scheme for it; for Redis that of the client's URL is made anew.

Other brokers have no remote control, or were not tried.
"""
_UNCHECKED = {"ssl_cert_reqs": "none", "ssl_check_hostname": False}


def parse_broker(text: str) -> str:
    """The URL. Raises ValueError, whose text never contains the URL."""
    text = text.strip()
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in _TRANSPORTS:
        known = ", ".join(f"{scheme}://" for scheme in _TRANSPORTS)
        sentinel = "; for sentinels write the URL of the Redis server itself" if "sentinel" in scheme else ""
        raise ValueError(f"a URL that begins with {known}{sentinel}")
    if re.search(r"[\s;]", text):
        raise ValueError("the URL of one broker, without white space and ;")
    try:
        parts = urlsplit(f"http://{rest}")
        is_well_formed = parts.port is None or parts.port > 0
    except ValueError:  # its text may hold the password
        is_well_formed = False
    if not is_well_formed or "#" in text or "@" in parts.path:
        raise ValueError("a well-formed URL (in a password write @ / ? # and % as %40 %2F %3F %23 %25)")
    if scheme in _REDIS:
        redis_client.check(text)
    return text


def problems_of(values: Mapping[str, Any], is_installed: Callable[[str], bool]) -> list[str]:
    """The problems of `broker` and `redis` together, and missing packages, one sentence each."""
    return [*_missing_packages(values, is_installed), *_missing_broker(values)]


def _missing_packages(values: Mapping[str, Any], is_installed: Callable[[str], bool]) -> Iterator[str]:
    if not is_installed("kombu"):
        yield f"worker = celery needs the celery package: {EXTRA}"


def _missing_broker(values: Mapping[str, Any]) -> Iterator[str]:
    redis = values.get("redis")
    if values.get("broker") is not None:
        return
    if not redis:
        yield "worker = celery needs broker, the URL of Celery's broker, or redis if that is the broker"
    elif redis_url.is_several(redis):
        yield (
            f"redis = {masked(redis)} cannot be Celery's broker: set broker to the URL of one server, "
            "redis:// or amqp://"
        )


def connection_maker(broker: str | None, tools: Tools) -> Callable[[], Any]:
    """A function that makes a kombu.Connection with short time limits, not connected yet.

    It raises MemkillError if there is no broker.
    """

    def make() -> Any:
        import kombu

        new_connection: Any = kombu.Connection  # type: ignore[attr-defined]
        url, tls = address_of(broker) if broker else address_of_client(tools.redis())
        options = _redis_options(tools) if "redis" in url.partition("://")[0] else _amqp_options()
        return new_connection(
            url,
            ssl=tls or False,
            connect_timeout=TIMEOUT_SECONDS,
            heartbeat=0,
            transport_options=options,
        )

    return make


def _redis_options(tools: Tools) -> dict[str, Any]:
    """For kombu/transport/redis.py, which waits without limit by default."""
    options: dict[str, Any] = {
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "client_name": CLIENT_NAME,
    }
    if tools.key_namespace:
        options["global_keyprefix"] = tools.key_namespace
    return options


def _amqp_options() -> dict[str, Any]:
    """For amqp/connection.py, which waits without limit by default."""
    return {
        "read_timeout": TIMEOUT_SECONDS,
        "write_timeout": TIMEOUT_SECONDS,
        "client_properties": {"connection_name": CLIENT_NAME},
    }


def address_of(broker: str) -> tuple[str, dict[str, Any]]:
    """The URL of a broker as kombu takes it, and its options of TLS."""
    scheme, _, rest = broker.partition("://")
    if scheme not in _REDIS:
        return f"{_TRANSPORTS[scheme]}://{rest}", {}
    url, tls = address_of_client(redis_client.connect(broker, CLIENT_NAME))
    # kombu/connection.py checks no certificate without these options, and so do Celery's workers
    return url, tls if "ssl_" in rest or not tls else _UNCHECKED


def _socket_url(path: str, db: object, username: str | None, password: str | None) -> str:
    user = f"{quote(username or '', safe='')}:{quote(password, safe='')}@" if password else ""
    return f"redis+socket://{user}{path}?{urlencode({'virtual_host': str(db)})}"


def address_of_client(client: Any) -> tuple[str, dict[str, Any]]:
    """The URL of the server of a redis-py client as kombu takes it, and its options of TLS, if it has TLS.

    Raises MemkillError if the client has several servers.
    """
    pool: Any = getattr(client, "connection_pool", None)
    options = dict(getattr(pool, "connection_kwargs", {}))
    username, password = options.get("username"), options.get("password")
    if "path" in options:
        return _socket_url(options["path"], options.get("db", 0), username, password), {}
    if "host" not in options:
        raise MemkillError("the pool's redis is not a single server: set broker")
    user = f"{quote(username or '', safe='')}:{quote(password, safe='')}@" if password else ""
    host = f"[{options['host']}]" if ":" in options["host"] else options["host"]
    tls = _tls(options) if "SSL" in pool.connection_class.__name__ else {}
    return f"redis{'s' * bool(tls)}://{user}{host}:{options['port']}/{options.get('db', 0)}", tls


def _tls(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of TLS for redis-py, as kombu's ``ssl`` passes them on."""
    given = {key: value for key, value in options.items() if key.startswith("ssl_") and value is not None}
    return {"ssl_cert_reqs": "required", **given}
