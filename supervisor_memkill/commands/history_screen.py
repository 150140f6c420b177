"""The screen of ``history``, as lines of text. Pure."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence

from supervisor_memkill.commands.history_values import Shown, Totals
from supervisor_memkill.commands.terminal import (
    GAP,
    Cell,
    Column,
    Glyphs,
    Style,
    Terminal,
    clean,
    cut,
    rows,
    sparkline,
    total_width,
    width,
)
from supervisor_memkill.notices.curves import Points
from supervisor_memkill.notices.records import DrainRecord, HeldRecord, Outcome, Record
from supervisor_memkill.rules.causes import StepCause
from supervisor_memkill.rules.evidence import EvidenceState
from supervisor_memkill.units import format_duration, format_size

UNKNOWN = "-"
INDENT = "    "
CURVE_POINTS = 16
SHOWN_CLASSES = 3
"""Job classes that are shown of one drained process."""
GIVES_WAY = ("CURVE", "POOL", "STOPPED", "QUIET", "REASON", "AFTER", "HOST", "TOOK", "BEFORE")
"""The columns that a narrow terminal does not show, the first one first."""
_ORDINARY = (StepCause.IDLE.value, StepCause.DRAINS_BY_STOPPING.value, None)
"""Causes of a stop that need no word."""
_STYLES: Mapping[str, Style] = {
    Outcome.KILLED.value: Style.BAD,
    Outcome.LET_GO.value: Style.CARE,
}
OUTCOME_WORDS = {Outcome.DONE.value: "done", Outcome.KILLED.value: "KILLED", Outcome.LET_GO.value: "let go"}


def screen(made: Shown, terminal: Terminal) -> list[str]:
    """All lines."""
    lines = list(_table(made, terminal)) if made.records else []
    if lines:
        lines.append("")
    for line in total_lines(made):
        lines += terminal.wrap(line)
    for note in made.notes:
        lines += [terminal.paint(line, Style.CARE) for line in terminal.wrap(f"note: {note}")]
    return lines


def when(at: float) -> str:
    """Local time, to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(max(0.0, at)))


# --- the table --------------------------------------------------------------------------------------------


def _table(made: Shown, terminal: Terminal) -> Iterator[str]:
    """One line for each record. What needs more words stands behind it, or below if there is no room."""
    columns = _fitting(_columns(made.records, terminal.glyphs, is_fleet=made.is_fleet), terminal.columns)
    words = [clean(details(record)) for record in made.records]
    full = [clean("; ".join(filter(None, [details(one), jobs_seen(one)]))) for one in made.records]
    if terminal.columns is None:
        room = max(map(width, full))
    else:
        room = terminal.columns - total_width(columns) - len(GAP)
    # The jobs that ran are shown where there is room for them: no line is made longer for them.
    words = [text if width(text) <= room else short for text, short in zip(full, words, strict=True)]
    behind = tuple(Cell(text if width(text) <= room else "") for text in words)
    heading, *lines = rows([*columns, Column("", behind)], _wide(terminal), "")
    yield heading.rstrip()
    for line, text, cell in zip(lines, words, behind, strict=True):
        yield line.rstrip()
        if text != cell.text:
            assert terminal.columns is not None
            below = Terminal(terminal.columns - len(INDENT), glyphs=terminal.glyphs)
            yield from (INDENT + one for one in below.wrap(text, ""))


def _wide(terminal: Terminal) -> Terminal:
    """The same without an edge: the columns fit already."""
    return dataclasses.replace(terminal, columns=None)


def _columns(records: Sequence[Record], glyphs: Glyphs, *, is_fleet: bool) -> list[Column]:
    table = [_row(record, glyphs) for record in records]
    headings = [heading for heading in table[0] if is_fleet or heading != "HOST"]
    return [
        Column(
            heading, tuple(dataclasses.replace(row[heading], text=clean(row[heading].text)) for row in table)
        )
        for heading in headings
    ]


def _fitting(columns: list[Column], most: int | None) -> list[Column]:
    """The columns that fit. If even the necessary ones do not, the worker's name is cut."""
    if most is None:
        return columns
    for heading in GIVES_WAY:
        if total_width(columns) <= most:
            return columns
        columns = [column for column in columns if column.heading != heading]
    surplus = total_width(columns) - most
    return [_cut(column, surplus) if column.heading == "WORKER" else column for column in columns]


def _cut(column: Column, surplus: int) -> Column:
    room = max(len(column.heading), column.width - max(0, surplus))
    return Column(
        column.heading, tuple(dataclasses.replace(cell, text=cut(cell.text, room)) for cell in column.cells)
    )


