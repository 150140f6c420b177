"""The history's file, whatever became of it: the records that are whole are read, and no more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supervisor_memkill.listener.history_file import HistoryFile, paths_beside, read
from supervisor_memkill.listener.outage import Outage
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.events import HistoryAway, HistoryBack
from supervisor_memkill.notices.records import (
    DrainRecord,
    HeldRecord,
    OtherVersionError,
    from_line,
    to_line,
)
from tests.fuzz.effort import tries
from tests.fuzz.values import DEEP, JSON, near_json
from tests.harness import short_directory
from tests.notices.record_values import DRAIN, HELD, killed

RECORDS = (DRAIN, killed(job_classes={"Mail": 3}), HELD)
WHOLE = b"".join(to_line(record) for record in RECORDS)
NOW = 1000.0


@pytest.fixture(scope="module")
def journal() -> Iterator[Path]:
    with short_directory() as directory:
        own = directory / "own"
        own.mkdir(mode=0o700)
        yield own / "memkill.journal"


def file_of(journal: Path) -> HistoryFile:
    return HistoryFile(
        journal, Outage(HistoryAway, HistoryBack, Notifier([]), lambda: NOW), lambda: NOW, max_bytes=10_000
    )


@tries(75)
@given(st.one_of(st.binary(max_size=300), st.binary(max_size=20).map(lambda junk: WHOLE + junk)))
@example(DEEP.encode() + b"\n")
@example(b"\n\n\n")
@example(b"x" * 200_000)
def test_any_bytes_are_a_history_and_the_next_record_is_whole(journal: Path, data: bytes) -> None:
    for path in paths_beside(journal):
        path.unlink(missing_ok=True)
    path, _ = paths_beside(journal)
    path.write_bytes(data)
    before = read(journal)
    file_of(journal).keep(HELD)
    after = read(journal)
    assert after.records[-1] == HELD
    if len(data) < 9000:
        assert after.records[:-1] == before.records


@tries(75)
@given(st.data())
def test_bytes_that_flipped_cost_the_records_that_they_are_in(journal: Path, data: st.DataObject) -> None:
    """What is read is checked: a record that is read is one that could have been written."""
    whole = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path, former = paths_beside(journal)
    former.unlink(missing_ok=True)
    path.write_bytes(bytes(whole))
    for record in read(journal).records:
        assert from_line(to_line(record)) == record


@tries(200)
@example({"v": 1, "record": "drain", "at": 10**400})
@example({"v": 10**400})
@example({"v": True, "record": "drain"})
@given(st.one_of(JSON, near_json(json.loads(to_line(DRAIN))), near_json(json.loads(to_line(HELD)))))
def test_values_of_any_kind_are_a_record_or_refused(values: Any) -> None:
    try:
        record = from_line(json.dumps(values).encode())
    except OtherVersionError:
        assert type(values["v"]) is int and values["v"] != 1
    except ValueError:
        pass
    else:
        assert isinstance(record, DrainRecord | HeldRecord) and to_line(record).isascii()
