"""The Redis client: made from a URL, with short time limits; every missing answer becomes one error.

One server is reached by a client of our own (`redis_commands` says why). redis-py is imported only for
sentinels and clusters.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from supervisor_memkill.errors import MemkillError, Unknown
from supervisor_memkill.world import redis_errors
from supervisor_memkill.world.redis_commands import RedisClient
from supervisor_memkill.world.redis_url import SENTINEL_AUTH, SENTINEL_SSL, Reach, RedisUrl, masked, parse
from supervisor_memkill.world.redis_wire import RedisError
from supervisor_memkill.world.shared_redis import SharedRedis

TIMEOUT_SECONDS = 2.0
"""For connecting, and for each answer."""
HEALTH_CHECK_SECONDS = 15

Answer = TypeVar("Answer")
_NOT_REDIS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What is raised for a reply of another form, and by redis-py's parsers for bytes that no Redis sends."""


def check(url: str) -> RedisUrl:
    """The parts of a URL that a client can be made of. Raises ValueError with a text that does not repeat it.

    The files that TLS needs are read. Nothing is sent.
    """
    target = parse(url)
    if target.is_tls:
        from supervisor_memkill.world import redis_tls  # loads OpenSSL

        redis_tls.check(target.options)
    if target.reach in (Reach.SENTINELS, Reach.CLUSTER):
        _check_with_redis_py(target)
    return target


def _check_with_redis_py(target: RedisUrl) -> None:
    from redis.exceptions import RedisError as LibraryError

    options = _client_options(target, "")
    try:
        is_sentinel = target.reach is Reach.SENTINELS
        client = (_new_sentinel_client if is_sentinel else _new_plain_client)(target, options)
        client.connection_pool.make_connection()
    except (LibraryError, *_NOT_REDIS) as error:
        raise ValueError(_refused_by_redis_py(target, error)) from None
    if target.is_tls and target.reach is Reach.CLUSTER:
        from supervisor_memkill.world import redis_tls

        redis_tls.check_cluster(target.options)


def _refused_by_redis_py(target: RedisUrl, error: Exception) -> str:
    """redis-py's text may repeat a value, so it is shown only as far as it names an option."""
    from redis import __version__

    named = next((key for key in target.options if key in str(error)), None)
    what = f"without {named}" if named else "with other options"
    return f"a URL {what}: redis-py {__version__}, which is installed, refuses it ({type(error).__name__})"


def connect(url: str, client_name: str) -> Any:
    """A client with short time limits and decoded strings. It tries once (a cluster: twice).

    It is a `RedisClient`, or that of redis-py for sentinels and clusters. Nothing is sent yet, except to a
    ``redis+cluster://``, whose nodes are asked at once. Raises MemkillError for a URL that `check` refuses,
    and Unknown if a cluster does not answer.
    """
    try:
        target = check(url)
    except ValueError as error:
        raise MemkillError(f"redis URL {masked(url)}: must be {error}") from None
    if target.reach is Reach.CLUSTER:
        return _connect_cluster(target, url, _client_options(target, client_name))
    if target.reach is Reach.SENTINELS:
        return _new_sentinel_client(target, _client_options(target, client_name))
    return RedisClient(target, client_name, TIMEOUT_SECONDS)


def is_cluster_client(client: Any) -> bool:
    return not isinstance(client, RedisClient) and not hasattr(client, "connection_pool")


def library_client(client: Any) -> Any:
    """redis-py's client for the same server or servers: it shows what redis-py makes of their URL."""
    if not isinstance(client, RedisClient):
        return client
    return _new_plain_client(client.target, _client_options(client.target, ""))


def _new_plain_client(target: RedisUrl, options: dict[str, Any]) -> Any:
    import redis

    if target.reach is Reach.SOCKET:
        return redis.Redis(unix_socket_path=target.path, db=target.db, **options)
    host, port = target.nodes[0]
    return redis.Redis(host=host, port=port, db=target.db, **options)


def ask(redis: Callable[[], Any], question: Callable[[Any], Answer]) -> Answer:
    """Call the question with the client, and return its answer.

    Raises Unknown if Redis is away, refuses (WRONGTYPE, OOM, NOAUTH ...) or sends what is no reply. Of a
    `SharedRedis` that hangs, it also raises Unknown at once, where its turn has waited long enough.
    """
    if isinstance(redis, SharedRedis):
        return redis.patiently(lambda: _ask(redis, question))
    return _ask(redis, question)


