"""What a terminal can show."""

from __future__ import annotations

import pytest

from supervisor_memkill.commands.terminal import (
    ASCII,
    BLOCKS,
    Style,
    Terminal,
    bar,
    cut,
    pad,
    sparkline,
    width,
)


@pytest.mark.parametrize(
    ("columns", "environ", "expected"),
    [
        (80, {}, True),
        (None, {}, False),
        (80, {"NO_COLOR": "1"}, False),
        (80, {"NO_COLOR": ""}, True),
        (80, {"TERM": "dumb"}, False),
    ],
)
def test_colour_needs_a_terminal_and_nobody_who_forbids_it(
    columns: int | None, environ: dict[str, str], expected: bool
) -> None:
    terminal = Terminal.of(columns, None, "utf-8", environ)
    assert terminal.has_colour is expected
    assert ("\x1b" in terminal.paint("x", Style.BAD)) is expected


@pytest.mark.parametrize(
    ("encoding", "glyphs"),
    [("utf-8", BLOCKS), ("ascii", ASCII), ("latin-1", ASCII), ("?", ASCII), (None, ASCII)],
)
def test_characters_are_those_that_the_encoding_has(encoding: str | None, glyphs: object) -> None:
    assert Terminal.of(80, None, encoding, {}).glyphs is glyphs


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("abc", 3, "abc"),
        ("abcdef", 5, "ab..."),
        ("abcdef", 2, ".."),
        ("世界世界", 8, "世界世界"),
        ("世界世界", 7, "世界..."),
        ("世界世界", 6, "世..."),
        ("a\u0301bc", 3, "a\u0301bc"),
    ],
)
def test_text_is_cut_by_the_columns_that_it_takes(text: str, columns: int, expected: str) -> None:
    assert cut(text, columns) == expected
    assert width(pad(cut(text, columns), columns)) == columns


def test_lines_break_between_words_alone_and_a_path_stays_whole() -> None:
    path = f"/var/lib/{'x' * 40}/memkill.journal"
    assert Terminal(30).wrap(f"note: the journal {path} is damaged") == [
        "note: the journal",
        f"  {path}",
        "  is damaged",
    ]
    assert Terminal(30).wrap(path) == [path]
    assert Terminal(12).wrap("  one two three") == ["  one two", "  three"]
    assert Terminal(9).wrap("世界 世界 世界") == ["世界 世界", "  世界"], "by the columns that it takes"


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0, "...."), (0.01, "#..."), (0.5, "##.."), (0.99, "###."), (1, "####"), (7, "####")],
)
def test_bar_is_full_at_the_limit_and_not_before(share: float, shown: str) -> None:
    assert bar(share, 4, ASCII) == shown


@pytest.mark.parametrize(
    ("samples", "shown"),
    [
        ((), ""),
        ((0, 100), "_#"),
        ((300_000_000,) * 4, "===="),
        ((100, 101, 102), "-=+"),
        ((90, 100, 100), "_##"),
        ((None, 5, None), "?=?"),
        ((None, None), "??"),
        ((10, 20, 30, 40, 50, 60, 70, 80), "_.-=+*%#"),
        ((0, 0), "__"),
    ],
)
def test_line_of_samples_goes_from_the_least_to_the_greatest(
    samples: tuple[int | None, ...], shown: str
) -> None:
    assert sparkline(samples, ASCII) == shown
