"""A Redis whose answers have the right shape and hold anything: what workers write in it, nearly right."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import redis
from hypothesis import strategies as st

from supervisor_memkill.workers.horizon import slug
from tests.fuzz.values import DEEP, JSON, LONE_HALVES, NUMBER_TEXTS, SCALARS, TEXTS, near, near_json, to_text

HOST = socket.gethostname()
PID = 100
NOW = 1_000_500
"""Epoch second; the fake processes started 500 s earlier."""

INFO = {
    "hostname": HOST,
    "started_at": NOW - 400.5,
    "pid": PID,
    "tag": "app",
    "concurrency": 5,
    "queues": ["default", "low"],
    "labels": [],
    "identity": f"{HOST}:{PID}:0a1b2c3d4e5f",
    "version": "7.3.10",
    "embedded": False,
}
WORK = {
    "queue": "default",
    "payload": json.dumps({"class": "HardJob", "jid": "1", "args": [1]}),
    "run_at": NOW,
}
OLD_WORK = {
    "queue": "default",
    "payload": {"class": "Wrapper", "wrapped": "HardJob", "args": []},
    "run_at": NOW,
}
RESQUE_JOB = {
    "queue": "q",
    "run_at": "2026-05-01T10:00:00Z",
    "payload": {"class": "HardJob", "args": [{"job_class": "X"}]},
}

TIMES = st.sampled_from(
    [
        "1970-01-12 13:54:40 +0000",
        "1970-01-12 13:54:41 UTC",
        "1970-01-12T13:55:00Z",
        "1970-01-12T13:55:00.000001Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59.999999-23:59",
        "1970-01-12T13:55:00+00:00",
    ]
)
BEATS = st.one_of(
    st.floats(NOW - 40, NOW + 5).map(str), NUMBER_TEXTS, st.integers(NOW - 40, NOW + 5).map(str)
)
IDENTITIES = st.one_of(
    st.sampled_from(
        [
            f"{HOST}:{PID}:0a1b2c3d4e5f",
            f"{HOST}:{PID}:other",
            f"{HOST}:{PID}:high,default",
            "rq:worker:1",
            f"{HOST}:101:x",
        ]
    ),
    near(st.just(f"{HOST}:{PID}:0a1b2c3d4e5f")),
    TEXTS,
)
HOSTILE_JSON = st.one_of(
    st.text(max_size=8), st.just(DEEP), st.just("{}"), JSON.map(to_text), LONE_HALVES.map(to_text)
)
JSON_TEXTS = st.one_of(
    st.sampled_from([INFO, WORK, OLD_WORK, RESQUE_JOB]).map(to_text),
    st.sampled_from([INFO, WORK, OLD_WORK, RESQUE_JOB]).flatmap(near_json).map(to_text),
    near(st.sampled_from([INFO, WORK, OLD_WORK, RESQUE_JOB]).map(to_text)),
    HOSTILE_JSON,
)
RIGHT_FIELDS: Mapping[str, str] = {
    "info": to_text(INFO),
    "busy": "0",
    "beat": str(NOW - 3.5),
    "quiet": "true",
    "hostname": HOST,
    "pid": str(PID),
    "state": "idle",
    "birth": "1970-01-12T13:47:00.000001Z",
    "last_heartbeat": "1970-01-12T13:55:00.000001Z",
    "queues": "high,default",
    "status": "running",
}
"""Of Sidekiq, RQ and Horizon; what is absent here stands in no hash of a worker that is well."""
FIELD_VALUES: Mapping[str, st.SearchStrategy[str]] = {
    "info": JSON_TEXTS,
    "busy": st.one_of(st.sampled_from(["0", "1"]), NUMBER_TEXTS),
    "beat": BEATS,
    "quiet": st.sampled_from(["true", "false", "True", "", "1"]),
    "hostname": st.sampled_from([HOST, HOST, HOST, "other", ""]),
    "pid": st.one_of(st.just(str(PID)), NUMBER_TEXTS),
    "state": st.sampled_from(["idle", "busy", "started", "suspended", "x", ""]),
    "birth": st.one_of(TIMES, near(TIMES)),
    "last_heartbeat": st.one_of(TIMES, near(TIMES)),
    "queues": st.one_of(st.just("high,default"), TEXTS),
    "status": st.sampled_from(["running", "paused", ""]),
}
TEXT_VALUES = st.one_of(
    JSON_TEXTS,
    NUMBER_TEXTS,
    TIMES,
    near(TIMES),
    TEXTS,
    st.sampled_from(["true", "Apr-1 1:2:3 j_complete=1 j_failed=0 j_retried=0 j_ongoing=2 queued=0"]),
)
SIZES = st.integers(-2, 10**12)

CONSUMERS = st.fixed_dictionaries({"name": TEXTS, "pending": SIZES, "idle": SIZES})

Reply = Callable[[Sequence[Any]], st.SearchStrategy[Any]]
REPLIES: Mapping[str, Reply] = {
    "smembers": lambda arguments: st.sets(IDENTITIES, max_size=4),
    "hmget": lambda arguments: st.tuples(*map(field, arguments[1])).map(list),
    "hvals": lambda arguments: st.lists(JSON_TEXTS, max_size=3),
    "lrange": lambda arguments: st.lists(TEXTS, max_size=3),
    "get": lambda arguments: st.none() | TEXT_VALUES,
    "type": lambda arguments: st.sampled_from(["string", "set", "hash", "list", "zset", "stream", "none"]),
    "zrange": lambda arguments: st.lists(st.one_of(st.just(f"{slug(HOST)}-a1B2"), TEXTS), max_size=3),
    "xinfo_groups": lambda arguments: st.lists(st.one_of(st.just({"name": "symfony"}), JSON), max_size=2),
    "xinfo_consumers": lambda arguments: st.lists(st.one_of(CONSUMERS, JSON), max_size=3),
    "time": lambda arguments: st.tuples(st.integers(NOW - 5, NOW + 400), st.integers(0, 999_999)),
    **dict.fromkeys(("scard", "llen", "hlen", "zcard", "pttl", "exists"), lambda arguments: SIZES),
}
"""What Redis answers to a command, by its type; what the values hold is anybody's."""
ERRORS = st.sampled_from(
    [
        redis.ResponseError("WRONGTYPE Operation"),
        redis.ResponseError("two\r\nlines"),
        redis.ConnectionError(""),
    ]
)


