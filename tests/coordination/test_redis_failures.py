"""Redis away, frozen, slow, full or refusing: one error in words, in time, and all is well afterwards."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from supervisor_memkill.coordination.contract import Cause, CoordinationUnknown, SlotClaim
from supervisor_memkill.coordination.redis import RedisCoordinator
from supervisor_memkill.world.redis_client import TIMEOUT_SECONDS
from tests.coordination.lossy_proxy import Loses, LossyProxy
from tests.coordination.refusals import CALLS, NEEDED, REPORTS, SECRET, WRITES, publish, refusal
from tests.coordination.servers import POOL, admin, allow, ask, at, key, redis_server, rules, stored, works
from tests.harness import wait_for
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real


@pytest.fixture
def server() -> Iterator[RealRedis]:
    with redis_server() as running:
        yield running


@pytest.fixture
def coordinator(server: RealRedis) -> Iterator[RedisCoordinator]:
    """As the listener makes it, by its URL; nothing settles."""
    with at(server.url) as made:
        yield made


# --- away, frozen, slow -------------------------------------------------------------------------


def test_redis_that_is_away_is_unknown_and_serves_the_same_client_when_it_is_back(
    server: RealRedis, coordinator: RedisCoordinator
) -> None:
    assert works(coordinator)
    server.stop()
    for call in CALLS:
        refusal(coordinator, call)
    assert f"127.0.0.1:{server.port}" in refusal(coordinator, "publish")
    server.start()
    assert works(coordinator)


def test_redis_that_never_was_there_is_unknown(server: RealRedis) -> None:
    with at(server.url) as coordinator:
        server.stop()
        assert f"127.0.0.1:{server.port}" in refusal(coordinator, "publish")
        server.start()
        assert works(coordinator)


@pytest.mark.parametrize("is_connected", [True, False])
def test_frozen_redis_is_unknown_within_the_time_limit(
    server: RealRedis, coordinator: RedisCoordinator, is_connected: bool
) -> None:
    if is_connected:
        assert works(coordinator)
    server.pause()
    try:
        assert "imeout" in refusal(coordinator, "publish")
    finally:
        server.resume()
    assert works(coordinator)


def test_slow_redis_is_waited_for(server: RealRedis) -> None:
    with LossyProxy(server.port) as proxy, at(proxy.url) as coordinator:
        assert works(coordinator)
        proxy.delay_seconds = 0.2
        assert works(coordinator)


def test_redis_that_is_too_slow_is_unknown_within_the_time_limit(server: RealRedis) -> None:
    """Its late reply is not taken for the answer to the next request."""
    with LossyProxy(server.port) as proxy, at(proxy.url) as coordinator:
        assert works(coordinator)
        proxy.delay_seconds = TIMEOUT_SECONDS + 0.5
        assert "imeout" in refusal(coordinator, "acquire")
        proxy.delay_seconds = 0
        assert works(coordinator)


def test_busy_redis_is_unknown(server: RealRedis, coordinator: RedisCoordinator) -> None:
    """Another's script runs for ever."""
    assert works(coordinator)
    with admin(server) as other:
        other.config_set("busy-reply-threshold", 50)
        endless = redis.Redis(port=server.port, socket_timeout=0.2, retry=Retry(NoBackoff(), 0))
        with contextlib.suppress(redis.RedisError):
            endless.eval("while true do end", 0)
        assert "BUSY" in refusal(coordinator, "publish").upper()
        other.script_kill()
        wait_for(lambda: _answers(other))
    assert works(coordinator)


def _answers(client: redis.Redis) -> bool:
    with contextlib.suppress(redis.RedisError):
        return bool(client.ping())
    return False


# --- refusing -----------------------------------------------------------------------------------


def test_read_only_replica_is_unknown(server: RealRedis, coordinator: RedisCoordinator) -> None:
    assert works(coordinator)
    with admin(server) as other:
        other.replicaof("127.0.0.1", "1")
        for call in WRITES:
            words = refusal(coordinator, call)
            assert "read only" in words and "name its master, or the sentinels" in words
            assert "script" not in words
        other.replicaof("no", "one")
    assert works(coordinator)


