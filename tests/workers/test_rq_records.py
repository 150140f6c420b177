"""RQ's records: parsed or refused, and matched with processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_memkill.errors import Unknown
from supervisor_memkill.workers.ownership import Began
from supervisor_memkill.workers.rq.records import BUSY_STATES, FIELDS, Record, parse_record, records_of

RECORD = Record("rq:worker:a", 100, "web1", birth=1000.0, busy=0)


def began(*pids: int, at: float = 990.0) -> dict[int, Began]:
    """These processes began at this epoch second; the first one is supervised."""
    return dict.fromkeys(pids, Began(at, at))


WRITTEN: Mapping[str, str] = {
    "birth": "2026-05-01T10:00:00.251826Z",
    "last_heartbeat": "2026-05-01T10:00:05.500000Z",
    "queues": "high,default",
    "pid": "5872",
    "hostname": "web1",
    "ip_address": "127.0.0.1:50504",
    "python_version": "3.11.7",
    "state": "busy",
}
"""As `rq worker high default` wrote it."""
OF_1_16 = {**WRITTEN, "version": "1.16.2", "current_job": "e1eb9600", "current_job_working_time": "0"}
OF_3_0 = {**WRITTEN, "version": "3.0.0"}


def parse(hash_: Mapping[str, str], executions: object = 0) -> Record | None:
    return parse_record("rq:worker:a", [hash_.get(field) for field in FIELDS], executions)


@pytest.mark.parametrize(("hash_", "executions"), [(OF_1_16, 0), (OF_3_0, 1)])
def test_a_record_of_each_generation_is_read(hash_: Mapping[str, str], executions: int) -> None:
    is_below_3 = hash_ is OF_1_16
    assert parse(hash_, executions) == Record(
        "rq:worker:a",
        5872,
        "web1",
        birth=1777629600.251826,
        busy=1,
        queues=frozenset({"high", "default"}),
        is_below_3=is_below_3,
    )


@pytest.mark.parametrize(
    ("version", "is_below_3"), [("2.6.1", True), ("", True), ("x", True), ("3.0.0", False), ("10.1", False)]
)
def test_a_version_that_is_unknown_counts_as_an_old_one(version: str, is_below_3: bool) -> None:
    record = parse({**OF_3_0, "version": version})
    assert record is not None and record.is_below_3 is is_below_3


@pytest.mark.parametrize(
    ("state", "executions", "busy"), [("idle", 0, 0), ("started", 0, 0), ("suspended", 0, 0), ("idle", 2, 2)]
)
def test_busy_is_the_greater_of_state_and_executions(state: str, executions: int, busy: int) -> None:
    record = parse({**OF_3_0, "state": state}, executions)
    assert record is not None
    assert (record.busy, record.is_suspended) == (busy, state == "suspended")


def test_a_worker_that_just_registered_has_no_running_job() -> None:
    record = parse({key: value for key, value in OF_3_0.items() if key != "state"})
    assert record is not None and record.busy == 0


def test_the_dead_have_no_record() -> None:
    assert parse({**OF_3_0, "death": "2026-05-01T10:00:06Z"}) is None


def test_a_hash_that_is_gone_is_no_record() -> None:
    assert parse({}) is None
    assert parse({"last_heartbeat": "2026-05-01T10:00:06Z"}) is None, (
        "what a lost one becomes at its next beat"
    )


def test_a_time_without_a_fraction_is_read() -> None:
    record = parse({**OF_3_0, "birth": "2026-05-01T10:00:05Z"})
    assert record is not None and record.birth == 1777629605.0


@pytest.mark.parametrize(
    "changes",
    [{"pid": "x"}, {"pid": ""}, {"state": "dozing"}, {"birth": "now"}, {"birth": "0"}],
)
def test_a_value_that_rq_does_not_write_is_unknown(changes: dict[str, str]) -> None:
    with pytest.raises(Unknown, match="rq:worker:a"):
        parse({**OF_3_0, **changes})


@given(
    st.lists(st.none() | st.text(), min_size=len(FIELDS), max_size=len(FIELDS)), st.none() | st.integers(0, 9)
)
def test_any_value_becomes_a_record_or_none_or_unknown(values: list[Any], executions: Any) -> None:
    values[0] = "web1"
    try:
        record = parse_record("rq:worker:a", values, executions)
    except Unknown:
        return
    assert record is None or record.busy in (*BUSY_STATES.values(), executions)


def test_each_process_gets_its_own_record_before_those_below_it() -> None:
    below = Record("rq:worker:b", 101, "web1", birth=1000.0, busy=1)
    assert records_of(began(100, 101), [below, RECORD]) == (RECORD,)
    assert records_of(began(99, 101), [below, RECORD]) == (below,)
    assert records_of(began(99), [below, RECORD]) == ()


def test_a_record_from_before_the_process_is_of_a_dead_one_with_its_pid() -> None:
    assert records_of(began(100, at=1000), [RECORD]) == (RECORD,)
    assert records_of({100: Began(1001, 1003)}, [RECORD]) == ()
    assert records_of(began(100, at=1003), [RECORD]) == ()


def test_two_records_of_one_pid_cannot_be_told_apart() -> None:
    with pytest.raises(Unknown, match="two machines"):
        records_of(began(100), [RECORD, Record("rq:worker:c", 100, "web1", birth=1001.0, busy=0)])
