"""A Redis with the few commands that notices use, in process."""

from __future__ import annotations

from redis.exceptions import ConnectionError as RedisConnectionError


class FakeRedis:
    """Shared by all hosts of a test; nothing expires by itself."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.lists: dict[str, list[str]] = {}
        self.is_away = False

    def _reach(self) -> None:
        if self.is_away:
            raise RedisConnectionError("refused")

    def expire_claims(self) -> None:
        self.texts.clear()

    def set(self, key: str, value: str, *, nx: bool, ex: int) -> bool | None:
        self._reach()
        assert nx and ex > 0
        return None if self.texts.setdefault(key, value) is not value else True

    def get(self, key: str) -> str | None:
        self._reach()
        return self.texts.get(key)

    def rpush(self, key: str, *values: str) -> None:
        self._reach()
        self.lists.setdefault(key, []).extend(values)

    def ltrim(self, key: str, first: int, last: int) -> None:
        self._reach()
        assert last == -1
        self.lists[key] = self.lists[key][first:]

    def expire(self, key: str, seconds: int) -> None:
        self._reach()
        assert key in self.lists and seconds > 0

    def lpop(self, key: str) -> str | None:
        self._reach()
        kept = self.lists.get(key)
        return kept.pop(0) if kept else None

    def lrem(self, key: str, count: int, value: str) -> int:
        self._reach()
        kept = self.lists.get(key, [])
        if value not in kept:
            return 0
        kept.remove(value)
        return count