def field(name: str) -> st.SearchStrategy[str | None]:
    """One field of a worker's hash: right, three times out of five."""
    right = st.just(RIGHT_FIELDS.get(name))
    return st.one_of(right, right, right, FIELD_VALUES.get(name, st.none()), st.none() | TEXT_VALUES)


class FuzzedRedis:
    """A client of which every answer is drawn."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any], *, is_broken: bool = False) -> None:
        """`is_broken`: not even the types of the answers are Redis's."""
        self._draw = draw
        self._is_broken = is_broken

    def answer(self, command: str, arguments: Sequence[Any]) -> Any:
        if self._is_broken and self._draw(st.booleans()):
            return self._draw(JSON)
        return self._draw(REPLIES[command](arguments) if command in REPLIES else SCALARS)

    def __getattr__(self, command: str) -> Callable[..., Any]:
        def ask(*arguments: Any, **options: Any) -> Any:
            if self._draw(st.integers(0, 19)) == 19:
                raise self._draw(ERRORS)
            return self.answer(command, arguments)

        return ask

    def pipeline(self, transaction: bool = True) -> FuzzedPipeline:
        return FuzzedPipeline(self, self._draw)


class FuzzedPipeline:
    """Queues commands until they are executed."""

    def __init__(self, client: FuzzedRedis, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self._client = client
        self._draw = draw
        self._queued: list[tuple[str, Sequence[Any]]] = []

    def __getattr__(self, command: str) -> Callable[..., None]:
        return lambda *arguments, **options: self._queued.append((command, arguments))

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        queued, self._queued = self._queued, []
        error = self._draw(ERRORS) if self._draw(st.integers(0, 19)) == 19 else None
        if error is not None and (raise_on_error or not queued):
            raise error
        answers = [self._client.answer(command, arguments) for command, arguments in queued]
        return [error, *answers[1:]] if error is not None else answers