def _ask(redis: Callable[[], Any], question: Callable[[Any], Answer]) -> Answer:
    client = None
    try:
        client = redis()
        return question(client)
    except _errors() as error:
        words = redis_errors.words(error, client)
        if redis_errors.is_of_another_server(error):
            _hang_up(client)
        raise Unknown(f"Redis: {words}") from error


def _errors() -> tuple[type[Exception], ...]:
    """What our own client raises, and redis-py if anybody has loaded it."""
    library: Any = sys.modules.get("redis.exceptions")
    own = (RedisError, OSError, *_NOT_REDIS)
    return own if library is None else (*own, library.RedisError, library.RedisClusterException)


def _hang_up(client: Any) -> None:
    """Look up the address anew for the next question: after a failover it may be that of the new master.

    The former master keeps its connections, and would refuse every write for ever (redis/redis-py#460).
    """
    if isinstance(client, RedisClient):
        client.hang_up()
    elif pool := getattr(client, "connection_pool", None):
        pool.disconnect()


def _client_options(target: RedisUrl, client_name: str) -> dict[str, Any]:
    options = {key: value for key, value in target.options.items() if key != SENTINEL_SSL}
    if target.is_tls:
        from supervisor_memkill.world import redis_tls

        options |= redis_tls.options(options)
    return {
        **options,
        **_limits(),
        "redis_connect_func": _greeting(client_name, is_cluster=target.reach is Reach.CLUSTER),
        "decode_responses": True,
        "encoding_errors": "replace",  # a job's arguments may be any bytes
        "health_check_interval": HEALTH_CHECK_SECONDS,
    }


def _greeting(client_name: str, *, is_cluster: bool) -> Callable[[Any], None]:
    """What a new connection begins with. The name is for people: proxies refuse it (redis/redis-py#2384)."""

    def greet(connection: Any) -> None:
        from redis.exceptions import ResponseError

        if not is_cluster:  # A cluster's client does this by itself.
            connection.on_connect()
        if client_name:
            connection.send_command("CLIENT", "SETNAME", client_name, check_health=False)
            with contextlib.suppress(ResponseError):
                connection.read_response()

    return greet


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
        **_protocol(),
    }


def _protocol() -> dict[str, int]:
    """RESP2, which every server speaks.

    From redis-py 8 on, the default begins with HELLO. It fails where the server does not have this command,
    such as Redis 5 (redis/redis-py#4089), and where the user may not use it, as in Redis 6.0.
    """
    from redis import __version__

    return {} if int(__version__.partition(".")[0]) < 5 else {"protocol": 2}


def _retry(times: int) -> Any:
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return Retry(NoBackoff(), times)


def _new_sentinel_client(target: RedisUrl, options: dict[str, Any]) -> Any:
    import redis.sentinel

    sentinel_options = _limits()
    if target.options.get(SENTINEL_SSL, target.is_tls):
        sentinel_options |= {key: value for key, value in options.items() if key.startswith("ssl")}
    for key in SENTINEL_AUTH:
        if key in options:
            sentinel_options[key.removeprefix("sentinel_")] = options.pop(key)
    new_sentinel: Any = redis.sentinel.Sentinel  # has no annotations
    sentinel = new_sentinel(target.nodes, sentinel_kwargs=sentinel_options)
    return sentinel.master_for(target.master, db=target.db, **options)


def _connect_cluster(target: RedisUrl, url: str, options: dict[str, Any]) -> Any:
    import redis.cluster
    from redis.exceptions import RedisClusterException
    from redis.exceptions import RedisError as LibraryError

    new_node: Any = redis.cluster.ClusterNode  # has no annotations
    try:
        nodes = [new_node(host, port) for host, port in target.nodes]
        client: Any = redis.cluster.RedisCluster(startup_nodes=nodes, **options)
    except (LibraryError, RedisClusterException, OSError) as error:
        words = redis_errors.words(error, None)
        raise Unknown(f"redis URL {masked(url)}: the cluster does not answer: {words}") from error
    client.retry = _retry(1)  # one more try after a failover, with the slots read again
    client.cluster_error_retry_attempts = 1  # the same for redis-py before 6
    return client
