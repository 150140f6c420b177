"""Celery's broker: its URL, what is wrong with it, and the connection to it."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from supervisor_memkill.errors import MemkillError
from supervisor_memkill.testing.fakes import tools
from supervisor_memkill.workers.celery.broker import (
    BROKER_OPTIONS,
    address_of,
    address_of_client,
    connection_makers,
    parse_broker,
    problems_of,
)
from supervisor_memkill.workers.celery.kind import Celery
from supervisor_memkill.workers.celery.transport import parse_options
from supervisor_memkill.world import redis_client


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
    (one,) = parse_broker(url)
    assert address_of(one).url == taken


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "sqs://",
        "sentinel://h:x",
        "amqp://a;sqs://b",
        "sentinel://a;redis://b",
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
    (connect,) = connection_makers({}, tools(lambda: client))
    connection = connect()
    options = client.connection_pool.connection_kwargs
    found = (connection.password, connection.port, str(connection.virtual_host))
    if "path" not in options:
        assert found == (options.get("password"), options["port"], str(options.get("db", 0)))
        assert connection.hostname == options["host"]
    else:
        assert address_of_client(client).url == "redis+socket://:pw@/run/r.sock?virtual_host=3"
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
    (connect,) = connection_makers({"broker": parse_broker(f"rediss://r{query}")}, tools())
    connection = connect()
    assert {key: connection.ssl[key] for key in tls} == tls


def test_a_broker_that_redis_py_or_kombu_would_refuse_later_is_refused_at_once() -> None:
    for url, told in (
        ("rediss://r?ssl_cert_reqs=CERT_NON", "ssl_cert_reqs is one of none"),
        ("redis://word@r", "redis://:PASSWORD@HOST"),
        ("redis://r?visibility_timeout=3600", "a URL without visibility_timeout"),
        ("sqs://", "set drain = stop in place of broker"),
        ("confluentkafka://h:9092", "set drain = stop in place of broker"),
    ):
        with pytest.raises(ValueError) as refused:
            parse_broker(url)
        assert told in str(refused.value)


def test_a_cluster_is_no_broker() -> None:
    with pytest.raises(MemkillError, match="set broker, or drain = stop"):
        address_of_client(object())


def options_of(values: dict[str, Any], namespace: str = "") -> Any:
    """The transport options of the connection to the first broker."""
    return connection_makers(values, tools(namespace=namespace))[0]().transport_options


def test_connections_have_time_limits_and_the_namespace() -> None:
    options = options_of({"broker": ("redis://r/0",)}, "app:")
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (2.0, 2.0)
    assert options["global_keyprefix"] == "app:"
    options = options_of({"broker": ("amqp://mq//",)})
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
        ({"broker": None, "redis": "redis+cluster://:secret@h"}, "cannot be Celery's broker"),
        ({"broker": ("sentinel://:secret@h",)}, "needs the name that the sentinels know"),
    ],
)
def test_a_missing_or_unfit_broker_is_a_problem(values: dict[str, Any], expected: str) -> None:
    (problem,) = problems_of(values, installed)
    assert expected in problem and "secret" not in problem


def test_a_broker_of_its_own_needs_no_redis() -> None:
    assert problems_of({"broker": ("amqp://mq//",), "redis": None}, installed) == []
    assert problems_of({"broker": ("amqp://mq//",), "redis": "redis+cluster://h"}, installed) == []
    assert not Celery.needs_redis


# --- sentinels, lists of brokers, and settings that rename keys


@pytest.mark.parametrize(
    ("broker", "given", "urls"),
    [
        (
            "sentinel://:p%40@a:26380/2;sentinel://b:26381",
            {"master_name": "main"},
            "sentinel://:p%40@a:26380/2;sentinel://:p%40@b:26381/2",
        ),
        ("sentinel://a", {"master_name": "main"}, "sentinel://a:26379/0"),
        ("redis+sentinel://a,b:1/main/3", {}, "sentinel://a:26379/3;sentinel://b:1/3"),
    ],
)
def test_sentinels_are_one_broker_in_either_spelling(broker: str, given: dict[str, Any], urls: str) -> None:
    (url,) = parse_broker(broker)
    found = address_of(url, given)
    assert (found.url, found.options["master_name"]) == (urls, "main")
    assert found.options["sentinel_fanout_compat"], "workers with kombu below 5.4 listen under another name"
    assert found.options["sentinel_kwargs"]["socket_timeout"] == 2.0


def test_sentinels_may_have_a_password_of_their_own() -> None:
    given = {"master_name": "main", "sentinel_kwargs": {"password": "other", "username": "u"}}
    asked = address_of("sentinel://:p@a", given).options["sentinel_kwargs"]
    assert (asked["username"], asked["password"]) == ("u", "other")


def test_by_default_the_broker_may_be_the_sentinels_of_the_pools_redis() -> None:
    client = redis_client.connect("rediss+sentinel://:p@a,b/main/1?sentinel_password=q", "test")
    found = address_of_client(client)
    assert found.url == "sentinel://:p@a:26379/1;sentinel://:p@b:26379/1"
    assert found.tls["ssl_cert_reqs"] == "required" and found.options["sentinel_kwargs"]["password"] == "q"
    assert problems_of({"redis": "redis+sentinel://a/main"}, installed) == []


def test_each_broker_of_a_list_is_an_address_of_its_own() -> None:
    broker = parse_broker("amqp://a//;amqp://u:p@b//; redis://c/1")
    connections = [make() for make in connection_makers({"broker": broker}, tools())]
    assert [one.hostname for one in connections] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "text",
    [
        '{"global_keyprefix": "app:", "fanout_prefix": false, "visibility_timeout": 3600}',
        "{'global_keyprefix': 'app:', 'fanout_prefix': False, 'socket_timeout': 5.0}",
    ],
)
def test_options_that_rename_keys_are_taken_and_the_time_limits_stay(text: str) -> None:
    options = options_of({"broker": ("redis://r",), "broker_transport_options": parse_options(text)})
    assert (options["global_keyprefix"], options["fanout_prefix"], options["socket_timeout"]) == (
        "app:",
        False,
        2.0,
    )
    assert "visibility_timeout" not in options


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"global_keyprefx": "app:"}', "did you mean global_keyprefix?"),
        ('{"master_name": 3}', "another type of value for master_name"),
        ("global_keyprefix=app:", "an object as in JSON or Python"),
        ("__import__('os').abort()", "an object as in JSON or Python"),
    ],
)
def test_options_that_would_have_no_effect_are_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_options(text)
    assert told in str(refused.value) and "app:" not in str(refused.value).replace('"app:"}', "")


def test_drain_by_stop_wants_nothing_of_the_broker() -> None:
    values = {"drain": "stop", **{key: option.default for key, option in BROKER_OPTIONS.items()}}
    assert Celery.problems({**values, "redis": None}) == []
    assert Celery.problems({**values, "redis": "redis+cluster://h"}) == []
    (problem,) = Celery.problems({**values, "broker": ("amqp://mq//",)})
    assert problem == "drain = stop does not use broker: remove it"
    (problem,) = Celery.problems({"command_has": "run.py", "broker": ("amqp://mq//",)})
    assert problem.startswith("command_has is for drain = stop")
