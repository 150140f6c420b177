from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.world.event_protocol import Event, EventStream, Ticks
from tests.conftest import StartSupervisord
from tests.harness import PATIENCE_SECONDS, wait_for
from tests.real_supervisord import program

PROGRAM = Path(__file__).parents[1] / "programs" / "print_events.py"


class FakeSupervisord:
    """The other end of the protocol, by hand: a listener runs in a thread of its own."""

    def __init__(self) -> None:
        listener_stdin, self.to_listener = os.pipe()
        self.from_listener, listener_stdout = os.pipe()
        self._open = {listener_stdin, listener_stdout, self.to_listener, self.from_listener}
        self.events: list[Event] = []
        self.stream = EventStream(listener_stdin, listener_stdout)
        self.returned = False
        self.before_work = threading.Event()
        """The listener begins to work on an event when this is set."""
        self.before_work.set()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self.stream.run(self.deliver)
        self.returned = True

    def deliver(self, event: Event) -> None:
        self.before_work.wait(PATIENCE_SECONDS)
        self.events.append(event)

    def start(self) -> None:
        self.thread.start()
        assert self.heard(6) == b"READY\n"

    def send(self, text: str | bytes) -> None:
        os.write(self.to_listener, text if isinstance(text, bytes) else text.encode())

    def heard(self, length: int) -> bytes:
        """So many bytes of what the listener says, or what there is of them within a limit."""
        answer = b""
        while len(answer) < length and select.select([self.from_listener], [], [], 10)[0]:
            chunk = os.read(self.from_listener, length - len(answer))
            if not chunk:
                break
            answer += chunk
        return answer

    def is_answered(self) -> None:
        """The listener answers one event, and asks for the next."""
        assert self.heard(17) == b"RESULT 2\nOKREADY\n"

    def close(self, *descriptors: int) -> None:
        for descriptor in descriptors or tuple(self._open):
            os.close(descriptor)
            self._open.discard(descriptor)

    def has_returned(self) -> bool:
        self.thread.join(PATIENCE_SECONDS)
        return self.returned

    def end(self) -> None:
        if self.to_listener in self._open:
            self.close(self.to_listener)
        assert self.thread.ident is None or self.has_returned()
        self.close()


@pytest.fixture
def supervisord() -> Iterator[FakeSupervisord]:
    fake = FakeSupervisord()
    try:
        yield fake
    finally:
        fake.end()


def envelope(
    name: str = "TICK_5",
    payload: str = "when:1700000000",
    server: str = "supervisor",
    serial: int = 3,
    length: int | None = None,
) -> str:
    """An event as supervisor 4 writes it: its length counts characters."""
    length = len(payload) if length is None else length
    header = (
        f"ver:3.0 server:{server} serial:{serial} pool:memkill poolserial:7 eventname:{name} len:{length}"
    )
    return f"{header}\n{payload}"


TICK = Event("TICK_5", serial=3, when=1_700_000_000, pool_serial=7)


def test_an_event_is_answered_and_handed_over(supervisord: FakeSupervisord) -> None:
    supervisord.start()
    supervisord.send(envelope())
    supervisord.is_answered()
    assert supervisord.events == [TICK]


def test_an_event_is_answered_before_it_is_worked_on(supervisord: FakeSupervisord) -> None:
    supervisord.before_work.clear()
    supervisord.start()
    supervisord.send(envelope())
    assert supervisord.heard(11) == b"RESULT 2\nOK"
    assert supervisord.events == []
    supervisord.before_work.set()


def test_an_event_may_come_in_pieces(supervisord: FakeSupervisord) -> None:
    supervisord.start()
    for byte in envelope().encode():
        supervisord.send(bytes([byte]))
    supervisord.is_answered()
    assert supervisord.events == [TICK]


@pytest.mark.parametrize("server", ["web:01", "my host: the big one", "len:5 eventname:X", ""])
def test_an_identifier_may_hold_anything(supervisord: FakeSupervisord, server: str) -> None:
    supervisord.start()
    supervisord.send(envelope(server=server))
    supervisord.is_answered()
    [event] = supervisord.events
    assert (event.name, event.serial, event.when) == ("TICK_5", 3, 1_700_000_000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("eventname:TICK_5\n", Event("TICK_5", None, None)),
        ("eventname:TICK_5 len:x serial:-1 new:key\n", Event("TICK_5", None, None)),
        (envelope(payload="when:soon"), Event("TICK_5", 3, None, pool_serial=7)),
        (envelope(payload=""), Event("TICK_5", 3, None, pool_serial=7)),
        (
            envelope("REMOTE_COMMUNICATION", "type:x\nwhen:5"),
            Event("REMOTE_COMMUNICATION", 3, None, pool_serial=7),
        ),
        ("no event at all\n\n" + envelope(), TICK),
        *(
            (envelope("PROCESS_STATE_EXITED", payload), Event("PROCESS_STATE_EXITED", 3, pool_serial=7))
            for payload in (
                "",
                "processname:one",
                "groupname:jobs",
                "processname: groupname:jobs",
                "one jobs",
            )
        ),
    ],
)
def test_what_is_missing_or_new_stops_nobody(
    supervisord: FakeSupervisord, text: str, expected: Event
) -> None:
    supervisord.start()
    supervisord.send(text)
    supervisord.is_answered()
    assert supervisord.events == [expected]


