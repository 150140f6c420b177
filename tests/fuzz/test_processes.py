"""What the operating system says of processes and of its memory."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supervisor_memkill.errors import Unknown
from supervisor_memkill.processes import MEASURES, Measure, ProcessId
from supervisor_memkill.world.machine import memory_limit_bytes
from supervisor_memkill.world.memory import Gone, ProcessTable, PsutilBackend, Resident, Unmeasurable
from tests.fuzz.effort import tries
from tests.fuzz.values import LONE_HALVES, NUMBER_TEXTS, TEXTS, assert_one_line, near
from tests.harness import short_directory

PIDS = st.integers(0, 6)
STATUSES = st.sampled_from(
    ["running", "sleeping", psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE, "parked", "?", ""]
)
MAX_QUESTIONS = 2000
"""Far more than any question about seven processes takes."""


class Processes:
    """A backend that answers from a table, where some answers fail."""

    def __init__(
        self,
        parents: Mapping[int, int],
        created: Mapping[int, float],
        failing: Mapping[int, type[Unknown]],
        titles: Sequence[str],
        status: str,
    ) -> None:
        self._parents, self._created, self._failing = parents, created, failing
        self._titles, self._status = titles, status
        self._questions = 0

    def _ask(self, pid: int) -> None:
        self._questions += 1
        assert self._questions < MAX_QUESTIONS, "it asks without an end"
        if pid in self._failing:
            raise self._failing[pid]("it cannot be read")

    def parents(self) -> Mapping[int, int]:
        return self._parents

    def created(self, pid: int) -> float:
        self._ask(pid)
        return self._created.get(pid, 1.0)

    def generations(self) -> Mapping[int, int]:
        return {}

    def memory_bytes(self, pid: int, measure: Measure) -> int:
        self._ask(pid)
        return pid + 1

    def resident(self, pid: int) -> Resident:
        self._ask(pid)
        return Resident(rss=pid + 1, anonymous=pid, peak=pid + 1)

    def status(self, pid: int) -> str:
        self._ask(pid)
        return self._status

    def command_line(self, pid: int) -> Sequence[str]:
        self._ask(pid)
        return self._titles

    def caught_signals(self, pid: int) -> int:
        self._ask(pid)
        return pid

    def blocked_signals(self, pid: int) -> int:
        self._ask(pid)
        return pid

    def directory(self, pid: int) -> str:
        self._ask(pid)
        return "/"

    def environment(self, pid: int) -> Mapping[str, str]:
        self._ask(pid)
        return {}

    def group(self, pid: int) -> int:
        self._ask(pid)
        return self._parents.get(pid, pid)

    def control_group(self, pid: int) -> str:
        return self._status


FAILURES = st.dictionaries(PIDS, st.sampled_from([Gone, Unknown, Unmeasurable]), max_size=3)
BACKENDS = st.builds(
    Processes,
    st.dictionaries(PIDS, PIDS, max_size=7),
    st.dictionaries(PIDS, st.sampled_from([1.0, 2.0, 3.0])),
    FAILURES,
    st.lists(TEXTS | LONE_HALVES, max_size=3),
    STATUSES,
)


@tries(150)
@example(Processes({1: 2, 2: 1}, {}, {}, [], "running"), 1)
@given(BACKENDS, PIDS)
def test_any_processes_make_a_tree_with_an_end_or_are_unknown(backend: Processes, pid: int) -> None:
    """Also where the table was read while pids came round again, so that two are each other's parent."""
    table = ProcessTable(backend)
    try:
        tree = table.tree(pid)
    except Unknown as error:
        assert_one_line(str(error))
        return
    assert tree[0].pid == pid
    assert len({one.pid for one in tree}) == len(tree)


@tries(100)
@given(BACKENDS, PIDS, st.booleans(), st.sampled_from(MEASURES))
def test_memory_is_a_number_above_0_or_unknown(
    backend: Processes, pid: int, with_children: bool, measure: Measure
) -> None:
    try:
        size = ProcessTable(backend).measured(pid, measure, with_children)
        assert 0 <= size.least_bytes <= size.most_bytes and size.most_bytes > 0
        assert bool(size.lost) or size.least_bytes == size.most_bytes
    except Unknown as error:
        assert_one_line(str(error))


@tries(100)
@given(BACKENDS, PIDS)
def test_whether_it_lives_and_what_it_is_called_is_known_or_not(backend: Processes, pid: int) -> None:
    table = ProcessTable(backend)
    assert isinstance(table.title(pid), str)
    asked: list[Callable[[], bool]] = [
        lambda: table.is_alive(ProcessId(pid, 1.0)),
        lambda: table.is_suspended(pid),
        lambda: table.is_left_behind(pid, {5, 6}),
    ]
    for is_it in asked:
        try:
            assert is_it() in (True, False)
        except Unknown as error:
            assert_one_line(str(error))
    known = (ProcessId(pid, 1.0), ProcessId(3, 2.0))
    with contextlib.suppress(Unknown):
        assert table.family(known)[:2] == known


@tries(30)
@example(-1)
@example(2**70)
@given(st.integers())
def test_any_number_is_a_pid_of_a_process_or_of_none(pid: int) -> None:
    table = ProcessTable(PsutilBackend())
    assert isinstance(table.title(pid), str)
    questions: list[Callable[[int], object]] = [table.memory, table.identify, table.is_suspended]
    for question in questions:
        try:
            question(pid)
        except Unknown as error:
            assert_one_line(str(error))


# --- the machine's memory --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    with short_directory() as directory:
        yield directory / "root"


GROUPS = near(
    st.sampled_from(
        ["0::/system.slice/x.service\n", "5:memory,cpu:/docker/ab\n0::/\n", "4:cpu:/\n", "0::/../x\n"]
    )
)
LIMITS = st.one_of(NUMBER_TEXTS, st.just("max"), st.integers(0, 2**64).map(str), TEXTS).map(
    lambda text: f"{text}\n"
)
PLACES = st.sampled_from(
    [
        "memory.max",
        "system.slice/memory.max",
        "system.slice/x.service/memory.max",
        "memory/memory.limit_in_bytes",
    ]
)


@tries(100)
@example("0::/\n", {"memory.max": "9" * 5000})
@example("0::/\n", {"memory.max": "0"})
@example("0::/a\0b\n", {})
@given(GROUPS | TEXTS, st.dictionaries(PLACES, LIMITS, max_size=4))
def test_whatever_the_control_groups_say_the_limit_is_above_0_and_no_more_than_the_machine_has(
    root: Path, groups: str, limits: Mapping[str, str]
) -> None:
    shutil.rmtree(root, ignore_errors=True)
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_bytes(groups.encode())
    for place, text in limits.items():
        file = root / "sys/fs/cgroup" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
    assert 0 < memory_limit_bytes(root, lambda: 2**34) <= 2**34
