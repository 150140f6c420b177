"""The journal's file, whatever became of it."""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supervisor_memkill.listener import journal, journal_format, journal_place
from supervisor_memkill.listener.journal import Journal, JournalError
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.processes import ProcessId
from supervisor_memkill.rules.back_off import BackOff, BackOffCause
from supervisor_memkill.rules.causes import Reason, StepCause
from supervisor_memkill.rules.drain import Drain, State, Stop, StopAnswer
from supervisor_memkill.rules.evidence import Evidence, EvidenceState
from tests.fuzz.effort import tries
from tests.fuzz.values import DEEP, JSON, assert_one_line, is_number, is_whole, near, near_json, to_text
from tests.harness import short_directory

BOOT = "0a1b-2c3d"
DRAIN = Drain(
    worker="jobs:one",
    pool="jobs",
    token="t1",
    reason=Reason.MAX_RSS,
    pid=812,
    start=1_700_000_000,
    state=State.STOPPING,
    began_at=100.5,
    since=130.0,
    deadline=3700.5,
    memory_before_bytes=300,
    limit_bytes=200,
    note={"identity": "host:812:ab", "quiet_beat": 99.5},
    quiet_attempts=1,
    quiet_sent_at=101.0,
    quiet_acknowledged=True,
    is_quiet=True,
    evidence=Evidence(EvidenceState.FAILED, 120.0, 2.5, "dump: status 1"),
    stop=Stop(
        attempts=1,
        asked_epoch=1_700_000_100,
        answer=StopAnswer.ACCEPTED,
        sent_at=130.0,
        busy=2,
        jobs=("Mail", "Report"),
        cause=StepCause.IDLE,
    ),
    tree=(ProcessId(812, 5.25), ProcessId(813, 6.5)),
    quiet_seconds=29.0,
)
DAMAGED = Contents(epochs=None)
CONTENTS = Contents(
    {"jobs:one": DRAIN},
    {"jobs": 90.5},
    {"jobs:two": BackOff(700.0, 600.0, BackOffCause.BELOW_BASELINE)},
    instance="0123456789abcdef",
)
BODY: Mapping[str, Any] = json.loads(journal_format.encode(CONTENTS, BOOT, 5.0))["body"]


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    """In a directory for its owner alone, as a journal's is."""
    with short_directory() as directory:
        own = directory / "own"
        own.mkdir(mode=0o700)
        yield own / "memkill.journal"


def sealed(body: Any) -> bytes:
    """A whole journal with this body: what another version, or one with a fault, may have written."""
    checksum = zlib.crc32(json.dumps(body, sort_keys=True).encode())
    return json.dumps({"crc32": checksum, "body": body}).encode()


def is_id(value: object) -> bool:
    return isinstance(value, str)


