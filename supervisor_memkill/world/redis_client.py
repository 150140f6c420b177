"""Asking Redis on behalf of a kind: every way of not getting an answer becomes one error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from supervisor_memkill.errors import Unknown

Answer = TypeVar("Answer")
_NOT_REDIS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What redis-py's parsers raise for bytes that no Redis sends."""


def ask(redis: Callable[[], Any], question: Callable[[Any], Answer]) -> Answer:
    """What the question, called with the client, returned.

    Raises Unknown when Redis is away, refuses (WRONGTYPE, OOM, NOAUTH ...) or sends what is no text.
    """
    from redis.exceptions import RedisClusterException, RedisError

    try:
        return question(redis())
    except (RedisError, RedisClusterException, OSError, *_NOT_REDIS) as error:
        words = str(error) or type(error).__name__
        raise Unknown(f"Redis: {words}") from error
