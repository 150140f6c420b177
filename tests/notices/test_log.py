from __future__ import annotations

import errno
import io
import re
from pathlib import Path

import pytest

from supervisor_memkill.coordination.contract import Cause
from supervisor_memkill.notices.log import EventLog
from supervisor_memkill.processes import ProcessState


def written(level: str = "info") -> tuple[EventLog, io.StringIO]:
    stream = io.StringIO()
    return EventLog(stream, level, clock=lambda: 1_700_000_000.25), stream


def field(value: object) -> str:
    """What the log makes of one value."""
    log, stream = written()
    log.info("event", value=value)
    return stream.getvalue().rstrip("\n").partition("event")[2]


def test_a_line_is_a_time_a_level_an_event_and_its_fields_in_order() -> None:
    log, stream = written()
    log.info("drain.stopping", worker="sidekiq:sidekiq_0", pid=812, rss="2.3GB")
    date, time_of_day, rest = stream.getvalue().split(" ", 2)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", date)
    assert re.fullmatch(r"\d\d:\d\d:\d\d,250", time_of_day)
    assert rest == "INFO drain.stopping worker=sidekiq:sidekiq_0 pid=812 rss=2.3GB\n"


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
    assert field(value) == text


def test_what_is_below_the_level_is_not_written() -> None:
    log, stream = written("warning")
    log.debug("a")
    log.info("b")
    log.warning("c")
    log.error("d")
    assert [line.split()[2:] for line in stream.getvalue().splitlines()] == [["WARNING", "c"], ["ERROR", "d"]]


def test_an_unknown_level_names_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="debug, info, warning, error"):
        EventLog(io.StringIO(), "loud")


def test_a_refusal_is_logged_once_until_its_cause_changes() -> None:
    log, stream = written()
    for cause in ("slots_taken", "slots_taken", "cooldown", "slots_taken"):
        log.changed("w:0", "drain.refused", cause=cause)
    log.changed("w:1", "drain.refused", level="warning", cause="slots_taken")
    words = [line.split()[2:] for line in stream.getvalue().splitlines()]
    assert words == [
        ["INFO", "drain.refused", "cause=slots_taken"],
        ["INFO", "drain.refused", "cause=cooldown"],
        ["INFO", "drain.refused", "cause=slots_taken"],
        ["WARNING", "drain.refused", "cause=slots_taken"],
    ]


def test_figures_that_differ_each_time_are_no_change_where_the_caller_says_what_is() -> None:
    log, stream = written()
    for rss, cause in [(1, "a"), (2, "a"), (3, "b")]:
        log.changed("w:0", "drain.refused", by=cause, rss=rss, cause=cause)
    assert [line.split()[4:] for line in stream.getvalue().splitlines()] == [
        ["rss=1", "cause=a"],
        ["rss=3", "cause=b"],
    ]


def test_what_was_forgotten_is_logged_again() -> None:
    log, stream = written()
    log.changed("w:0", "over")
    log.forget("w:0")
    log.forget("never seen")
    log.changed("w:0", "over")
    assert len(stream.getvalue().splitlines()) == 2


class FullDisk(io.StringIO):
    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_stream_that_fails_stops_nobody(tmp_path: Path) -> None:
    EventLog(FullDisk()).error("event")
    closed = io.StringIO()
    closed.close()
    EventLog(closed).error("event")
    with (tmp_path / "log").open("w", encoding="ascii", errors="strict") as ascii_only:
        EventLog(ascii_only).error("event", name="Müller")
