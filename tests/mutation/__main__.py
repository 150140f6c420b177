"""The mutation check: ``python -m tests.mutation``. Status 1: a mutant survived that nobody explained.

First all fast tests run once, to learn which tests run which line (`reach`). Each mutant is then put into a
copy of the project, and the tests that run its line must fail there, the quickest ones first. `EXPLAINED` in
explained.py says of a survivor why it changes nothing that is promised.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.mutation.explained import EXPLAINED
from tests.mutation.mutants import Mutant, mutants
from tests.mutation.reach import Reach, measure
from tests.mutation.runs import Outcome, Runner

ROOT = Path(__file__).parents[2]
LUA = (
    ("tests/coordination/test_rules.py",),
    ("tests/simulation/scenarios",),
    ("tests/coordination",),
)
"""No coverage shows which tests run which line of Lua."""
IN_CHILDREN = {"child.py": ("tests/test_child.py",)}
"""No coverage shows what a child process runs."""
SEEDS = (
    "tests/fuzz/test_journal.py",
    "tests/simulation/test_simulation.py",
)
"""For what survives all others, all of these."""
CORE = ("rules/", "coordination/", "listener/")
QUICKEST = 100
"""So many tests are collected and run first."""


class Checker:
    """Tries mutants in copies of the project, several side by side."""

    def __init__(self, directory: Path, jobs: int, paths: Sequence[str]) -> None:
        first = directory / "0"
        _copy_project(first)
        self._reach: Reach = measure(first, jobs, paths)
        self._seeds = () if paths else SEEDS
        self._runners: SimpleQueue[Runner] = SimpleQueue()
        for number in range(jobs):
            tree = directory / str(number)
            if number:
                shutil.copytree(first, tree, symlinks=True)
            runner = Runner(tree)
            runner.check("tests/rules/test_hours.py")
            self._runners.put(runner)

    def catch(self, mutant: Mutant) -> str:
        """The test that failed with it; empty when it survived them all."""
        runner = self._runners.get()
        path = runner.tree / "supervisor_memkill" / mutant.path
        original, times = path.read_bytes(), path.stat()
        try:
            path.write_text(mutant.text)
            failed = (one for one in self._outcomes(runner, mutant) if not one.passed)
            outcome = next(failed, None)
            return "" if outcome is None else outcome.failed or outcome.words or "killed"
        finally:
            path.write_bytes(original)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # what was compiled is valid again
            self._runners.put(runner)

    def _outcomes(self, runner: Runner, mutant: Mutant) -> Iterator[Outcome]:
        for tests in self._stages(mutant):
            files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
            yield runner.run(files, {test: self._reach.seconds[test] for test in tests})
        if self._seeds and mutant.path.startswith(CORE):
            yield runner.run(self._seeds, {})

    def _stages(self, mutant: Mutant) -> Iterator[tuple[str, ...]]:
        if mutant.path.endswith(".lua"):
            yield from (self._reach.below(paths) for paths in LUA)
        elif mutant.path in IN_CHILDREN:
            yield self._reach.below(IN_CHILDREN[mutant.path])
        elif tests := self._reach.of_lines(mutant.path, mutant.line, mutant.last_line):
            yield tests[:QUICKEST]
            yield from filter(None, [tests[QUICKEST:]])

    def close(self) -> None:
        """End the processes."""
        while not self._runners.empty():
            self._runners.get().close()


def _copy_project(directory: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", nargs="+", default=[""], help="texts of which one is in the mutant's name")
    parser.add_argument("--tests", nargs="+", default=[], help="files and folders of the only tests to run")
    parser.add_argument("--every", type=int, default=1, help="only each so many-th mutant")
    parser.add_argument("--verbose", action="store_true", help="show which test caught each mutant")
    arguments = parser.parse_args()
    chosen = [
        one
        for one in mutants(ROOT / "supervisor_memkill")
        if any(text in one.name for text in arguments.only)
    ]
    chosen = chosen[:: arguments.every]
    began = time.monotonic()
    survivors = []
    with tempfile.TemporaryDirectory(prefix="mk-mutants-") as directory:
        checker = Checker(Path(directory), arguments.jobs, arguments.tests)
        print(f"the tests without a mutant took {time.monotonic() - began:.0f} s", flush=True)
        with ThreadPoolExecutor(arguments.jobs) as pool:
            for number, (mutant, caught) in enumerate(
                zip(chosen, pool.map(checker.catch, chosen), strict=True), 1
            ):
                if not caught:
                    survivors.append(mutant)
                    explained = mutant.name in EXPLAINED
                    words = "explained" if explained else "SURVIVED"
                    print(f"{words}: line {mutant.line} of {mutant.name}", flush=True)
                elif arguments.verbose:
                    print(f"caught: line {mutant.line} of {mutant.name}: {caught}", flush=True)
                if number % 50 == 0:
                    print(f"{number} of {len(chosen)}, {time.monotonic() - began:.0f} s", flush=True)
        checker.close()
    unexplained = [one for one in survivors if one.name not in EXPLAINED]
    print(
        f"{len(chosen)} mutants: {len(chosen) - len(survivors)} caught,"
        f" {len(survivors) - len(unexplained)} explained, {len(unexplained)} survived"
    )
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
