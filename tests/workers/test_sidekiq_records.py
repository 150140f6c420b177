"""Sidekiq's records: parsed or refused, and matched with processes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_memkill.errors import Unknown
from supervisor_memkill.workers.ownership import LONGEST_BOOT_SECONDS, Began
from supervisor_memkill.workers.sidekiq.records import (
    Record,
    contradiction,
    owner_in,
    parse_record,
    quiet_signal,
    record_of,
    version_in_title,
    why_no_record,
)

IDENTITY = "web1:100:0a1b2c3d4e5f"
INFO = {"hostname": "web1", "pid": 100, "concurrency": 2, "queues": ["default", "low", "low"]}
RECORD = Record(IDENTITY, 100, beat=1000.0, beat_interval_seconds=5.0, busy=0, quiet=False, started_at=990.5)


def began(*pids: int, at: float = 988.0) -> dict[int, Began]:
    """These processes began at this epoch second; the first one is supervised."""
    return dict.fromkeys(pids, Began(at, at))


ANYTHING = (
    st.none()
    | st.text()
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(json.dumps)
)


def fields(busy: str = "0", beat: str = "1000.25", quiet: str = "false", **info: object) -> list[Any]:
    return [json.dumps({**INFO, **info}), busy, beat, quiet]


def parse(values: list[Any], *work: object) -> Record:
    record = parse_record(IDENTITY, 100, values, work)
    assert record is not None
    return record


def job(**payload: object) -> str:
    return json.dumps({"queue": "default", "payload": payload, "run_at": 1})


# --- identities


@pytest.mark.parametrize(
    ("identity", "owner"),
    [
        ("web1:100:0a1b2c3d4e5f", ("web1", 100)),
        ("web1:100", None),
        ("web11:100:0a1b2c3d4e5f", ("web11", 100)),
        ("web1:abc:0a1b2c3d4e5f", None),
        ("web1:-1:0a1b2c3d4e5f", None),
        ("other:web1:100:0a1b2c3d4e5f", ("other:web1", 100)),
        (":100:0a1b2c3d4e5f", None),
        ("", None),
    ],
)
def test_an_identity_holds_the_host_and_the_pid(identity: str, owner: tuple[str, int] | None) -> None:
    assert owner_in(identity) == owner


# --- parsing


def test_a_record_of_each_generation_is_read() -> None:
    old = parse(fields(busy="2", quiet="true"), job(**{"class": "A"}), job(**{"class": "B"}))
    assert (old.busy, old.quiet, old.beat, old.version) == (2, True, 1000.25, "")
    assert (old.jobs, old.beat_interval_seconds) == (("A", "B"), 5.0)
    assert old.queues == frozenset({"default", "low"})

    new = parse(fields(version="8.0.9", embedded=False))
    assert (new.version, new.embedded, new.beat_interval_seconds) == ("8.0.9", False, 10.0)
    assert parse(fields(version="8.0.9", embedded=True)).embedded


@pytest.mark.parametrize(
    ("info", "queues"),
    [
        ({"queues": ["a"], "capsules": {"x": {"weights": {"b": 0}}, "y": {"weights": {"c": 1}}}}, {"b", "c"}),
        ({"queues": ["a"], "capsules": {}}, {"a"}),
        ({"queues": ["a"], "capsules": {"x": {"weights": {"b": 0}}, "y": {}}}, {"a"}),
        ({"queues": None, "capsules": {"x": {"weights": {"b": 0}}, "y": {"weights": {}}}}, None),
        ({"queues": None, "capsules": {"x": "default"}}, None),
        ({"queues": []}, None),
        ({"queues": None}, None),
    ],
)
def test_the_queues_are_those_of_all_capsules_or_else_of_the_process_or_unknown(
    info: dict[str, Any], queues: set[str] | None
) -> None:
    assert parse(fields(**info)).queues == queues


@pytest.mark.parametrize(
    ("title", "version"),
    [
        ("sidekiq 8.1.7 app [0 of 5 busy]", "8.1.7"),
        ("sidekiq 7.1.6 queues:default,mailers [0 of 20 busy] stopping", "7.1.6"),
        ("sidekiq 7.1.6 queues:default (2),mailers [0 of 20 busy]", "7.1.6"),
        ("sidekiq 5.1.2 app [0 of 25 busy] leader", "5.1.2"),
        ("sidekiqswarm, managing 4 processes", None),
        ("ruby bin/sidekiq-cluster *", None),
    ],
)
def test_titles_of_gitlab_and_of_sidekiq_enterprise(title: str, version: str | None) -> None:
    assert version_in_title(title) == version


def test_a_hash_that_is_gone_is_no_record() -> None:
    assert parse_record(IDENTITY, 100, [None] * 4, []) is None


@pytest.mark.parametrize(
    "values",
    [
        fields(busy="-1"),
        fields(busy="x"),
        fields(beat="nan"),
        fields(beat="inf"),
        fields(quiet="yes"),
        ["[]", "0", "1.0", "false"],
        [None, "0", "1.0", "false"],
        ["{}", None, "1.0", "false"],
        ["{}", "0", "1.0", None],
    ],
)
def test_what_sidekiq_would_not_have_written_is_unknown(values: list[Any]) -> None:
    with pytest.raises(Unknown, match=IDENTITY):
        parse(values)


@given(values=st.lists(ANYTHING, min_size=4, max_size=4), work=st.lists(ANYTHING))
def test_whatever_stands_there_is_a_record_or_unknown(values: list[Any], work: list[Any]) -> None:
    try:
        record = parse_record(IDENTITY, 100, values, work)
    except Unknown:
        return
    assert record is None or record.busy >= 0


@given(info=ANYTHING, work=st.lists(ANYTHING), busy=st.integers(0, 3))
def test_a_job_that_cannot_be_named_leaves_the_jobs_unknown(info: Any, work: list[Any], busy: int) -> None:
    record = parse_record(IDENTITY, 100, fields(busy=str(busy)), [*work, "no json"])
    assert record is not None and record.jobs is None


@pytest.mark.parametrize(
    "entry",
    [
        job(**{"class": "Report", "jid": "1"}),
        json.dumps({"queue": "default", "payload": json.dumps({"class": "Report"}), "run_at": 1}),
        job(**{"class": "Sidekiq::ActiveJob::Wrapper", "wrapped": "Report"}),
    ],
    ids=["object, up to 6.0.1", "JSON, from 6.0.3", "Active Job"],
)
def test_a_running_job_is_named_by_its_class(entry: str) -> None:
    assert parse(fields(busy="1"), entry).jobs == ("Report",)


def test_fewer_jobs_than_busy_are_unknown() -> None:
    assert parse(fields(busy="2"), job(**{"class": "A"})).jobs is None


# --- freshness


@pytest.mark.parametrize(
    ("interval", "age", "fresh"),
    [(5, 14.9, True), (5, 15, False), (10, 29.9, True), (10, 30, False), (5, -1, True), (5, -3, False)],
)
def test_a_beat_is_fresh_for_three_beats_and_never_from_the_future(
    interval: float, age: float, fresh: bool
) -> None:
    record = replace(RECORD, beat_interval_seconds=interval)
    assert record.is_fresh(record.beat + age) is fresh


# --- which record


def test_a_process_gets_its_own_record_before_that_of_a_child() -> None:
    child = replace(RECORD, identity="web1:101:c", pid=101)
    assert record_of(began(100, 101), 1001, [child, RECORD]) == RECORD


def test_behind_a_wrapper_the_descendants_record_is_found() -> None:
    assert record_of(began(99, 100), 1001, [RECORD]) == RECORD
    assert record_of(began(99, 98), 1001, [RECORD]) is None


def test_a_ghost_of_an_earlier_process_with_the_same_pid_is_left_out() -> None:
    """In a container that restarts every pid comes round again, while the old beat is still fresh."""
    assert record_of(began(100, at=1001), wall=1002, records=[RECORD]) is None
    reborn = replace(RECORD, identity="web1:100:b", beat=1003.0, started_at=1002.5)
    assert record_of(began(100, at=1001), wall=1004, records=[RECORD, reborn]) == reborn


@pytest.mark.parametrize(
    ("seconds", "fits"),
    [(-3600, False), (-0.1, False), (0, True), (60, True), (LONGEST_BOOT_SECONDS, True), (7200, False)],
)
def test_a_record_of_the_same_host_and_pid_is_its_own_only_if_it_began_with_it(
    seconds: float, fits: bool
) -> None:
    """Containers share host names: another's record must not be believed, whatever it says."""
    stranger = replace(RECORD, started_at=988 + seconds, quiet=True)
    processes = {100: Began(then=988, now=5e6)}
    assert (record_of(processes, 1001, [stranger]) == stranger) is fits
    if not fits:
        why = why_no_record(processes, 1001, [stranger])
        assert stranger.identity in why and ("before this" if seconds < 0 else "after this") in why
        assert "same host name" in why


