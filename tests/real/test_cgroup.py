"""A worker that leaks in a control group with a limit is stopped before the kernel kills a process there."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from supervisor_memkill.processes import ProcessState
from tests.conftest import StartSupervisord
from tests.harness import PROGRAMS, wait_for
from tests.real_supervisord import program

pytestmark = pytest.mark.real

LIMIT_MEGABYTES, MIN_FREE, LEAK_MEGABYTES = 600, "300MB", 3
"""The leak takes some 30 MB a second: ten seconds to `min_free`, and ten more to the limit."""


@dataclass(frozen=True)
class ControlGroup:
    """A group of the memory controller, version 1 or 2."""

    path: Path

    def limit(self, megabytes: int) -> None:
        name = "memory.max" if (self.path / "memory.max").exists() else "memory.limit_in_bytes"
        (self.path / name).write_text(str(megabytes * 1024 * 1024))

    def kills(self) -> int:
        """How often the kernel killed a process there."""
        files = [self.path / name for name in ("memory.events", "memory.oom_control")]
        text = next(file for file in files if file.exists()).read_text()
        return int(dict(line.split() for line in text.splitlines())["oom_kill"])

    def inside(self, command: str) -> str:
        """The command line that runs a command there."""
        return f"sh -c {shlex.quote(f'echo $$ > {self.path}/cgroup.procs; exec {command}')}"


@pytest.fixture
def control_group() -> Iterator[ControlGroup]:
    """A new one; the test is skipped where none with a memory controller can be made."""
    try:
        path = _own_group() / f"mk-test-{os.getpid()}"
        path.mkdir()
    except (OSError, LookupError) as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        if not any((path / name).exists() for name in ("memory.max", "memory.limit_in_bytes")):
            pytest.skip("the control groups here have no memory controller")
        yield ControlGroup(path)
    finally:
        wait_for(lambda: _is_removed(path), message=f"{path} is in use")


def _own_group() -> Path:
    """The control group of the tests, in the hierarchy of the memory controller."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, name = line.split(":", 2)
        if "memory" in controllers.split(",") or not controllers:
            root = Path("/sys/fs/cgroup/memory" if controllers else "/sys/fs/cgroup")
            if (root / name.lstrip("/") / "cgroup.procs").exists():
                return root / name.lstrip("/")
    raise LookupError("the memory controller is not mounted")


def _is_removed(path: Path) -> bool:
    with contextlib.suppress(OSError):
        path.rmdir()
    return not path.exists()


def test_leak_is_stopped_before_the_kernel_kills(
    control_group: ControlGroup, start_supervisord: StartSupervisord, short_path: Path
) -> None:
    control_group.limit(LIMIT_MEGABYTES)
    config = short_path / "memkill.conf"
    config.write_text(
        f"[memkill]\nmin_free = {MIN_FREE}\njournal = {short_path}/own/journal\npoll_interval = 200ms\n"
        "[memkill:jobs]\nprograms = leak still\nmax_rss = 2GB\nmin_uptime = 1s\nsettle = 1s\n"
    )
    words = [sys.executable, str(PROGRAMS / "leaks_memory.py"), str(short_path / "leaked")]
    listener = shlex.join([sys.executable, "-m", "supervisor_memkill", "--config", str(config)])
    supervisord = start_supervisord(
        "\n".join(
            [
                program("leak", control_group.inside(shlex.join([*words, str(LEAK_MEGABYTES)]))),
                program("still", control_group.inside("sleep 3600")),
                program(
                    "memkill",
                    control_group.inside(listener),
                    "eventlistener",
                    events="TICK_5,PROCESS_STATE",
                    stderr_logfile="%(here)s/memkill.log",
                ),
            ]
        )
    )
    leaking = supervisord.wait_for_state("leak:leak", ProcessState.RUNNING).pid
    wait_for(
        lambda: "drain.done" in supervisord.log("memkill.log"),
        seconds=120,
        message=lambda: supervisord.log("memkill.log") + supervisord.log(),
    )
    assert control_group.kills() == 0, supervisord.log()
    assert supervisord.process("leak:leak").pid != leaking
    log = supervisord.log("memkill.log")
    assert "drain.starting worker=leak:leak" in log and "reason=min_free" in log
    assert "worker=still:still" not in log
