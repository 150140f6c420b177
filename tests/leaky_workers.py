"""A pool of tests/programs/leaky_worker.py for a test."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from pathlib import Path

from tests.harness import PROGRAMS


class LeakyWorkers:
    """The directory of a pool of tests/programs/leaky_worker.py: its spool, its record, its command."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.spool = directory / "spool"
        self.spool.mkdir(exist_ok=True)
        self.record = directory / "record"
        self.record.touch()

    def command(self, *options: str, name: str | None = None) -> str:
        """The command line; with `name` the worker keeps its busy count in `busy_file(name)`.

        `name` may hold supervisord's ``%(process_num)s``.
        """
        arguments = [sys.executable, str(PROGRAMS / "leaky_worker.py"), *options]
        arguments += ["--spool", str(self.spool), "--record", str(self.record)]
        if name is not None:
            arguments += ["--busy-file", str(self.busy_file(name))]
        return shlex.join(arguments)

    def busy_file(self, name: str) -> Path:
        return self.directory / f"busy-{name}"

    def put(self, job: str, seconds: float | None = None) -> None:
        """Put a job into the spool at once as a whole."""
        fresh = self.spool / f"{job}.new"
        fresh.write_text("" if seconds is None else str(seconds))
        fresh.rename(self.spool / f"{job}.job")

    def facts(self, word: str) -> list[str]:
        """What follows this word ("start", "finish", "quiet" ...) in each line of the record."""
        lines = [line.split() for line in self.record.read_text().splitlines()]
        return [" ".join(rest) for first, *rest in lines if first == word]

    def started(self) -> Counter[str]:
        """How often each job was begun."""
        return Counter(fact.split()[0] for fact in self.facts("start"))

    def finished(self) -> Counter[str]:
        """How often each job was finished."""
        return Counter(fact.split()[0] for fact in self.facts("finish"))
