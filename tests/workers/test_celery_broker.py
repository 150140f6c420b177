"""Celery's broker: its URL, what is wrong with it, and the connection to it."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from supervisor_memkill.errors import MemkillError
from supervisor_memkill.testing.fakes import tools
from supervisor_memkill.workers.celery.broker import (
    address_of,
    address_of_client,
    connection_maker,
    parse_broker,
    problems_of,
)
from supervisor_memkill.workers.celery.kind import Celery


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("amqp://u:p%40@mq:5672/vhost", "pyamqp://u:p%40@mq:5672/vhost"),
        ("amqps://mq//", "amqps://mq//"),
        ("redis://:p@r:6380/2", "redis://:p@r:6380/2"),
        ("unix:///run/r.sock?db=3", "redis+socket:///run/r.sock?virtual_host=3"),
        ("unix:///run/r.sock?password=a/b", "redis+socket://:a%2Fb@/run/r.sock?virtual_host=0"),
        ("unix:///run/r.sock?virtual_host=/3", "redis+socket:///run/r.sock?virtual_host=3"),
        ("redis://r?db=2&username=u&password=p", "redis://u:p@r:6379/2"),
        ("rediss://r/1?ssl_cert_reqs=none", "rediss://r:6379/1"),
    ],
)
def test_a_broker_is_given_as_other_urls_are(url: str, taken: str) -> None:
    assert address_of(parse_broker(url))[0] == taken


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "sqs://",
        "sentinel://h",
        "amqp://a;amqp://b",
        "amqp://h:x",
        "redis://a b",
        "amqp://h/#",
    ],
)
def test_the_error_for_a_bad_broker_does_not_contain_the_url(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_broker(url)
    assert not url or url not in str(caught.value).split()


@pytest.mark.parametrize(
    "url",
    [
        "redis://r:6380/2",
        "redis://:a%2Fb@r:6380/2",
        "redis://user:pw@[::1]:6380/0",
        "rediss://r:6380/0?ssl_cert_reqs=none",
        "rediss://r:6380/0",
        "unix:///run/r.sock?db=3&password=pw",
    ],
)
def test_by_default_the_broker_is_the_pools_redis(url: str) -> None:
    client = redis.Redis.from_url(url)
    connection = connection_maker(None, tools(lambda: client))()
    options = client.connection_pool.connection_kwargs
    found = (connection.password, connection.port, str(connection.virtual_host))
    if "path" not in options:
        assert found == (options.get("password"), options["port"], str(options.get("db", 0)))
        assert connection.hostname == options["host"]
    else:
        assert address_of_client(client)[0] == "redis+socket://:pw@/run/r.sock?virtual_host=3"
    assert bool(connection.ssl) == url.startswith("rediss")


@pytest.mark.parametrize(
    ("query", "tls"),
    [
        ("", {"ssl_cert_reqs": "none", "ssl_check_hostname": False}),  # as Celery's own workers do it
        ("?ssl_cert_reqs=CERT_NONE", {"ssl_cert_reqs": "none", "ssl_check_hostname": False}),
        (
            "?ssl_cert_reqs=required&ssl_check_hostname=no",
            {"ssl_cert_reqs": "required", "ssl_check_hostname": False},
        ),
    ],
)
def test_the_tls_of_a_broker_is_that_of_celery(query: str, tls: dict[str, Any]) -> None:
    connection = connection_maker(parse_broker(f"rediss://r{query}"), tools())()
    assert {key: connection.ssl[key] for key in tls} == tls


def test_a_broker_that_redis_py_or_kombu_would_refuse_later_is_refused_at_once() -> None:
    for url, told in (
        ("rediss://r?ssl_cert_reqs=CERT_NON", "ssl_cert_reqs is one of none"),
        ("redis://word@r", "redis://:PASSWORD@HOST"),
        ("redis://r?visibility_timeout=3600", "a URL without visibility_timeout"),
        ("sentinel://a:26379;sentinel://b:26379", "for sentinels write the URL of the Redis server itself"),
    ):
        with pytest.raises(ValueError) as refused:
            parse_broker(url)
        assert told in str(refused.value)


def test_a_cluster_is_no_broker() -> None:
    with pytest.raises(MemkillError, match="set broker"):
        address_of_client(object())


def test_connections_have_time_limits_and_the_namespace() -> None:
    connection = connection_maker("redis://r/0", tools(namespace="app:"))()
    options = connection.transport_options
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (2.0, 2.0)
    assert options["global_keyprefix"] == "app:"
    options = connection_maker("amqp://mq//", tools())().transport_options
    assert (options["read_timeout"], options["write_timeout"]) == (2.0, 2.0)


def installed(_package: str) -> bool:
    return True


def test_without_celery_one_line_says_what_to_install() -> None:
    problems = problems_of({"broker": None, "redis": "redis://r"}, lambda package: False)
    wanted = "worker = celery needs the celery package: pip install 'supervisor-memkill[celery]'"
    assert problems == [wanted]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"broker": None, "redis": None}, "needs broker"),
        ({"broker": None, "redis": "redis+sentinel://:secret@h/m"}, "cannot be Celery's broker"),
        ({"broker": None, "redis": "redis+cluster://h"}, "cannot be Celery's broker"),
    ],
)
def test_a_missing_or_unfit_broker_is_a_problem(values: dict[str, Any], expected: str) -> None:
    (problem,) = problems_of(values, installed)
    assert expected in problem and "secret" not in problem


def test_a_broker_of_its_own_needs_no_redis() -> None:
    assert problems_of({"broker": "amqp://mq//", "redis": None}, installed) == []
    assert problems_of({"broker": "amqp://mq//", "redis": "redis+cluster://h"}, installed) == []
    assert not Celery.needs_redis
