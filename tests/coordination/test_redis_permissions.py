"""What a user of Redis must be allowed, so that the listener can coordinate: all of it is needed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import pytest

from supervisor_memkill.coordination.contract import CoordinationUnknown
from supervisor_memkill.coordination.redis import RedisCoordinator
from supervisor_memkill.world.redis_client import connect
from supervisor_memkill.world.redis_commands import RedisClient
from supervisor_memkill.world.redis_wire import RedisError
from tests.coordination.refusals import NEEDED, SECRET, refusal
from tests.coordination.servers import POOL, admin, allow, listening, redis_server, rules, works
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real


@contextlib.contextmanager
def allowed(server: RealRedis, commands: Sequence[str], database: int = 0) -> Iterator[RedisClient]:
    """A client as the listener makes it, of a user who may run these commands alone."""
    with admin(server) as other:
        allow(other, "memkill", SECRET, commands)
    url = f"redis://memkill:{SECRET}@127.0.0.1:{server.port}/{database}"
    with contextlib.closing(connect(url, "memkill-test")) as client:
        yield client


@pytest.fixture(scope="module")
def guarded() -> Iterator[RealRedis]:
    with redis_server() as running:
        yield running


def use_all_of_it(client: RedisClient) -> None:
    coordinator = listening(client, settle_seconds=0)
    assert works(coordinator)
    coordinator.publish(POOL, rules(), [], [])
    client.ping()  # as `doctor` does, and redis-py by itself with sentinels


def test_user_with_these_permissions_alone_can_do_it_all(guarded: RealRedis) -> None:
    with allowed(guarded, NEEDED) as client:
        use_all_of_it(client)
    with allowed(guarded, [*NEEDED, "select"], database=3) as client:
        use_all_of_it(client)


@pytest.mark.parametrize("missing", NEEDED)
def test_each_of_the_permissions_is_needed(guarded: RealRedis, missing: str) -> None:
    with admin(guarded) as other:
        other.flushall()
        other.script_flush()
    rest = [command for command in NEEDED if command != missing]
    with allowed(guarded, rest) as client, pytest.raises((CoordinationUnknown, RedisError)) as refused:
        use_all_of_it(client)
    words = str(refused.value)
    assert "permission" in words or "can't run this command" in words
    assert SECRET not in words


def test_permission_that_is_given_later_is_enough(guarded: RealRedis) -> None:
    with allowed(guarded, ["ping"]) as client:
        coordinator = listening(client, settle_seconds=0)
        assert "permission" in refusal(coordinator, "publish")
        with admin(guarded) as other:
            allow(other, "memkill", SECRET, NEEDED)
        assert works(coordinator)


def test_keys_of_another_prefix_are_unknown(guarded: RealRedis) -> None:
    with allowed(guarded, NEEDED) as client:
        other = RedisCoordinator(
            lambda: client, "one/s", "i", prefix="other", heartbeat_seconds=10, slot_ttl_seconds=60
        )
        assert "key" in refusal(other, "publish")
