"""The main loop: when a turn is taken, and when it is a check."""

from __future__ import annotations

import os
import queue
import signal
from collections.abc import Iterator
from typing import cast

import pytest

from supervisor_memkill.listener.listener import Listener
from supervisor_memkill.listener.serve import Inbox, run_turns, serve
from supervisor_memkill.world.event_protocol import Event, Ticks

NOW = 1_700_000_000
DRAINED = "jobs:drained"
"""The worker under drain."""


class Recorder:
    """Stands in for the listener: records its turns, always has work due, and ends after `turns` of them."""

    def __init__(self, turns: int) -> None:
        self.ticked: list[bool] = []
        self.unasked: list[str] = []
        self.taken: list[Event] = []
        self.ended = False
        self._turns = turns

    def turn(self, *, ticked: bool) -> None:
        self.ticked.append(ticked)
        self.ended = self.ended or len(self.ticked) >= self._turns

    def wait_seconds(self) -> float | None:
        return 0.0

    def take_event(self, event: Event) -> bool:
        self.taken.append(event)
        return event.changed == DRAINED

    def report_unexpected(self, event: str) -> None:
        self.unasked.append(event)


def tick(serial: int, *, name: str = "TICK_5", age: int = 0) -> Event:
    return Event(name, serial, NOW - age)


def turns(events: list[Event], *, count: int) -> list[bool]:
    """Which of the first turns were checks, when these events are there already."""
    inbox: Inbox = queue.SimpleQueue()
    for event in events:
        inbox.put(event)
    recorder = Recorder(count)
    run_turns(cast(Listener, recorder), inbox, Ticks(), lambda: NOW)
    return recorder.ticked


def test_first_turn_is_taken_at_once_without_a_check() -> None:
    """Unfinished drains of the last listener are taken up without waiting for a TICK."""
    assert turns([], count=1) == [False]


def test_burst_of_ticks_is_one_check() -> None:
    assert turns([tick(1), tick(2), tick(3)], count=3) == [False, True, False]


@pytest.mark.parametrize(
    "event", [tick(1), tick(2, age=60), tick(2, name="PROCESS_LOG_STDOUT"), tick(2, name="TICK")]
)
def test_repeated_stale_and_unasked_events_are_no_check(event: Event) -> None:
    inbox: Inbox = queue.SimpleQueue()
    ticks = Ticks()
    assert ticks.counts(tick(1), NOW)
    inbox.put(event)
    recorder = Recorder(2)
    run_turns(cast(Listener, recorder), inbox, ticks, lambda: NOW)
    assert recorder.ticked == [False, False]


def test_no_tick_of_a_burst_counts_twice() -> None:
    inbox: Inbox = queue.SimpleQueue()
    ticks = Ticks()
    for serial in (1, 2):
        inbox.put(tick(serial))
    recorder = Recorder(2)
    run_turns(cast(Listener, recorder), inbox, ticks, lambda: NOW)
    assert recorder.ticked == [False, True]
    assert not ticks.counts(tick(2), NOW)


def test_unexpected_events_are_reported_to_the_listener() -> None:
    """If `events =` is wrong, no TICK may ever come."""
    inbox: Inbox = queue.SimpleQueue()
    inbox.put(tick(1, name="PROCESS_LOG_STDOUT"))
    inbox.put(tick(2))
    recorder = Recorder(2)
    run_turns(cast(Listener, recorder), inbox, Ticks(), lambda: NOW)
    assert recorder.unasked == ["PROCESS_LOG_STDOUT"]


def change(serial: int, worker: str, name: str = "PROCESS_STATE_STOPPED") -> Event:
    return Event(name, serial, pool_serial=serial, changed=worker)


class Waits(Recorder):
    """The same, but nothing is due for a long time; the wait ends with the last event."""

    def wait_seconds(self) -> float | None:
        if len(self.taken) >= 2:
            self.ended = True
            return 0.0
        return 60.0


def test_change_of_a_drained_worker_calls_for_a_turn_at_once_and_no_other_change_does() -> None:
    """Each of a thousand other workers may change at any time: that is noted, and costs no turn."""
    inbox: Inbox = queue.SimpleQueue()
    inbox.put(change(1, "jobs:other"))
    inbox.put(change(2, "", name="PROCESS_GROUP_ADDED"))
    recorder = Waits(9)
    run_turns(cast(Listener, recorder), inbox, Ticks(), lambda: NOW)
    assert [event.serial for event in recorder.taken] == [1, 2]
    assert recorder.ticked == [False]  # the first turn, which needs no event
    inbox.put(change(1, DRAINED))
    drained = Recorder(2)
    run_turns(cast(Listener, drained), inbox, Ticks(), lambda: NOW)
    assert drained.ticked == [False, False]
    assert [event.changed for event in drained.taken] == [DRAINED]
    assert drained.unasked == []


def test_every_event_is_taken_also_behind_one_that_calls_for_a_turn() -> None:
    inbox: Inbox = queue.SimpleQueue()
    for event in (tick(1), change(2, "jobs:other"), change(3, DRAINED)):
        inbox.put(event)
    recorder = Recorder(2)
    run_turns(cast(Listener, recorder), inbox, Ticks(), lambda: NOW)
    assert [event.serial for event in recorder.taken] == [1, 2, 3]
    assert recorder.ticked == [False, True]


def test_due_work_needs_no_event() -> None:
    assert turns([], count=4) == [False] * 4


@pytest.fixture
def signals() -> Iterator[None]:
    """Puts back the handlers that serve() sets."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def pipes() -> Iterator[tuple[int, int, int, int]]:
    """stdin to read, stdin to write, stdout to read, stdout to write."""
    descriptors = (*os.pipe(), *os.pipe())
    yield descriptors
    for descriptor in descriptors:
        try:
            os.close(descriptor)
        except OSError:
            continue  # the test closed it


def test_end_of_input_ends_the_main_loop(signals: None, pipes: tuple[int, int, int, int]) -> None:
    stdin, to_stdin, from_stdout, stdout = pipes
    recorder = Recorder(100)
    os.close(to_stdin)
    serve(cast(Listener, recorder), stdin, stdout)
    assert recorder.ended
    assert os.read(from_stdout, 100) == b"READY\n"


def test_no_turn_is_taken_after_the_end() -> None:
    inbox: Inbox = queue.SimpleQueue()
    inbox.put(tick(1))
    recorder = Recorder(100)
    recorder.ended = True
    run_turns(cast(Listener, recorder), inbox, Ticks(), lambda: NOW)
    assert recorder.ticked == []
