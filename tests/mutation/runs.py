"""Runs tests again and again in one tree: each run is a fork of a process that has the libraries loaded.

``python -m tests.mutation.runs`` reads one request per line from its standard input (JSON: the chosen tests
with their seconds, and the files to collect) and writes one answer per line.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import IO

import pytest

from tests.mutation.chosen import Chosen

LIBRARIES = ("hypothesis", "lupa", "psutil", "redis", "supervisor.options", "supervisor.xmlrpc")
"""What the tests import most often. Nothing of the package: a mutant must be loaded anew."""
LIMIT_SECONDS = 900
"""For one run, beside the limit of each test."""


@dataclass(frozen=True)
class Outcome:
    """How one run ended."""

    status: int
    """pytest's exit status; INTERRUPTED when the run was killed, for example after `LIMIT_SECONDS`."""
    failed: str
    """The first test or file that failed; empty: none did."""
    words: str
    """The end of pytest's output."""

    @property
    def passed(self) -> bool:
        """Raises RuntimeError when it says nothing about the code."""
        if self.status == pytest.ExitCode.OK:
            return True
        is_usage_error = self.status in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED)
        if is_usage_error and "while loading conftest" not in self.words:
            raise RuntimeError(f"pytest could not run:\n{self.words}")
        return False


class Runner:
    """The process of one tree."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.mutation.runs"],
            cwd=tree,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, files: Sequence[str], seconds: Mapping[str, float]) -> Outcome:
        """Run the chosen tests of these files up to the first that fails; without `seconds` all of them."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"files": [*files], "seconds": {**seconds}}) + "\n")
        self._process.stdin.flush()
        return Outcome(**json.loads(self._process.stdout.readline()))

    def check(self, file: str) -> None:
        """Raises RuntimeError if the tests of a file do not pass, for example because nothing can run."""
        if not (outcome := self.run([file], {})).passed:
            raise RuntimeError(f"{file} fails without any mutant:\n{outcome.words}")

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def serve(requests: IO[str], answers: IO[str]) -> None:
    """Answer each request by a fork of this process."""
    for name in LIBRARIES:
        importlib.import_module(name)
    for line in requests:
        answers.write(json.dumps(asdict(_fork(**json.loads(line)))) + "\n")
        answers.flush()


def _fork(files: Sequence[str], seconds: Mapping[str, float]) -> Outcome:
    answer, output = Path("answer.json"), Path("output.txt")
    answer.unlink(missing_ok=True)
    pid = os.fork()
    if pid == 0:
        _run_as_child(files, seconds, answer, output)

    def end(signum: int, frame: FrameType | None) -> None:
        os.killpg(pid, signal.SIGKILL)

    signal.signal(signal.SIGALRM, end)
    signal.alarm(LIMIT_SECONDS)
    os.waitpid(pid, 0)
    signal.alarm(0)
    with contextlib.suppress(ProcessLookupError):
        end(0, None)  # whatever a test left behind
    words = output.read_text(errors="replace")[-2000:]
    if not answer.exists():
        return Outcome(int(pytest.ExitCode.INTERRUPTED), "", words)
    return Outcome(**json.loads(answer.read_text()), words=words)


def _run_as_child(files: Sequence[str], seconds: Mapping[str, float], answer: Path, output: Path) -> None:
    os.setsid()
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    here = Path.cwd()
    status, failed = int(pytest.ExitCode.INTERRUPTED), ""
    try:
        chosen = Chosen(seconds)
        options = ["-q", "-x", *(f"-pno:{name}" for name in ("cacheprovider", "xdist", "cov"))]
        options += ["-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"]
        status = int(pytest.main([*options, *files], plugins=[chosen]))
        failed = chosen.failed
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        (here / answer).write_text(json.dumps({"status": status, "failed": failed}))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    serve(sys.stdin, os.fdopen(os.dup(1), "w"))
