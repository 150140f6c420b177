"""The history's file is bounded, private, whole after a crash at any byte; a disk that fails is no burden."""

from __future__ import annotations

import contextlib
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor_memkill.listener import line_file
from supervisor_memkill.listener.history_file import History, HistoryError, HistoryFile, paths_beside, read
from supervisor_memkill.listener.outage import Outage
from supervisor_memkill.notices.event import Event, Notifier
from supervisor_memkill.notices.events import HistoryAway, HistoryBack
from supervisor_memkill.notices.records import MAX_LINE_BYTES, Record, to_line
from tests.notices.record_values import DRAIN, HELD, drain


class Now:
    """A clock that the test moves."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Place:
    """A journal's place, and the history beside it."""

    def __init__(self, journal: Path) -> None:
        self.journal = journal
        self.path, self.former = paths_beside(journal)
        self.events: list[Event] = []
        self.clock = Now()

    def take(self, event: Event) -> None:
        self.events.append(event)

    def file(self, max_bytes: int = line_file.MAX_BYTES) -> HistoryFile:
        outage = Outage(HistoryAway, HistoryBack, Notifier([self]), self.clock)
        return HistoryFile(self.journal, outage, self.clock, max_bytes=max_bytes)

    def kept(self) -> list[Record]:
        return list(read(self.journal).records)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "own" / "memkill.journal")


def test_records_are_read_in_the_order_in_which_they_were_kept(place: Place) -> None:
    file = place.file()
    for record in (DRAIN, HELD, drain(pid=1)):
        file.keep(record)
    assert read(place.journal) == History((DRAIN, HELD, drain(pid=1)))
    assert not place.events


def test_no_file_is_an_empty_history(place: Place) -> None:
    assert read(place.journal) == History()


def test_nobody_else_can_read_it(place: Place) -> None:
    before = os.umask(0)
    try:
        place.file().keep(DRAIN)
    finally:
        os.umask(before)
    assert stat.S_IMODE(place.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.path.parent.stat().st_mode) == 0o700
    place.path.chmod(0o644)
    place.file().keep(DRAIN)
    assert stat.S_IMODE(place.path.stat().st_mode) == 0o600


def test_both_files_together_are_bounded_and_the_last_records_stay(place: Place) -> None:
    file, most = place.file(max_bytes=2000), 0
    for number in range(100):
        file.keep(drain(pid=number))
        sizes = [path.stat().st_size for path in (place.path, place.former) if path.exists()]
        most = max(most, *sizes)
    assert most <= 2000
    pids = [record.pid for record in place.kept()]
    assert pids == list(range(100 - len(pids), 100)) and len(pids) >= 2000 // len(to_line(DRAIN))


def test_file_that_was_cut_at_any_byte_gives_its_whole_records_and_is_mended(place: Place) -> None:
    """Two records, then a crash in the third: the next listener appends to whole lines."""
    lines = [to_line(drain(pid=number)) for number in range(3)]
    whole = b"".join(lines)
    for cut in range(len(whole) + 1):
        place.path.parent.mkdir(mode=0o700, exist_ok=True)
        place.path.write_bytes(whole[:cut])
        expected = [drain(pid=number) for number in range(3) if cut >= sum(map(len, lines[: number + 1]))]
        assert read(place.journal) == History(tuple(expected)), cut
        place.file().keep(HELD)
        assert read(place.journal) == History((*expected, HELD)), cut


@pytest.mark.parametrize("died_after", ["rename", "open"])
def test_listener_that_died_while_it_renamed_the_file_loses_no_record(place: Place, died_after: str) -> None:
    place.file().keep(DRAIN)
    place.path.replace(place.former)
    if died_after == "open":
        place.path.touch(mode=0o600)
    assert place.kept() == [DRAIN]
    place.file().keep(HELD)
    assert place.kept() == [DRAIN, HELD]


