"""Runs the operator's command for each chosen event, with the event as JSON on its standard input."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from supervisor_memkill.errors import MemkillError
from supervisor_memkill.notices.as_json import event_as_json
from supervisor_memkill.notices.delivery import Delivery, Outcomes
from supervisor_memkill.notices.delivery_events import HookFailed
from supervisor_memkill.notices.event import Event, Notifier
from supervisor_memkill.world.run_command import feed_command


class Feed(Protocol):
    """Runs a command with a text on its standard input; see `feed_command`."""

    def __call__(
        self, words: Sequence[str], text: str, limit_seconds: float, is_given_up: Callable[[], bool]
    ) -> str: ...


class HookWorker:
    """Runs the command for one event after the other."""

    def __init__(
        self,
        words: Sequence[str],
        limit_seconds: float,
        host: str,
        outcomes: Outcomes,
        feed: Feed = feed_command,
    ) -> None:
        self._words = words
        self._limit_seconds = limit_seconds
        self._host = host
        self._outcomes = outcomes
        self._feed = feed
        self._given_up = threading.Event()

    def take(self, delivery: Delivery) -> None:
        text = event_as_json(delivery.event, delivery.at, self._host)
        try:
            self._feed(self._words, text, self._limit_seconds, self._given_up.is_set)
        except MemkillError as error:
            self._report(HookFailed(delivery.event.name, str(error)))
        except Exception as error:  # noqa: BLE001 - the thread would end, and no hook run any more
            self._report(HookFailed(delivery.event.name, f"{type(error).__name__}: {error}"))
        else:
            self._outcomes.put(partial(Notifier.forget, kind=HookFailed))

    def _report(self, event: Event) -> None:
        self._outcomes.put(partial(Notifier.report, event=event))

    def wait_seconds(self) -> float | None:
        return None

    def go_on(self) -> None:
        pass

    def finish(self) -> None:
        pass

    def give_up(self) -> None:
        self._given_up.set()
