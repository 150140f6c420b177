"""Celery's broker: its URLs, or the pool's Redis, in the form that kombu takes."""

from __future__ import annotations

import functools
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import MemkillError
from supervisor_memkill.workers.celery import transport
from supervisor_memkill.workers.celery.control import Broker
from supervisor_memkill.workers.contract import Option, Tools
from supervisor_memkill.world import redis_client, redis_url
from supervisor_memkill.world.redis_client import TIMEOUT_SECONDS
from supervisor_memkill.world.redis_url import masked

EXTRA = "pip install 'supervisor-memkill[celery]'"
DEFAULT_EXCHANGE = "celery"
"""Celery's control_exchange (celery/app/defaults.py)."""

SENTINEL = "sentinel"
_REDIS = ("redis", "rediss", "unix", "redis+socket", "redis+sentinel", "rediss+sentinel")
_AMQP = {"amqp": "pyamqp", "pyamqp": "pyamqp", "amqps": "amqps"}
"""kombu's scheme for each; its amqp:// may be librabbitmq, which has no time limits."""
_SCHEMES = (*_REDIS, SENTINEL, *_AMQP)
"""Of the brokers that Celery's remote control works on; others were not tried, or have none."""
_ESCAPE_HINT = "(in a password write @ / ? # ; and % as %40 %2F %3F %23 %3B and %25)"
_UNCHECKED = {"ssl_cert_reqs": "none", "ssl_check_hostname": False}


def parse_broker(text: str) -> tuple[str, ...]:
    """The URLs of a list with ``;``, of which one is in use. The ValueError that it raises shows no URL."""
    urls = tuple(one.strip() for one in text.strip().split(";"))
    for url in urls:
        _check(url)
    if len(urls) > 1 and any(url.startswith(f"{SENTINEL}://") for url in urls):
        return _one_of_sentinels(urls)
    return urls


def _check(url: str) -> None:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in _SCHEMES)
        raise ValueError(
            f"a URL that begins with {known}, or several with ; between; other brokers, such as SQS, have no "
            "remote control: set drain = stop in place of broker"
        )
    if scheme == SENTINEL:
        url = _sentinels_url((url,), "master", {})
    if scheme not in _AMQP:
        redis_client.check(url)
    elif not _is_well_formed(rest):
        raise ValueError(f"a well-formed URL {_ESCAPE_HINT}")


def _is_well_formed(rest: str) -> bool:
    """What follows the scheme of a URL for RabbitMQ."""
    try:
        parts = urlsplit(f"http://{rest}")
        return (parts.port is None or parts.port > 0) and not re.search(r"[\s#]|@.*@", rest)
    except ValueError:  # its text may hold the password
        return False


def _one_of_sentinels(urls: Sequence[str]) -> tuple[str, ...]:
    """Celery's list of sentinels is one broker."""
    if not all(url.startswith(f"{SENTINEL}://") for url in urls):
        raise ValueError("a list of sentinel:// alone, or without sentinel://")
    return (";".join(urls),)


def _sentinels_url(urls: Sequence[str], master: str, kwargs: Mapping[str, Any]) -> str:
    """The same in this program's own form, which names the master: ``redis+sentinel://``.

    kombu takes user, password and database of the first URL (kombu/transport/redis.py: SentinelChannel).
    """
    rests = [url.partition("://")[2].rstrip("/") for url in urls]
    userinfo, at, first = rests[0].rpartition("@")
    hosts, _, db = first.partition("/")
    nodes = [hosts, *(rest.rpartition("@")[2].partition("/")[0] for rest in rests[1:])]
    query = {f"sentinel_{key}": value for key, value in kwargs.items() if key in ("username", "password")}
    asked = f"?{urlencode(query)}" if query else ""
    return f"redis+sentinel://{userinfo}{at}{','.join(nodes)}/{quote(master, safe='')}/{db or '0'}{asked}"


BROKER_OPTIONS: Mapping[str, Option] = {
    "broker": Option(
        parse_broker,
        None,
        "URL of Celery's broker, amqp://, redis:// or sentinel://, or several with ; between",
        shown_default="the pool's redis",
    ),
    "broker_transport_options": Option(
        transport.parse_options,
        None,
        "Celery's setting of the same name, as JSON or as in Python: what in it renames keys, and master_name"
        " of sentinel://",
        shown_default="none",
    ),
    "control_exchange": Option(
        transport.parse_exchange,
        DEFAULT_EXCHANGE,
        "Celery's setting of the same name, if the application has it",
    ),
}
"""The keys that say where Celery's remote control is to be had."""


def is_installed(package: str) -> bool:
    # find_spec raises for kombu once it is imported: it replaces itself by a lazy module without __spec__.
    return package in sys.modules or importlib.util.find_spec(package) is not None


def problems_of(values: Mapping[str, Any], is_installed: Callable[[str], bool] = is_installed) -> list[str]:
    """The problems of the keys and `redis` together, and missing packages, one sentence each."""
    return [*_missing_packages(is_installed), *_missing_broker(values), *_missing_master(values)]


def _missing_packages(is_installed: Callable[[str], bool]) -> Iterator[str]:
    if not is_installed("kombu"):
        yield f"worker = celery needs the celery package: {EXTRA}"


