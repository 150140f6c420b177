"""The history as HTML: its sums, and a row for each drain and each long wait. Pure."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence

from supervisor_memkill.commands import history_screen
from supervisor_memkill.commands.history_values import HELD, Shown
from supervisor_memkill.commands.terminal import Cell, Style, duration, size
from supervisor_memkill.commands.web import parts, pictures
from supervisor_memkill.commands.web.html import Html, element, joined
from supervisor_memkill.commands.web.parts import UNKNOWN, Heading, Room
from supervisor_memkill.notices.records import DrainRecord, HeldRecord, Outcome, Record

ROOM = Room(15, 185)
STYLES = {Outcome.DONE.value: Style.GOOD, Outcome.KILLED.value: Style.BAD, Outcome.LET_GO.value: Style.CARE}
WHEN, WORKER = Heading("When", "when"), Heading("Worker", "name")
MEMORY, TOOK, OUTCOME = Heading("Memory", "memory"), Heading("Took", "took"), Heading("Outcome", "outcome")
REASON, CURVE = Heading("Reason", "reason"), Heading("The old process", "curve")
HEADINGS = (WHEN, WORKER, REASON, MEMORY, CURVE, TOOK, OUTCOME)
FLEET_HEADINGS = (WHEN, WORKER, REASON, MEMORY, TOOK, OUTCOME)
"""A stream in Redis has no curves."""


def history(made: Shown) -> Html:
    """The newest drain comes first."""
    name, title = ("fleet-history", "History of all hosts") if made.is_fleet else ("history", "History")
    command = "supervisor-memkill history" + (" --fleet" if made.is_fleet else "")
    content = [_totals(made)]
    newest = list(reversed(made.records[-ROOM.most() :]))
    if newest:
        headings = FLEET_HEADINGS if made.is_fleet else HEADINGS
        rows = [_row(one, is_fleet=made.is_fleet) for one in newest]
        content.append(
            parts.folding(
                "past", title, headings, rows, ROOM, more=f"records: {command}", of=len(made.records)
            )
        )
    content.append(
        element(
            "p",
            "Times are those of this machine. All that is kept: ",
            element("code", f"{command} --since all"),
            class_="left-out",
        )
    )
    return parts.section(name, title, element("div", *content, class_="card"))


def _totals(made: Shown) -> Html:
    lines = [*history_screen.total_lines(dataclasses.replace(made, older=0)), *made.notes]
    return element("ul", *(element("li", line[:1].upper() + line[1:]) for line in lines), class_="totals")


def _row(record: Record, *, is_fleet: bool) -> Sequence[str]:
    cells: list[str] = [_when(record.at), _worker(record, is_fleet=is_fleet)]
    if isinstance(record, HeldRecord):
        cells += ["", "", *([] if is_fleet else [""]), duration(record.held_seconds)]
    else:
        cells += [record.reason or UNKNOWN, _memory(record)]
        if not is_fleet:
            cells.append(pictures.curve_of_process(record.curve or ()) or Html(""))
        cells.append(_took(record))
    return (*cells, _outcome(record))


def _when(at: float) -> Html:
    exact = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(max(0.0, at)))
    return element("time", history_screen.when(at), datetime=exact)


def _worker(record: Record, *, is_fleet: bool) -> Html:
    where = f"{record.pool} on {record.host}" if is_fleet and record.host else record.pool
    return joined([record.worker, element("span", where, class_="beside")])


def _memory(record: DrainRecord) -> Html:
    return joined(
        [
            size(record.before_bytes),
            element("span", " → ", class_="to", aria_label="to"),
            size(record.after_bytes),
        ]
    )


def _took(record: DrainRecord) -> Html:
    if record.took_seconds is None:
        return Html(UNKNOWN)
    return joined(
        [duration(record.took_seconds), element("span", ", ".join(_times(record)), class_="beside")]
    )


def _times(record: DrainRecord) -> Iterator[str]:
    if record.quiet_seconds is not None:
        yield f"quiet {history_screen.shown_duration(record.quiet_seconds)}"
    if record.stopped_seconds is not None:
        yield f"stopped {history_screen.shown_duration(record.stopped_seconds)}"


def _outcome(record: Record) -> Html:
    word = record.outcome if isinstance(record, DrainRecord) else HELD
    cell = Cell(history_screen.OUTCOME_WORDS.get(word, word), STYLES.get(word, Style.CARE))
    return joined([parts.chip(cell), element("span", history_screen.details(record), class_="beside")])
