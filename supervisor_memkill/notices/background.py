"""A thread that works off what others put, in order; it begins with the first item."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

CAPACITY = 200
"""Items that wait; further ones are dropped, so that no memory grows without bound."""


class Worker(Protocol[T_contra]):
    """What is done in the thread. It raises no error."""

    def take(self, item: T_contra) -> None: ...

    def wait_seconds(self) -> float | None:
        """Seconds until `go_on` must be called without an item; None: never."""
        ...

    def go_on(self) -> None:
        """The time of `wait_seconds` is over."""
        ...

    def finish(self) -> None:
        """No item comes any more."""
        ...

    def give_up(self) -> None:
        """End at once what `take`, `go_on` or `finish` do. Called from another thread."""
        ...


class Background(Generic[T]):
    """One thread with its queue. `put` and `end` never wait for the thread."""

    def __init__(
        self,
        name: str,
        worker: Worker[T],
        capacity: int = CAPACITY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._worker = worker
        self._capacity = capacity
        self._clock = clock
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ends = False

    def __len__(self) -> int:
        """The number of items that wait."""
        return len(self._items)

    def put(self, item: T) -> bool:
        """Hand over an item. False: too many wait, or no thread can begin; it was dropped."""
        with self._changed:
            if self._ends or len(self._items) >= self._capacity:
                return False
            if self._thread is None and not self._begin():
                return False
            self._items.append(item)
            self._changed.notify()
        return True

    def _begin(self) -> bool:
        # A daemon, so that a worker that cannot be given up does not hold the process at its end.
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # The system has no thread left.
            return False
        self._thread = thread
        return True

    def begin(self) -> None:
        """Begin the thread before the first item, if its worker has something to do without one."""
        with self._changed:
            if self._thread is None and not self._ends:
                self._begin()

    def end(self) -> None:
        """Take no further item; those that wait are worked off."""
        with self._changed:
            self._ends = True
            self._changed.notify()

    def join(self, seconds: float, give_up_seconds: float) -> int:
        """Wait for the end, then give up what still goes on; the number of items that nobody took."""
        if self._thread is None:
            return 0
        self._thread.join(seconds)
        if self._thread.is_alive():
            with self._changed:
                left = len(self._items)
                self._items.clear()
            self._worker.give_up()
            self._thread.join(give_up_seconds)
            return left
        return 0

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._is_due, self._worker.wait_seconds())
                if not self._items and self._ends:
                    break
                item, has_item = (self._items.popleft(), True) if self._items else (None, False)
            if has_item:
                self._worker.take(item)  # type: ignore[arg-type]
            else:
                self._worker.go_on()
        self._worker.finish()

    def _is_due(self) -> bool:
        return bool(self._items) or self._ends
