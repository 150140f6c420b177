"""The journal's format: every field has a reader, and journals of format 1 are still read."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from supervisor_memkill.listener.journal_format import (
    BACK_OFF_READERS,
    DRAIN_READERS,
    STOP_READERS,
    Contents,
    Reader,
    decode,
    drain_from_json,
    drain_to_json,
    encode,
)
from supervisor_memkill.processes import ProcessId
from supervisor_memkill.rules.back_off import BackOff, BackOffCause
from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.rules.drain import Drain, State, Stop, StopAnswer
from tests.rules.steps import stopping

FORMAT_1 = Path(__file__).parent / "journals" / "format-1.journal"
"""Written by the version before format 2, with a drain in every state."""


@pytest.mark.parametrize(
    ("made", "readers"), [(Drain, DRAIN_READERS), (Stop, STOP_READERS), (BackOff, BACK_OFF_READERS)]
)
def test_every_field_has_a_reader(made: type, readers: Mapping[str, Reader]) -> None:
    assert {field.name for field in dataclasses.fields(made)} == readers.keys()


def test_contents_survive_the_format() -> None:
    drain = stopping(
        stop_answer=StopAnswer.ACCEPTED,
        stop_busy=2,
        stop_jobs=("Mail", "Report"),
        stop_was_kill=True,
        tree=(ProcessId(5, 1.25),),
        note={"b1": 1.5, "identity": "h:5:x"},
    )
    contents = Contents(
        drains={drain.worker: drain},
        drain_ended_at={"jobs": 1.5},
        back_offs={"jobs:two": BackOff(10.0, 600.0, BackOffCause.AFTER_RESUME, 200)},
        instance="ab12",
        listener="web1/supervisor",
        listener_since=3.5,
        adopts=True,
    )
    assert decode(encode(contents, "this boot", 20.0).encode(), 21.0) == (contents, "this boot")


def test_field_that_a_journal_lacks_has_its_default() -> None:
    values = json.loads(json.dumps(drain_to_json(stopping())))
    del values["memory_after_bytes"], values["stop"]["margin_seconds"], values["stop"]["last_asked_epoch"]
    del values["stop"]["busy"], values["stop"]["jobs"], values["stop"]["was_kill"]
    read = drain_from_json(values)
    assert (read.stop.margin_seconds, read.memory_after_bytes, read.stop.last_asked_epoch) == (5.0, None, 0)
    assert (read.stop.busy, read.stop.jobs, read.stop.was_kill) == (None, None, False)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("since", [True, "5", float("nan"), 2**63, -(2**63)]),
        ("pid", [True, 1.0, -1, 2**63]),
        ("worker", [None, 7]),
        ("is_quiet", [None, 1]),
        ("note", [None, []]),
        ("stop", [None, [], 5]),
        ("reason", [None, "", "of no version"]),
    ],
)
def test_value_of_another_type_is_refused(name: str, values: Sequence[object]) -> None:
    for wrong in values:
        with pytest.raises(ValueError, match=r"is no|is neither|is below|is not a valid"):
            drain_from_json({**drain_to_json(stopping()), name: wrong})


def test_journal_of_format_1_is_read_whole() -> None:
    contents, boot = decode(FORMAT_1.read_bytes(), 64.0)
    assert boot == "this boot"
    states = {name: drain.state for name, drain in contents.drains.items()}
    assert states == {
        f"jobs:{state.value}": state
        for state in State
        if state not in (State.DONE, State.LET_GO, State.RESUMING)
    }
    stop = contents.drains["jobs:stopping"].stop
    assert stop == Stop(30.0, 2, 1_000_500, 1_000_510, 10.0, StopAnswer.ACCEPTED, 61.0)
    assert contents.drains["jobs:stopping"].reason is Reason.HARD_MAX_RSS
    assert contents.drains["jobs:stopping"].tree == (ProcessId(103, 9.25), ProcessId(203, 9.5))
    assert contents.drains["jobs:draining"].reason is Reason.ADOPTED
    assert contents.back_offs == {
        "jobs:a": BackOff(900.0, 600.0, BackOffCause.BELOW_BASELINE, 200),
        "jobs:b": BackOff(901.0, 1200.0, BackOffCause.AFTER_RESUME),
        "jobs:c": BackOff(75.0, 15.0, BackOffCause.NOT_BEGUN),
    }
    assert (contents.instance, contents.listener, contents.listener_since, contents.adopts) == (
        "ab12cd34ab12cd34",
        "web1/supervisor",
        5.0,
        True,
    )
    assert contents.drain_ended_at == {"jobs": 40.0, "other": 41.5}


def test_jobs_of_a_stop_are_a_list_of_texts() -> None:
    values = json.loads(json.dumps(drain_to_json(stopping(stop_jobs=("Mail",)))))
    for wrong in ("Mail", {"Mail": 1}, [1], 5):
        with pytest.raises(ValueError, match=r"is not a list|is no"):
            drain_from_json({**values, "stop": {**values["stop"], "jobs": wrong}})


def with_checksum(body: object, *, is_former: bool) -> bytes:
    """A journal with this body. `is_former`: as former listeners wrote it."""
    text = json.dumps(body, sort_keys=True).encode()
    checksum = {"sha256": hashlib.sha256(text).hexdigest()} if is_former else {"crc32": zlib.crc32(text)}
    return json.dumps({**checksum, "body": body}).encode()


@pytest.mark.parametrize("is_former", [False, True])
def test_unknown_format_is_named(is_former: bool) -> None:
    body = {**json.loads(encode(Contents(), "boot", 5.0))["body"], "format": 9}
    with pytest.raises(ValueError, match="its format 9 is not known"):
        decode(with_checksum(body, is_former=is_former), 6.0)


def test_journal_of_a_former_listener_is_read() -> None:
    """It had another checksum: its drains go on after an update all the same."""
    contents = Contents(drain_ended_at={"jobs": 40.0}, instance="ab12cd34ab12cd34")
    body = json.loads(encode(contents, "boot", 50.0))["body"]
    assert decode(with_checksum(body, is_former=True), 60.0) == (contents, "boot")


@pytest.mark.parametrize("is_former", [False, True])
def test_changed_journal_is_damaged(is_former: bool) -> None:
    body = json.loads(encode(Contents(instance="ab12cd34ab12cd34"), "boot", 5.0))["body"]
    changed = with_checksum(body, is_former=is_former).replace(b"ab12", b"ab13")
    with pytest.raises(ValueError, match="its checksum is wrong"):
        decode(changed, 6.0)


@pytest.mark.parametrize(
    ("boot_id", "saved_at", "expected"),
    [("this boot", 5.0, "this boot"), ("this boot", 9.0, "this boot"), ("", 5.0, ""), ("", 6.0, "")],
)
def test_boot_is_that_of_the_journal(boot_id: str, saved_at: float, expected: str) -> None:
    assert decode(encode(Contents(), boot_id, saved_at).encode(), 6.0)[1] == expected


def test_clock_that_went_back_shows_another_boot_where_boots_have_no_id() -> None:
    assert decode(encode(Contents(), "", 7.0).encode(), 6.0)[1] == "an earlier one"
