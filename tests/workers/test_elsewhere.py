"""Where none of a pool's workers is recognised, its kind says what records are there instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from supervisor_memkill.testing.fakes import tools
from supervisor_memkill.workers.celery.kind import Celery
from supervisor_memkill.workers.contract import FindsOthers, Kind
from supervisor_memkill.workers.resque.kind import Resque
from supervisor_memkill.workers.rq.kind import RQ
from supervisor_memkill.workers.sidekiq.kind import Sidekiq
from supervisor_memkill.world.memory import ProcessTable
from supervisor_memkill.world.redis_client import connect
from tests.real_redis import RealRedis
from tests.workers.celery_machine import FakeControl, Node

HOST = "here"
RECORD = {"sidekiq": "there:12:0ab1", "resque": "there:12:high,low", "rq": "worker:abc"}
SETS = {"sidekiq": "processes", "resque": "resque:workers", "rq": "rq:workers"}
MADE: dict[str, Callable[..., Any]] = {"sidekiq": Sidekiq, "resque": Resque, "rq": RQ}
KINDS = sorted(MADE)


def found(
    server: RealRedis, name: str, *, namespace: str = "", url: str = "", values: dict[str, Any] | None = None
) -> str:
    client = connect(url or server.url, "test")
    kind = MADE[name](values or {}, tools(redis=lambda: client, namespace=namespace), HOST)
    assert isinstance(kind, FindsOthers)
    try:
        return kind.find_others([], ProcessTable())
    finally:
        client.close()


def put(server: RealRedis, name: str, *, database: int = 0, namespace: str = "") -> None:
    """One record of another host."""
    base = SETS[name].rpartition(":")[2]
    key = f"{namespace}:{base}" if namespace else SETS[name]
    record = f"{namespace or 'rq'}:{RECORD[name]}" if name == "rq" else RECORD[name]
    with redis.Redis(port=server.port, db=database) as client:
        client.sadd(key, record)
        if name == "rq":
            client.hset(record, "hostname", "there")


@pytest.mark.parametrize("name", KINDS)
def test_empty_redis_has_nothing(redis_server: RealRedis, name: str) -> None:
    redis_server.client().set("app:processes", "no set")
    assert found(redis_server, name) == ""


@pytest.mark.parametrize("name", KINDS)
def test_records_of_another_host_are_named(redis_server: RealRedis, name: str) -> None:
    put(redis_server, name)
    assert "records of the hosts 'there' exist, but none of this host, 'here'" in found(redis_server, name)


@pytest.mark.parametrize("name", KINDS)
def test_records_of_a_name_in_record_hosts_are_of_this_host(redis_server: RealRedis, name: str) -> None:
    put(redis_server, name)
    words = found(redis_server, name, values={"record_hosts": ("the*",)})
    assert "records of this host (there) exist, but of other processes" in words


@pytest.mark.parametrize("name", KINDS)
def test_records_in_another_database_are_named(redis_server: RealRedis, name: str) -> None:
    put(redis_server, name, database=3)
    words = found(redis_server, name)
    assert "records are in database 3 (set redis to that database)" in words


@pytest.mark.parametrize("name", KINDS)
def test_records_with_a_namespace_are_named(redis_server: RealRedis, name: str) -> None:
    put(redis_server, name, namespace="app")
    redis_server.client().mset({f"other:{number}": "x" for number in range(3000)})
    assert "with the namespace 'app' (set key_namespace)" in found(redis_server, name)


def test_sidekiq_without_the_configured_namespace_is_named(redis_server: RealRedis) -> None:
    put(redis_server, "sidekiq")
    words = found(redis_server, "sidekiq", namespace="app")
    assert "without a namespace (remove key_namespace)" in words


@pytest.mark.parametrize("name", KINDS)
def test_sets_of_another_framework_are_not_taken_for_records(redis_server: RealRedis, name: str) -> None:
    client = redis_server.client()
    client.sadd("app:processes", "something else")
    client.sadd("app:workers", "something else")
    assert found(redis_server, name) == ""


def test_user_who_may_not_list_keys_gets_an_error_of_one_line(redis_server: RealRedis) -> None:
    redis_server.client().acl_setuser(
        "little", enabled=True, passwords=["+secret"], keys=["*"], commands=["+smembers", "+client", "+ping"]
    )
    url = redis_server.url.replace("://", "://little:secret@")
    with pytest.raises(Exception, match="permissions"):
        found(redis_server, "sidekiq", url=url)


def test_celery_names_the_nodes_that_answer() -> None:
    def words(*nodes: Node) -> str:
        kind: Kind = Celery({"broker": None}, tools(), FakeControl(*nodes), HOST)
        assert isinstance(kind, FindsOthers)
        return kind.find_others([], ProcessTable())

    assert words() == "no Celery node at all answers at this broker"
    assert "are celery@there, z@there" in words(Node("z@there"), Node("celery@there"))
    assert "and 2 more" in words(*(Node(f"{number}@there") for number in range(7)))
