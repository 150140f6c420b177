"""The Redis commands that the RQ and Resque kinds send, on the data of a FakeRedis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from supervisor_memkill.testing.fakes import STARTED, FakeRedis


class RecordsRedis:
    """Answers from the dict of a FakeRedis, with its errors, and counts its round trips."""

    def __init__(self, store: FakeRedis) -> None:
        self.store = store

    def smembers(self, key: str) -> set[str]:
        return self.store.smembers(key)

    def pipeline(self, transaction: bool = True) -> RecordsPipeline:
        return RecordsPipeline(self.store)


class RecordsPipeline:
    """Queues commands until they are executed."""

    def __init__(self, store: FakeRedis) -> None:
        self._store = store
        self._queued: list[Callable[[], Any]] = []

    def execute(self) -> list[Any]:
        self._store.travel()
        return [command() for command in self._queued]

    def _ask(self, answer: Callable[[dict[str, Any]], Any]) -> None:
        self._queued.append(lambda: answer(self._store.data))

    def exists(self, key: str) -> None:
        self._ask(lambda data: int(key in data))

    def time(self) -> None:
        self._ask(lambda data: data.get("TIME", (STARTED + 500, 0)))

    def get(self, key: str) -> None:
        self._ask(lambda data: data.get(key))

    def smembers(self, key: str) -> None:
        self._ask(lambda data: set(data.get(key, ())))

    def scard(self, key: str) -> None:
        self._ask(lambda data: len(data.get(key, ())))

    def hmget(self, key: str, fields: Sequence[str]) -> None:
        self._ask(lambda data: [data.get(key, {}).get(field) for field in fields])