def test_full_redis_grants_nothing_and_takes_slots_back(
    server: RealRedis, coordinator: RedisCoordinator
) -> None:
    publish(coordinator)
    assert CALLS["acquire"](coordinator).granted
    with admin(server) as other:
        other.config_set("maxmemory", 1)
        for call in ("publish", "record"):
            words = refusal(coordinator, call)
            assert "raise its maxmemory" in words and "script" not in words
        with pytest.raises(CoordinationUnknown, match="maxmemory"):
            coordinator.acquire(POOL, rules(max_draining=2), ask("b"))
        assert coordinator.view(POOL).holders == ("one/s/a",)
        CALLS["release"](coordinator)
        assert coordinator.view(POOL).holders == ()
        other.config_set("maxmemory", 0)
    assert works(coordinator)


@pytest.mark.parametrize("policy", ["volatile-lru", "volatile-ttl", "allkeys-lru", "allkeys-random"])
def test_eviction_never_gives_a_slot_twice(server: RealRedis, policy: str) -> None:
    """volatile-* takes nothing of the pool; what allkeys-* takes is noticed as lost data."""
    with at(server.url, settle_seconds=3600) as coordinator, admin(server) as other:
        publish(coordinator)
        settle_now(other)
        assert CALLS["acquire"](coordinator).granted
        other.config_set("maxmemory-policy", policy)
        other.config_set("maxmemory", other.info("memory")["used_memory"] + 300_000)
        fill(other)
        kept = other.exists(key())
        assert kept or policy.startswith("allkeys")
        with contextlib.suppress(CoordinationUnknown):
            rival = coordinator.acquire(POOL, rules(), ask("b", 9.0))
            assert rival.refused is (Cause.SLOTS_TAKEN if kept else Cause.DATA_LOST)


def fill(client: redis.Redis) -> None:
    """Others write until Redis has had to make room many times."""
    for number in range(3000):
        client.set(f"other:{number}", "x" * 1000, ex=3600)
    assert client.info("stats")["evicted_keys"] > 1000


def settle_now(client: redis.Redis) -> None:
    """As if the time after the first use were over."""
    meta = json.loads(stored(client)["meta"])
    client.hset(key(), "meta", json.dumps({**meta, "settle": 0}))


def test_wrong_password_is_unknown_and_is_not_shown(server: RealRedis) -> None:
    with admin(server) as other:
        allow(other, "memkill", SECRET, NEEDED)
        url = f"redis://memkill:{SECRET}@127.0.0.1:{server.port}/0"
        with at(url) as coordinator:
            assert works(coordinator)
            allow(other, "memkill", "another", NEEDED)
            other.client_kill_filter(_type="normal", skipme=True)
            wait_for(lambda: len(other.client_list()) == 1)
            for call in CALLS:
                assert "password" in refusal(coordinator, call)
            allow(other, "memkill", SECRET, NEEDED)
            assert works(coordinator)


def test_password_that_is_missing_is_unknown(server: RealRedis, coordinator: RedisCoordinator) -> None:
    with admin(server) as other:
        other.config_set("requirepass", SECRET)
        assert "the URL needs its password" in refusal(coordinator, "publish")
        other.config_set("requirepass", "")
    assert works(coordinator)


def test_key_of_another_kind_is_unknown_and_is_left_alone(
    server: RealRedis, coordinator: RedisCoordinator
) -> None:
    with admin(server) as other:
        other.set(key(), "somebody else's")
        for call in ("publish", "acquire", "release", "view"):
            assert "WRONGTYPE" in refusal(coordinator, call)
        assert other.get(key()) == "somebody else's"
        other.delete(key())
    assert works(coordinator)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "17", '{"at": "soon"}', "null"])
def test_hash_that_is_not_understood_is_unknown(
    server: RealRedis, coordinator: RedisCoordinator, text: str
) -> None:
    with admin(server) as other:
        other.hset(key(), "meta", text)
        for call in ("publish", "acquire", "release"):
            with contextlib.suppress(CoordinationUnknown):
                answer = CALLS[call](coordinator)
                assert call != "acquire" or not answer.granted
        with contextlib.suppress(CoordinationUnknown):
            coordinator.view(POOL)
        other.delete(key())
    assert works(coordinator)


# --- lost on the way ----------------------------------------------------------------------------


@pytest.fixture
def proxy(server: RealRedis) -> Iterator[LossyProxy]:
    with LossyProxy(server.port) as running:
        yield running


