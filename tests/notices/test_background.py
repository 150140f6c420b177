"""The thread works off everything in order, holds up nobody, and ends within a bound."""

from __future__ import annotations

import threading

from supervisor_memkill.notices.background import Background
from tests.harness import wait_for


class Slow:
    """Takes an item when its gate is open; ends at once when it is given up."""

    def __init__(self, wait_seconds: float | None = None) -> None:
        self.gate = threading.Event()
        self.given_up = threading.Event()
        self.took: list[int] = []
        self.turns = 0
        self.finished = False
        self._wait_seconds = wait_seconds

    def take(self, item: int) -> None:
        while not self.gate.wait(0.01):
            if self.given_up.is_set():
                return
        self.took.append(item)

    def wait_seconds(self) -> float | None:
        return self._wait_seconds

    def go_on(self) -> None:
        self.turns += 1

    def finish(self) -> None:
        self.finished = True

    def give_up(self) -> None:
        self.given_up.set()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_items_are_taken_in_order_and_all_of_them_before_the_end() -> None:
    worker = Slow()
    worker.gate.set()
    background = Background("test-order", worker)
    assert all(background.put(number) for number in range(100))
    background.end()
    assert background.join(60, 1) == 0
    assert (worker.took, worker.finished) == (list(range(100)), True)
    assert not worker.given_up.is_set()
    assert "test-order" not in threads()


def test_there_is_no_thread_before_the_first_item() -> None:
    background = Background("test-first", Slow())
    assert "test-first" not in threads()
    background.end()
    assert background.join(60, 1) == 0
    assert not background.put(1)


def test_full_queue_drops_what_comes_and_never_waits() -> None:
    worker = Slow()
    background = Background("test-full", worker, capacity=3)
    assert background.put(0)
    wait_for(lambda: len(background) == 0, message="the first item is taken")
    assert [background.put(number) for number in range(1, 6)] == [True, True, True, False, False]
    worker.gate.set()
    background.end()
    assert background.join(60, 1) == 0
    assert worker.took == [0, 1, 2, 3]


def test_end_gives_up_what_takes_too_long_and_counts_what_is_left() -> None:
    worker = Slow()
    background = Background("test-end", worker)
    for number in range(4):
        background.put(number)
    wait_for(lambda: len(background) == 3, message="the first item is taken")
    background.end()
    assert background.join(0.05, 60) == 3
    assert worker.took == []
    assert "test-end" not in threads()


def test_worker_that_waits_for_something_is_called_without_an_item() -> None:
    worker = Slow(wait_seconds=0.01)
    worker.gate.set()
    background = Background("test-wait", worker)
    background.put(1)
    wait_for(lambda: worker.turns > 2, message="turns without an item")
    background.end()
    background.join(60, 1)
    assert worker.took == [1]


def test_thread_can_begin_without_an_item_and_only_once() -> None:
    worker = Slow(wait_seconds=0.01)
    background = Background("test-begin", worker)
    background.begin()
    wait_for(lambda: worker.turns > 0, message="a turn")
    background.begin()
    assert threads().count("test-begin") == 1
    background.end()
    background.join(60, 1)
    background.begin()
    assert "test-begin" not in threads()
    assert worker.finished


def test_nothing_begins_after_the_end() -> None:
    background = Background("test-ended", Slow())
    background.end()
    background.begin()
    assert "test-ended" not in threads()