def or_none(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or check(value)


def is_tree(value: object) -> bool:
    return isinstance(value, tuple) and all(is_whole(one.pid) and is_number(one.created) for one in value)


CHECKS: Mapping[str, Callable[[object], bool]] = {
    "str": is_id,
    "int": is_whole,
    "float": is_number,
    "bool": lambda value: isinstance(value, bool),
    "int | None": or_none(is_whole),
    "float | None": or_none(is_number),
    "State": lambda value: isinstance(value, State),
    "StopAnswer": lambda value: isinstance(value, StopAnswer),
    "Reason": lambda value: isinstance(value, Reason),
    "Stop": lambda value: isinstance(value, Stop) and fields_are_right(value),
    "Evidence | None": or_none(lambda value: isinstance(value, Evidence) and fields_are_right(value)),
    "EvidenceState": lambda value: isinstance(value, EvidenceState),
    "Mapping[str, Any]": lambda value: isinstance(value, dict),
    "tuple[ProcessId, ...]": is_tree,
    "StepCause | None": or_none(lambda value: isinstance(value, StepCause)),
    "tuple[str, ...] | None": or_none(
        lambda value: isinstance(value, tuple) and all(isinstance(one, str) for one in value)
    ),
}


def fields_are_right(value: Drain | Stop | Evidence) -> bool:
    for one in dataclasses.fields(value):
        field = getattr(value, one.name)
        assert CHECKS[str(one.type)](field), f"{one.name}: {field!r}"
    return True


def assert_are_right(contents: Contents) -> None:
    for worker, drain in contents.drains.items():
        assert worker == drain.worker
        assert fields_are_right(drain)
    for pool, at in contents.drain_ended_at.items():
        assert is_id(pool) and is_number(at)
    for worker, pause in contents.back_offs.items():
        assert is_id(worker) and is_number(pause.until) and is_number(pause.seconds)
    assert is_id(contents.instance)


def assert_right_or_set_aside(path: Path, data: bytes) -> Contents:
    path.write_bytes(data)
    peeked = journal.peek(path, BOOT)
    assert_are_right(peeked)
    own = Journal(path, BOOT)
    loaded = own.load()
    assert_are_right(loaded.contents)
    assert loaded.contents == peeked
    if loaded.damaged:
        assert_one_line(loaded.damaged)
        assert loaded.contents == DAMAGED and not path.exists()
    else:
        own.save(loaded.contents)
        assert loaded.other_boot or own.load().contents == loaded.contents
    return loaded.contents


@tries(75)
@given(
    st.one_of(
        st.binary(max_size=200),
        JSON.map(to_text).map(str.encode),
        near(st.just(sealed(BODY).decode())).map(str.encode),
    )
)
def test_any_bytes_are_the_whole_journal_or_none_of_it(path: Path, data: bytes) -> None:
    assert assert_right_or_set_aside(path, data) in (DAMAGED, CONTENTS)


@tries(75)
@given(st.data())
def test_bits_that_flipped_are_noticed(path: Path, data: st.DataObject) -> None:
    whole = bytearray(sealed(BODY))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert assert_right_or_set_aside(path, bytes(whole)) in (DAMAGED, CONTENTS)


def with_drain(**values: Any) -> dict[str, Any]:
    return {**BODY, "drains": [{**BODY["drains"][0], **values}]}


@tries(200)
@example(with_drain(deadline="soon"))
@example(with_drain(deadline=float("nan")))
@example(with_drain(pid=True))
@example(with_drain(worker=None))
@example(with_drain(pool=[]))
@example(with_drain(tree=[[10**400, 1.0]]))
@example(with_drain(tree=[[1, 10**400]]))
@example(with_drain(tree=[[float("inf"), 1.0]]))
@example(with_drain(note=[]))
@example(with_drain(since=10**400))
@example({**BODY, "drain_ended_at": {"jobs": 10**400}})
@example({**BODY, "drain_ended_at": {"jobs": "nan"}})
@example({**BODY, "back_offs": {"jobs:one": {"until": 10**400, "seconds": 1}}})
@example({**BODY, "instance": {}})
@example({**BODY, "format": 2})
@given(near_json(dict(BODY)))
def test_a_sealed_journal_with_wrong_values_is_set_aside(path: Path, body: Any) -> None:
    """What is wrong in one value may be wrong in all; a listener that cannot start helps no worker."""
    assert_right_or_set_aside(path, sealed(body))


@pytest.mark.parametrize(
    "data", [b"", b"null", b"{}", DEEP.encode(), sealed([]), sealed({}), b"\xff", b"\0" * 99]
)
def test_what_is_no_journal_is_set_aside(path: Path, data: bytes) -> None:
    assert assert_right_or_set_aside(path, data) == DAMAGED


@tries(30)
@given(st.binary(max_size=60))
def test_whoever_holds_the_journal_is_told_in_a_line(path: Path, holder: bytes) -> None:
    first, second = Journal(path, BOOT), Journal(path, BOOT)
    first.lock()
    try:
        path.with_name(path.name + ".lock").write_bytes(holder)
        with pytest.raises(JournalError) as told:
            second.lock()
        assert_one_line(str(told.value))
    finally:
        first.unlock()


@tries(50)
@given(st.one_of(st.text(max_size=60), near(st.just("http://127.0.0.1:9001"))))
def test_every_address_has_a_file_of_its_own_in_the_journals_directory(url: str) -> None:
    place = journal_place.place([url], url, {"XDG_RUNTIME_DIR": "/run/user/7"}, 7)
    assert place.path.parent == journal_place.directory_of(7)
    assert Path("/run/user/7/supervisor-memkill") in {path.parent for path in place.former}
    for found in (place.path, *place.former):
        assert found.suffix == ".journal" and len(found.name) < 80 and found.name.isascii()
