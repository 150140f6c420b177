"""Asks one Redis what the checks need, and changes nothing in it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from supervisor_memkill.commands.doctor.facts import RedisFacts
from supervisor_memkill.errors import MemkillError
from supervisor_memkill.world.redis_client import ask, is_cluster_client
from supervisor_memkill.world.redis_errors import refusal_code
from supervisor_memkill.world.redis_url import masked

NOBODY = "supervisor-memkill doctor"
"""The pool whose keys are asked for. Its name has a blank, which no pool's name may have."""


def commands(prefix: str) -> Mapping[str, tuple[object, ...]]:
    """The commands of coordination, each in a form that has no effect: on no key, or with a wrong argument.

    Redis looks at the permissions first (server.c: processCommand), and at the arguments afterwards.
    """
    key = f"{prefix}:{{{NOBODY}}}"
    return {
        "time": ("TIME",),
        "script|load": ("SCRIPT LOAD", "this is no Lua ("),
        "evalsha": ("EVALSHA", "0" * 40, 0),
        "hget": ("HGET", key, "field"),
        "hgetall": ("HGETALL", key),
        "hset": ("HSET", key, "field", "value", "one too many"),
        "hdel": ("HDEL", key, "field"),
        "del": ("DEL", key),
        "zadd": ("ZADD", key, "no number", "member"),
        "zrem": ("ZREM", key, "member"),
        "zcount": ("ZCOUNT", key, 0, 0),
        "zscore": ("ZSCORE", key, "member"),
        "zrangebyscore": ("ZRANGEBYSCORE", key, 0, 0),
        "zrevrangebyscore": ("ZREVRANGEBYSCORE", key, 0, 0),
        "xadd": ("XADD", key, "no id", "field", "value"),
    }


def probe(
    url: str, redis: Callable[[], Any], wall: Callable[[], float], prefix: str | None = None
) -> RedisFacts:
    """`redis` makes the client of the URL. `prefix` None: only the workers' own records are in this Redis."""
    facts = RedisFacts(masked(url), is_ours=prefix is not None)
    try:
        facts = dataclasses.replace(facts, clock_ahead_seconds=ask(redis, lambda it: _clock(it, wall)))
    except MemkillError as error:
        return dataclasses.replace(facts, away=str(error))
    with contextlib.suppress(MemkillError):  # Forbidden to many users.
        facts = _with_info(facts, ask(redis, lambda client: client.info()))
    if prefix is None:
        return facts
    is_plain = not is_cluster_client(redis())
    try:
        return ask(redis, lambda client: _with_permissions(facts, client, prefix, is_plain=is_plain))
    except MemkillError as error:
        return dataclasses.replace(facts, away=str(error))


def _clock(client: Any, wall: Callable[[], float]) -> float:
    """Redis's clock minus this machine's, without the time that the answer took."""
    client.ping()
    before = wall()
    seconds, microseconds = client.time()
    after, there = wall(), float(seconds) + float(microseconds) / 1e6
    return min(0.0, there - before) if there < before else max(0.0, there - after)


def _with_info(facts: RedisFacts, info: Any) -> RedisFacts:
    if not isinstance(info, dict) or "redis_version" not in info:
        return facts
    return dataclasses.replace(
        facts,
        version=str(info["redis_version"]),
        policy=str(info.get("maxmemory_policy", "")),
        maxmemory_bytes=_whole(info.get("maxmemory")),
        is_replica=info.get("role") == "slave",
    )


def _whole(value: Any) -> int:
    return value if type(value) is int else 0


def _with_permissions(facts: RedisFacts, client: Any, prefix: str, *, is_plain: bool) -> RedisFacts:
    """With what the answers to the commands show."""
    answers = dict(_answers(client, prefix))
    kinds = {answer for _, answer in answers.items()}
    forbidden = tuple(name for name, answer in answers.items() if answer == "NOPERM")
    return dataclasses.replace(
        facts,
        forbidden=forbidden,
        is_replica=facts.is_replica or "READONLY" in kinds,
        is_full="OOM" in kinds,
        is_cluster=is_plain and _is_cluster(client, kinds),
    )


def _is_cluster(client: Any, kinds: set[str]) -> bool:
    """By INFO if it is allowed; else half of all keys or more are refused with MOVED."""
    with contextlib.suppress(MemkillError):
        facts = ask(lambda: client, lambda it: it.info("cluster"))
        return bool(facts.get("cluster_enabled"))
    return bool(kinds & {"MOVED", "ASK", "CLUSTERDOWN"})


def _answers(client: Any, prefix: str) -> Iterator[tuple[str, str]]:
    """Each command, and the first word of the error that it got; empty without an error."""
    for name, words in commands(prefix).items():
        try:
            client.execute_command(*words)
        except Exception as error:
            code = refusal_code(error)
            if code is None:
                raise
            yield name, code
        else:
            yield name, ""
