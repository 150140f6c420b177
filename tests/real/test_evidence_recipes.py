"""The recipes of docs/evidence.rst, run as before_stop runs them, on real workers."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor_memkill.config.parsers import parse_before_stop
from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.workers.templates import fill
from supervisor_memkill.world.guarded_command import GuardedCommand
from tests.docs.pages import blocks
from tests.docs.recipes import PAGE, block, placed, script
from tests.harness import require_program, wait_for
from tests.real.sidekiq_fleet import Sidekiq, bloated, running_fleet
from tests.real_redis import RealRedis

pytestmark = pytest.mark.real

PYTHON = """
import time
class Order: pass
held = [Order() for _ in range(4321)]
print(flush=True)
time.sleep(600)
"""
CANNOT_CALL = "Couldn't write extended state status"
RUBY = "class Order; end\nheld = Array.new(4321) { Order.new }\nputs\n$stdout.flush\nsleep"


@contextlib.contextmanager
def worker(*words: str) -> Iterator[int]:
    """A process that holds 4321 objects of the class Order; its pid once it has them."""
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "\n"
        yield process.pid
        assert process.poll() is None, "the worker lives on"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def require_calls_by_gdb(pid: int) -> None:
    """Skip if gdb cannot set the registers of this processor: older releases know fewer of them."""
    words = ["gdb", "-nx", "-batch", "-p", str(pid), "-ex", "call (int)getpid()"]
    said = subprocess.run(words, capture_output=True, text=True, check=False)
    if CANNOT_CALL in said.stderr:
        pytest.skip(f"the gdb of this machine cannot call a function on its processor: {CANNOT_CALL}")


def take(command: str, pid: int, directory: Path) -> None:
    """Run the page's before_stop that begins like this; it must succeed."""
    lines = [line for one in blocks(PAGE) for line in one.splitlines()]
    (setting,) = [line for line in lines if line.startswith(f"before_stop = {command}")]
    text = placed(setting.partition(" = ")[2], directory).replace("/usr/local/bin", str(directory))
    process = ProcessInfo("jobs", "jobs_0", ProcessState.RUNNING, pid, 0, 0, 0)
    words = [fill(word, process, "here", {"pool": "jobs"}) for word in parse_before_stop(text)]
    end = wait_for(GuardedCommand(words, 120.0).end, message=shlex.join(words))
    assert end is not None
    assert end.error == ""


def test_core_file_is_written_and_the_worker_lives_on(tmp_path: Path) -> None:
    require_program("gcore")
    with worker(sys.executable, "-c", PYTHON) as pid:
        take("gcore", pid, tmp_path)
        assert (tmp_path / f"core-jobs_0.{pid}").stat().st_size > 1024**2


def test_objects_of_a_running_python_are_counted(tmp_path: Path) -> None:
    require_program("gdb")
    script("memkill-objects", tmp_path)
    (tmp_path / "objects.py").write_text(placed(block("import collections"), tmp_path))
    with worker(sys.executable, "-c", PYTHON) as pid:
        require_calls_by_gdb(pid)
        take("/usr/local/bin/memkill-objects", pid, tmp_path)
    lines = (tmp_path / "objects-jobs_0").read_text().splitlines()
    assert lines[0] == f"process {pid}"
    assert [line.split()[1] for line in lines if line.endswith(" __main__.Order")] == ["4321"]


def test_ruby_writes_its_heap_at_the_signal_and_what_takes_most_is_shown(tmp_path: Path) -> None:
    require_program("ruby")
    script("memkill-heap", tmp_path)
    program = placed(block("trap("), tmp_path)
    with worker("ruby", "-e", f"{program}\n{RUBY}") as pid:
        take("/usr/local/bin/memkill-heap", pid, tmp_path)
    heap = tmp_path / "heap-jobs_0.json"
    assert heap.stat().st_mode & 0o777 == 0o600
    words = shlex.split(block("ruby -rjson"))
    shown = subprocess.run([*words[:-1], str(heap)], capture_output=True, text=True, check=True)
    sizes = {line.split()[1]: int(line.split()[0]) for line in shown.stdout.splitlines()}
    assert sizes["OBJECT"] >= 4321 * 40
    assert list(sizes.values()) == sorted(sizes.values(), reverse=True)


def test_ruby_without_the_lines_of_the_page_ignores_the_signal(tmp_path: Path) -> None:
    """The command fails by its time limit, and the worker lives on."""
    require_program("ruby")
    path = script("memkill-heap", tmp_path)
    with worker("ruby", "-e", RUBY) as pid:
        end = wait_for(GuardedCommand([str(path), str(pid), "jobs_0"], 1.0).end, message="the limit")
        assert end is not None
        assert end.error.endswith("not done within 1 s")


def test_sidekiq_that_misses_beats_during_a_core_dump_is_stopped_by_itself(
    redis_server: RealRedis, tmp_path: Path
) -> None:
    """The pause makes its record stale: nothing is concluded until the next beat, and nothing is killed."""
    require_program("gcore")
    dump = tmp_path / "dump"
    pause = "kill -STOP $1; sleep 6; kill -CONT $1"
    dump.write_text(f"#!/bin/sh\ngcore -o {tmp_path}/core $1 && {{ {pause}; }}\n")
    dump.chmod(0o755)
    settings = {"before_stop": f"{dump} %(pid)s"}
    with running_fleet(redis_server, bloated("fat"), Sidekiq("peer"), pool=settings) as fleet:
        before = fleet.wait_until_in_service()
        job = fleet.give_each(1)["fat"]
        fleet.listen()
        fleet.wait_until_finished(job)
        fleet.wait_until_replaced({"fat": before["fat"]})
        assert "evidence=taken" in fleet.wait_for_event("drain.done", "fat")
        assert not fleet.events("drain.killed")
        fleet.assert_each_job_once()
    (core,) = tmp_path.glob("core.*")
    assert core.stat().st_size > 1024**2
