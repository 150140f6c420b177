"""A page is made by one thread at a time, and kept for about a second."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from supervisor_memkill.commands.web.once import FRESH_SECONDS, LOOKS_SHARE, MOST_FRESH_SECONDS, MadeOnce
from tests.harness import PATIENCE_SECONDS


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def counting(clock: Clock, takes_seconds: float = 0.0) -> MadeOnce[int]:
    """The number of the page; making it moves the clock."""

    def numbers() -> Iterator[int]:
        for number in range(100):
            clock.now += takes_seconds
            yield number

    made = numbers()
    return MadeOnce(lambda: next(made), clock)


def test_page_is_kept_for_a_second() -> None:
    clock = Clock()
    pages = counting(clock)
    assert [pages.get(), pages.get()] == [0, 0]
    clock.now += FRESH_SECONDS - 0.1
    assert pages.get() == 0
    clock.now += 0.1
    assert pages.get() == 1


@pytest.mark.parametrize(("takes", "kept"), [(0.5, 0.5 * LOOKS_SHARE), (60.0, MOST_FRESH_SECONDS)])
def test_page_that_takes_long_is_kept_longer_within_bounds(takes: float, kept: float) -> None:
    clock = Clock()
    pages = counting(clock, takes)
    assert pages.get() == 0
    clock.now += kept - 0.1
    assert pages.get() == 0
    clock.now += 0.1
    assert pages.get() == 1


def test_failure_is_not_kept() -> None:
    clock, answers = Clock(), iter([ValueError("x"), 1])

    def make() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, int)
        return answer

    pages = MadeOnce(make, clock)
    with pytest.raises(ValueError, match="x"):
        pages.get()
    assert pages.get() == 1


def test_who_waits_too_long_gets_none_and_who_waits_gets_the_same_page() -> None:
    begun, go_on = threading.Event(), threading.Event()
    made = list[int]()

    def make() -> int:
        begun.set()
        assert go_on.wait(PATIENCE_SECONDS)
        made.append(1)
        return len(made)

    pages = MadeOnce(make, Clock(), wait_seconds=0.05)
    found = list[int | None]()
    first = threading.Thread(target=lambda: found.append(pages.get()))
    first.start()
    assert begun.wait(PATIENCE_SECONDS)
    assert pages.get() is None
    go_on.set()
    first.join(PATIENCE_SECONDS)
    assert (found, pages.get(), made) == ([1], 1, [1])
