"""supervisord's event listener protocol: events arrive on one descriptor, answers are written to another.

Every event is answered with OK at once, before the work on it begins: supervisord keeps only the last few
events for a busy listener, and sends a rejected event again and again.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
from collections.abc import Callable, Collection, Iterator, Mapping

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import UsageError

PERIOD_SECONDS: Mapping[str, int] = {"TICK_5": 5, "TICK_60": 60, "TICK_3600": 3600}
"""supervisord's TICK events, and how often each comes."""
REMOTE_COMMUNICATION = "REMOTE_COMMUNICATION"
SUBSCRIPTION = "events = TICK_60,REMOTE_COMMUNICATION,PROCESS_STATE"
"""The line of the listener's section that messages propose and the examples have."""
"""An event that supervisord's sendRemoteCommEvent sends, so that people and programs reach a listener."""
REQUEST_TYPE = "supervisor-memkill"
"""The type of the remote communication that is for this program."""
PROCESS_STATE, PROCESS_GROUP = "PROCESS_STATE", "PROCESS_GROUP"
"""The names of two sorts of events begin so: the state of a process changed; a group was added or removed."""


@dataclass(frozen=True)
class Event:
    """One event; None where supervisord did not say."""

    name: str
    serial: int | None
    """The number of the event in its supervisord; an event that is sent again keeps it."""
    when: int | None = None
    """The epoch second of a TICK, by supervisord's clock."""
    request: str | None = None
    """The data of a remote communication for this program."""
    pool_serial: int | None = None
    """The number of the event among those for this event listener: without a gap unless one was lost."""
    changed: str | None = None
    """The process (``group:name``) whose state has changed."""

    @property
    def is_process_state(self) -> bool:
        """The state of a process has changed."""
        return self.name.startswith(f"{PROCESS_STATE}_")

    @property
    def is_process_group(self) -> bool:
        """A group of processes was added or removed."""
        return self.name.startswith(f"{PROCESS_GROUP}_")


def is_sent_changes(events: Collection[str]) -> bool:
    """Whether a listener that subscribes to these events gets one for each change of a process."""
    return not {PROCESS_STATE, "EVENT"}.isdisjoint(events)


class Ticks:
    """Decides which events call for a check: each TICK once, unless it is older than its own period."""

    def __init__(self) -> None:
        self._last_serial = -1

    def counts(self, event: Event, now: float) -> bool:
        """Whether to check now; `now` is the wall clock's epoch second, since that is what `when` is."""
        if event.name not in PERIOD_SECONDS:
            return False
        if event.serial is not None:
            if event.serial <= self._last_serial:
                return False
            self._last_serial = event.serial
        return event.when is None or event.when >= now - PERIOD_SECONDS[event.name]


class EventStream:
    """The listener's end of the protocol."""

    def __init__(self, stdin_fd: int, stdout_fd: int) -> None:
        self._stdin_fd = stdin_fd
        self._stdout_fd = stdout_fd
        self._buffer = b""

    def run(self, deliver: Callable[[Event], None]) -> None:
        """Deliver every event after answering it. Returns when supervisord is gone."""
        while (event := self._next()) is not None:
            deliver(event)

    def _next(self) -> Event | None:
        """The next event; None at the end of input, or if nobody reads the answers."""
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
        # The rest of an earlier payload is no event: an answer to it would break the protocol.
        while "eventname" not in (header := _fields(line)):
            line = self._read_line()
        payload, name = self._read_payload(_number(header.get("len")) or 0), header["eventname"]
        return Event(
            name=name,
            serial=_number(header.get("serial")),
            when=_number(_fields(payload).get("when")) if name in PERIOD_SECONDS else None,
            request=_request(payload) if name == REMOTE_COMMUNICATION else None,
            pool_serial=_number(header.get("poolserial")),
            changed=_changed(payload) if name.startswith(f"{PROCESS_STATE}_") else None,
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

    After one stray byte on the protocol's channel, supervisord never sends this listener an event again.
    So the output of libraries and children must go elsewhere. Raises UsageError if standard error is the same
    channel, as by ``2>&1`` in the command: the log would be stray bytes.
    """
    channel, errors = os.fstat(1), os.fstat(2)
    if stat.S_ISFIFO(channel.st_mode) and os.path.samestat(channel, errors):
        raise UsageError(
            "standard error and standard output are one: the log would break supervisord's event protocol;"
            " remove 2>&1 from the command, and set stderr_logfile"
        )
    private = os.dup(1)  # not inherited by children (PEP 446)
    os.dup2(2, 1)
    return private


@contextlib.contextmanager
def stdout_as_stderr() -> Iterator[None]:
    """The same for as long as the context lasts. Raises UsageError as `private_stdout` does."""
    private = private_stdout()
    try:
        yield
    finally:
        if sys.stdout is not None:
            sys.stdout.flush()
        os.dup2(private, 1)
        os.close(private)


def _fields(text: str) -> Mapping[str, str]:
    """``key:value`` words. The last value of a key counts: the operator's text comes before supervisord's."""
    words = (word.partition(":") for word in text.split())
    return {key: value for key, colon, value in words if colon}


def _request(payload: str) -> str | None:
    """The data of a remote communication, if its type is this program's (supervisor/events.py)."""
    kind, _, data = payload.partition("\n")
    return data if kind == f"type:{REQUEST_TYPE}" else None


def _changed(payload: str) -> str | None:
    """The process whose state has changed (supervisor/events.py); None if the payload does not name it."""
    words = _fields(payload)
    group, name = words.get("groupname"), words.get("processname")
    return f"{group}:{name}" if group and name else None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,18}", text) else None
