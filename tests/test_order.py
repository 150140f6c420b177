"""The list of the long tests: it names files that exist, and they begin first."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.order import LONG, LONGEST, place_of

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
