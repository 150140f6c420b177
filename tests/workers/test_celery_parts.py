"""Node names, broker URLs and settings: what each leads to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import redis

from supervisor_memkill.errors import MemkillError
from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.testing.fakes import program_info, tools
from supervisor_memkill.workers.celery.advice import advice_on
from supervisor_memkill.workers.celery.broker import (
    connection_maker,
    kombu_url,
    parse_broker,
    problems_of,
    url_of_client,
)
from supervisor_memkill.workers.celery.kind import Celery
from supervisor_memkill.workers.celery.nodes import name_in

HOST = "web1.example.org"


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("/v/bin/python /v/bin/celery -A app worker", f"celery@{HOST}"),
        ("/v/bin/python -m celery -A app worker -c 4", f"celery@{HOST}"),
        ("celery -A app worker -n one@%h", f"one@{HOST}"),
        ("celery -A app worker --hostname=one@%h -Q x", f"one@{HOST}"),
        ("celery -A app worker --hostname one@%n.%d", f"one@{HOST}"),
        ("celery -A app worker -n mail", "celery@mail"),
        ("celery -A app worker -n %n-1@%h", f"web1-1@{HOST}"),
        ("celery -A app worker -n one%I@%h", f"one@{HOST}"),
        ("celery -A app worker -n @%h", f"celery@{HOST}"),
        ("celery -A app worker -n one@%x", None),
        (f"[celeryd: one@{HOST}:MainProcess] -active- (-A app worker)", f"one@{HOST}"),
        ("/v/bin/python /v/bin/celery -A app beat", None),
        ("/v/bin/python work.py", None),
        ("", None),
    ],
)
def test_a_command_line_leads_to_the_name_that_celery_makes_of_it(title: str, name: str | None) -> None:
    assert name_in(title, HOST) == name


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("amqp://u:p%40@mq:5672/vhost", "pyamqp://u:p%40@mq:5672/vhost"),
        ("amqps://mq//", "amqps://mq//"),
        ("redis://:p@r:6380/2", "redis://:p@r:6380/2"),
        ("unix:///run/r.sock?db=3", "redis+socket:///run/r.sock?virtual_host=3"),
        ("unix:///run/r.sock?password=a/b", "redis+socket://:a%2Fb@/run/r.sock?virtual_host=0"),
    ],
)
def test_a_broker_is_given_as_other_urls_are(url: str, taken: str) -> None:
    assert kombu_url(parse_broker(url)) == taken


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
def test_a_bad_broker_is_told_without_repeating_it(url: str) -> None:
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
    told = (connection.password, connection.port, str(connection.virtual_host))
    if "path" not in options:
        assert told == (options.get("password"), options["port"], str(options.get("db", 0)))
        assert connection.hostname == options["host"]
    else:
        assert url_of_client(client) == "redis+socket://:pw@/run/r.sock?virtual_host=3"
    assert bool(connection.ssl) == url.startswith("rediss")


def test_a_cluster_is_no_broker() -> None:
    with pytest.raises(MemkillError, match="set broker"):
        url_of_client(object())


def test_waiting_is_limited_and_the_namespace_goes_along() -> None:
    connection = connection_maker("redis://r/0", tools(namespace="app:"))()
    options = connection.transport_options
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (2.0, 2.0)
    assert options["global_keyprefix"] == "app:"
    options = connection_maker("amqp://mq//", tools())().transport_options
    assert (options["read_timeout"], options["write_timeout"]) == (2.0, 2.0)


# --- problems


def installed(_package: str) -> bool:
    return True


def test_without_celery_one_line_tells_what_to_install() -> None:
    problems = problems_of({"broker": None, "redis": "redis://r"}, lambda package: False)
    wanted = "worker = celery needs the celery package: pip install 'supervisor-memkill[celery]'"
    assert problems == [wanted]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"broker": None, "redis": None}, "needs broker"),
        ({"broker": None, "redis": "redis+sentinel://:secret@h/m"}, "cannot be Celery's broker"),
        ({"broker": None, "redis": "redis+cluster://h"}, "cannot be Celery's broker"),
    ],
)
def test_without_a_broker_that_can_be_one_it_is_a_problem(values: dict[str, Any], said: str) -> None:
    (problem,) = problems_of(values, installed)
    assert said in problem and "secret" not in problem


def test_a_broker_of_its_own_needs_no_redis() -> None:
    assert problems_of({"broker": "amqp://mq//", "redis": None}, installed) == []
    assert problems_of({"broker": "amqp://mq//", "redis": "redis+cluster://h"}, installed) == []
    assert not Celery.needs_redis


# --- advice

GOOD = replace(program_info("celery -A app worker -n one@%h", stopwaitsecs=300), stopasgroup=False)


def advice(program: ProgramInfo) -> list[tuple[str, bool]]:
    return [(one.text, one.refuses) for one in advice_on(program)]


def test_good_settings_need_no_advice() -> None:
    assert advice(GOOD) == []
    assert advice(replace(GOOD, stopsignal=2)) == [], "INT does what TERM does"
    for pool in ("threads", "solo"):
        assert advice(replace(GOOD, command=f"{GOOD.command} -P {pool}", stopasgroup=True)) == []


@pytest.mark.parametrize(
    ("changes", "said", "is_refused"),
    [
        ({"stopsignal": 3}, "stopsignal=QUIT must be INT or TERM", True),
        ({"stopasgroup": True}, "remove stopasgroup=true", True),
        ({"stopasgroup": None}, "stopasgroup is unknown", True),
        ({"stopwaitsecs": 10}, "stopwaitsecs=10 must be above", False),
        ({"command": "sh -c 'celery -A app worker; true'"}, "a shell without exec", False),
    ],
)
def test_what_cuts_tasks_at_a_stop_is_refused_and_the_rest_advised(
    changes: dict[str, Any], said: str, is_refused: bool
) -> None:
    ((text, refuses),) = advice(replace(GOOD, **changes))
    assert said in text and refuses is is_refused
