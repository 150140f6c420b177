"""What an operator reads of redis-py's errors."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MasterDownError, MovedError, ReadOnlyError, ResponseError

from supervisor_memkill.world import redis_errors
from supervisor_memkill.world.redis_client import connect


def test_the_arguments_of_an_unknown_command_are_left_out() -> None:
    """Redis before 7 repeats them, those of AUTH too."""
    error = ResponseError("unknown command `AUTH`, with args beginning with: `s3cret`, ")
    assert redis_errors.words(error, None) == (
        "unknown command `AUTH`; if this is a sentinel, write redis+sentinel://HOST:PORT/MASTER/DB; else this"
        " Redis, or a proxy in front of it, lacks the command, or rename-command disabled it: fleet.rst of"
        " the documentation names the commands that are needed"
    )


@pytest.mark.parametrize("error", [MovedError("15495 10.0.0.1:6379"), ResponseError("MOVED 1 10.0.0.1:6379")])
def test_a_node_of_a_cluster_is_recognised_in_each_version_of_redis_py(error: Exception) -> None:
    assert "write redis+cluster:// in place of redis://" in redis_errors.words(error, None)


@pytest.mark.parametrize(
    "text", ["Connection closed by server.", "Error 111 connecting to h:6379. Connection refused.", "LOADING"]
)
def test_what_has_no_advice_is_shown_as_it_is(text: str) -> None:
    client = connect("redis://:word@127.0.0.1:1", "test")
    assert redis_errors.words(RedisConnectionError(text), client) == text


def test_an_error_without_words_is_its_name() -> None:
    assert redis_errors.words(RedisConnectionError(), None) == "ConnectionError"


def test_the_name_of_a_sentinels_master_is_no_host() -> None:
    """Sidekiq writes redis://mymaster, with the sentinels in another setting.

    The words are those of glibc, of musl, of Docker's own resolver, and of FreeBSD.
    """
    texts = [
        "Error -2 connecting to {}:6379. Name or service not known.",
        "Error -2 connecting to {}:6379. Name does not resolve.",
        "Error -3 connecting to {}:6379. Temporary failure in name resolution.",
        "Error 8 connecting to {}:6379. Name does not resolve.",
    ]
    for text in texts:
        for host, has_advice in (("mymaster", True), ("redis.example.org", False)):
            client = connect(f"redis://{host}", "test")
            told = redis_errors.words(RedisConnectionError(text.format(host)), client)
            assert ("write redis+sentinel://HOST:PORT/MASTER/DB" in told) is has_advice


SHA = "705348670ba501be54811fe3c969d530386238a1"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("You can't write against a read only replica.", "name its master, or the sentinels"),
        ("command not allowed when used memory > 'maxmemory'.", "raise its maxmemory"),
        ("this user has no permissions to run the 'evalsha' command", "fleet.rst"),
        ("ERR This Redis command is not allowed from script", "restricts scripts, as ElastiCache Serverless"),
        ("NOREPLICAS Not enough good replicas to write.", "min-replicas-to-write"),
    ],
)
def test_an_error_of_a_script_is_shown_without_the_place_in_the_script_and_with_advice(
    text: str, shown: str
) -> None:
    of_seven = ResponseError(f"{text} script: {SHA}, on @user_script:342.")
    of_six = ResponseError(
        f"Error running script (call to f_{SHA}): @user_script:3: @user_script: 3: -{text}"
    )
    for error in (of_seven, of_six, ResponseError(text)):
        words = redis_errors.words(error, None)
        assert words.startswith(f"{text.rstrip('.')}; ")
        assert shown in words and SHA not in words and "user_script" not in words


def test_a_redis_that_cannot_save_is_one_short_sentence() -> None:
    error = ResponseError("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to")
    words = redis_errors.words(error, None)
    assert words.startswith("MISCONF; this Redis cannot write its data to the disk") and len(words) < 120


def test_a_redis_in_protected_mode_is_one_short_sentence() -> None:
    """Its own text has nine (redis/docker-library-redis#319)."""
    text = (
        "DENIED Redis is running in protected mode because protected mode is enabled and no password is set"
        " for the default user. In this mode connections are only accepted from the loopback interface. If"
        " you want to connect from external computers to Redis you may adopt one of the following solutions"
    )
    words = redis_errors.words(ResponseError(text), None)
    assert "set a password for it" in words and len(words) < 200


@pytest.mark.parametrize(
    "text", ["Error 111 connecting to 172.17.0.2:6379. Connection refused.", "Timeout connecting to server"]
)
def test_a_master_that_cannot_be_reached_is_the_one_that_the_sentinels_name(text: str) -> None:
    """In containers, sentinels name addresses of the network inside (s7anley/redis-sentinel-docker#11)."""
    client = connect("redis+sentinel://127.0.0.1:1/mymaster", "test")
    assert redis_errors.words(RedisConnectionError(text), client) == text, "no sentinel has named one"
    pool = SimpleNamespace(connection_kwargs={}, connection_class=None, master_address=("172.17.0.2", 6379))
    words = redis_errors.words(RedisConnectionError(text), SimpleNamespace(connection_pool=pool))
    assert "the sentinels name 172.17.0.2:6379 as the master's address" in words


@pytest.mark.parametrize(
    ("error", "is_another"),
    [
        (ReadOnlyError("You can't write against a read only replica."), True),
        (
            ResponseError(
                f"Error running script (call to f_{SHA}): @user_script:3: -READONLY You can't write"
                " against a read only slave."
            ),
            True,
        ),
        (ResponseError("NOREPLICAS Not enough good replicas to write."), True),
        (MasterDownError("Link with MASTER is down and replica-serve-stale-data is set to 'no'."), True),
        (ResponseError("WRONGTYPE Operation against a key"), False),
        (RedisConnectionError("Connection closed by server."), False),
    ],
)
def test_only_a_server_that_is_no_master_is_left(error: Exception, is_another: bool) -> None:
    assert redis_errors.is_of_another_server(error) is is_another


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("Client sent AUTH, but no password is set", "remove it from the URL"),
        ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required", "?ssl_certfile=/PATH"),
    ],
)
def test_a_mistake_in_the_url_has_its_advice(text: str, advice: str) -> None:
    assert advice in redis_errors.words(ResponseError(text), None)


def test_a_certificate_that_newer_pythons_refuse_is_explained() -> None:
    text = "Error 1 connecting to h:6379. CA cert does not include key usage extension."
    words = redis_errors.words(RedisConnectionError(text), None)
    assert words.endswith(
        "make it anew with the extension that is named, or run the listener with an older Python"
    )