def test_damage_and_newer_versions_are_counted_and_hide_no_other_record(place: Place) -> None:
    newer = to_line(DRAIN).replace(b'"v":1', b'"v":2')
    place.path.parent.mkdir(mode=0o700)
    place.path.write_bytes(b"\0" * 500 + b"\n" + to_line(DRAIN) + newer + b"{}\n\n" + to_line(HELD))
    assert read(place.journal) == History((DRAIN, HELD), damaged=2, of_other_version=1)


def test_file_without_any_line_is_mended_too(place: Place) -> None:
    place.path.parent.mkdir(mode=0o700)
    place.path.write_bytes(b"x" * (3 * MAX_LINE_BYTES))
    file = place.file()
    for number in range(4):
        file.keep(drain(pid=number))
    assert place.kept()[-1] == drain(pid=3)


@contextlib.contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """The system cuts each write there, as a full disk does: the beginning of a line may be written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_disk_that_is_full_in_the_middle_of_a_line_is_reported_once_and_leaves_no_half_line(
    place: Place,
) -> None:
    file, line = place.file(), to_line(DRAIN)
    file.keep(DRAIN)
    with files_of_at_most(len(line) + len(line) // 2):
        file.keep(drain(pid=1))
        assert place.path.read_bytes() == line
        file.keep(drain(pid=2))
    assert [type(event) for event in place.events] == [HistoryAway]
    file.keep(drain(pid=3))
    assert [record.pid for record in place.kept()] == [DRAIN.pid, 1, 2, 3]
    assert [type(event) for event in place.events] == [HistoryAway, HistoryBack]


def test_directory_that_cannot_be_written_is_reported_once_and_the_records_follow(place: Place) -> None:
    place.journal.parent.write_text("a file where the directory should be")
    file = place.file()
    for number in range(3):
        file.keep(drain(pid=number))
        place.clock.seconds += 30
    (away,) = place.events
    assert isinstance(away, HistoryAway) and str(place.journal.parent) in away.error
    place.journal.parent.unlink()
    file.tend()
    assert [record.pid for record in place.kept()] == [0, 1, 2]
    assert [type(event) for event in place.events] == [HistoryAway, HistoryBack]


def test_records_that_wait_are_bounded(place: Place) -> None:
    place.journal.parent.write_text("a file where the directory should be")
    file = place.file()
    for number in range(line_file.MAX_WAITING + 50):
        file.keep(drain(pid=number))
    place.journal.parent.unlink()
    file.keep(drain(pid=999))
    pids = [record.pid for record in place.kept()]
    assert len(pids) == line_file.MAX_WAITING and pids[-1] == 999


def test_disk_that_fails_is_tried_once_a_minute_and_not_at_each_look(place: Place) -> None:
    place.journal.parent.write_text("a file where the directory should be")
    file = place.file()
    file.keep(DRAIN)
    place.journal.parent.unlink()
    place.clock.seconds += 59
    file.tend()
    assert not place.path.exists()
    place.clock.seconds += 1
    file.tend()
    assert place.kept() == [DRAIN]


def test_link_that_somebody_planted_is_not_followed(place: Place, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    place.path.parent.mkdir(mode=0o700)
    place.path.symlink_to(victim)
    place.file().keep(DRAIN)
    assert victim.read_text() == "mine" and isinstance(place.events[0], HistoryAway)
    with pytest.raises(HistoryError):
        read(place.journal)


def test_pipe_in_its_place_blocks_nobody(place: Place) -> None:
    place.path.parent.mkdir(mode=0o700)
    os.mkfifo(place.path)
    place.file().keep(DRAIN)
    assert isinstance(place.events[0], HistoryAway)
    with pytest.raises(HistoryError):
        read(place.journal)


def test_old_file_is_kept_young_where_old_files_are_removed(place: Place) -> None:
    file = place.file()
    file.keep(DRAIN)
    os.utime(place.path, (0, 0))
    file.tend()
    assert place.path.stat().st_mtime == 0
    place.clock.seconds += 3601
    file.tend()
    assert place.path.stat().st_mtime > 0