def _missing_broker(values: Mapping[str, Any]) -> Iterator[str]:
    redis = values.get("redis")
    if values.get("broker") is not None:
        return
    if not redis:
        yield (
            "worker = celery needs broker, the URL of Celery's broker, or redis if that is the broker, or, "
            "for a broker without Celery's remote control, drain = stop"
        )
    elif redis_url.is_cluster(redis):
        yield (
            f"redis = {masked(redis)} cannot be Celery's broker: set broker to the URL of one server, "
            "redis:// or amqp://, or set drain = stop"
        )


def _missing_master(values: Mapping[str, Any]) -> Iterator[str]:
    given: Mapping[str, Any] = values.get("broker_transport_options") or {}
    has_sentinels = any(url.startswith(f"{SENTINEL}://") for url in values.get("broker") or ())
    if has_sentinels and not given.get("master_name"):
        yield (
            "broker = sentinel:// needs the name that the sentinels know: set broker_transport_options = "
            '{"master_name": "NAME"}'
        )


@dataclass(frozen=True)
class Address:
    """One broker as kombu takes it."""

    url: str = field(repr=False)
    tls: Mapping[str, Any] = field(default_factory=dict, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Transport options that belong to the address."""


def control_of(values: Mapping[str, Any], tools: Tools) -> Broker:
    """Celery's remote control at the broker that the values name."""
    return Broker(
        connection_makers(values, tools), namespace=values.get("control_exchange") or DEFAULT_EXCHANGE
    )


def connection_makers(values: Mapping[str, Any], tools: Tools) -> Sequence[Callable[[], Any]]:
    """For each broker of the list a function that makes a kombu.Connection with short time limits.

    It is not connected yet. A function raises MemkillError if there is no broker.
    """
    given: Mapping[str, Any] = values.get("broker_transport_options") or {}
    renaming = transport.renaming(given, tools.key_namespace)

    urls: Sequence[str] | None = values.get("broker")
    finders: list[Callable[[], Address]] = [lambda: address_of_client(tools.redis())]
    if urls is not None:
        finders = [functools.partial(address_of, url, given) for url in urls]
    return [functools.partial(_connect, find, renaming) for find in finders]


def _connect(find: Callable[[], Address], renaming: Mapping[str, Any]) -> Any:
    import kombu

    address = find()
    new_connection: Any = kombu.Connection  # type: ignore[attr-defined]
    is_amqp = "amqp" in address.url.partition("://")[0]
    options = transport.AMQP_LIMITS if is_amqp else {**transport.REDIS_LIMITS, **renaming}
    return new_connection(
        address.url,
        ssl=address.tls or False,
        connect_timeout=TIMEOUT_SECONDS,
        heartbeat=0,
        transport_options={**options, **address.options},
    )


def address_of(broker: str, transport_options: Mapping[str, Any] | None = None) -> Address:
    """A broker's URL as kombu takes it."""
    scheme, _, rest = broker.partition("://")
    if scheme in _AMQP:
        return Address(f"{_AMQP[scheme]}://{rest}")
    given = transport_options or {}
    if scheme == SENTINEL:
        broker = _sentinels_url(broker.split(";"), given["master_name"], given.get("sentinel_kwargs") or {})
    found = address_of_client(redis_client.connect(broker, transport.CLIENT_NAME))
    # kombu/connection.py checks no certificate without these options, and so do Celery's workers
    tls = found.tls if "ssl_" in rest or not found.tls else _UNCHECKED
    return Address(found.url, tls, found.options)


def _user(username: str | None, password: str | None) -> str:
    return f"{quote(username or '', safe='')}:{quote(password, safe='')}@" if password else ""


def address_of_client(client: Any) -> Address:
    """The server, or the sentinels, of a client as kombu, which uses redis-py, takes them.

    Raises MemkillError for a cluster.
    """
    pool: Any = getattr(redis_client.library_client(client), "connection_pool", None)
    options = dict(getattr(pool, "connection_kwargs", {}))
    user, db = _user(options.get("username"), options.get("password")), options.get("db", 0)
    if "path" in options:
        return Address(f"redis+socket://{user}{options['path']}?{urlencode({'virtual_host': str(db)})}")
    tls = _tls(options) if pool is not None and "SSL" in pool.connection_class.__name__ else {}
    manager: Any = getattr(pool, "sentinel_manager", None)
    if manager is not None:
        nodes = [one.connection_pool.connection_kwargs for one in manager.sentinels]
        urls = [f"{SENTINEL}://{user}{_host(node['host'])}:{node['port']}/{db}" for node in nodes]
        asked = {"master_name": pool.service_name, "sentinel_kwargs": dict(manager.sentinel_kwargs)}
        return Address(";".join(urls), tls, {**asked, **transport.SENTINEL_OPTIONS})
    if "host" not in options:
        raise MemkillError("the pool's redis is a cluster: set broker, or drain = stop")
    url = f"redis{'s' * bool(tls)}://{user}{_host(options['host'])}:{options['port']}/{db}"
    return Address(url, tls)


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _tls(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of TLS for redis-py, as kombu's ``ssl`` passes them on."""
    given = {key: value for key, value in options.items() if key.startswith("ssl_") and value is not None}
    return {"ssl_cert_reqs": "required", **given}
