"""Parts that several sections of the page have: signs, lists, tables that fold. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from supervisor_memkill.commands.terminal import Cell, Style
from supervisor_memkill.commands.web import pictures
from supervisor_memkill.commands.web.html import Html, element, joined
from supervisor_memkill.dataclass import dataclass

KINDS = {Style.GOOD: "good", Style.CARE: "care", Style.BAD: "bad"}
"""The class of a style; the others have none."""
SIGNS = {"good": "●", "care": "▲", "bad": "■"}
"""Beside the colour, each kind has a shape of its own."""
UNKNOWN = "-"


def sign(style: Style) -> Html:
    """The shape of a style; the words beside it have its meaning. Empty for a style without one."""
    kind = KINDS.get(style)
    return Html("") if kind is None else element("span", SIGNS[kind], class_="sign", aria_hidden="true")


def chip(cell: Cell) -> Html:
    """A word with its sign."""
    return element("span", sign(cell.style), cell.text, class_=f"chip {KINDS.get(cell.style, 'plain')}")


def happenings(lines: Iterable[tuple[str, Style]]) -> Html:
    """What goes on, a line each; empty if nothing does."""
    items = [
        element("li", sign(style), element("span", *_with_strong_beginning(text)), class_=KINDS.get(style))
        for text, style in lines
    ]
    return element("ul", *items, class_="happenings") if items else Html("")


def _with_strong_beginning(text: str) -> tuple[str, str]:
    """``waits:`` and the like are what the eye looks for."""
    beginning, colon, rest = text.partition(": ")
    return (element("strong", f"{beginning}{colon}"), rest) if colon else ("", text)


def anchor(*names: str) -> str:
    """An id from names that may have any characters. Names that differ little may share it."""
    return re.sub(r"[^A-Za-z0-9]+", "-", "-".join(names)).strip("-")


# --- memory ---------------------------------------------------------------------------------------------


def memory(memory_bytes: int | None, limit_bytes: int | None, share: float | None, scale: float) -> Html:
    """The size, the share of the limit, and a bar. None: unknown."""
    words = pictures.sizes_in_words(memory_bytes, limit_bytes)
    if share is None:
        return element("span", words, class_="size")
    return joined([element("span", words, class_="size"), share_of_limit(share, scale, f"{words}, ")])


def share_of_limit(share: float, scale: float, label: str = "") -> Html:
    """Per cent of the limit, and a bar."""
    words = pictures.percent(share)
    per_cent = element("span", words, class_=f"share {pictures.level(share)}")
    return joined([per_cent, pictures.bar(share, scale, f"{label}{words} of the limit")])


# --- tables ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Heading:
    """One column."""

    text: str
    kind: str
    """The class of its cells: a narrow page arranges cells by it."""


def table(label: str, headings: Sequence[Heading], rows: Iterable[Sequence[str]]) -> Html:
    """The first cell of each row names it. The roles stay where a narrow page shows rows as blocks."""
    heads = [element("th", one.text, class_=one.kind, scope="col", role="columnheader") for one in headings]
    lines = [element("tr", *_cells(headings, row), role="row") for row in rows]
    return element(
        "table",
        element("thead", element("tr", *heads, role="row"), role="rowgroup"),
        element("tbody", *lines, role="rowgroup"),
        role="table",
        aria_label=label,
    )


def _cells(headings: Sequence[Heading], row: Sequence[str]) -> Iterable[Html]:
    for number, (heading, cell) in enumerate(zip(headings, row, strict=True)):
        if number == 0:
            yield element("th", cell, class_=heading.kind, scope="row", role="rowheader")
        else:
            yield element("td", cell, class_=heading.kind, role="cell", data_head=heading.text)


@dataclass(frozen=True)
class Room:
    """How many rows of one table are shown at once, and how many more behind a fold."""

    first: int
    folded: int

    def most(self) -> int:
        return self.first + self.folded


def folding(
    kind: str,
    label: str,
    headings: Sequence[Heading],
    rows: Sequence[Sequence[str]],
    room: Room,
    *,
    more: str,
    of: int,
) -> Html:
    """A table with the class `kind`: the first rows, more behind a fold, and how many are left out.

    `more`: what the rows are, and how else they can be seen: ``workers: supervisor-memkill status``.
    """
    what, _, elsewhere = more.partition(": ")
    parts = [table(label, headings, rows[: room.first])]
    folded = rows[room.first : room.most()]
    if folded:
        parts.append(
            element(
                "details",
                element("summary", f"{len(folded)} more {what}"),
                table(f"{label}, continued", headings, folded),
                id=f"more-{anchor(label)}",
            )
        )
    left = of - min(len(rows), room.most())
    if left:
        parts.append(
            element("p", f"{left} {what} are not shown; ", element("code", elsewhere), class_="left-out")
        )
    return element("div", *parts, class_=kind)


def section(name: str, title: str, *content: str) -> Html:
    """A part of the page with its heading, which a link can lead to."""
    heading = element("h2", title, id=f"{name}-title")
    return element("section", heading, *content, id=name, aria_labelledby=f"{name}-title")
