"""What workers write about themselves, in Redis and in their titles, and what a Redis may make of it."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supervisor_memkill.errors import MemkillError, NotSent, Unknown
from supervisor_memkill.testing.contract_suite import check_reading
from supervisor_memkill.testing.fakes import FakeProcesses, Signals, process
from supervisor_memkill.workers import registry
from supervisor_memkill.workers.contract import Reading, Target
from supervisor_memkill.workers.resque import records as resque_records
from supervisor_memkill.workers.rq import records as rq_records
from supervisor_memkill.workers.sidekiq import records as sidekiq_records
from tests.fuzz.effort import tries
from tests.fuzz.kinds import make
from tests.fuzz.redis_answers import (
    FIELD_VALUES,
    HOST,
    INFO,
    JSON_TEXTS,
    NOW,
    PID,
    RIGHT_FIELDS,
    TEXT_VALUES,
    WORK,
    FuzzedRedis,
    field,
)
from tests.fuzz.values import JSON, LONE_HALVES, TEXTS, assert_one_line, is_whole, near, near_json, to_text

NOTE = {
    "identity": INFO["identity"],
    "quiet_beat": NOW - 5.0,
    "zero_at": 0.0,
    "told": True,
    "signalled": "TSTP",
}
CELERY_NOTE = {
    "node": f"celery@{HOST}",
    "queues": [{"queue": "celery", "exchange": "celery", "exchange_type": "direct", "routing_key": "celery"}],
    "shared": ["celery"],
}


def is_note(value: Any) -> bool:
    """As a journal may give it back, perhaps of another version: NaN is the one value it does not keep."""
    return isinstance(value, dict) and json.loads(json.dumps(value)) == value


NOTES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.just({}),
    st.sampled_from([NOTE, CELERY_NOTE]),
    st.sampled_from([NOTE, CELERY_NOTE]).flatmap(near_json).filter(is_note),
)
TITLES = st.one_of(
    near(
        st.sampled_from(
            [
                "sidekiq 6.4.1 app [1 of 3 busy]",
                "sh -c 'sidekiq; true'",
                "resque-2.7.0: Paused",
                "resque-2.7.0: Waiting for high,default",
                "/usr/bin/python3 /usr/bin/rq worker high",
                "rq worker-pool high",
                "arq app.Settings",
                "/usr/bin/python3 /usr/bin/celery -A app worker -n x@%h",
            ]
        )
    ),
    LONE_HALVES,
)
PARENTS = st.dictionaries(st.sampled_from([101, 102, 103]), st.sampled_from([PID, 101, 1]), max_size=3)


def table_of(draw: Any) -> FakeProcesses:
    parents = draw(PARENTS)
    processes = FakeProcesses({pid: draw(TITLES) for pid in (PID, *parents)}, parents)
    processes.suspended = draw(st.sets(st.just(PID)))
    return processes


def assert_is_right(reading: Reading) -> None:
    check_reading(reading)
    assert reading.busy is None or is_whole(reading.busy)
    assert reading.jobs is None or all(isinstance(job, str) for job in reading.jobs)
    assert all(isinstance(queue, str) for queue in reading.queues)
    for flag in (reading.recognised, reading.in_service, reading.quiet):
        assert flag in (True, False, None)
    for text in (reading.why, reading.remark):
        if text:
            assert_one_line(text)


@pytest.mark.parametrize("name", registry.BUILT_IN)
@tries(30)
@given(st.data(), NOTES)
def test_whatever_stands_there_is_a_reading(name: str, data: st.DataObject, note: Any) -> None:
    """Of the right types, and one that failed concludes nothing."""
    kind = make(name, data.draw)
    targets = [
        Target(process(PID, "plain")),
        Target(process(PID, "told"), note),
        Target(process(999, "gone"), note),
    ]
    found = kind.read(targets, table_of(data.draw).table)
    assert set(found) == {target.process.worker for target in targets}
    for reading in found.values():
        assert_is_right(reading)


@pytest.mark.parametrize("name", registry.BUILT_IN)
@tries(30)
@given(st.data(), NOTES)
def test_a_quiet_reaches_a_recognised_worker_or_nothing(name: str, data: st.DataObject, note: Any) -> None:
    """And what it returns can be kept in the journal."""
    signals = Signals()
    kind, table = make(name, data.draw, signals), table_of(data.draw).table
    target = Target(process(PID), note)
    try:
        kept = kind.quiet(target, table)
    except NotSent as error:
        assert_one_line(str(error))
        assert not signals.sent
    except MemkillError as error:
        assert_one_line(str(error))
    else:
        assert json.loads(json.dumps(kept)) == kept
    assert all(word in ("TSTP", "USR1", "USR2") for _, word in signals.sent)


@pytest.mark.parametrize("name", registry.BUILT_IN)
@tries(15)
@given(st.data(), NOTES)
def test_help_for_the_stop_and_the_resume_end_in_nothing_worse_than_a_line(
    name: str, data: st.DataObject, note: Any
) -> None:
    kind, table = make(name, data.draw), table_of(data.draw).table
    target = Target(process(PID), note)
    for act in (kind.before_stop, kind.resume):
        with contextlib.suppress(MemkillError):
            act(target, table)
    assert kind.memory_in_children(process(PID), table) in (True, False)


class RightRedis(FuzzedRedis):
    """Its one Sidekiq is quiet and has nothing to do."""

    def __init__(self) -> None:
        super().__init__(lambda strategy: 0)

    def answer(self, command: str, arguments: Sequence[Any]) -> Any:
        known: dict[str, Any] = {"smembers": {INFO["identity"]}, "type": "string", "get": "0", "hvals": []}
        return known[command] if command in known else [RIGHT_FIELDS[name] for name in arguments[1]]


@pytest.mark.parametrize("value", [None, "x", [], {}, 1e400])
@pytest.mark.parametrize("key", ["zero_at", "quiet_beat", "identity"])
@pytest.mark.parametrize("name", ["custom", "sidekiq"])
def test_a_note_of_another_version_is_no_reason_to_believe_it_idle(name: str, key: str, value: Any) -> None:
    """What it cannot mean is as good as absent: idle is seen anew."""
    kind = make(name, lambda strategy: 0, redis=RightRedis())
    target = Target(process(PID), {"identity": INFO["identity"], key: value})
    reading = kind.read([target], FakeProcesses({PID: "sidekiq 7.3.10 app [0 of 5 busy] stopping"}).table)[
        "jobs:jobs_0"
    ]
    assert reading.busy == 0 and not reading.idle


# --- the records one by one, against a stricter reader ------------------------------------------------


def _sidekiq_fields(**values: str | None) -> Sequence[str | None]:
    right = {"info": to_text(INFO), "busy": "0", "beat": str(NOW - 5.5), "quiet": "true"}
    return [{**right, **values}[name] for name in sidekiq_records.FIELDS]


@tries(150)
@example(_sidekiq_fields(busy="1_0"), [])
@example(_sidekiq_fields(busy=" 0 "), [])
@example(_sidekiq_fields(busy="٣"), [])
@example(_sidekiq_fields(beat="1_000.5"), [])
@example(_sidekiq_fields(beat="-1"), [])
@given(
    st.tuples(*map(field, sidekiq_records.FIELDS)),
    st.lists(JSON_TEXTS, max_size=3),
)
def test_a_sidekiq_record_is_what_sidekiq_writes_or_unknown(fields: Sequence[Any], work: list[str]) -> None:
    identity = str(INFO["identity"])
    try:
        record = sidekiq_records.parse_record(identity, PID, fields, work)
    except Unknown as error:
        assert_one_line(str(error))
        return
    if record is None:
        assert set(fields) == {None}
        return
    info, busy, beat, quiet = fields
    assert isinstance(json.loads(info), dict)
    assert re.fullmatch("[0-9]+", busy) and record.busy == int(busy)
    assert re.fullmatch(r"[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?", beat) and math.isfinite(record.beat)
    assert quiet == str(record.quiet).lower()
    assert isinstance(record.embedded, bool) and isinstance(record.version, str)
    assert record.queues is None or all(isinstance(queue, str) for queue in record.queues)
    if record.jobs == () and record.busy == 0:
        assert not work


RQ_FIELDS = rq_records.FIELDS
RIGHT_RQ = {name: RIGHT_FIELDS.get(name) for name in RQ_FIELDS}


@tries(120)
@example([RIGHT_RQ.get(name) if name != "pid" else "1_0" for name in RQ_FIELDS], 0)
@example([RIGHT_RQ.get(name) if name != "pid" else " 100\n" for name in RQ_FIELDS], 0)
@example([RIGHT_RQ.get(name) for name in RQ_FIELDS], "1_0")
@given(
    st.tuples(*map(field, RQ_FIELDS)),
    st.one_of(st.integers(0, 5), JSON),
)
def test_an_rq_record_is_what_rq_writes_or_unknown(fields: Sequence[Any], executions: Any) -> None:
    values = dict(zip(RQ_FIELDS, fields, strict=True))
    try:
        record = rq_records.parse_record("rq:worker:1", fields, executions)
    except Unknown as error:
        assert_one_line(str(error))
        return
    if record is None:
        assert values["hostname"] is None or values["death"] is not None
        return
    assert re.fullmatch("[0-9]{1,10}", values["pid"]) and record.pid == int(values["pid"])
    assert is_whole(record.busy) and record.busy >= executions and is_whole(executions)
    assert record.busy or values["state"] != "busy"
    assert math.isfinite(record.birth)


@tries(120)
@given(
    st.tuples(
        *[st.one_of(st.none(), FIELD_VALUES["last_heartbeat"], TEXT_VALUES)] * 2, st.none() | JSON_TEXTS
    )
)
def test_a_resque_record_is_what_resque_writes_or_unknown(values: Sequence[Any]) -> None:
    try:
        record = resque_records.parse_record(f"{HOST}:{PID}:a,b", PID, values)
    except Unknown as error:
        assert_one_line(str(error))
        return
    if record is None:
        assert values[0] is None
        return
    assert math.isfinite(record.started) and (record.heartbeat is None or math.isfinite(record.heartbeat))
    assert (record.jobs == ()) is (not values[2]) is (not record.is_working)
    assert record.jobs is None or all(isinstance(job, str) for job in record.jobs)


@tries(60)
@given(
    st.one_of(TEXTS, near(st.sampled_from([f"{HOST}:{PID}:0a1b", f"{HOST}:{PID}:a,b:c"]))),
)
def test_a_host_and_a_pid_are_read_from_an_identity_or_nothing(identity: str) -> None:
    for module in (sidekiq_records, resque_records):
        owner = module.owner_in(identity)
        assert owner is None or (owner[0] and identity.startswith(f"{owner[0]}:") and is_whole(owner[1]))


def test_the_right_record_is_read() -> None:
    """Or the stricter reader above would never be asked."""
    record = sidekiq_records.parse_record(
        str(INFO["identity"]), PID, _sidekiq_fields(busy="1"), [to_text(WORK)]
    )
    assert record is not None and record.jobs == ("HardJob",) and record.quiet
