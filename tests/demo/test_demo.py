"""The demo itself, as a user starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.harness import PATIENCE_SECONDS, Offspring, wait_for
from tests.signals import none_ignored

pytestmark = pytest.mark.real


class Demo:
    """A demo under way, whose temporary files go to a directory of the test's."""

    def __init__(self, directory: Path, output: Path) -> None:
        self.directory = directory
        self._output = output
        self._offspring = Offspring()
        # A user's own settings, which must not lead the demo anywhere.
        environment = {
            "TMPDIR": str(directory),
            "SUPERVISOR_SERVER_URL": "unix:///nonexistent",
            "MEMKILL_REDIS": "redis://127.0.0.1:1/0",
        }
        with output.open("wb") as stdout, none_ignored():
            self.process = subprocess.Popen(
                [sys.executable, "-m", "supervisor_memkill", "demo"],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.STDOUT,
                env=self._offspring.environment(environment),
            )

    def output(self) -> str:
        return self._output.read_text()

    def is_clean(self) -> bool:
        return not self._offspring.living() and not list(self.directory.iterdir())

    def started(self) -> set[str]:
        """The programs that run now."""
        lines = [_command_line(one) for one in self._offspring.living()]
        return {word for line in lines for word in ("supervisord", "worker a", "--config") if word in line}

    def end(self) -> None:
        self._offspring.end()
        self.process.wait()


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # a zombie included: it ended since it was found
        return ""


@pytest.fixture
def demo(short_path: Path, tmp_path: Path) -> Iterator[Demo]:
    demo = Demo(short_path, tmp_path / "output")
    try:
        yield demo
    finally:
        demo.end()


def test_the_demo_replaces_all_three_keeps_its_promises_and_leaves_nothing(demo: Demo) -> None:
    status = demo.process.wait(3 * PATIENCE_SECONDS)
    output = demo.output()
    assert status == 0, output
    found = re.search(r"(\d+) jobs handed out, (\d+) done, 0 lost, 0 run twice\n", output)
    assert found, output
    assert int(found[1]) == int(found[2]) > 10
    assert "out of service at the same time: at most 1 of 3 workers" in output
    assert len(re.findall(r"jobs:[abc]: replaced .*: \d+MB before, \d+MB after", output)) == 3
    assert "Every promise was kept" in output
    assert max(map(len, output.splitlines())) <= 100
    assert "\033" not in output
    assert demo.is_clean()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_interrupted_leaves_nothing(demo: Demo, number: signal.Signals) -> None:
    wait_for(lambda: "first job is handed out" in demo.output(), PATIENCE_SECONDS, demo.output)
    wait_for(lambda: len(demo.started()) == 3, PATIENCE_SECONDS, demo.output)
    demo.process.send_signal(number)
    assert demo.process.wait(PATIENCE_SECONDS) == 128 + number
    assert demo.output().endswith("Interrupted: stopping everything ... nothing is left.\n")
    assert demo.is_clean()


def test_a_demo_that_is_interrupted_at_once_leaves_nothing(demo: Demo) -> None:
    wait_for(lambda: "Three job workers" in demo.output(), PATIENCE_SECONDS, demo.output)
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(PATIENCE_SECONDS) == 130
    assert demo.is_clean()


def test_what_a_killed_demo_had_started_ends_by_itself(demo: Demo) -> None:
    wait_for(lambda: "first job is handed out" in demo.output(), PATIENCE_SECONDS, demo.output)
    demo.process.kill()
    demo.process.wait()
    wait_for(lambda: not demo.started(), PATIENCE_SECONDS, demo.output)


def test_a_supervisord_that_ends_is_one_line_and_nothing_is_left(demo: Demo) -> None:
    wait_for(lambda: "first job is handed out" in demo.output(), PATIENCE_SECONDS, demo.output)
    (pidfile,) = demo.directory.glob("*/supervisord.pid")
    os.kill(int(pidfile.read_text()), signal.SIGKILL)
    assert demo.process.wait(PATIENCE_SECONDS) == 1
    last_line = demo.output().splitlines()[-1]
    assert last_line.startswith("supervisor-memkill: the demo's supervisord ended with status ")
    assert demo.is_clean()
