"""What happened, in order, for a person to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from supervisor_memkill.notices import intervals
from supervisor_memkill.notices.event import Event
from supervisor_memkill.notices.intervals import Interval
from supervisor_memkill.notices.records import DrainRecord, Record, from_line, to_line

COUNTED = ("drain.held_at_timeout", "drain.killed")


class Counted:
    """A sink that counts the events that the promises are about."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def take(self, event: Event) -> None:
        if event.name in COUNTED:
            self._trace.count(event.name)


class ReadableHistory:
    """Takes the records of the history, and checks that each can be read again as it is."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def keep(self, record: Record) -> None:
        assert from_line(to_line(record)) == record
        self._trace.count(f"history: {record.outcome if isinstance(record, DrainRecord) else 'held'}")

    def tend(self) -> None:
        pass


class TrueIntervals:
    """Takes the intervals in which processes were observed, and checks what holds for each of them."""

    def __init__(self, trace: Trace, clock: Callable[[], float]) -> None:
        """`clock` is the one that nobody can set."""
        self._trace = trace
        self._clock = clock
        self._ended: dict[tuple[str, int, int], float] = {}
        """When the last interval of each process ended."""

    def keep(self, interval: Interval) -> None:
        line, now = intervals.to_line(interval), self._clock()
        assert intervals.to_line(intervals.from_line(line)) == line
        assert interval.seconds > 0 and interval.pid > 0 and set(interval.running_seconds) <= {"Job"}
        began = now - interval.seconds
        assert began >= self._ended.get(interval.process, began) - 0.001, "two intervals share a moment"
        self._ended[interval.process] = now
        self._trace.count("interval of a process")

    def tend(self) -> None:
        pass


class Trace:
    """Keeps every event; turns events into words only when they are read."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock: Callable[[], float] | None = clock
        self._events: list[tuple[float, str, str]] = []
        self.counts: Counter[str] = Counter()

    def say(self, host: str, text: str) -> None:
        if self._clock is not None:
            self._events.append((self._clock(), host, text))

    def close(self) -> None:
        """Record no further event; another process may read the trace."""
        self._clock = None

    def forget(self) -> None:
        """Drop all events, because nobody will read them."""
        self._events.clear()

    def count(self, what: str) -> None:
        self.counts[what] += 1

    def lines(self) -> Iterator[str]:
        for at, host, text in self._events:
            yield f"{at:9.3f}  {host:8} {text}"

    def having(self, text: str) -> list[str]:
        """The lines with this text in them."""
        return [line for line in self.lines() if text in line]


class LogLines:
    """The listener's log as part of the trace, without its timestamps."""

    def __init__(self, trace: Trace, host: str, hidden: str) -> None:
        """`hidden`: a text that differs in every run and is left out."""
        self._trace = trace
        self._host = host
        self._hidden = hidden

    def write(self, text: str) -> int:
        line = text.rstrip("\n").split(" ", 2)[-1].replace(self._hidden, "")
        self._trace.say(self._host, f"log: {line}")
        if line.startswith("ERROR failed "):
            self._trace.count("faults of the listener's own")
        return len(text)

    def flush(self) -> None:
        pass
