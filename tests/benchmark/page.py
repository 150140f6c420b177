"""Puts the figures into the page of the documentation, between two comments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.benchmark.report import cells

BEGIN, END = ".. The benchmark writes this table.", ".. The end of that table."
HEAD = (
    "processes",
    "listener",
    "CPU an hour",
    "memmon's",
    "supervisord blocked",
    "own memory",
    "wake-ups",
    "Redis",
)
_NAMES = {
    "supervisor-memkill with Redis": "the same with Redis",
    "supervisor-memkill, TICKs alone": "the same with TICKs alone",
}


def put_into(page: Path, found: Mapping[str, Any]) -> None:
    """Replace the table between the comments. Raises ValueError if they are not there."""
    text = page.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{page} needs the lines {BEGIN!r} and {END!r}")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n\n" + "\n".join(table(found)) + f"\n\n{END}{after}")


def table(found: Mapping[str, Any]) -> Iterator[str]:
    """A list-table of reStructuredText."""
    yield from (".. list-table::", "   :header-rows: 1", "")
    for row in (HEAD, *cells(found["idle"])):
        for number, cell in enumerate(_NAMES.get(cell, cell) for cell in row):
            mark = "*" if number == 0 else " "
            yield re.sub(r"\s+$", "", f"   {mark} - {cell}")
