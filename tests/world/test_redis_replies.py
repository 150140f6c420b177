"""What the methods of our own Redis client send, and make of replies, without a Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from supervisor_memkill.world.redis_commands import Commands, Convert, Pipeline
from supervisor_memkill.world.redis_wire import ReplyError, Word
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


class Recorded(Commands):
    """Has the words of the last command, and gives it a reply."""

    def __init__(self, reply: Any = None) -> None:
        self.reply = reply
        self.words: Sequence[Word] = ()

    def _do(self, convert: Convert, *words: Word) -> Any:
        self.words = words
        return convert(self.reply)


@pytest.mark.parametrize(
    ("options", "words"),
    [({}, ()), ({"ex": 0}, ("EX", 0)), ({"nx": True}, ("NX",)), ({"ex": 9, "nx": True}, ("EX", 9, "NX"))],
)
def test_set_sends_its_options_only_if_they_are_given(
    options: dict[str, Any], words: tuple[Word, ...]
) -> None:
    redis = Recorded("OK")
    assert redis.set("key", "value", **options) is True
    assert redis.words == ("SET", "key", "value", *words)


@pytest.mark.parametrize(("options", "words"), [({}, ("~",)), ({"approximate": False}, ())])
def test_entry_is_added_with_its_fields_and_the_longest_length(
    options: dict[str, Any], words: tuple[Word, ...]
) -> None:
    redis = Recorded("1-1")
    assert redis.xadd("key", {"a": 1, "b": "2"}, maxlen=5, **options) == "1-1"
    assert redis.words == ("XADD", "key", "MAXLEN", *words, 5, "*", "a", 1, "b", "2")


def test_entry_that_was_deleted_has_no_fields() -> None:
    """Redis 6 gives none for one that is in a group's list of pending ones."""
    assert Recorded([["1-1", None], ["1-0", ["a", "1"]]]).xrevrange("key", count=2) == [
        ("1-1", {}),
        ("1-0", {"a": "1"}),
    ]


def test_info_leaves_out_its_titles_and_what_is_no_fact() -> None:
    text = "# Server: 7\r\n\r\nredis_version:7.0\r\nno fact\r\nos:a:b\r\nlru:" + 20 * "9"
    assert Recorded(text).info() == {"redis_version": "7.0", "os": "a:b", "lru": 20 * "9"}


@pytest.mark.parametrize(("reply", "result"), [("PONG", True), ("pong", False), (None, False)])
def test_ping_is_answered_by_its_own_word(reply: object, result: bool) -> None:
    assert Recorded(reply).ping() is result


def test_first_word_of_any_command_may_be_two() -> None:
    redis = Recorded(["x"])
    assert redis.execute_command("CONFIG GET", "max memory") == ["x"]
    assert redis.words == ("CONFIG", "GET", "max memory")


def test_empty_pipeline_sends_nothing() -> None:
    def exchange(commands: Sequence[Sequence[Word]]) -> list[Any]:
        raise AssertionError(commands)

    for is_transaction in (True, False):
        assert Pipeline(exchange, is_transaction=is_transaction).execute() == []


def test_refused_command_of_a_pipeline_is_not_converted() -> None:
    refusal = ReplyError("WRONGTYPE no")
    pipe = Pipeline(lambda commands: [refusal, ["a"]], is_transaction=False)
    found = pipe.smembers("one").smembers("two").execute(raise_on_error=False)
    assert found == [refusal, {"a"}]
