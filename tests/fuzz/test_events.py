"""The event protocol: whatever comes in, the listener lives, and says nothing that was not asked for."""

from __future__ import annotations

import os
import queue
import re
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supervisor_memkill.listener.known_processes import KnownProcesses
from supervisor_memkill.listener.listener import Listener
from supervisor_memkill.listener.serve import Inbox, run_turns, serve
from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.world.event_protocol import PERIOD_SECONDS, Event, EventStream, Ticks
from supervisor_memkill.world.memory import ProcessTable
from tests.fuzz.effort import tries
from tests.fuzz.values import NUMBER_TEXTS, TEXTS, near


def listen(pieces: Sequence[bytes]) -> tuple[list[Event], bytes]:
    """The events, and all that was said, when these pieces come one by one and then the end.

    A socket of packets hands over one piece at each read, as a pipe does that is written to slowly.
    """
    to_listener, stdin = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    said, stdout = os.pipe()
    events: list[Event] = []
    with to_listener, stdin:
        for size in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            to_listener.setsockopt(socket.SOL_SOCKET, size, 2**20)
        for piece in pieces:
            to_listener.sendall(piece)
        to_listener.shutdown(socket.SHUT_WR)
        EventStream(stdin.fileno(), stdout).run(events.append)
    os.close(stdout)
    with os.fdopen(said, "rb") as stream:
        return events, stream.read()


def assert_is_right(event: Event) -> None:
    for number in (event.serial, event.when):
        assert number is None or number >= 0
    assert event.when is None or event.name in PERIOD_SECONDS
    assert isinstance(event.name, str)


HEADER_WORDS = st.one_of(
    st.sampled_from(["ver:3.0", "server:supervisor", "serial:21", "pool:memkill", "poolserial:3"]),
    st.sampled_from(
        ["eventname:TICK_5", "eventname:TICK_60", "eventname:", "len:15", "len:0", "when:1700000000"]
    ),
    st.builds(
        "{}:{}".format, st.sampled_from(["len", "serial", "poolserial", "when", "eventname"]), NUMBER_TEXTS
    ),
    TEXTS,
)
ENVELOPE = (
    "ver:3.0 server:supervisor serial:21 pool:memkill poolserial:10 eventname:TICK_60 len:15\nwhen:1201063880"
)
TEXT = st.one_of(
    st.lists(HEADER_WORDS, max_size=9).map(lambda words: " ".join(words) + "\n"),
    near(st.just(ENVELOPE)),
    TEXTS,
)
PIECES = st.lists(
    st.one_of(TEXT.map(str.encode), st.binary(min_size=1, max_size=40)).filter(bool), max_size=6
)


@tries(150)
@example([f"eventname:TICK_5 len:{'9' * 5000}\n".encode()])
@example([f"eventname:TICK_5 serial:{'9' * 5000} len:0\n".encode()])
@example([b"eventname:TICK_5 len:15\nwhen:", b"9" * 5000])
@example([b"\n" * 50_000, ENVELOPE.encode()])
@given(PIECES)
def test_whatever_comes_each_event_is_answered_once_and_nothing_else_is_said(pieces: list[bytes]) -> None:
    events, said = listen(pieces)
    assert said == b"READY\n" + b"RESULT 2\nOKREADY\n" * len(events)
    for event in events:
        assert_is_right(event)


@tries(150)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_characters="\n", codec="utf-8"), max_size=20),
            st.sampled_from(["TICK_5", "TICK_60", "PROCESS_STATE_EXITED", "REMOTE_COMMUNICATION"]),
            st.one_of(TEXTS, near(st.just("processname:one groupname:jobs from_state:RUNNING pid:5"))),
            st.booleans(),
        ),
        max_size=5,
    )
)
def test_every_event_of_supervisords_own_making_is_understood(sent: list[tuple[str, str, str, bool]]) -> None:
    """Whatever identifier and payload it has, and whether its length counts characters or bytes."""
    pieces = []
    for serial, (server, name, payload, in_bytes) in enumerate(sent):
        length = len(payload.encode() if in_bytes else payload)
        head = (
            f"ver:3.0 server:{server} serial:{serial} pool:memkill poolserial:7 eventname:{name} len:{length}"
        )
        pieces.append(f"{head}\n{payload}".encode())
    events, _ = listen(pieces)
    assert [(event.serial, event.name) for event in events] == [
        (serial, name) for serial, (_, name, _, _) in enumerate(sent)
    ]


