"""Draws docs/drain.svg from docs/drain.csv and docs/drain.log, which scripts/record-drain.py recorded.

``python3 scripts/draw-drain.py`` needs the standard library alone. The picture has no background of its own:
its colours are readable on light and on dark pages.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).resolve().parent.parent / "docs"
MB = 1024**2
LIMIT_MB = 100
SECONDS = 75.0
"""How much of the record is drawn."""

WIDTH, LEFT, RIGHT = 780, 64, 20
TOP, CHART_HEIGHT, MAX_MB = 34, 190, 150
LANES_TOP, LANE_HEIGHT, LANE_STEP = 258, 16, 24
HEIGHT = LANES_TOP + 3 * LANE_STEP + 56

TEXT, GRID, LIMIT = "#7d8590", "#7d859055", "#e5534b"
WORKERS = {"sidekiq:sidekiq_0": "#2f81f7", "sidekiq:sidekiq_1": "#bf8700", "sidekiq:sidekiq_2": "#a371f7"}
STATES = {
    "in service": "#2da44e",
    "quieting": "#d4a72c",
    "draining": "#e16f24",
    "stopping": "#cf222e",
    "starting": "#8250df",
    "settling": "#54aeff",
}
EVENT = re.compile(r"\S+ (?P<time>\S+) \w+ drain\.(?P<state>\w+) worker=(?P<worker>\S+)")


class Sample(NamedTuple):
    """One worker at one moment."""

    at: float
    """Seconds since the first sample."""
    worker: str
    memory_mb: float


class Span(NamedTuple):
    """One state of one worker's drain, in seconds since the first sample."""

    worker: str
    state: str
    begin: float
    end: float


def main() -> int:
    (DOCS / "drain.svg").write_text(picture())
    return 0


def picture() -> str:
    """The picture of what was recorded."""
    with (DOCS / "drain.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    start = _seconds(rows[0]["time"])
    samples = [
        Sample(_seconds(row["time"]) - start, row["worker"], int(row["memory_bytes"]) / MB) for row in rows
    ]
    spans = list(_spans((DOCS / "drain.log").read_text().splitlines(), start))
    return "\n".join(_draw(samples, spans)) + "\n"


def _seconds(clock: str) -> float:
    hours, minutes, seconds = clock.replace(",", ".").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _spans(lines: Iterable[str], start: float) -> Iterator[Span]:
    """The states between the lines that announce them; in service before, between and after."""
    before = dict.fromkeys(WORKERS, ("in service", 0.0))
    for line in lines:
        found = EVENT.match(line)
        if found is None or found["state"] not in (*STATES, "done"):
            continue
        at, worker = _seconds(found["time"]) - start, found["worker"]
        state, begin = before[worker]
        yield Span(worker, state, begin, at)
        before[worker] = ("in service" if found["state"] == "done" else found["state"], at)
    for worker, (state, begin) in before.items():
        yield Span(worker, state, begin, SECONDS)


def _draw(samples: Iterable[Sample], spans: Iterable[Span]) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" font-family="sans-serif" font-size="12" role="img">'
    )
    yield (
        "<title>Memory of three Sidekiq workers over 75 seconds; each that exceeds 100 MB is drained, "
        "one after the other</title>"
    )
    yield _text(LEFT, 18, "Memory of each worker", anchor="start")
    yield from _grid()
    for worker, colour in WORKERS.items():
        yield _curve([one for one in samples if one.worker == worker and one.at <= SECONDS], colour)
    yield from _lanes(spans)
    yield from _legend()
    yield "</svg>"


def _grid() -> Iterator[str]:
    for size in range(0, MAX_MB + 1, 50):
        yield _line(LEFT, _y(size), WIDTH - RIGHT, _y(size), GRID)
        yield _text(LEFT - 8, _y(size) + 4, f"{size} MB", anchor="end")
    for second in range(0, int(SECONDS) + 1, 15):
        yield _text(_x(second), TOP + CHART_HEIGHT + 18, f"{second} s")
    yield _line(LEFT, _y(LIMIT_MB), WIDTH - RIGHT, _y(LIMIT_MB), LIMIT, dashed=True)
    yield _text(LEFT + 6, _y(LIMIT_MB) - 5, "max_rss", anchor="start", colour=LIMIT)


def _curve(samples: Iterable[Sample], colour: str) -> str:
    points = " ".join(f"{_x(one.at):.1f},{_y(one.memory_mb):.1f}" for one in samples)
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _lanes(spans: Iterable[Span]) -> Iterator[str]:
    for number, (worker, colour) in enumerate(WORKERS.items()):
        name = worker.partition(":")[2].replace("sidekiq_", "worker ")
        y = LANES_TOP + number * LANE_STEP
        yield _text(LEFT - 8, y + 12, name, anchor="end", colour=colour)
        for span in spans:
            end = min(span.end, SECONDS)
            if span.worker == worker and end > span.begin:
                yield (
                    f'<rect x="{_x(span.begin):.1f}" y="{y}" width="{_x(end) - _x(span.begin):.1f}" '
                    f'height="{LANE_HEIGHT}" fill="{STATES[span.state]}"/>'
                )


def _legend() -> Iterator[str]:
    y = LANES_TOP + 3 * LANE_STEP + 22
    for number, (state, colour) in enumerate(STATES.items()):
        x = LEFT + number * 108
        yield f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="{colour}"/>'
        yield _text(x + 18, y, state, anchor="start")


def _x(seconds: float) -> float:
    return LEFT + seconds / SECONDS * (WIDTH - LEFT - RIGHT)


def _y(size_mb: float) -> float:
    return TOP + CHART_HEIGHT * (1 - size_mb / MAX_MB)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="6 4"' if dashed else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dashes}/>'


def _text(x: float, y: float, text: str, *, anchor: str = "middle", colour: str = TEXT) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{text}</text>'


if __name__ == "__main__":
    sys.exit(main())
