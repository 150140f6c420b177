"""The screen of ``suspects``, as lines of text. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterator

from supervisor_memkill.commands.suspects_of import PoolSuspects, SeenClass, Verdict
from supervisor_memkill.commands.suspects_values import Shown
from supervisor_memkill.commands.terminal import (
    Cell,
    Column,
    Style,
    Terminal,
    choose,
    clean,
    cut,
    number,
    rows,
)
from supervisor_memkill.units import format_duration, format_size

INDENT = "  "
MOST_CLASSES = 10
"""Classes that are listed where there is no suspect."""
LONGEST_NAME = 36


def screen(made: Shown, terminal: Terminal) -> list[str]:
    """All lines."""
    lines = list[str]()
    for pool in made.pools:
        lines += [*_pool(pool, terminal), ""]
    for note in made.notes:
        lines += [terminal.paint(line, Style.CARE) for line in terminal.wrap(f"note: {note}")]
    return lines if made.notes else lines[:-1]


def _pool(pool: PoolSuspects, terminal: Terminal) -> Iterator[str]:
    style = Style.HEAD if pool.verdict is Verdict.FOUND else Style.PLAIN
    for line in terminal.wrap(f"{pool.pool}: {pool.verdict.words}"):
        yield terminal.paint(line, style)
    if pool.since is None:
        return
    yield from _table(pool, terminal)
    for text in basis(pool):
        yield from (INDENT + line for line in Terminal(_room(terminal)).wrap(text, ""))


def _room(terminal: Terminal) -> int | None:
    return None if terminal.columns is None else terminal.columns - len(INDENT)


def _table(pool: PoolSuspects, terminal: Terminal) -> Iterator[str]:
    if pool.suspects:
        all_columns = _suspects(pool)
        name, figure, _between, share, _sure = all_columns
        columns = choose([all_columns, [name, figure, share], [name, figure]], terminal, INDENT)
    elif pool.classes:
        columns = _classes(pool.classes[:MOST_CLASSES])
    else:
        return
    yield from (line.rstrip() for line in rows(columns, terminal, INDENT))


def _name(text: str) -> Cell:
    return Cell(cut(clean(text), LONGEST_NAME))


def _suspects(pool: PoolSuspects) -> list[Column]:
    ones = pool.suspects
    between = [
        f"{format_size(one.least_bytes_per_unit)} and {format_size(one.most_bytes_per_unit)}" for one in ones
    ]
    figures = tuple(Cell(format_size(one.bytes_per_unit), Style.BAD) for one in ones)
    return [
        Column("JOB CLASS", tuple(_name(one.job_class) for one in ones)),
        Column(f"PER {pool.unit.value.upper()}", figures),
        Column("BETWEEN", tuple(map(Cell, between))),
        Column("SHARE", tuple(Cell(f"{one.share:.0%}") for one in ones)),
        Column("SURE", tuple(Cell(f"{one.certainty:.0%}") for one in ones)),
    ]


def _classes(classes: tuple[SeenClass, ...]) -> list[Column]:
    columns = [
        Column("JOB CLASS", tuple(_name(one.job_class) for one in classes)),
        Column("RAN FOR", tuple(Cell(format_duration(one.running_seconds)) for one in classes)),
    ]
    if any(one.runs is not None for one in classes):
        columns.append(Column("RUNS", tuple(Cell(number(one.runs)) for one in classes)))
    return columns


def basis(pool: PoolSuspects) -> Iterator[str]:
    """What the result stands on."""
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(max(0.0, pool.since or 0.0)))
    intervals = _counted(pool.intervals, "interval", "intervals")
    yield (
        f"watched since {since}: {_counted(pool.processes, 'process', 'processes')}, "
        f"{format_duration(pool.hours * 3600)} in all, {intervals}; "
        f"growth that stayed: {format_size(pool.growth_bytes)}"
    )
    if pool.suspects:
        yield f"PER {pool.unit.value.upper()}: growth {pool.unit.words}"


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
