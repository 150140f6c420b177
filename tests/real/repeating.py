"""What goes on beside a test, in a thread of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def repeating(act: Callable[[], object], every_seconds: float) -> Iterator[None]:
    """Do it again and again in a thread of its own; what goes wrong there fails the test."""
    ended = threading.Event()
    errors: list[Exception] = []

    def run() -> None:
        try:
            while not ended.wait(every_seconds):
                act()
        except Exception as error:  # noqa: BLE001 - raised again below, in the test
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if errors:
        raise errors[0]
