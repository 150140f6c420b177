"""A record of the history comes back from its line as it was; another line is refused, never half read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from supervisor_memkill.notices.records import (
    MAX_LINE_BYTES,
    MAX_NAME,
    MAX_NAMES,
    MAX_TEXT,
    DrainRecord,
    OtherVersionError,
    Record,
    from_line,
    to_line,
)
from tests.notices.record_values import DRAIN, HELD, drain, held, killed

FOUR_BYTES = "\U0001f4a5"


@pytest.mark.parametrize(
    "record",
    [
        DRAIN,
        HELD,
        killed(),
        drain(outcome="let_go", after_bytes=None, curve=None, cause=None, kind=None),
        drain(worker="m\u00fcll:\udcff\n\x1b[31m", job_classes={"Mail": 3}),
        held(cause=None, pid=None, is_over=True),
    ],
)
def test_record_comes_back_from_its_line(record: Record) -> None:
    line = to_line(record)
    assert line.endswith(b"\n") and line.count(b"\n") == 1 and line.isascii()
    assert from_line(line) == record


def test_line_is_short_whatever_the_record_holds() -> None:
    names = tuple(FOUR_BYTES * 1000 for _ in range(1000))
    many = {f"{number}{FOUR_BYTES * 200}": number for number in range(1000)}
    long = FOUR_BYTES * 10_000
    texts = {"host": long, "pool": long, "worker": long, "kind": long, "cause": long, "reason": long}
    line = to_line(killed(jobs=names, job_classes=many, curve=((2**62, 2**62),) * 49, **texts))
    assert len(line) <= MAX_LINE_BYTES
    read = from_line(line)
    assert isinstance(read, DrainRecord) and read.jobs is not None and read.job_classes is not None
    assert (len(read.worker), len(read.jobs), len(read.jobs[0])) == (MAX_TEXT, MAX_NAMES, MAX_NAME)
    assert sorted(read.job_classes.values()) == [*range(1000 - MAX_NAMES, 1000)], "the commonest"


def test_key_that_only_a_later_version_knows_is_ignored() -> None:
    values = {**json.loads(to_line(DRAIN)), "mood": "good"}
    assert from_line(json.dumps(values).encode()) == DRAIN


def test_field_that_an_earlier_version_did_not_write_is_unknown() -> None:
    values = json.loads(to_line(DRAIN))
    for name in ("curve", "job_classes", "jobs", "jobs_cut", "kind", "cause", "took_seconds"):
        del values[name]
    assert from_line(json.dumps(values).encode()) == drain(
        curve=None, kind=None, cause=None, took_seconds=None
    )


def test_record_of_a_newer_version_is_recognised_as_such() -> None:
    values = {**json.loads(to_line(DRAIN)), "v": 2}
    with pytest.raises(OtherVersionError):
        from_line(json.dumps(values).encode())


@pytest.mark.parametrize(
    "changes",
    [
        {"record": "unknown"},
        {"at": None},
        {"at": -1},
        {"at": 1e300},
        {"at": float("nan")},
        {"took_seconds": -1},
        {"took_seconds": "1"},
        {"jobs": "Mail"},
        {"jobs": [1]},
        {"curve": [[1]]},
        {"curve": [[1, -2]]},
        {"worker": None},
        {"before_bytes": True},
    ],
)
def test_line_with_a_wrong_value_is_no_record(changes: dict[str, Any]) -> None:
    values = {**json.loads(to_line(DRAIN)), **changes}
    with pytest.raises(ValueError, match=r"."):
        from_line(json.dumps(values).encode())


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 50_000, b" " * 200_000])
def test_line_that_is_no_object_is_no_record(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_line(line)
