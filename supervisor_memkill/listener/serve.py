"""The main loop: one thread reads supervisord's events, the other does the turns.

The reading thread acknowledges each event at once, so that supervisord never waits for a slow turn. It uses
only its two descriptors and the inbox.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType

from supervisor_memkill.listener.hearing import Hearing, Judgement
from supervisor_memkill.listener.listener import Listener
from supervisor_memkill.world.event_protocol import (
    PERIOD_SECONDS,
    REMOTE_COMMUNICATION,
    Event,
    EventStream,
    Ticks,
)

try:
    from _queue import Empty, SimpleQueue  # The C part of queue: the rest of it would need 0.1 MB.
except ImportError:  # not CPython
    from queue import Empty, SimpleQueue

Inbox = SimpleQueue["Event | None"]
"""The events in their order; None: the end."""


def serve(listener: Listener, stdin_fd: int, stdout_fd: int, hearing: Hearing | None = None) -> int | None:
    """Run the listener until supervisord is gone, or SIGTERM or SIGINT comes; that signal, else None.

    Also ends, as by SIGTERM, when `hearing` finds that supervisord sends no events any more.
    """
    inbox: Inbox = SimpleQueue()
    signals: list[int] = []

    def end(number: int | None = None, frame: FrameType | None = None) -> None:
        if number is not None:
            signals.append(number)
        listener.ended = True
        inbox.put(None)  # SimpleQueue.put is safe in a signal handler.

    def read_events() -> None:
        EventStream(stdin_fd, stdout_fd).run(inbox.put)
        end()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    # A daemon thread, because it may still read when the process ends.
    threading.Thread(target=read_events, name="events", daemon=True).start()
    is_deaf = run_turns(listener, inbox, Ticks(), time.time, hearing)
    if signals:
        return signals[0]
    return signal.SIGTERM if is_deaf else None


def run_turns(
    listener: Listener,
    inbox: Inbox,
    ticks: Ticks,
    wall: Callable[[], float],
    hearing: Hearing | None = None,
) -> bool:
    """Do a turn at once, then one whenever a TICK comes or something is due. True: no TICKs come any more."""
    ticked = False
    while not listener.ended:
        listener.turn(ticked=ticked)
        is_turn_due = ticked = False
        while not is_turn_due and not listener.ended:
            waits = [listener.wait_seconds(), hearing.look_seconds if hearing is not None else None]
            events = _take(inbox, min((wait for wait in waits if wait is not None), default=None))
            if hearing is not None and _is_deaf(hearing, events, listener):
                listener.ended = True
                return True
            # Each event counts, also after one that calls for a turn.
            calls = [_take_event(listener, event) for event in events]
            # Several TICKs are one check. Each is counted here, so that a repeated one is recognised.
            ticked = sum(ticks.counts(event, wall()) for event in events) > 0
            is_turn_due = not events or any(calls)
    return False


def _take_event(listener: Listener, event: Event) -> bool:
    """Pass an event on to the listener; whether it calls for a turn."""
    is_of_drain = listener.take_event(event)
    if event.request is not None:
        listener.request(event.request)
    elif event.is_process_state or event.is_process_group:
        return is_of_drain
    elif event.name not in (*PERIOD_SECONDS, REMOTE_COMMUNICATION):
        listener.report_unexpected(event.name)
    return True


def _is_deaf(hearing: Hearing, events: Sequence[Event], listener: Listener) -> bool:
    for event in events:
        hearing.hears(event.name)
    return hearing.judge(is_in_charge=listener.is_in_charge) is Judgement.ENDS


def _take(inbox: Inbox, wait_seconds: float | None) -> list[Event]:
    """All events in the inbox, after a wait for the first one; empty if none came in time."""
    events = []
    try:
        event = inbox.get(timeout=wait_seconds)
        while event is not None:
            events.append(event)
            event = inbox.get_nowait()
    except Empty:
        pass
    return events
