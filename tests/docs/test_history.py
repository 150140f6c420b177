"""The page on the history shows what the command prints, and documents all that its JSON has."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

from supervisor_memkill.commands.history_screen import screen
from supervisor_memkill.commands.history_values import OUTCOMES, Wanted, as_json, shown
from supervisor_memkill.commands.terminal import Terminal
from supervisor_memkill.listener import line_file
from supervisor_memkill.notices import curves, records
from supervisor_memkill.notices.records import DrainRecord, HeldRecord, Record
from tests.docs.pages import DOCS, blocks
from tests.notices.record_values import drain, held, killed

PAGE = DOCS / "history.rst"


def at(hour: int, minute: int) -> float:
    return time.mktime((2026, 11, 29, hour, minute, 0, 0, 0, -1))


NIGHT: tuple[Record, ...] = (
    drain(at=at(3, 12)),
    killed(
        at=at(3, 40),
        worker="sidekiq:sidekiq_1",
        cause="drain_timeout",
        quiet_seconds=3600.0,
        stopped_seconds=10.5,
        took_seconds=3674.0,
    ),
    drain(
        at=at(4, 2),
        worker="sidekiq:sidekiq_2",
        reason="restart",
        outcome="let_go",
        cause="stopped_by_others",
        after_bytes=None,
        took_seconds=300.0,
    ),
    held(at=at(5, 1), worker="sidekiq:sidekiq_3"),
)


def test_page_shows_the_screen_that_the_command_prints_at_80_columns() -> None:
    (example,) = [block for block in blocks(PAGE) if block.startswith("WHEN")]
    assert example.splitlines() == screen(shown(NIGHT, Wanted()), Terminal(80))


def without_times(value: Any) -> Any:
    """The documented times are those of one time zone."""
    if isinstance(value, dict):
        return {key: without_times(one) for key, one in value.items() if key not in ("at", "since")}
    return [without_times(one) for one in value] if isinstance(value, list) else value


def test_page_shows_the_json_that_the_command_writes() -> None:
    (example,) = [block for block in blocks(PAGE) if block.startswith("{")]
    written = json.loads(as_json(shown([NIGHT[1], NIGHT[3]], Wanted(since=1.0))))
    assert without_times(json.loads(example)) == without_times(written)
    assert list(json.loads(example)) == list(written)


def test_page_shows_every_field_of_every_record() -> None:
    (example,) = [json.loads(block) for block in blocks(PAGE) if block.startswith("{")]
    for documented, made in zip(example["records"], (DrainRecord, HeldRecord), strict=True):
        assert list(documented)[1:] == [field.name for field in dataclasses.fields(made)]


def test_page_gives_the_bounds_of_the_code() -> None:
    text = " ".join(PAGE.read_text().split())
    assert f"At {line_file.MAX_BYTES // 1024**2} MB it is renamed" in text
    assert f"Up to {line_file.MAX_WAITING} records" in text
    assert f"at most {curves.MAX_POINTS + 1}" in text
    assert f"At most {records.MAX_NAMES} classes are kept" in text
    assert all(f"``{outcome}``" in text for outcome in OUTCOMES)
