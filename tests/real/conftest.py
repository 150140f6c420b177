"""Fixtures for tests of the whole thing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness import short_directory
from tests.real.listener_process import AnsweringSupervisord
from tests.real.pool import LeakyPool

StartPool = Callable[..., LeakyPool]


@pytest.fixture
def start_pool() -> Iterator[StartPool]:
    """Starts a LeakyPool, and tells its story when the test fails; takes what LeakyPool takes."""
    with contextlib.ExitStack() as cleanup:

        def start(*arguments: Any, **options: Any) -> LeakyPool:
            directory = cleanup.enter_context(short_directory())
            pool = LeakyPool(directory, *arguments, **options)
            cleanup.callback(pool.supervisord.stop, seconds=3)
            cleanup.callback(lambda: print(pool.story()))  # pytest shows it of a failed test only
            cleanup.callback(pool.release)
            return pool.start()

        yield start


@pytest.fixture
def supervisord() -> Iterator[AnsweringSupervisord]:
    """Answers the listener as supervisord does, and keeps no process."""
    answering = AnsweringSupervisord()
    yield answering
    answering.close()
