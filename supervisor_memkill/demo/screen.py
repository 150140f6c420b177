"""The text that the demo shows. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.demo.judge import Account, Life, Tally
from supervisor_memkill.demo.sample import Sample, Sight
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.units import format_size

MAX_COLUMNS = 100
WIDE_BAR, NARROW_BAR = 6, 5
STANDING_COLUMNS = 11
"""The longest of the texts below has so many characters."""

_GREEN, _YELLOW, _RED, _BOLD = 32, 33, 31, 1

IN_SERVICE = "in service"
_BY_EVENT = {
    "worker.held": "over, waits",
    "drain.asking": "over",
    "drain.quieting": "going quiet",
    "drain.draining": "going quiet",
    "drain.stopping": "stopping",
    "drain.starting": "starting",
    "drain.settling": "settling",
}
"""The standing of a worker that takes jobs, by the listener's last event about it."""

_BY_STATE = {
    ProcessState.STOPPED: "stopped",
    ProcessState.STARTING: "starting",
    ProcessState.RUNNING: "starting",
    ProcessState.BACKOFF: "start fails",
    ProcessState.STOPPING: "stopping",
    ProcessState.EXITED: "stopped",
    ProcessState.FATAL: "start fails",
    ProcessState.UNKNOWN: "unknown",
}
"""The standing of a worker that has not reported; RUNNING means that it is about to report."""

_FIGURES = (
    "  memory before: the highest that was seen; memory after: when the new process came into service;"
    " the sentences above name the memory that the listener found at its checks"
)


@dataclass(frozen=True)
class Screen:
    """How wide a line may be, and whether it has colour."""

    columns: int
    colour: bool

    @classmethod
    def of(cls, columns: int, is_terminal: bool, environ: Mapping[str, str]) -> Screen:
        """The screen behind standard output. ``NO_COLOR`` with any text turns colour off (no-color.org)."""
        colour = is_terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        return cls(min(columns, MAX_COLUMNS) if is_terminal else MAX_COLUMNS, colour)

    def introduction(self, directory: Path, limit_bytes: int, every_seconds: float) -> str:
        """What the audience will see."""
        limit = format_size(limit_bytes)
        paragraphs = (
            f"Three job workers, jobs:a to jobs:c, leak memory. When a worker holds more than {limit},"
            " supervisor-memkill replaces it: the worker takes no new job, finishes the running one, and only"
            " then restarts. Never two workers at once, so that the others can go on with the jobs.",
            f"A new job comes every {every_seconds:g}s. Each bar shows a worker's memory at that moment:"
            f" ##... is below the limit of {limit}, and ! marks a worker above it. A sentence behind > names"
            " the memory that the listener found at its last check. The end of a line counts finished jobs.",
            f"Everything runs in {directory} under a supervisord of its own, without Redis. It takes about a"
            " minute. Ctrl-C stops everything at any moment, and nothing is left behind.",
        )
        return "".join(f"{self._wrap(paragraph)}\n" for paragraph in paragraphs)

    def event(self, at: float, sentence: str) -> str:
        """One line about something that happened."""
        head = f"{at:3.0f}s "
        return self._paint(self._wrap(f"{head}> {sentence}", " " * (len(head) + 2)), _BOLD)

    def timeline(self, sample: Sample, last_events: Mapping[str, str], limit_bytes: int) -> str:
        """All workers in one line; without the size of their memory on a narrow screen.

        `last_events`: the name of the listener's last event about a worker it deals with.
        """
        wide = self.columns >= MAX_COLUMNS
        cells = [
            self._cell(one, last_events.get(one.worker, ""), limit_bytes, wide) for one in sample.workers
        ]
        return f"{sample.at:3.0f}s  " + "  ".join(cells) + f" {sample.done:3d} done\n"

    def _cell(self, seen: Sight, last_event: str, limit_bytes: int, wide: bool) -> str:
        memory, words = seen.memory_bytes or 0, words_for(seen, last_event)
        length, figure = (WIDE_BAR, f"{whole_megabytes(memory):>5} ") if wide else (NARROW_BAR, " ")
        filling = self._paint(bar(memory, limit_bytes, length), _RED if memory > limit_bytes else _GREEN)
        standing = self._paint(f"{words:{STANDING_COLUMNS}}", _GREEN if words == IN_SERVICE else _YELLOW)
        return f"{seen.name} {filling}{figure}{standing}"

    def summary(self, tally: Tally, jobs: Account, broken: Sequence[str], seconds: float) -> str:
        """What happened, and whether every promise was kept."""
        lines = ["", f"Result after {seconds:.0f}s:"]
        lines += [
            f"  {jobs.handed_out} jobs handed out, {jobs.done} done, {len(jobs.lost)} lost,"
            f" {len(jobs.twice)} run twice",
            f"  out of service at the same time: at most {len(tally.max_out)} of {len(tally.lives)} workers",
            self._wrap(_FIGURES, "  ").rstrip("\n"),
        ]
        lines += [f"  {worker}: {_replacements(lives)}" for worker, lives in tally.lives.items()]
        text = "\n".join(lines) + "\n"
        if not broken:
            return text + self._paint("Every promise was kept.\n", _GREEN)
        text += self._paint("BROKEN PROMISES:\n", _RED)
        return text + "".join(self._wrap(f"  - {sentence}", "    ") for sentence in broken)

    def _wrap(self, text: str, indent: str = "") -> str:
        return textwrap.fill(text, self.columns, subsequent_indent=indent, break_on_hyphens=False) + "\n"

    def _paint(self, text: str, code: int) -> str:
        if not self.colour:
            return text
        body = text.rstrip("\n")
        return f"\033[{code}m{body}\033[0m{text[len(body) :]}"


def words_for(seen: Sight, last_event: str) -> str:
    """A worker's standing: by what is seen, and by the listener's last event where it cannot be seen."""
    if seen.is_in_service:
        return _BY_EVENT.get(last_event, IN_SERVICE)
    if seen.state is ProcessState.RUNNING and seen.reported:
        return "last job" if seen.is_busy else "no job left"
    return _BY_STATE[seen.state]


def bar(memory_bytes: int, limit_bytes: int, length: int) -> str:
    """``####... ``: full at the limit, with a mark behind it above the limit."""
    filled = min(length, length * memory_bytes // limit_bytes)
    return f"{'#' * filled:.<{length}}{'!' if memory_bytes > limit_bytes else ' '}"


def whole_megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1024**2:.0f}MB"


def _replacements(lives: Sequence[Life]) -> str:
    pairs = [
        f"{whole_megabytes(old.max_bytes)} before, "
        + ("? after" if new.first_bytes is None else f"{whole_megabytes(new.first_bytes)} after")
        for old, new in pairwise(lives)
    ]
    times = {0: "never replaced", 1: "replaced once"}.get(len(pairs), f"replaced {len(pairs)} times")
    return f"{times}: {'; '.join(pairs)}" if pairs else times
