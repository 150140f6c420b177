"""A former process of the listener is recognised when it has surely ended, and only then."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from supervisor_memkill.world.former_process import MachineProcesses

HERE = MachineProcesses()
pytestmark = pytest.mark.skipif(not HERE.own(), reason="this system has no boot id or no pid namespaces")


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def record(process: subprocess.Popen[bytes]) -> Mapping[str, str]:
    return MachineProcesses(pid=process.pid).own()


def test_process_that_lives_has_not_ended(other: subprocess.Popen[bytes]) -> None:
    assert not HERE.has_ended(record(other))
    assert not HERE.has_ended(HERE.own())


def test_process_that_is_gone_has_ended(other: subprocess.Popen[bytes]) -> None:
    recorded = record(other)
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert HERE.has_ended(recorded), "a zombie"
    other.communicate()
    assert HERE.has_ended(recorded)


def test_another_process_with_its_pid_is_not_it(other: subprocess.Popen[bytes]) -> None:
    assert HERE.has_ended({**record(other), "created": "1.0"})


@pytest.mark.parametrize("change", [{"machine": "another boot pid:[1]"}, {"machine": ""}])
def test_nothing_is_known_of_a_process_elsewhere(
    other: subprocess.Popen[bytes], change: dict[str, str]
) -> None:
    """Another machine, an earlier boot or another container: its pid means nothing here."""
    assert not HERE.has_ended({**record(other), "pid": "999999999", **change})


@pytest.mark.parametrize("values", [{}, {"pid": "x"}, {"pid": None}, {"created": "x"}, {"pid": "9" * 30}])
def test_record_that_is_not_understood_tells_nothing(values: dict[str, object]) -> None:
    assert not HERE.has_ended({"machine": HERE.own()["machine"], **values})


def test_system_without_a_boot_id_tells_nothing(tmp_path: Path) -> None:
    unknown = MachineProcesses(tmp_path)
    assert unknown.own() == {}
    assert not unknown.has_ended({"machine": "", "pid": "999999999", "created": "1.0"})


def test_own_process_is_read_once(other: subprocess.Popen[bytes]) -> None:
    """Each report of each pool names it."""
    processes = MachineProcesses(pid=other.pid)
    recorded = processes.own()
    other.kill()
    other.communicate()
    assert recorded and processes.own() == recorded


def test_own_process_that_could_not_be_read_is_tried_again(tmp_path: Path) -> None:
    processes = MachineProcesses(proc=tmp_path)
    assert processes.own() == {}
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("one\n")
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to("pid:[1]")
    assert processes.own()["machine"] == "one pid:[1]"
