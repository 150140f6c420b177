"""The two sizes between which a worker's memory lies, if its measure cannot be read."""

from __future__ import annotations

import pytest

from supervisor_memkill.processes import Measure
from supervisor_memkill.world.bounds import bounds_of_one, bounds_of_tree
from supervisor_memkill.world.linux_process import Resident

PARENT = Resident(rss=80, anonymous=70, peak=90, swap=5)
CHILD = Resident(rss=500, anonymous=490, peak=600, swap=10)
FRESH = Resident(rss=75, anonymous=70, peak=75)


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ("pss", (80 + 500 + 500, 70 + 400 + 400)),
        ("uss", (80 + 500 + 500, 400 + 400)),
        ("pss+swap", (85 + 510 + 510, 70 + 395 + 395)),
    ],
)
def test_a_child_surely_owns_what_is_above_the_peak_of_its_parent(
    measure: Measure, expected: tuple[int, int]
) -> None:
    size = bounds_of_tree({1: PARENT, 2: CHILD, 3: CHILD}, {2: 1, 3: 1}, measure, "denied")
    assert (size.most_bytes, size.least_bytes) == expected
    assert size.lost == "denied"


def test_what_a_fresh_child_got_from_its_parent_is_not_counted_twice() -> None:
    size = bounds_of_tree({1: PARENT, 2: FRESH, 3: FRESH}, {2: 1, 3: 1}, "pss", "denied")
    assert size.least_bytes == 70


def test_a_grandchild_got_its_memory_from_its_own_parent() -> None:
    size = bounds_of_tree({1: PARENT, 2: CHILD, 3: CHILD}, {2: 1, 3: 2}, "pss", "denied")
    assert size.least_bytes == 70 + (490 - 90)


def test_without_anonymous_memory_nothing_is_sure() -> None:
    """A kernel that does not show it: the upper size alone counts."""
    size = bounds_of_tree({1: Resident(80), 2: Resident(500)}, {2: 1}, "pss", "denied")
    assert (size.most_bytes, size.least_bytes) == (580, 0)


@pytest.mark.parametrize(
    ("measure", "descendants", "least"), [("pss", 0, 490), ("pss", 1, 245), ("uss", 0, 490), ("uss", 1, 0)]
)
def test_a_process_alone_shares_with_its_descendants_at_most(
    measure: Measure, descendants: int, least: int
) -> None:
    size = bounds_of_one(CHILD, descendants, measure, "denied")
    assert (size.most_bytes, size.least_bytes) == (500, least)