def _row(record: Record, glyphs: Glyphs) -> Mapping[str, Cell]:
    """The cells by their headings, in the order of the columns."""
    begin = {
        "WHEN": Cell(when(record.at)),
        "HOST": Cell(record.host or UNKNOWN),
        "POOL": Cell(record.pool),
        "WORKER": Cell(record.worker),
    }
    if isinstance(record, HeldRecord):
        empty = {name: Cell(UNKNOWN) for name in ("REASON", "BEFORE", "AFTER", "QUIET", "STOPPED")}
        took, held = Cell(shown_duration(record.held_seconds)), Cell("held", Style.CARE)
        return {**begin, **empty, "TOOK": took, "CURVE": Cell(""), "OUTCOME": held}
    style = _STYLES.get(record.outcome, Style.PLAIN)
    return {
        **begin,
        "REASON": Cell(record.reason or UNKNOWN),
        "BEFORE": Cell(_size(record.before_bytes)),
        "AFTER": Cell(_size(record.after_bytes)),
        "QUIET": Cell(shown_duration(record.quiet_seconds)),
        "STOPPED": Cell(shown_duration(record.stopped_seconds)),
        "TOOK": Cell(shown_duration(record.took_seconds)),
        "CURVE": Cell(curve_line(record.curve or (), glyphs)),
        "OUTCOME": Cell(OUTCOME_WORDS.get(record.outcome, record.outcome), style),
    }


def curve_line(points: Points, glyphs: Glyphs) -> str:
    """The memory since the process began, in so many characters of equal time; empty without a curve."""
    if len(points) < 2:
        return ""
    begin, end = points[0][0], points[-1][0]
    step = (end - begin) / (CURVE_POINTS - 1)
    moments = [begin + step * number for number in range(CURVE_POINTS)]
    return sparkline([_at(points, moment) for moment in moments], glyphs)


def _at(points: Points, moment: float) -> float:
    """The last known memory at this moment."""
    return float(next((size for age, size in reversed(points) if age <= moment), points[0][1]))


def details(record: Record) -> str:
    """What a person should know of this record beside its cells; empty: nothing."""
    if isinstance(record, HeldRecord):
        return (
            f"{record.why}"
            if record.is_over
            else f"since {when(record.at - record.held_seconds)}: {record.why}"
        )
    cause = "" if record.cause in _ORDINARY else _words_of(record.cause or "")
    if record.outcome == Outcome.LET_GO.value:
        return "; ".join(filter(None, [cause, evidence(record)]))
    stopped = f"stopped because {cause}" if cause else ""
    cut_words = cut_jobs(record) if record.outcome == Outcome.KILLED.value else ""
    return "; ".join(filter(None, [cut_words, stopped, evidence(record)]))


def evidence(record: DrainRecord) -> str:
    """What became of the command `before_stop`; empty if it was not run."""
    if record.evidence is None:
        return ""
    known = next((one for one in EvidenceState if one.value == record.evidence), None)
    if known is EvidenceState.TAKEN:
        return "evidence taken"
    return f"no evidence: {known.words if known is not None else record.evidence}"


def jobs_seen(record: Record) -> str:
    """The job classes that were seen in the old process most often; empty: none is known."""
    if isinstance(record, HeldRecord) or not record.job_classes:
        return ""
    commonest = sorted(record.job_classes.items(), key=lambda one: (-one[1], one[0]))
    more = ", ..." if len(commonest) > SHOWN_CLASSES else ""
    return f"ran {', '.join(name for name, _ in commonest[:SHOWN_CLASSES])}{more}"


def cut_jobs(record: DrainRecord) -> str:
    """The jobs that were running when the stop was sent, as far as they are known."""
    if record.jobs_cut is None:
        return "its running jobs are unknown"
    if not record.jobs_cut:
        return "no job was running"
    names = f": {', '.join(record.jobs)}" if record.jobs else ""
    return f"{_counted(record.jobs_cut, 'job')} cut{names}"


def _words_of(cause: str) -> str:
    return next((one.words for one in StepCause if one.value == cause), cause)


def _size(size_bytes: int | None) -> str:
    return UNKNOWN if size_bytes is None else format_size(size_bytes)


def shown_duration(seconds: float | None) -> str:
    """None: unknown."""
    return UNKNOWN if seconds is None else format_duration(seconds)


# --- the totals --------------------------------------------------------------------------------------------


def total_lines(made: Shown) -> Iterator[str]:
    """The sums in words."""
    totals = made.totals
    since = f" since {when(made.since)}" if made.since else ""
    if not totals.drains:
        yield f"no drain{since}"
    else:
        reasons = ", ".join(f"{number} {reason or UNKNOWN}" for reason, number in totals.by_reason.items())
        outcomes = ", ".join(
            f"{number} {OUTCOME_WORDS.get(outcome, outcome)}" for outcome, number in totals.by_outcome.items()
        )
        yield f"{_counted(totals.drains, 'drain')}{since}: {reasons}; {outcomes}"
        yield f"memory given back: {format_size(totals.given_back_bytes)}; {_jobs(totals)}"
    if totals.longest is not None:
        longest = totals.longest
        of = f"{longest.worker} on {longest.host}" if made.is_fleet else longest.worker
        yield f"longest out of service: {format_duration(longest.seconds)} ({of}, {when(longest.at)})"
    if totals.held:
        yield f"held for more than an hour: {_counted(totals.held, 'time')}"
    if made.older:
        yield f"{_counted(made.older, 'older record')}: --since all shows them"


def _jobs(totals: Totals) -> str:
    unknown = totals.killed_unknown
    more = f", and those of {_counted(unknown, 'killed worker')} are unknown" if unknown else ""
    return f"jobs cut: {totals.jobs_cut}{more}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
