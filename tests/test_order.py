"""The list of the long tests names files that exist; they begin first; real ones wait for a busy machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.order import LONG, LONGEST, place_of, runnable, wait_for_room

ROOT = Path(__file__).parent.parent
FILES = [path.relative_to(ROOT).as_posix() for path in Path(__file__).parent.rglob("test_*.py")]


@pytest.mark.parametrize("beginning", [*LONGEST, *LONG])
def test_each_entry_names_files_that_exist(beginning: str) -> None:
    assert any(file.startswith(beginning) for file in FILES)


def test_long_tests_begin_first_and_short_ones_keep_the_order_of_their_files() -> None:
    ids = ["tests/rules/test_drain.py::b", "tests/rules/test_drain.py::a", "tests/real/test_rq.py::x"]
    ids += ["tests/real/test_blind.py::x", "tests/real/test_serve.py::x"]
    in_order = sorted(ids, key=place_of)
    assert in_order[0] == "tests/real/test_rq.py::x"
    assert set(in_order[1:3]) == {"tests/real/test_blind.py::x", "tests/real/test_serve.py::x"}
    assert in_order[3:] == ids[:2]


def test_a_test_waits_while_far_too_many_processes_want_to_run() -> None:
    counts = [500, 500, 1, 500]
    pauses: list[float] = []
    wait_for_room(lambda: counts.pop(0), pauses.append)
    assert len(pauses) == 2 and counts == [500]


def test_it_begins_at_last_on_a_machine_that_stays_busy() -> None:
    pauses: list[float] = []
    wait_for_room(lambda: 500, pauses.append, at_most_seconds=10)
    assert 10 <= sum(pauses) < 11


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/stat")
def test_linux_tells_that_this_very_process_runs() -> None:
    assert runnable() >= 1
