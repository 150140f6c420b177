"""Which tests run which lines of the package, and how long each takes: measured once, without any mutant."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from coverage import CoverageData

from tests.mutation import durations

LEFT_OUT = ("tests/simulation/test_simulation.py", "tests/fuzz", "tests/docs", "tests/mutation")
"""They reach nearly every line, or none."""


@dataclass(frozen=True)
class Reach:
    """The tests of one tree."""

    seconds: Mapping[str, float]
    """By the id of the test."""
    tests: Mapping[str, Mapping[int, frozenset[str]]]
    """By the path of a file, relative to the package, and the line."""

    def of_lines(self, path: str, first: int, last: int) -> tuple[str, ...]:
        """The tests that run one of these lines, the quickest first.

        Python reports some lines of a long statement only as its first line: without a test the lines
        before are asked, nearest first.
        """
        lines = self.tests.get(path, {})
        found = frozenset[str]().union(*(lines.get(line, ()) for line in range(first, last + 1)))
        while not found and first > 0:
            first -= 1
            found = lines.get(first, frozenset())
        return self.quickest_first(found)

    def below(self, paths: Iterable[str]) -> tuple[str, ...]:
        """All tests of these files and folders, the quickest first."""
        heads = tuple(f"{path}::" if path.endswith(".py") else f"{path}/" for path in paths)
        return self.quickest_first(test for test in self.seconds if test.startswith(heads))

    def quickest_first(self, tests: Iterable[str]) -> tuple[str, ...]:
        """In the order in which they are run."""
        return tuple(sorted(tests, key=lambda test: (self.seconds.get(test, 0.0), test)))


def measure(tree: Path, jobs: int, paths: Sequence[str] = ()) -> Reach:
    """Run the fast tests of a tree, or only those of some files and folders.

    Raises RuntimeError with pytest's last words if a test fails.
    """
    seconds, coverage = tree / "durations.json", tree / ".coverage"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not real", "-p", "no:cacheprovider"]
    command += ["-n", str(jobs), "--dist", "worksteal", "-p", durations.__name__]
    command += ["--cov=supervisor_memkill", "--cov-context=test", "--cov-report=", "--cov-fail-under=0"]
    command += [f"--ignore={path}" for path in LEFT_OUT]
    folders = [str(path.relative_to(tree)) for path in sorted((tree / "tests").iterdir()) if path.is_dir()]
    command += paths or folders
    environment = {**os.environ, "PYTHONPATH": str(tree), durations.VARIABLE: str(seconds)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled once here, read by every mutant's run
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the tests fail without any mutant:\n{(done.stdout + done.stderr)[-3000:]}")
    data = CoverageData(str(coverage))
    data.read()
    package = tree / "supervisor_memkill"
    return Reach(
        json.loads(seconds.read_text()),
        {str(Path(file).relative_to(package)): _tests(data, file) for file in data.measured_files()},
    )


def _tests(data: CoverageData, file: str) -> dict[int, frozenset[str]]:
    """Lines that only the import runs have no test."""
    return {
        line: frozenset(context.rpartition("|")[0] for context in contexts if "|" in context)
        for line, contexts in data.contexts_by_lineno(file).items()
    }
