"""What a terminal can show: its width, colour, and characters for bars. Pure.

All text that comes from elsewhere goes through `clean`: names of workers and of jobs come from Redis and from
other processes, and nothing in them may steer the terminal.
"""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import one_line
from supervisor_memkill.units import format_duration, format_size

MIN_COLUMNS = 20
CUT = "..."


class Style(enum.Enum):
    """How a part of a line looks; the value is that of ECMA-48's SGR."""

    PLAIN = ""
    GOOD = "32"
    CARE = "33"
    BAD = "31"
    HEAD = "1"
    FAINT = "2"


@dataclass(frozen=True)
class Glyphs:
    """The characters of bars and lines, by what the output's encoding has."""

    full: str
    empty: str
    levels: str
    """From low to high."""
    unknown: str


BLOCKS = Glyphs("█", "░", "▁▂▃▄▅▆▇█", " ")
ASCII = Glyphs("#", ".", "_.-=+*%#", "?")


@dataclass(frozen=True)
class Terminal:
    """The output, as far as what is shown depends on it."""

    columns: int | None = None
    """None: the output is no terminal, and a line may have any length."""
    lines: int | None = None
    """None: no terminal, or unknown."""
    has_colour: bool = False
    glyphs: Glyphs = BLOCKS

    @classmethod
    def of(
        cls, columns: int | None, lines: int | None, encoding: str | None, environ: Mapping[str, str]
    ) -> Terminal:
        """`columns` None: no terminal. ``NO_COLOR`` with any text turns colour off (no-color.org)."""
        colour = columns is not None and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        glyphs = BLOCKS if _can_write(BLOCKS.full + BLOCKS.empty + BLOCKS.levels, encoding) else ASCII
        return cls(None if columns is None else max(columns, MIN_COLUMNS), lines, colour, glyphs)

    def paint(self, text: str, style: Style) -> str:
        """The text in this style; the same width on the screen."""
        if not self.has_colour or style is Style.PLAIN or not text:
            return text
        return f"\x1b[{style.value}m{text}\x1b[0m"

    def wrap(self, text: str, indent: str = "  ") -> list[str]:
        """The text in lines that break between words; further lines are indented.

        A word that is longer than a line, such as a path, stays whole, so that it can be copied.
        """
        text = clean(text)
        if self.columns is None or width(text) <= self.columns:
            return [text]
        lead, (first, *words) = text[: len(text) - len(text.lstrip())], text.split() or [""]
        lines = [lead + first]
        for word in words:
            if width(longer := f"{lines[-1]} {word}") <= self.columns:
                lines[-1] = longer
            else:
                lines.append(indent + word)
        return lines


def _can_write(text: str, encoding: str | None) -> bool:
    try:
        text.encode(encoding or "ascii")
    except (LookupError, UnicodeError):
        return False
    return True


def clean(text: str) -> str:
    """The text in one line, without anything that steers a terminal or turns its direction."""
    return one_line(text)


def width(text: str) -> int:
    """The columns that the text takes on a screen."""
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, columns: int) -> str:
    """The text, or its beginning and ``...``, in at most so many columns."""
    if width(text) <= columns:
        return text
    room, kept = max(0, columns - len(CUT)), ""
    for character in text:
        if width(kept + character) > room:
            break
        kept += character
    return kept + CUT[:columns]


def pad(text: str, columns: int) -> str:
    """The text with blanks up to this width."""
    return text + " " * max(0, columns - width(text))


# --- bars and lines of samples ------------------------------------------------------------------------


def bar(share: float, columns: int, glyphs: Glyphs) -> str:
    """A bar that is full at a share of 1; something is seen above 0, and full only from 1 on."""
    filled = min(columns, int(share * columns))
    if 0 < share < 1:
        filled = min(max(filled, 1), columns - 1)
    return glyphs.full * filled + glyphs.empty * (columns - filled)


MIN_SPAN = 0.1
"""Samples that differ by less than this share of the greatest are shown as a line at half the height."""


def sparkline(samples: Sequence[float | None], glyphs: Glyphs) -> str:
    """One character for each sample, from the least to the greatest of them; None: unknown."""
    known = [one for one in samples if one is not None]
    if not known:
        return glyphs.unknown * len(samples)
    low, high, count = min(known), max(known), len(glyphs.levels)
    span = max(high - low, high * MIN_SPAN, 1)
    if high > 0 and high - low < span:
        # The lowest characters all along would look as if nothing were there.
        low = (low + high) / 2 - span * (count // 2 - 0.5) / count
    return "".join(
        glyphs.unknown
        if one is None
        else glyphs.levels[max(0, min(count - 1, int((one - low) / span * count)))]
        for one in samples
    )


# --- rows ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """One cell of a row."""

    text: str
    style: Style = Style.PLAIN


@dataclass(frozen=True)
class Column:
    """One column: its heading and a cell for each row, all of the same kind."""

    heading: str
    cells: tuple[Cell, ...]

    @property
    def width(self) -> int:
        return max([width(self.heading), *(width(cell.text) for cell in self.cells)])


GAP = "  "


def rows(columns: Sequence[Column], terminal: Terminal, indent: str) -> Iterator[str]:
    """The heading and the rows. The first column is cut if all of them do not fit."""
    widths = [column.width for column in columns]
    if terminal.columns is not None:
        surplus = total_width(columns) + len(indent) - terminal.columns
        widths[0] = max(len(CUT), widths[0] - max(0, surplus))
    heads = [Cell(column.heading, Style.FAINT) for column in columns]
    for line in (heads, *zip(*(column.cells for column in columns), strict=True)):
        room = None if terminal.columns is None else terminal.columns - len(indent)
        shown = indent
        for index, (cell, of) in enumerate(zip(line, widths, strict=True)):
            text = cut(cell.text, of)
            text = text if index == len(widths) - 1 else pad(text, of) + GAP
            text = text if room is None else cut(text, room)
            room = None if room is None else room - width(text)
            shown += terminal.paint(text, cell.style) if text.strip() else text
        yield shown


def total_width(columns: Sequence[Column]) -> int:
    """The columns of the screen that these take, with the gaps."""
    return sum(column.width for column in columns) + len(GAP) * (len(columns) - 1)


def choose(choices: Sequence[Sequence[Column]], terminal: Terminal, indent: str) -> Sequence[Column]:
    """The first choice of columns that fits, else the last one."""
    for columns in choices:
        if terminal.columns is None or total_width(columns) + len(indent) <= terminal.columns:
            return columns
    return choices[-1]


# --- cells --------------------------------------------------------------------------------------------

NEAR_LIMIT = 0.9


def share_cell(share: float | None, columns: int, terminal: Terminal) -> Cell:
    """A share of a limit as a bar with per cent; `columns` 0: without a bar. None: unknown."""
    if share is None:
        return Cell("-")
    style = Style.BAD if share > 1 else Style.CARE if share >= NEAR_LIMIT else Style.GOOD
    percent = f"{min(MAX_PERCENT, int(share * 100)):3d}%"
    return Cell(f"{bar(share, columns, terminal.glyphs)} {percent}" if columns else percent, style)


MAX_PERCENT = 999


def number(value: int | None) -> str:
    return "-" if value is None else str(value)


def size(size_bytes: int | None) -> str:
    return "-" if size_bytes is None else format_size(size_bytes)


def duration(seconds: float) -> str:
    return format_duration(round(seconds))
