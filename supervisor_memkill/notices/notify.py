"""Sends the messages of one listener: gathers them, tries a failed one again, shares with other hosts."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.notices.delivery import Delivery, Outcomes
from supervisor_memkill.notices.delivery_events import NoticeFailed
from supervisor_memkill.notices.digest import WINDOW_SECONDS, Batch, Digest
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.fleet import Alone, Fleet
from supervisor_memkill.notices.messages import Message, lines_of, message
from supervisor_memkill.notices.secret_urls import names, scrub
from supervisor_memkill.notices.send import send

RETRY_SECONDS = (60.0, 300.0, 900.0)
"""Pauses before a message is sent again to the URLs where it failed."""
OTHERS_SECONDS = 5.0
"""How long the first host of a fleet waits for the lines of the others."""
TAKE_BACK_SECONDS = WINDOW_SECONDS + 30.0
MAX_RETRIES = 20
"""Messages that wait for another try; further ones are only in the log."""


class Send(Protocol):
    """Sends to all these URLs; see `send`."""

    def __call__(
        self, urls: Sequence[str], message: Message | None, is_given_up: Callable[[], bool]
    ) -> Sequence[str | None]: ...


@dataclass(frozen=True)
class _Task:
    """Something for later."""

    do: Callable[[], None]
    also_at_end: bool
    """It is done early when the listener ends."""


class NoticeWorker:
    """The thread's work. Everything but `give_up` runs in the thread."""

    def __init__(
        self,
        urls: Sequence[str],
        host: str,
        outcomes: Outcomes,
        send: Send = send,
        fleet: Fleet | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._urls = urls
        self._names = dict(enumerate(names(urls)))
        self._host = host
        self._outcomes = outcomes
        self._send = send
        self._fleet = fleet or Alone()
        self._clock = clock
        self._digest = Digest()
        self._given_up = threading.Event()
        self._agenda: list[tuple[float, int, _Task]] = []
        self._numbers = itertools.count()
        self._retries = 0
        self._later(0.0, self._check)

    def take(self, delivery: Delivery) -> None:
        self._digest.take(delivery, self._clock())

    def wait_seconds(self) -> float | None:
        times = [at for at, _, _ in self._agenda[:1]]
        if (next_at := self._digest.next_at()) is not None:
            times.append(next_at)
        return max(0.0, min(times) - self._clock()) if times else None

    def go_on(self) -> None:
        now = self._clock()
        while self._agenda and self._agenda[0][0] <= now:
            heapq.heappop(self._agenda)[2].do()
        for batch in self._digest.due(now):
            self._deliver(batch)

    def finish(self) -> None:
        """Send what waits at once: nothing comes any more that it could wait for."""
        agenda, self._agenda = sorted(self._agenda), []
        for _, _, task in agenda:
            if task.also_at_end and not self._given_up.is_set():
                task.do()
        for batch in self._digest.rest():
            self._dispatch(message(batch, self._host))

    def give_up(self) -> None:
        self._given_up.set()

    def _check(self) -> None:
        """Know at the start, not at the first alarm, which URL is wrong."""
        self._report_each(range(len(self._urls)), self._sent(self._urls, None))

    def _deliver(self, batch: Batch) -> None:
        lines = [f"{self._host}: {line}" for line in lines_of(batch)]
        if self._fleet.leave(batch.name, lines):
            self._later(TAKE_BACK_SECONDS, lambda: self._take_back(batch, lines), also_at_end=True)
        elif isinstance(self._fleet, Alone):
            self._dispatch(message(batch, self._host))
        else:
            self._later(OTHERS_SECONDS, lambda: self._send_with_others(batch), also_at_end=True)
            self._later(WINDOW_SECONDS, lambda: self._send_others(batch.name))

    def _take_back(self, batch: Batch, lines: Sequence[str]) -> None:
        if self._fleet.take_back(batch.name, lines):
            self._dispatch(message(batch, self._host))

    def _send_with_others(self, batch: Batch) -> None:
        self._dispatch(message(batch, self._host, self._fleet.collect(batch.name)))

    def _send_others(self, name: str) -> None:
        others = self._fleet.collect(name)
        if others:
            self._dispatch(message(Batch(name, (), 0), self._host, others))

    def _dispatch(self, made: Message, numbers: Sequence[int] | None = None, tries: int = 0) -> None:
        """Send to the URLs of these numbers, and once more later where that failed."""
        numbers = range(len(self._urls)) if numbers is None else numbers
        errors = self._sent([self._urls[number] for number in numbers], made)
        self._report_each(numbers, errors)
        failed = [number for number, error in zip(numbers, errors, strict=True) if error is not None]
        if failed and tries < len(RETRY_SECONDS) and self._retries < MAX_RETRIES:
            self._retries += 1
            self._later(RETRY_SECONDS[tries], lambda: self._retry(made, failed, tries + 1))

    def _sent(self, urls: Sequence[str], made: Message | None) -> Sequence[str | None]:
        """What went wrong, per URL. Raises nothing: the thread would end, and no message be sent any more."""
        try:
            return self._send(urls, made, self._given_up.is_set)
        except Exception as error:  # noqa: BLE001 - such as no file descriptor left
            return [scrub(f"{type(error).__name__}: {error}", urls)] * len(urls)

    def _retry(self, made: Message, numbers: Sequence[int], tries: int) -> None:
        self._retries -= 1
        self._dispatch(made, numbers, tries)

    def _report_each(self, numbers: Sequence[int], errors: Sequence[str | None]) -> None:
        for number, error in zip(numbers, errors, strict=True):
            name = self._names[number]
            if error is None:
                self._outcomes.put(partial(_forget, name=name))
            else:
                self._outcomes.put(partial(Notifier.report, event=NoticeFailed(name, error)))

    def _later(self, seconds: float, do: Callable[[], None], *, also_at_end: bool = False) -> None:
        at = self._clock() + seconds
        heapq.heappush(self._agenda, (at, next(self._numbers), _Task(do, also_at_end)))


def _forget(notifier: Notifier, name: str) -> None:
    notifier.forget(NoticeFailed, name)