def test_changed_process_is_named_as_supervisords_calls_take_it(supervisord: FakeSupervisord) -> None:
    supervisord.start()
    payload = "processname:one groupname:jobs from_state:RUNNING expected:0 pid:2766"
    supervisord.send(envelope("PROCESS_STATE_EXITED", payload))
    supervisord.is_answered()
    [event] = supervisord.events
    assert (event.changed, event.pool_serial) == ("jobs:one", 7)
    assert event.is_process_state
    assert not event.is_process_group


@pytest.mark.parametrize(
    "payload", ["processname:x\nüüü", "ü" * 5000 + "\nü\n", "ü" * 500 + f"\n{envelope()}\n"]
)
def test_a_length_in_characters_does_not_upset_the_events_after_it(
    supervisord: FakeSupervisord, payload: str
) -> None:
    supervisord.start()
    supervisord.send(envelope("PROCESS_LOG_STDOUT", payload))
    supervisord.is_answered()
    supervisord.send(envelope(serial=4))
    supervisord.is_answered()
    assert [event.serial for event in supervisord.events] == [3, 4]


def test_what_a_payload_leaves_behind_is_not_answered(supervisord: FakeSupervisord) -> None:
    """An answer that supervisord did not ask for would end the protocol for good."""
    supervisord.start()
    supervisord.send(envelope("PROCESS_LOG_STDOUT", "ab"))
    supervisord.is_answered()
    supervisord.send("üü\nthe rest" + envelope())
    supervisord.is_answered()
    assert [event.name for event in supervisord.events] == ["PROCESS_LOG_STDOUT", "TICK_5"]


@pytest.mark.parametrize("text", ["", "ver:3.0 server:super", envelope()[:-3]])
def test_the_end_of_input_is_the_end_also_within_an_event(supervisord: FakeSupervisord, text: str) -> None:
    supervisord.start()
    supervisord.send(text)
    supervisord.close(supervisord.to_listener)
    assert supervisord.has_returned()
    assert supervisord.events == []


def test_an_answer_that_nobody_reads_is_the_end(supervisord: FakeSupervisord) -> None:
    supervisord.start()
    supervisord.close(supervisord.from_listener)
    supervisord.send(envelope())
    assert supervisord.has_returned()


def tick(name: str = "TICK_5", serial: int | None = 3, when: int | None = 1000) -> Event:
    return Event(name, serial, when)


@pytest.mark.parametrize(
    ("event", "now", "counts"),
    [
        (tick(), 1000.4, True),
        (tick(), 1005.0, True),
        (tick(), 1005.1, False),
        (tick("TICK_60"), 1060.0, True),
        (tick("TICK_60"), 1060.1, False),
        (tick("TICK_3600"), 4600.0, True),
        (tick("TICK_3600"), 4600.1, False),
        (tick("PROCESS_STATE_EXITED", when=None), 1000.0, False),
        (tick("TICK"), 1000.0, False),
        # The clock was set back in between.
        (tick(), 10.0, True),
        # Nothing tells that they are old or known: a check too many does no harm.
        (tick(when=None), 1000.0, True),
        (tick(serial=None), 1000.0, True),
    ],
)
def test_a_tick_counts_when_it_was_asked_for_and_is_fresh(event: Event, now: float, counts: bool) -> None:
    assert Ticks().counts(event, now) is counts


def test_a_tick_counts_once_and_never_after_a_later_one() -> None:
    ticks = Ticks()
    serials = [5, 5, 6, 4, 6, 9]
    assert [ticks.counts(tick(serial=serial), 1000.0) for serial in serials] == [
        True,
        False,
        True,
        False,
        False,
        True,
    ]


def test_stray_output_goes_to_standard_error_and_the_protocol_stays_clean() -> None:
    script = (
        "import os, subprocess, sys\n"
        "from supervisor_memkill.world.event_protocol import private_stdout\n"
        "sys.stdout.write('buffered ')\n"
        "protocol = private_stdout()\n"
        "print('library', flush=True)\n"
        "subprocess.run(['sh', '-c', f'echo child; echo leak 2>/dev/null >&{protocol}'])\n"
        "os.write(protocol, b'READY')\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "READY"
    assert "buffered library\nchild\n" in done.stderr


@pytest.mark.real
def test_supervisord_keeps_sending_through_foreign_events_and_stray_output(
    start_any_supervisord: StartSupervisord,
) -> None:
    options: dict[str, Any] = {"kind": "eventlistener", "stderr_logfile": "%(here)s/events.err"}
    events = "TICK_5,REMOTE_COMMUNICATION"
    supervisord = start_any_supervisord(
        program("listener", f"{sys.executable} {PROGRAM}", events=events, **options), identifier="web: 01"
    )

    def seen() -> list[str]:
        return supervisord.log("events.err").splitlines()

    def send(text: str) -> None:
        script = "import sys, supervisor.childutils as c, os; c.getRPCInterface(os.environ)"
        script += ".supervisor.sendRemoteCommEvent('t', sys.argv[1])"
        environment = {**os.environ, "SUPERVISOR_SERVER_URL": supervisord.url}
        subprocess.run([sys.executable, "-c", script, text], env=environment, check=True)

    wait_for(lambda: "up" in seen())
    wait_for(lambda: supervisord.process("listener:listener").state.name == "RUNNING")
    send("üü\n" + "ü" * 40_000)
    send("plain")
    wait_for(lambda: sum("REMOTE_COMMUNICATION" in line for line in seen()) == 2, message=lambda: str(seen()))
    wait_for(lambda: any(re.fullmatch(r"TICK_5 \d+", line) for line in seen()), message=lambda: str(seen()))
    assert "UNKNOWN" not in supervisord.log()
