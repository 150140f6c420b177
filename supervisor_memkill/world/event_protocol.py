"""supervisord's event listener protocol: events come in on one descriptor, answers go out on another.

Every event is acknowledged at once, before it is worked on, and always with OK. supervisord keeps
only the last few events for a listener that is busy, and sends a rejected one again and again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

PERIOD_SECONDS: Mapping[str, int] = {"TICK_5": 5, "TICK_60": 60, "TICK_3600": 3600}
"""supervisord's TICK events, and how often each comes."""


@dataclass(frozen=True)
class Event:
    """One event; None where supervisord did not say."""

    name: str
    serial: int | None
    """Numbers all events of one supervisord; an event that is sent again keeps it."""
    pool_serial: int | None
    server: str
    """supervisord's identifier."""
    when: int | None = None
    """Of a TICK, the epoch second that it stands for, by supervisord's clock."""


class Ticks:
    """Tells the TICKs that call for a check from those that came twice, too late, or unasked."""

    def __init__(self, names: Collection[str] = tuple(PERIOD_SECONDS), tolerance_seconds: float = 0) -> None:
        """A TICK is too late at the age of `tolerance_seconds`, or of its own period if that is longer."""
        self._names = frozenset(names) & PERIOD_SECONDS.keys()
        self._tolerance_seconds = tolerance_seconds
        self._last_serial = -1

    def counts(self, event: Event, now: float) -> bool:
        """Whether to check now; `now` is the wall clock's epoch second, since that is what `when` is."""
        if event.name not in self._names:
            return False
        if event.serial is not None:
            if event.serial <= self._last_serial:
                return False
            self._last_serial = event.serial
        oldest = now - max(self._tolerance_seconds, PERIOD_SECONDS[event.name])
        return event.when is None or event.when >= oldest


class EventStream:
    """The listener's end of the protocol."""

    def __init__(self, stdin_fd: int, stdout_fd: int) -> None:
        self._stdin_fd = stdin_fd
        self._stdout_fd = stdout_fd
        self._buffer = b""

    def run(self, deliver: Callable[[Event], None]) -> None:
        """Hand over every event, acknowledged already. Returns when supervisord is gone."""
        while (event := self._next()) is not None:
            deliver(event)

    def _next(self) -> Event | None:
        """The next event; None at the end of input, or when an answer finds no reader."""
        try:
            self._say(b"READY\n")
            event = self._read_event()
            self._say(b"RESULT 2\nOK")
        except (EOFError, OSError):
            return None
        return event

    def _say(self, words: bytes) -> None:
        while words:
            words = words[os.write(self._stdout_fd, words) :]

    def _read_event(self) -> Event:
        line = self._read_line()
        # What an earlier payload left behind is no event: an answer to it would break the protocol.
        while "eventname" not in (header := _fields(line)):
            line = self._read_line()
        payload = self._read_payload(_number(header.get("len")) or 0)
        return Event(
            name=header["eventname"],
            serial=_number(header.get("serial")),
            pool_serial=_number(header.get("poolserial")),
            # Free text of the operator's: it may hold colons and spaces.
            server=line.partition("server:")[2].partition(" serial:")[0],
            when=_number(_fields(payload).get("when")) if header["eventname"] in PERIOD_SECONDS else None,
        )

    def _read_line(self) -> str:
        while b"\n" not in self._buffer:
            self._read_more()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(errors="replace")

    def _read_payload(self, length: int) -> str:
        while len(self._buffer) < length:
            self._read_more()
        # supervisor 4 counts characters where it sends bytes (Supervisor/supervisor#1243). Whatever
        # is there before the answer belongs to this payload.
        payload, self._buffer = self._buffer, b""
        return payload.decode(errors="replace")

    def _read_more(self) -> None:
        chunk = os.read(self._stdin_fd, 65536)
        if not chunk:
            raise EOFError
        self._buffer += chunk


def private_stdout() -> int:
    """A descriptor of standard output for the protocol alone; descriptor 1 is standard error from now on.

    One stray byte on the protocol's channel, and supervisord never sends this listener an event
    again. So what any library or child prints must go elsewhere.
    """
    private = os.dup(1)  # not inherited by children (PEP 446)
    os.dup2(2, 1)
    return private


def _fields(text: str) -> Mapping[str, str]:
    """``key:value`` words. The last of a key counts: what is not supervisord's own stands before it."""
    words = (word.partition(":") for word in text.split())
    return {key: value for key, colon, value in words if colon}


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,18}", text) else None
