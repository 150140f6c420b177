"""The log: one line per event, whatever its fields hold and whatever its stream does."""

from __future__ import annotations

import errno
import io
import re
from pathlib import Path

import pytest

from supervisor_memkill.coordination.contract import Cause
from supervisor_memkill.notices.event import Event, Level
from supervisor_memkill.notices.log import LogSink
from supervisor_memkill.processes import ProcessState
from tests.notices.made import made


def written(*events: Event, level: str = "info") -> list[str]:
    stream = io.StringIO()
    log = LogSink(stream, level, clock=lambda: 1_700_000_000.25)
    for event in events:
        log.take(event)
    return stream.getvalue().splitlines()


def fields_of(**fields: object) -> str:
    (line,) = written(made("event", **fields))
    return line.partition(" event")[2]


def test_a_line_is_a_time_a_level_an_event_and_its_fields_in_order() -> None:
    event = made("drain.stopping", worker="sidekiq:sidekiq_0", pid=812, rss_bytes=2469606195)
    (line,) = written(event)
    date, time_of_day, rest = line.split(" ", 2)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", date)
    assert re.fullmatch(r"\d\d:\d\d:\d\d,250", time_of_day)
    assert rest == "INFO drain.stopping worker=sidekiq:sidekiq_0 pid=812 rss=2.3GB"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", " value=plain"),
        ("two words", ' value="two words"'),
        ('say "x"', r' value="say \"x\""'),
        ("a=b", ' value="a=b"'),
        ("", ' value=""'),
        ("back\\slash", r' value="back\\slash"'),
        ("line\nbreak\r\x1b[0m", r' value="line\nbreak\r\x1b[0m"'),
        ("\u2028\udcff", r' value="\u2028\udcff"'),
        ("Müller", " value=Müller"),
        (None, ""),
        (2.0, " value=2"),
        (1234567.891, " value=1234567.891"),
        (0.00001, " value=0"),
        (True, " value=yes"),
        (False, " value=no"),
        (ProcessState.RUNNING, " value=RUNNING"),
        (Cause.COOLDOWN, " value=cooldown"),
        (("a", "b"), " value=a,b"),
        (frozenset({"b", "a"}), " value=a,b"),
    ],
)
def test_every_value_is_one_word_on_one_line(value: object, text: str) -> None:
    assert fields_of(value=value) == text


def test_sizes_and_durations_have_their_units_in_the_value() -> None:
    assert fields_of(before_bytes=200 * 1024 * 1024, took_seconds=65.0) == " before=200MB took=1m05s"
    assert fields_of(before_bytes=None, took_seconds=None) == ""


@pytest.mark.parametrize(
    ("measure", "name"), [("rss", "rss"), ("pss", "pss"), ("pss+swap", "pss_swap"), (None, "rss")]
)
def test_memory_has_the_name_of_what_was_measured(measure: str | None, name: str) -> None:
    shown = fields_of(rss_bytes=1024**3, max_rss_bytes=1024**2, measure=measure)
    assert shown == f" {name}=1GB max_rss=1MB"


def test_a_hint_ends_the_line() -> None:
    (line,) = written(made("event", Level.INFO, "raise max_rss", pid=1))
    assert line.endswith(' event pid=1 hint="raise max_rss"')


def test_what_is_below_the_level_is_not_written() -> None:
    events = [made(level.name.lower(), level) for level in Level]
    assert [line.split()[2:] for line in written(*events, level="warning")] == [
        ["WARNING", "warning"],
        ["ERROR", "error"],
    ]
    assert len(written(*events, level="debug")) == len(Level)


def test_an_unknown_level_names_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="debug, info, warning, error"):
        LogSink(io.StringIO(), "loud")


class FullDisk(io.StringIO):
    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_stream_that_fails_stops_nobody(tmp_path: Path) -> None:
    event = made("event", who="Müller")
    LogSink(FullDisk()).take(event)
    closed = io.StringIO()
    closed.close()
    LogSink(closed).take(event)
    with (tmp_path / "log").open("w", encoding="ascii", errors="strict") as ascii_only:
        LogSink(ascii_only).take(event)