def test_a_record_from_after_the_clock_was_set_fits_by_the_present_clock() -> None:
    """A machine without a battery boots in 1970, and gets the time when its workers already boot."""
    assert record_of({100: Began(then=-9000, now=988)}, 1001, [RECORD]) == RECORD
    assert record_of({100: Began(then=-9000, now=2000)}, 1001, [RECORD]) is None


def test_a_record_without_its_start_is_nobodys() -> None:
    assert record_of(began(100), 1001, [replace(RECORD, started_at=0.0)]) is None


@pytest.mark.parametrize(
    ("quiet", "version", "title", "against"),
    [
        (False, "", "sidekiq 6.4.1 app [0 of 5 busy]", ""),
        (True, "", "sidekiq 6.4.1 app [0 of 5 busy] stopping", ""),
        (True, "", "sidekiq 6.4.1 app [0 of 5 busy]", "at work by its process title"),
        (False, "", "sidekiq 6.4.1 app [0 of 5 busy] stopping", "quiet by its process title"),
        (False, "7.3.10", "sidekiq 7.3.10 app [0 of 5 busy] leader", ""),
        (False, "7.0.0.beta1", "sidekiq 7.0.0.beta1 app [0 of 5 busy]", ""),
        (False, "7.3.10", "sidekiq 7.3.2 app [0 of 5 busy]", "of Sidekiq 7.3.10"),
        (True, "", "java -jar app.jar", ""),
        (True, "", "sidekiq 6.4.1 a very long name that was cut", ""),
    ],
)
def test_the_process_title_may_show_that_a_record_is_anothers(
    quiet: bool, version: str, title: str, against: str
) -> None:
    words = contradiction(replace(RECORD, quiet=quiet, version=version), title)
    assert against in words and bool(words) is bool(against)


