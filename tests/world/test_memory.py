"""How large a process and its tree are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from supervisor_memkill.errors import Unknown
from supervisor_memkill.processes import Measure, MemorySize
from supervisor_memkill.world.memory import Gone, ProcessTable, Resident, Unmeasurable
from tests.world.fake_processes import FAMILY, FakeBackend


def test_memory_alone_asks_for_no_tree() -> None:
    backend = FakeBackend(FAMILY)
    assert ProcessTable(backend).memory(10) == 100
    assert backend.parents_read == 0


@pytest.mark.parametrize(
    ("measure", "with_children", "expected"),
    [("rss", False, 100), ("rss", True, 4123), ("pss", False, 50), ("uss", True, 50 + 10 + 1 + 2000)],
)
def test_memory_is_the_process_or_its_whole_tree(
    measure: Measure, with_children: bool, expected: int
) -> None:
    assert ProcessTable(FakeBackend(FAMILY)).memory(10, measure, with_children) == expected


def test_a_child_that_ends_meanwhile_counts_nothing() -> None:
    zombie = {**FAMILY, 12: replace(FAMILY[12], size=Gone("ended"))}
    table = ProcessTable(FakeBackend(zombie, vanishing={14: 10}))
    assert table.memory(10, with_children=True) == 4120


def test_a_child_that_cannot_be_read_makes_the_sum_unknown() -> None:
    """Left out, it would make a bloated worker look small."""
    denied = {**FAMILY, 12: replace(FAMILY[12], size=Unknown("denied"))}
    with pytest.raises(Unknown, match="denied"):
        ProcessTable(FakeBackend(denied)).memory(10, with_children=True)


@pytest.mark.parametrize("with_children", [False, True])
def test_a_process_that_is_gone_has_unknown_memory(with_children: bool) -> None:
    with pytest.raises(Unknown, match="no process 5"):
        ProcessTable(FakeBackend(FAMILY)).memory(5, with_children=with_children)


def test_a_measure_that_was_read_is_exact() -> None:
    assert ProcessTable(FakeBackend(FAMILY)).measured(10, "pss", True) == MemorySize(2061, 2061)


def test_one_process_that_cannot_be_measured_leaves_the_sizes_of_its_whole_tree() -> None:
    """Sums of PSS and of RSS have no meaning."""
    sizes = {pid: replace(one, resident=Resident(one.size, one.size)) for pid, one in FAMILY.items()}  # type: ignore[arg-type]
    sizes[13] = replace(sizes[13], size=Unmeasurable("denied"))
    size = ProcessTable(FakeBackend(sizes)).measured(10, "pss", with_children=True)
    assert size == MemorySize(4123, 4123, "denied")
    assert ProcessTable(FakeBackend(sizes)).measured(10, "pss") == MemorySize(50, 50)


def test_a_process_that_is_gone_has_no_sizes() -> None:
    with pytest.raises(Gone):
        ProcessTable(FakeBackend(FAMILY)).measured(5, "pss", True)
