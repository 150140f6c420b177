"""Which processes belong to a worker, live, and are left behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import psutil
import pytest

from supervisor_memkill.processes import ProcessId
from supervisor_memkill.world.memory import ProcessTable
from tests.world.fake_processes import FAMILY, FakeBackend, FakeProcess


def pids(tree: Sequence[ProcessId]) -> list[int]:
    return [process.pid for process in tree]


def test_a_tree_is_the_process_and_all_its_descendants() -> None:
    tree = ProcessTable(FakeBackend(FAMILY)).tree(10)
    assert tree[0] == ProcessId(10, 100.0)
    assert sorted(pids(tree)) == [10, 11, 12, 13]


def test_who_is_whose_child_is_read_once_for_all_questions() -> None:
    backend = FakeBackend(FAMILY)
    table = ProcessTable(backend)
    for pid in (10, 11, 99):
        table.tree(pid)
        table.memory(pid, with_children=True)
    assert backend.parents_read == 1


def test_a_child_older_than_its_parent_is_a_stranger_with_a_reused_pid() -> None:
    reused = {**FAMILY, 12: replace(FAMILY[12], created=99.0)}
    assert sorted(pids(ProcessTable(FakeBackend(reused)).tree(10))) == [10, 11, 13]


def test_a_process_that_is_its_own_parent_ends_no_tree_in_a_circle() -> None:
    assert pids(ProcessTable(FakeBackend({0: FakeProcess(parent=0)})).tree(0)) == [0]


def test_family_is_what_was_known_and_what_it_started_since() -> None:
    """A child of a known process belongs to it, even when that is an orphan by now; a stranger not."""
    backend = FakeBackend(
        {1: FakeProcess(0, 0.0), 20: FakeProcess(1, 5.0), 30: FakeProcess(20, 7.0), 40: FakeProcess(1, 6.0)}
    )
    table = ProcessTable(backend)
    main, orphan = ProcessId(10, 4.0), ProcessId(20, 5.0)
    assert table.family([main, orphan]) == (main, orphan, ProcessId(30, 7.0))


def test_family_leaves_out_the_children_of_another_process_with_the_pid_of_one_that_ended() -> None:
    backend = FakeBackend({10: FakeProcess(1, 9.0), 30: FakeProcess(10, 9.5)})
    ended = ProcessId(10, 4.0)
    assert ProcessTable(backend).family([ended]) == (ended,)


@pytest.mark.parametrize(
    ("pid", "created", "status", "alive"),
    [
        (10, 100.0, psutil.STATUS_SLEEPING, True),
        (10, 100.01, psutil.STATUS_SLEEPING, True),
        (10, 100.0, psutil.STATUS_STOPPED, True),
        (10, 100.0, psutil.STATUS_ZOMBIE, False),
        (10, 99.0, psutil.STATUS_SLEEPING, False),
        (11, 100.0, psutil.STATUS_SLEEPING, False),
    ],
)
def test_alive_means_the_same_process_and_no_zombie(
    pid: int, created: float, status: str, alive: bool
) -> None:
    table = ProcessTable(FakeBackend({10: FakeProcess(status=status)}))
    assert table.is_alive(ProcessId(pid, created)) is alive


@pytest.mark.parametrize(
    ("orphan", "is_left"),
    [
        (FakeProcess(parent=1, leader=29), True),
        (FakeProcess(parent=1, leader=10), False),
        (FakeProcess(parent=10, leader=29), False),
        (FakeProcess(parent=11, leader=29), False),
        (FakeProcess(parent=5, leader=29), True),
        (FakeProcess(parent=1, leader=0), False),
        (FakeProcess(parent=1, leader=29, status=psutil.STATUS_ZOMBIE), False),
        (FakeProcess(parent=1, leader=29, control_group="0::/user.slice"), False),
        (FakeProcess(parent=1), True),
        (FakeProcess(parent=5), False),
        (FakeProcess(parent=1, control_group="0::/system.slice/sidekiq.service"), False),
    ],
    ids=[
        "its shell is gone",
        "its shell lives",
        "it is supervised",
        "it is below a supervised one",
        "another process took it over",
        "its shell is in another pid namespace",
        "a zombie",
        "it belongs to a person",
        "its supervisord is gone",
        "another program runs it",
        "systemd runs it",
    ],
)
def test_left_behind_is_who_outlived_what_supervisord_started(orphan: FakeProcess, is_left: bool) -> None:
    others = {1: FakeProcess(parent=0), 5: FakeProcess(parent=1), 10: FakeProcess(parent=5)}
    processes = {**FAMILY, 99: FakeProcess(parent=5), **others, 30: orphan}
    table = ProcessTable(FakeBackend(processes))
    assert table.is_left_behind(30, {10, 99}) is is_left
    assert table.left_behind({10, 99}) == ([30] if is_left else [])


def test_of_a_tree_that_is_left_behind_only_the_first_process_is_named() -> None:
    shell_is_gone, below = FakeProcess(parent=1, leader=29), FakeProcess(parent=30, leader=29)
    table = ProcessTable(
        FakeBackend({1: FakeProcess(parent=0), 10: FakeProcess(), 30: shell_is_gone, 31: below})
    )
    assert table.is_left_behind(31, {10}) and table.left_behind({10}) == [30]


def test_without_control_groups_only_a_lost_shell_shows_it() -> None:
    lost = FakeProcess(parent=1, leader=29, control_group="")
    alone = FakeProcess(parent=1, control_group="")
    table = ProcessTable(FakeBackend({10: FakeProcess(control_group=""), 30: lost, 31: alone}))
    assert table.left_behind({10}) == [30]