NUMBERS = st.one_of(st.none(), st.integers(0, 10**12), st.sampled_from([10**400]))
NAMES = [*PERIOD_SECONDS, "OTHER", "PROCESS_STATE_EXITED", "PROCESS_STATE_", "PROCESS_GROUP_ADDED"]
EVENTS = st.builds(
    Event,
    st.one_of(st.sampled_from(NAMES), TEXTS),
    NUMBERS,
    NUMBERS,
    pool_serial=NUMBERS,
    changed=st.one_of(st.none(), st.sampled_from(["memkill:memkill", "jobs:one", "jobs:gone"]), TEXTS),
)


class OneProcess:
    """supervisord with two processes that never change."""

    def __init__(self) -> None:
        self.processes = [
            ProcessInfo(group, name, ProcessState.RUNNING, os.getpid(), 1, 0, 1)
            for group, name in (("memkill", "memkill"), ("jobs", "one"))
        ]

    def all_processes(self) -> list[ProcessInfo]:
        return self.processes

    def process(self, worker: str) -> ProcessInfo | None:
        return next((one for one in self.processes if one.worker == worker), None)


@tries(150)
@given(st.lists(st.lists(EVENTS, max_size=4), max_size=5))
def test_whatever_events_come_each_look_finds_what_supervisord_shows(batches: list[list[Event]]) -> None:
    supervisord = OneProcess()
    known = KnownProcesses(
        supervisord,  # type: ignore[arg-type]
        ProcessTable,
        lambda: 0.0,
        wall=lambda: 1.0,
        own_worker="memkill:memkill",
        is_subscribed=True,
    )
    for batch in batches:
        for event in batch:
            known.take(event)
        assert known.all() == supervisord.processes


class CountsTurns:
    """Takes the listener's place; ends when nothing more comes."""

    def __init__(self, waits: list[float]) -> None:
        self.ended = False
        self._waits = waits
        self.ticks = 0

    def turn(self, *, ticked: bool) -> None:
        self.ticks += ticked

    def wait_seconds(self) -> float:
        if not self._waits:
            self.ended = True
            return 0.0
        return self._waits.pop()

    def take_event(self, event: Event) -> bool:
        return False

    def report_unexpected(self, event: str) -> None:
        pass


@tries(100)
@given(st.lists(EVENTS, max_size=8), st.floats(0, 4e9))
def test_the_main_loop_outlives_any_events(events: list[Event], now: float) -> None:
    inbox: Inbox = queue.SimpleQueue()
    for event in events:
        inbox.put(event)
    listener = CountsTurns([0.0])
    run_turns(cast(Listener, listener), inbox, Ticks(), lambda: now)
    assert listener.ticks <= 1
    ticks = Ticks()
    assert sum(ticks.counts(event, now) for event in events + events) <= 2 * len(events)


@pytest.fixture(scope="module")
def signals() -> Iterator[None]:
    """Puts back the handlers that serve() sets."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class WaitsForTheEnd:
    """Takes the listener's place until it is told to end, or gives up."""

    def __init__(self) -> None:
        self.ended = False
        self.gave_up = False
        self._give_up_at = time.monotonic() + 20

    def turn(self, *, ticked: bool) -> None:
        self.gave_up = time.monotonic() > self._give_up_at
        self.ended = self.ended or self.gave_up

    def wait_seconds(self) -> float:
        return 0.5

    def take_event(self, event: Event) -> bool:
        return False

    def report_unexpected(self, event: str) -> None:
        pass


@tries(20)
@example(f"eventname:TICK_5 len:{'9' * 5000}\n".encode())
@given(PIECES.map(b"".join))
def test_the_program_ends_with_its_input_and_said_nothing_stray(signals: None, data: bytes) -> None:
    (stdin, to_stdin), (said, stdout) = os.pipe(), os.pipe()
    os.write(to_stdin, data)
    os.close(to_stdin)
    listener = WaitsForTheEnd()
    serve(cast(Listener, listener), stdin, stdout)
    os.close(stdout)
    os.close(stdin)
    with os.fdopen(said, "rb") as stream:
        assert re.fullmatch(rb"READY\n(RESULT 2\nOKREADY\n)*", stream.read())
    assert not listener.gave_up


@tries(50)
@given(st.lists(EVENTS, max_size=8))
def test_only_a_tick_calls_for_a_check(events: list[Event]) -> None:
    ticks = Ticks()
    for event in events:
        assert not ticks.counts(event, 0.0) or re.fullmatch("TICK_(5|60|3600)", event.name)
