"""The file of intervals is bounded, private, whole after a crash at any byte; no burden on a full disk."""

from __future__ import annotations

import dataclasses
import stat
from pathlib import Path

import pytest

from supervisor_memkill.listener.interval_file import (
    IntervalFile,
    Intervals,
    IntervalsError,
    files_beside,
    paths_beside,
    read,
)
from supervisor_memkill.listener.outage import Outage
from supervisor_memkill.notices.event import Event, Notifier
from supervisor_memkill.notices.events import HistoryAway, HistoryBack
from supervisor_memkill.notices.intervals import Interval, to_line

INTERVAL = Interval(1000.5, "jobs", "jobs:one", 7, 900, 30.25, 100, 200, {"Mail": 12.5})


def numbered(number: int) -> Interval:
    return dataclasses.replace(INTERVAL, pid=number)


class Place:
    """A journal's place, and what was reported."""

    def __init__(self, directory: Path) -> None:
        self.journal = directory / "own" / "memkill.journal"
        self.path, self.former = files_beside(self.journal)
        self.events: list[Event] = []

    def take(self, event: Event) -> None:
        self.events.append(event)

    def file(self, **options: int) -> IntervalFile:
        outage = Outage(HistoryAway, HistoryBack, Notifier([self]), lambda: 0.0)
        return IntervalFile(self.journal, outage, lambda: 0.0, **options)

    def pids(self) -> list[int]:
        return [one.pid for one in read(self.journal).intervals]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_intervals_are_read_in_the_order_in_which_they_were_kept(place: Place) -> None:
    for number in (1, 2, 3):
        place.file().keep(numbered(number))  # Each time by another listener.
    assert place.pids() == [1, 2, 3] and not place.events


def test_no_file_is_no_interval(place: Place) -> None:
    assert read(place.journal) == Intervals()


def test_nobody_else_can_read_it(place: Place) -> None:
    place.file().keep(INTERVAL)
    assert stat.S_IMODE(place.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.path.parent.stat().st_mode) == 0o700


def test_it_stands_beside_the_history_under_another_name(place: Place) -> None:
    assert place.path.name == "memkill.journal.jobs" and place.former.name == "memkill.journal.jobs.1"
    assert paths_beside(place.journal).present == place.path


def test_size_is_bounded_and_the_youngest_stay(place: Place) -> None:
    file = place.file(max_bytes=5000)
    for number in range(1, 501):
        file.keep(numbered(number))
    assert place.path.stat().st_size <= 5000 and place.former.stat().st_size <= 5000
    pids = place.pids()
    assert pids == list(range(pids[0], 501)) and len(pids) > 20


@pytest.mark.parametrize("kept", range(0, len(to_line(INTERVAL)) + 1, 7))
def test_crash_at_any_byte_costs_no_more_than_the_line_that_was_written(place: Place, kept: int) -> None:
    place.file().keep(numbered(1))
    with place.path.open("ab") as file:
        file.write(to_line(numbered(2))[:kept])
    place.file().keep(numbered(3))
    found = read(place.journal)
    assert [one.pid for one in found.intervals] in ([1, 3], [1, 2, 3]) and found.damaged == 0


def test_damaged_line_is_counted_and_costs_itself_alone(place: Place) -> None:
    place.file().keep(numbered(1))
    with place.path.open("ab") as file:
        file.write(b"\xff\xfe junk\n[]\n")
    place.file().keep(numbered(2))
    assert (place.pids(), read(place.journal).damaged) == ([1, 2], 2)


def test_disk_that_fails_is_reported_once_and_what_waits_is_written_later(place: Place) -> None:
    place.journal.parent.write_text("a file where the directory should be")
    file = place.file()
    for number in (1, 2):
        file.keep(numbered(number))
    assert [event.name for event in place.events] == ["history.away"]
    place.journal.parent.unlink()
    file.keep(numbered(3))
    assert place.pids() == [1, 2, 3]
    assert [event.name for event in place.events] == ["history.away", "history.back"]


def test_symbolic_link_in_its_place_is_not_followed(place: Place, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    place.path.parent.mkdir(mode=0o700)
    place.path.symlink_to(target)
    place.file().keep(INTERVAL)
    assert target.read_text() == "precious"
    with pytest.raises(IntervalsError, match=r"cannot be read: Too many levels"):
        read(place.journal)


def test_outage_of_one_file_is_not_over_by_the_other(place: Place) -> None:
    """The history and the intervals share one outage, and each has its part in it."""
    outage = Outage(HistoryAway, HistoryBack, Notifier([place]), lambda: 0.0)
    file = IntervalFile(place.journal, outage, lambda: 0.0)
    place.path.mkdir(parents=True, mode=0o700)
    file.keep(INTERVAL)
    outage.back()
    assert [event.name for event in place.events] == ["history.away"]
    place.path.rmdir()
    file.keep(INTERVAL)
    assert [event.name for event in place.events] == ["history.away", "history.back"]
