"""A hook gets each chosen event once and in order, and never causes another event for itself."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from supervisor_memkill.errors import MemkillError, NotSent
from supervisor_memkill.notices.choice import chooser
from supervisor_memkill.notices.delivery import Delivery, DeliverySink, Outcomes
from supervisor_memkill.notices.delivery_events import HookDropped, HookFailed
from supervisor_memkill.notices.event import Event, Notifier
from supervisor_memkill.notices.events import ListenerEnded, SupervisordAway
from supervisor_memkill.notices.hooks import HookWorker
from supervisor_memkill.notices.pool_events import WorkerNearLimit
from tests.harness import wait_for
from tests.notices.test_event import Kept

WORDS = ("tell", "--token", "s3cret")


class Command:
    """Runs while its gate is open, and fails with `error` if there is one."""

    def __init__(self) -> None:
        self.texts: list[dict[str, Any]] = []
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def __call__(
        self, words: Sequence[str], text: str, limit_seconds: float, is_given_up: Callable[[], bool]
    ) -> str:
        assert (words, limit_seconds) == (WORDS, 9.0)
        while not self.gate.wait(0.01):
            if is_given_up():
                raise MemkillError("given up")
        self.texts.append(json.loads(text))
        if self.error is not None:
            raise self.error
        return ""


class Desk:
    """A notifier with a log and a hook."""

    def __init__(self, patterns: Sequence[str] = (), capacity: int = 200) -> None:
        self.log = Kept()
        self.notifier = Notifier([self.log])
        self.command = Command()
        outcomes: Outcomes = queue.SimpleQueue()
        worker = HookWorker(WORDS, 9.0, "here", outcomes, self.command)
        self.sink = DeliverySink(
            "test-hook",
            chooser(patterns),
            worker,
            outcomes,
            HookDropped,
            self.notifier,
            wall=lambda: 99.0,
            capacity=capacity,
        )
        self.notifier.attach(self.sink)

    def report(self, *events: Event) -> None:
        for event in events:
            self.notifier.report(event)

    def close(self, seconds: float = 60.0) -> None:
        self.command.gate.set()
        self.sink.end()
        self.sink.close(seconds)

    def wait_for_runs(self, count: int) -> None:
        wait_for(lambda: len(self.command.texts) >= count, message=f"{count} runs")


@pytest.fixture
def make_desk() -> Iterator[Callable[..., Desk]]:
    with ExitStack() as cleanup:

        def make(*arguments: Any, **options: Any) -> Desk:
            desk = Desk(*arguments, **options)
            cleanup.callback(desk.close)
            return desk

        yield make


def away(text: str) -> SupervisordAway:
    return SupervisordAway(text)


def test_chosen_events_arrive_in_order_and_no_others(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk()
    desk.report(away("1"), ListenerEnded(), WorkerNearLimit("w", 1, "p", 2, 3), away("2"), away("3"))
    desk.close()
    assert [one["fields"]["error"] for one in desk.command.texts] == ["1", "2", "3"]
    assert desk.command.texts[0]["time"] == 99.0
    assert desk.command.texts[0]["host"] == "here"


def test_failure_is_reported_once_per_error_and_again_after_a_success(
    make_desk: Callable[..., Desk],
) -> None:
    desk = make_desk()
    failures = [NotSent("tell: no"), NotSent("tell: no"), None, NotSent("tell: no")]
    for number, error in enumerate(failures):
        desk.command.error = error
        desk.report(away(str(number)))
        desk.wait_for_runs(number + 1)
    desk.close()
    assert [one for one in desk.log.events if isinstance(one, HookFailed)] == [
        HookFailed("supervisord.away", "tell: no"),
        HookFailed("supervisord.away", "tell: no"),
    ]


@pytest.mark.parametrize("secret", ["s3cret", "s3cret\xa0word", "s3cret\tword"])
def test_failure_names_the_command_without_its_other_words(secret: str) -> None:
    """They may hold a secret."""
    log, outcomes = Kept(), Outcomes()
    worker = HookWorker(("/bin/sh", "-c", "exit 3", "--token", secret), 60.0, "here", outcomes)
    worker.take(Delivery(away("1"), 99.0))
    outcomes.get_nowait()(Notifier([log]))
    assert log.events == [HookFailed("supervisord.away", "/bin/sh: status 3")]


def test_error_of_the_program_itself_does_not_end_the_hooks(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk()
    desk.command.error = RuntimeError("odd")
    desk.report(away("1"), away("2"))
    desk.wait_for_runs(2)
    desk.close()
    assert HookFailed("supervisord.away", "RuntimeError: odd") in desk.log.events


def test_no_event_about_a_hook_runs_a_hook(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk(["*"])
    desk.command.error = NotSent("no")
    desk.report(away("1"))
    desk.wait_for_runs(1)
    desk.report(away("2"), HookDropped(3))
    desk.close()
    assert {one["event"] for one in desk.command.texts} == {"supervisord.away"}


def test_what_was_dropped_is_counted_and_reported_when_there_is_room(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk(capacity=4)
    desk.command.gate.clear()
    desk.report(away("first"))
    wait_for(lambda: not len(desk.sink._background), message="the first is taken")
    desk.report(*[away(str(number)) for number in range(10)])
    assert not [one for one in desk.log.events if isinstance(one, HookDropped)], "they still come"
    desk.command.gate.set()
    desk.wait_for_runs(5)
    desk.report(ListenerEnded())
    assert [one for one in desk.log.events if isinstance(one, HookDropped)] == [HookDropped(6)]


def test_end_gives_up_a_hook_that_hangs_and_counts_the_rest(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk()
    desk.command.gate.clear()
    desk.report(*[away(str(number)) for number in range(3)])
    wait_for(lambda: len(desk.sink._background) == 2, message="the first is taken")
    desk.sink.end()
    desk.sink.close(0.01)
    assert desk.command.texts == []
    assert desk.log.events[-2:] == [HookFailed("supervisord.away", "given up"), HookDropped(2)]


def test_report_holds_up_nobody_while_a_hook_hangs(make_desk: Callable[..., Desk]) -> None:
    """`report` returns although no hook has been done."""
    desk = make_desk()
    desk.command.gate.clear()
    desk.report(*[away(str(number)) for number in range(500)])
    assert desk.command.texts == []
