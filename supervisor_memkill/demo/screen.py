"""The demo's words and lines: values in, text out."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from supervisor_memkill.demo.judge import Account, Life, Tally
from supervisor_memkill.demo.sample import Sample, Sight
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.units import format_size

WIDEST = 100
WIDE_BAR, NARROW_BAR = 6, 5

_GREEN, _YELLOW, _RED, _BOLD = 32, 33, 31, 1

IN_SERVICE = "in service"
_AS_TOLD = {
    "worker.held": "over, waits",
    "drain.asking": "over",
    "drain.quieting": "going quiet",
    "drain.draining": "going quiet",
    "drain.stopping": "stopping",
    "drain.starting": "starting",
    "drain.settling": "settling",
}
"""What a worker that takes jobs is about, by the last word of the listener's."""

_BY_STATE = {
    ProcessState.STOPPED: "stopped",
    ProcessState.STARTING: "starting",
    ProcessState.RUNNING: "starting",
    ProcessState.BACKOFF: "cannot start",
    ProcessState.STOPPING: "stopping",
    ProcessState.EXITED: "stopped",
    ProcessState.FATAL: "cannot start",
    ProcessState.UNKNOWN: "unknown",
}
"""What a worker that says nothing is about; RUNNING counts from its first word on."""


@dataclass(frozen=True)
class Screen:
    """How wide the lines may be, and whether they have colour."""

    columns: int
    colour: bool

    @classmethod
    def of(cls, columns: int, is_terminal: bool, environ: Mapping[str, str]) -> Screen:
        """The screen of this stdout. ``NO_COLOR`` with any text turns colour off (no-color.org)."""
        colour = is_terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        return cls(min(columns, WIDEST) if is_terminal else WIDEST, colour)

    def introduction(self, directory: Path, limit_bytes: int, every_seconds: float) -> str:
        return self._wrap(
            "Three job workers that leak memory start under a supervisord of their own, without Redis, in"
            f" {directory}; supervisor-memkill replaces each one that holds more than"
            f" {format_size(limit_bytes)}, after its last job and never two at once,"
            " which takes about a minute."
        ) + self._wrap(
            f"A job comes every {every_seconds:g}s. The bars show memory against the limit."
            " Ctrl-C ends it all at any moment; nothing is left behind."
        )

    def event(self, at: float, sentence: str) -> str:
        """Something that happened."""
        head = f"{at:3.0f}s "
        return self._paint(self._wrap(f"{head}> {sentence}", " " * (len(head) + 2)), _BOLD)

    def timeline(self, sample: Sample, told: Mapping[str, str], limit_bytes: int) -> str:
        """How all workers stand, in one line; without the figures where it is narrow."""
        wide = self.columns >= WIDEST
        cells = [self._cell(one, told.get(one.worker, ""), limit_bytes, wide) for one in sample.workers]
        return f"{sample.at:3.0f}s " + " ".join(cells) + f" {sample.done:3d} done\n"

    def _cell(self, seen: Sight, told: str, limit_bytes: int, wide: bool) -> str:
        memory, words = seen.memory_bytes or 0, words_for(seen, told)
        length, figure = (WIDE_BAR, f"{whole_megabytes(memory):>5} ") if wide else (NARROW_BAR, "")
        filling = self._paint(bar(memory, limit_bytes, length), _RED if memory > limit_bytes else _GREEN)
        standing = self._paint(f"{words:13}", _GREEN if words == IN_SERVICE else _YELLOW)
        return f"{seen.name} {filling}{figure}{standing}"

    def summary(self, tally: Tally, jobs: Account, broken: Sequence[str], seconds: float) -> str:
        """What happened, and whether it was as promised."""
        lines = ["", "What happened:"]
        lines += [
            f"  jobs handed out {jobs.handed_out}, done {jobs.done}, lost {len(jobs.lost)},"
            f" run twice {len(jobs.twice)}",
            f"  most workers out of service at once: {len(tally.most_out)} of {len(tally.lives)}",
        ]
        lines += [f"  {worker}: {_career(lives)}" for worker, lives in tally.lives.items()]
        text = "\n".join(lines) + "\n"
        if not broken:
            return text + self._paint(f"Every promise was kept ({seconds:.0f}s).\n", _GREEN)
        text += self._paint(f"BROKEN after {seconds:.0f}s:\n", _RED)
        return text + "".join(self._wrap(f"  - {sentence}", "    ") for sentence in broken)

    def _wrap(self, text: str, indent: str = "") -> str:
        return textwrap.fill(text, self.columns, subsequent_indent=indent, break_on_hyphens=False) + "\n"

    def _paint(self, text: str, code: int) -> str:
        if not self.colour:
            return text
        body = text.rstrip("\n")
        return f"\033[{code}m{body}\033[0m{text[len(body) :]}"


def words_for(seen: Sight, told: str) -> str:
    """What a worker is about: by what is seen of it, and by the listener's word where that cannot be seen."""
    if seen.is_in_service:
        return _AS_TOLD.get(told, IN_SERVICE)
    if seen.state is ProcessState.RUNNING and seen.said:
        return "finishing job" if seen.is_busy else "no job left"
    return _BY_STATE[seen.state]


def bar(memory_bytes: int, limit_bytes: int, length: int) -> str:
    """``####... ``: full at the limit, with a mark behind it when over."""
    filled = min(length, length * memory_bytes // limit_bytes)
    return f"{'#' * filled:.<{length}}{'!' if memory_bytes > limit_bytes else ' '}"


def whole_megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1024**2:.0f}MB"


def _career(lives: Sequence[Life]) -> str:
    pairs = [
        f"{whole_megabytes(old.most_bytes)} before, "
        + ("? after" if new.first_bytes is None else f"{whole_megabytes(new.first_bytes)} after")
        for old, new in pairwise(lives)
    ]
    times = {0: "never replaced", 1: "replaced once"}.get(len(pairs), f"replaced {len(pairs)} times")
    return f"{times}: {'; '.join(pairs)}" if pairs else times
