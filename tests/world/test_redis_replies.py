"""What the methods of our own Redis client send, and make of replies, without a Redis."""

from __future__ import annotations

import pytest

from supervisor_memkill.world.redis_wire import ReplyError
from tests.world.test_redis_commands import NAMED, Scripted, client_of


def test_a_pipeline_sends_its_commands_together_and_returns_their_results_in_order() -> None:
    with (
        Scripted([NAMED, b"$1\r\nv\r\n*1\r\n$1\r\na\r\n", b"+OK\r\n"]) as server,
        client_of(server.url) as client,
    ):
        pipe = client.pipeline(transaction=False)
        assert pipe.execute() == []
        assert pipe.get("key").smembers("set").execute() == ["v", {"a"}]
        assert pipe.set("key", "value").execute() == [True], "the commands before are not sent again"
    assert b"MULTI" not in server.read[0]
    assert server.read[0].count(b"GET") == 1


def test_a_refusal_in_a_pipeline_is_raised_or_stands_in_its_place() -> None:
    replies = b"$1\r\nv\r\n-WRONGTYPE no\r\n"
    with Scripted([NAMED, replies, replies]) as server, client_of(server.url) as client:
        pipe = client.pipeline(transaction=False)
        with pytest.raises(ReplyError, match="WRONGTYPE"):
            pipe.get("key").get("set").execute()
        found, refusal = pipe.get("key").get("set").execute(raise_on_error=False)
    assert found == "v"
    assert isinstance(refusal, ReplyError)


def test_a_transaction_is_run_as_a_whole_or_is_refused() -> None:
    with (
        Scripted(
            [
                NAMED,
                b"+OK\r\n+QUEUED\r\n*1\r\n:1\r\n",
                b"+OK\r\n-OOM full\r\n-EXECABORT no\r\n",
                b"+OK\r\n+QUEUED\r\n-LOADING\r\n",
            ]
        ) as server,
        client_of(server.url) as client,
    ):
        assert client.pipeline().lpush("list", "value").execute() == [1]
        for reason in ("OOM", "LOADING"):
            with pytest.raises(ReplyError, match=reason):
                client.pipeline().lpush("list", "value").execute(raise_on_error=False)
    assert server.read[0].count(b"MULTI") == server.read[0].count(b"EXEC") == 3


def test_a_value_is_set_or_not_or_the_reply_is_another() -> None:
    with Scripted([NAMED, b"+OK\r\n", b"$-1\r\n", b"+NO\r\n"]) as server, client_of(server.url) as client:
        assert [client.set("key", b"\xff", nx=True) for _ in range(3)] == [True, None, False]
    assert b"\xff" in server.read[0]


def test_info_has_whole_numbers_and_texts() -> None:
    text = b"# Server\r\nredis_version:7.0\r\nmaxmemory:0\r\n"
    with Scripted([NAMED, b"$%d\r\n%b\r\n" % (len(text), text)]) as server, client_of(server.url) as client:
        assert client.info() == {"redis_version": "7.0", "maxmemory": 0}


def test_a_script_is_loaded_once_and_again_when_redis_does_not_know_it() -> None:
    loaded = b"$4\r\nsha1\r\n"
    with (
        Scripted(
            [NAMED, loaded, b":1\r\n", b":2\r\n", b"-NOSCRIPT no\r\n", loaded, b":3\r\n", b"-ERR bad\r\n"]
        ) as server,
        client_of(server.url) as client,
    ):
        script = client.register_script("return 1")
        assert [script(), script(), script()] == [1, 2, 3]
        with pytest.raises(ReplyError, match="bad"):
            script()
    assert (server.read[0].count(b"LOAD"), server.read[0].count(b"EVALSHA")) == (2, 5)
