"""A table fits its terminal: columns give way in order, sentences break between words."""

from __future__ import annotations

import pytest

from supervisor_memkill.commands.output import as_shown
from supervisor_memkill.commands.table import Table, wrap
from supervisor_memkill.commands.terminal import width

ROWS = [
    ("sidekiq", "sidekiq:sidekiq_0", "12274", "2.4GB", "over its limit, would be drained now"),
    ("sidekiq", "sidekiq:sidekiq_1", "12275", "1.1GB", "under its limit"),
]
TABLE = Table(("POOL", "WORKER", "PID", "MEMORY", "VERDICT"), ROWS, ("PID", "POOL"))


def test_without_a_width_each_row_is_one_line() -> None:
    text, left_out = TABLE.fit(None)
    first = "sidekiq  sidekiq:sidekiq_0  12274  2.4GB   over its limit, would be drained now"
    assert text.splitlines()[1] == first
    assert left_out == ()
    assert TABLE.fit(len(first)) == (text, ())


def test_last_column_breaks_between_words_first() -> None:
    text, left_out = TABLE.fit(75)
    assert text.splitlines() == [
        "POOL     WORKER             PID    MEMORY  VERDICT",
        "sidekiq  sidekiq:sidekiq_0  12274  2.4GB   over its limit, would be drained",
        "                                           now",
        "sidekiq  sidekiq:sidekiq_1  12275  1.1GB   under its limit",
    ]
    assert left_out == ()


@pytest.mark.parametrize(
    ("columns", "expected"), [(67, []), (66, ["PID"]), (60, ["PID"]), (59, ["PID", "POOL"])]
)
def test_columns_give_way_in_their_order(columns: int, expected: list[str]) -> None:
    text, left_out = TABLE.fit(columns)
    assert list(left_out) == expected
    assert not {*expected} & {*text.splitlines()[0].split()}


@pytest.mark.parametrize("columns", range(20, 120))
def test_no_line_is_longer_than_the_terminal_and_no_word_is_cut(columns: int) -> None:
    text, _ = TABLE.fit(columns)
    assert all(len(line) <= max(columns, len("sidekiq:sidekiq_0  MEMORY")) for line in text.splitlines())
    assert {*text.split()} >= {"sidekiq:sidekiq_0", "2.4GB", "drained", "limit,", "under"}


def test_columns_stay_in_line_where_a_name_takes_other_columns_than_characters() -> None:
    rows = [("größe", "1", "under its limit"), ("世界", "2", "under its limit")]
    table = Table(("WORKER", "PID", "VERDICT"), as_shown(rows, "ascii"), ())
    text, _ = table.fit(None)
    output = text.encode("ascii", "backslashreplace").decode()
    assert (
        len({line.index(end) for line, end in zip(output.splitlines(), ["PID", "1", "2"], strict=True)}) == 1
    )
    heading, *lines = Table(("WORKER", "PID", "VERDICT"), rows, ()).fit(None)[0].splitlines()
    assert {width(line.partition(end)[0]) for line, end in zip(lines, "12", strict=True)} == {
        heading.index("PID")
    }


def test_sentence_stands_below_where_the_necessary_columns_leave_no_room() -> None:
    text, _ = TABLE.fit(30)
    assert text.splitlines()[2:5] == [
        "sidekiq:sidekiq_0  2.4GB",
        "    over its limit, would be",
        "    drained now",
    ]


def test_long_word_stays_whole_to_be_copied() -> None:
    path = "/etc/supervisor/conf.d/" + "x" * 40
    assert path in wrap(f"note: see {path} for more", 30).split()


def test_notes_are_indented_from_their_second_line() -> None:
    assert wrap("note: one two three", 12).splitlines() == ["note: one", "  two three"]
    assert wrap("note: one", 12) == "note: one"
    assert wrap("note: one two three", None) == "note: one two three"