@pytest.fixture
def far(proxy: LossyProxy) -> Iterator[RedisCoordinator]:
    """A coordinator behind the proxy."""
    with at(proxy.url) as made:
        assert works(made)
        publish(made)
        yield made


@pytest.mark.parametrize("loses", [Loses.REQUEST, Loses.REPLY])
def test_acquire_that_is_repeated_takes_one_slot(
    far: RedisCoordinator, proxy: LossyProxy, loses: Loses
) -> None:
    proxy.loses = loses
    refusal(far, "acquire")
    assert (far.view(POOL).holders == ("one/s/a",)) is (loses is Loses.REPLY)
    assert CALLS["acquire"](far).granted
    assert far.view(POOL).holders == ("one/s/a",)
    assert far.acquire(POOL, rules(), ask("b", 9.0)).refused is Cause.SLOTS_TAKEN
    CALLS["release"](far)
    assert far.view(POOL).holders == ()


@pytest.mark.parametrize("loses", [Loses.REQUEST, Loses.REPLY])
def test_publish_that_is_repeated_keeps_the_slot(
    far: RedisCoordinator, proxy: LossyProxy, loses: Loses
) -> None:
    assert CALLS["acquire"](far).granted
    proxy.loses = loses
    with pytest.raises(CoordinationUnknown):
        publish(far, SlotClaim("a", "token-a", is_out=False))
    assert publish(far, SlotClaim("a", "token-a", is_out=False)).held == {"token-a"}
    assert far.view(POOL).holders == ("one/s/a",)
    assert len(far.view(POOL).reports) == len(REPORTS)


@pytest.mark.parametrize("loses", [Loses.REQUEST, Loses.REPLY])
def test_release_that_is_repeated_frees_the_slot_and_no_other(
    far: RedisCoordinator, proxy: LossyProxy, loses: Loses
) -> None:
    assert CALLS["acquire"](far).granted
    proxy.loses = loses
    refusal(far, "release")
    assert (far.view(POOL).holders == ()) is (loses is Loses.REPLY)
    if loses is Loses.REPLY:
        assert far.acquire(POOL, rules(), ask("b", 9.0)).granted
    CALLS["release"](far)
    assert far.view(POOL).holders == (("one/s/b",) if loses is Loses.REPLY else ())


@pytest.mark.parametrize("loses", [Loses.REQUEST, Loses.REPLY])
def test_lost_reply_is_not_taken_for_lost_data(server: RealRedis, proxy: LossyProxy, loses: Loses) -> None:
    """What was seen last is older than what Redis has, which is as it should be."""
    with at(proxy.url, settle_seconds=3600) as far, admin(server) as other:
        publish(far)
        settle_now(other)
        proxy.loses = loses
        refusal(far, "publish")
        publish(far)
        assert far.acquire(POOL, rules(), ask("a", 2.5)).granted


# --- the data of before -------------------------------------------------------------------------


def test_older_dump_is_noticed() -> None:
    """Restored by hand, while the slot was given after it was made."""
    with (
        redis_server("--dbfilename", "dump.rdb") as server,
        at(server.url, settle_seconds=3600) as coordinator,
    ):
        publish(coordinator)
        with admin(server) as other:
            settle_now(other)
            other.save()
        publish(coordinator)
        assert CALLS["acquire"](coordinator).granted
        server.restart()  # by a kill: the dump stays
        assert coordinator.view(POOL).holders == ()
        assert coordinator.view(POOL).reports, "the dump was read"
        refused = coordinator.acquire(POOL, rules(), ask("b", 9.0))
        assert refused.refused is Cause.DATA_LOST
        assert publish(coordinator, SlotClaim("a", "token-a")).held == {"token-a"}
        assert CALLS["acquire"](coordinator).granted


def test_restart_that_loses_nothing_changes_nothing() -> None:
    with (
        redis_server("--dbfilename", "dump.rdb") as server,
        at(server.url, settle_seconds=3600) as coordinator,
    ):
        publish(coordinator)
        with admin(server) as other:
            settle_now(other)
            assert CALLS["acquire"](coordinator).granted
            other.save()
        server.restart()
        assert coordinator.view(POOL).holders == ("one/s/a",)
        refused = coordinator.acquire(POOL, rules(), ask("b", 9.0))
        assert refused.refused is Cause.SLOTS_TAKEN