@pytest.mark.parametrize(
    ("reported", "started_at"),
    [(5.5, 5.5), (7, 7.0), (None, 0.0), ("x", 0.0), (True, 0.0), (1e300, 0.0), (-1, 0.0)],
)
def test_when_a_process_began_is_a_number_or_nothing(reported: object, started_at: float) -> None:
    info = json.dumps({"queues": [], "started_at": reported})
    record = parse_record("web1:100:a", 100, [info, "0", "1000.5", "false"], [])
    assert record is not None and record.started_at == started_at


def test_of_several_records_the_one_that_still_beats_counts() -> None:
    stale = replace(RECORD, identity="web1:100:b", beat=900.0)
    assert record_of(began(100), 1001, [stale, RECORD]) == RECORD


def test_two_that_beat_under_one_pid_are_unknown() -> None:
    twin = replace(RECORD, identity="web1:100:b", beat=1000.5)
    with pytest.raises(Unknown, match="two machines"):
        record_of(began(100), 1001, [RECORD, twin])


def test_several_sidekiqs_under_one_supervised_process_are_unknown() -> None:
    sibling = replace(RECORD, identity="web1:101:b", pid=101)
    with pytest.raises(Unknown, match="2 Sidekiq processes"):
        record_of(began(99, 100, 101), 1001, [RECORD, sibling])


def test_a_stale_record_is_unknown() -> None:
    with pytest.raises(Unknown, match="no beat from Sidekiq for 100 s"):
        record_of(began(100), 1100, [RECORD])
    with pytest.raises(Unknown, match="in the future"):
        record_of(began(100), 900, [RECORD])


# --- versions


@pytest.mark.parametrize(
    ("title", "version"),
    [
        ("sidekiq 6.4.1 myapp [1 of 3 busy] stopping", "6.4.1"),
        ("sidekiq 6.4.1  [0 of 2 busy]", "6.4.1"),
        ("sidekiq 8.0.0.beta1 x [0 of 2 busy]", "8.0.0"),
        ("/usr/bin/ruby /usr/bin/sidekiq -r app.rb", None),
        ("sidekiq -r app.rb -c 2", None),
        ("sh -c sidekiq 6.4.1 myapp [1 of 3 busy]", None),
        ("sidekiqswarm, managing 2 processes", None),
        ("", None),
    ],
)
def test_only_a_booted_sidekiq_has_its_title(title: str, version: str | None) -> None:
    assert version_in_title(title) == version


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ("4.2.8", "USR1"),
        ("4.1", "USR1"),
        ("4.2.9", "TSTP"),
        ("4.2.10", "TSTP"),
        ("5.0.0", "TSTP"),
        ("6.4.1", "TSTP"),
        ("10.0", "TSTP"),
        ("", "TSTP"),
    ],
)
def test_usr1_is_for_versions_known_to_be_too_old_for_tstp(version: str, name: str) -> None:
    """It kills Sidekiq 6 and later."""
    assert quiet_signal(version) == name
