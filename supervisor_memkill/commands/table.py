"""A table of text that fits the width of a terminal: columns give way in a fixed order. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from supervisor_memkill.commands.terminal import pad, width
from supervisor_memkill.dataclass import dataclass

GAP = "  "
MIN_LAST_COLUMNS = 24
"""The least width of the last column, in characters, before another column gives way."""
INDENT = "    "


@dataclass(frozen=True)
class Table:
    """Rows of text below headings. The last column holds sentences, which may take several lines."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    gives_way: Sequence[str]
    """The headings of the columns that may be left out, the first one first."""

    def fit(self, columns: int | None) -> tuple[str, Sequence[str]]:
        """The text, and the headings of the columns that were left out.

        `columns`: the width of the terminal in characters; None: lines may have any length.
        """
        shown = list(range(len(self.headings)))
        if columns is None or self._width(shown) <= columns:
            return "\n".join(self._lines(shown, None)), ()
        left_out = list[str]()
        for heading in self.gives_way:
            if columns - self._head_width(shown) >= MIN_LAST_COLUMNS:
                break
            shown.remove(self.headings.index(heading))
            left_out.append(heading)
        return "\n".join(self._lines(shown, columns)), tuple(left_out)

    def _lines(self, shown: Sequence[int], columns: int | None) -> Iterator[str]:
        *head, last = shown
        room = None if columns is None else columns - self._head_width(shown)
        for row in (self.headings, *self.rows):
            start = "".join(pad(row[index], self._widths[index]) + GAP for index in head)
            if room is None:
                yield start + row[last]
            elif room >= MIN_LAST_COLUMNS:
                first, *more = _wrap(row[last], room)
                yield start + first
                yield from (" " * len(start) + line for line in more)
            else:  # Even the necessary columns are too wide: the sentence stands below.
                yield start.rstrip()
                yield from (INDENT + line for line in _wrap(row[last], max((columns or 0) - len(INDENT), 1)))

    def _head_width(self, shown: Sequence[int]) -> int:
        return sum(self._widths[index] + len(GAP) for index in shown[:-1])

    def _width(self, shown: Sequence[int]) -> int:
        return self._head_width(shown) + self._widths[shown[-1]]

    @property
    def _widths(self) -> Sequence[int]:
        return [max(map(width, column)) for column in zip(self.headings, *self.rows, strict=True)]


def wrap(text: str, columns: int | None) -> str:
    """The text in lines that break between words; further lines are indented."""
    if columns is None:
        return text
    first, *more = _wrap(text, columns) if len(text) <= columns else _wrap(text, max(columns - 2, 1))
    return "\n".join([first, *(f"  {line}" for line in more)])


def _wrap(text: str, columns: int) -> list[str]:
    """Lines that break between words; a word that is longer than a line, such as a path, stays whole."""
    return textwrap.wrap(text, columns, break_long_words=False, break_on_hyphens=False) or [""]
