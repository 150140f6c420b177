"""The mutation check: ``python -m tests.mutation``. Status 1: a mutant survived that nobody explained.

Each mutant is put into a copy of the project; the tests that hold its file must fail there, the quickest
ones first. `EXPLAINED` in explained.py says of a survivor why it changes nothing that is promised.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.mutation.explained import EXPLAINED
from tests.mutation.mutants import DELIVERY, GATEWAY, Mutant, mutants

ROOT = Path(__file__).parents[2]
SCENARIOS = ("tests/simulation/scenarios",)
SEEDS = (
    "tests/simulation/test_simulation.py::test_whatever_fails_no_promise_is_broken",
    "tests/simulation/test_simulation.py::test_once_all_faults_are_over_every_drain_finishes",
)
CORE = (
    ("tests/rules", "tests/coordination/test_rules.py", "tests/listener/test_actions.py"),
    ("tests/listener",),
    SCENARIOS,
    ("tests/fuzz/test_journal.py", "tests/commands/test_dry_run.py"),
    SEEDS,
)
LUA = (
    ("tests/coordination/test_rules.py",),
    SCENARIOS,
    ("tests/coordination/through_redis",),
    ("tests/coordination/test_redis_differential.py", "tests/coordination/test_redis_failures.py"),
    SEEDS,
)
OWNERSHIP = (
    ("tests/workers/test_ownership.py",),
    ("tests/workers/test_sidekiq.py", "tests/workers/test_celery_kind.py", "tests/workers/test_rq.py"),
)
WORLD = (("tests/world/test_bounds.py", "tests/world/test_linux_process.py", "tests/world/test_machine.py"),)
NOTICES = (
    tuple(f"tests/notices/test_{name}.py" for name in ("digest", "choice", "gauges", "background")),
    tuple(f"tests/notices/test_{name}.py" for name in ("hooks", "notify", "metrics")),
)
HISTORY = (
    ("tests/notices/test_curves.py", "tests/notices/test_history.py"),
    ("tests/listener/test_history_file.py", "tests/listener/test_history.py"),
    ("tests/fuzz/test_history.py",),
)
HISTORY_FILES = ("listener/history_file.py", "listener/holds.py", "notices/curves.py", "notices/history.py")
LIMIT_SECONDS = 300
"""A mutant that makes the tests hang for so long is caught by that."""


class Checker:
    """Tries mutants in copies of the project, several side by side."""

    def __init__(self, directory: Path, jobs: int) -> None:
        self._copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(jobs):
            copy = directory / str(number)
            for name in ("supervisor_memkill", "tests", "conf.d", "docs", "examples"):
                shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            for name in ("setup.cfg", "README.rst", "CONTRIBUTING.rst", "CHANGELOG.rst", "Makefile"):
                shutil.copy(ROOT / name, copy / name)
            self._copies.put(copy)

    def catch(self, mutant: Mutant) -> str:
        """The tests that failed with it; empty when it survived them all."""
        copy = self._copies.get()
        path = copy / "supervisor_memkill" / mutant.path
        original = path.read_text()
        try:
            path.write_text(mutant.text)
            return next((" ".join(stage) for stage in _stages(mutant) if not _passes(copy, stage)), "")
        finally:
            path.write_text(original)
            self._copies.put(copy)


def _stages(mutant: Mutant) -> tuple[tuple[str, ...], ...]:
    if mutant.path in GATEWAY:
        return (("tests/world/test_own_supervisord.py",),)
    if mutant.path in DELIVERY:
        return NOTICES
    if mutant.path in HISTORY_FILES:
        return HISTORY
    if mutant.path.startswith("workers/"):
        return OWNERSHIP
    if mutant.path.startswith("world/"):
        return WORLD
    return LUA if mutant.path.endswith(".lua") else CORE


def _passes(copy: Path, stage: Sequence[str]) -> bool:
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist"]
    try:
        done = subprocess.run(
            [*command, *stage],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in (0, 1, 2) and b"while loading conftest" not in done.stderr:
        words = (done.stdout + done.stderr).decode()[-2000:]
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{words}")
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", nargs="+", default=[""], help="texts of which one is in the mutant's name")
    parser.add_argument("--every", type=int, default=1, help="only each so many-th mutant")
    arguments = parser.parse_args()
    chosen = [
        one
        for one in mutants(ROOT / "supervisor_memkill")
        if any(text in one.name for text in arguments.only)
    ]
    chosen = chosen[:: arguments.every]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mk-mutants-") as directory:
        checker = Checker(Path(directory), arguments.jobs)
        for stage in {stage for mutant in chosen for stage in _stages(mutant)}:
            copy = Path(directory) / "0"
            if not _passes(copy, stage):
                print(f"these fail without any mutant: {' '.join(stage)}", file=sys.stderr)
                return 2
        survivors = []
        with ThreadPoolExecutor(arguments.jobs) as pool:
            for number, (mutant, caught) in enumerate(
                zip(chosen, pool.map(checker.catch, chosen), strict=True), 1
            ):
                if not caught:
                    survivors.append(mutant)
                    explained = mutant.name in EXPLAINED
                    words = "explained" if explained else "SURVIVED"
                    print(f"{words}: line {mutant.line} of {mutant.name}", flush=True)
                if number % 50 == 0:
                    print(f"{number} of {len(chosen)}, {time.monotonic() - began:.0f} s", flush=True)
    unexplained = [one for one in survivors if one.name not in EXPLAINED]
    print(
        f"{len(chosen)} mutants: {len(chosen) - len(survivors)} caught,"
        f" {len(survivors) - len(unexplained)} explained, {len(unexplained)} survived"
    )
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
