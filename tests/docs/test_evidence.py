"""What the page on evidence shows is valid; tests/real/test_evidence_recipes.py runs it on real workers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from supervisor_memkill.config.load import load
from supervisor_memkill.config.sections import read_file
from supervisor_memkill.config.values import PoolConfig
from supervisor_memkill.units import write_duration
from supervisor_memkill.workers.registry import load_kind
from tests.docs.pages import blocks
from tests.docs.recipes import PAGE, block, placed, script

SCRIPTS = ("memkill-objects", "memkill-stack", "memkill-heap")
SETTINGS = [one for one in blocks(PAGE) if one.startswith("[memkill:")]
MEMRAY = (
    "memray attach --method gdb --duration 600 -o /var/tmp/memkill/memray.bin PID",
    "memray flamegraph --leaks /var/tmp/memkill/memray.bin",
)
"""As they were run with memray 1.20; memray is not part of what the tests install."""


def test_page_has_an_example_for_each_script_and_one_for_gcore() -> None:
    commands = [line for one in SETTINGS for line in one.splitlines() if line.startswith("before_stop =")]
    named = {line.split()[2].rpartition("/")[2] for line in commands}
    assert named == {"gcore", *SCRIPTS}


@pytest.mark.parametrize("settings", SETTINGS)
def test_settings_of_the_page_are_read(settings: str, tmp_path: Path) -> None:
    path = tmp_path / "memkill.conf"
    path.write_text(settings + "\n")
    (pool,) = load(read_file(path), {}, "here", load_kind).pools
    assert "%(pid)s" in pool.before_stop


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_of_the_page_is_one_that_a_shell_reads(name: str, tmp_path: Path) -> None:
    subprocess.run(["/bin/sh", "-n", str(script(name, tmp_path))], check=True)


def test_objects_of_a_process_are_counted_by_their_classes(tmp_path: Path) -> None:
    """Without gdb: the program runs in a process that holds many objects of one class."""
    program = placed(block("import collections"), tmp_path)
    holder = f"class Order: pass\nheld = [Order() for _ in range(4321)]\nexec({program!r}, {{}})"
    done = subprocess.Popen([sys.executable, "-c", holder])
    assert done.wait() == 0
    lines = (tmp_path / f"{done.pid}.objects").read_text().splitlines()
    assert [line.split()[1] for line in lines if line.endswith(" __main__.Order")] == ["4321"]
    sizes = [int(line.split()[0]) for line in lines]
    assert sizes == sorted(sizes, reverse=True)


def test_commands_of_memray_are_those_that_were_run() -> None:
    assert tuple(block("memray ").splitlines()) == MEMRAY


def test_time_limit_of_the_page_is_that_of_the_code() -> None:
    limit = write_duration(PoolConfig.before_stop_timeout_seconds)
    assert f"``before_stop_timeout`` ({limit})" in PAGE.read_text()
