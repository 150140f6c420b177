"""The screen of ``status``: all is seen, nothing is wider than the terminal, and no text steers it."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_memkill.commands.found_listener import FoundListener
from supervisor_memkill.commands.status_of import status_of
from supervisor_memkill.commands.status_screen import screen
from supervisor_memkill.commands.terminal import ASCII, BLOCKS, Terminal, width
from supervisor_memkill.listener.state_values import DrainState
from tests.commands.status_values import (
    DRAINED,
    EVIDENCE,
    NOW,
    OUTAGE,
    PAUSE,
    REQUEST,
    STARTING,
    USUAL,
    WAITING,
    found,
    listener,
    pool,
)
from tests.docs.pages import DOCS
from tests.fuzz.effort import tries

COLOUR = re.compile(r"\x1b\[(?:0|1|2|31|32|33)m")


def lines(made: FoundListener | None = None, columns: int | None = 80, **settings: Any) -> list[str]:
    return screen(status_of(made or found(), NOW), Terminal(columns, **settings))


def test_look_has_its_age_when_it_is_old() -> None:
    assert "seen" not in "\n".join(lines(found(listener(pool(looked_at=NOW - 80)))))
    assert "seen 2m00s ago" in " ".join(lines(found(listener(pool(looked_at=NOW - 120))), columns=None))


def test_what_goes_on_stands_above_the_rows() -> None:
    shown = lines(found(listener(requests=(REQUEST,), pauses=(PAUSE,))), columns=None)
    assert shown[4:8] == [
        "  paused 5m00s ago, 55m00s left, but for hard_max_rss",
        "  restart requested 1m00s ago: 1 of 2 replaced, 23h59m left",
        "  drains: sidekiq:sidekiq_0: draining for 5m12s (5m14s in all), 3 running jobs; reason max_rss",
        "  waits: sidekiq:sidekiq_1: over its limit, but max_draining is reached (sidekiq:sidekiq_0)",
    ]


def test_command_before_the_stop_is_named_while_it_runs() -> None:
    """An idle worker that is not stopped would puzzle whoever does not know of the command."""
    (line,) = [one for one in lines(found(listener(pool(EVIDENCE))), columns=None) if "drains:" in one]
    assert line == (
        "  drains: sidekiq:sidekiq_0: draining for 5m12s (5m14s in all), 0 running jobs; before_stop has run"
        " for 12s; reason max_rss"
    )
    assert not any("before_stop" in one for one in lines())


def test_problems_and_notes_stand_at_the_top() -> None:
    shown = lines(found(listener(away={"journal": OUTAGE}), changes=("x was changed",)), columns=None)
    assert shown[2].startswith("problem: journal has not answered the listener for 3m20s: Redis: no answer")
    assert shown[3].startswith("note: the configuration in force is older than the one on disk: x")


@pytest.mark.parametrize(
    ("made", "first"),
    [
        (found(listener(written_at=NOW - 1000)), "listener alive but silent (pid "),
        (found(listener(pid=2**22 + 1)), "listener NOT RUNNING, last TICK 23s ago, configuration in force"),
        (found(changes=("x",)), "configuration not in force"),
        (found(changes=None), "configuration unknown"),
        (found(listener(ticked_at=None, started_at=NOW)), "no TICK yet"),
    ],
)
def test_first_line_says_whether_the_listener_works(made: FoundListener, first: str) -> None:
    assert first in lines(made)[0]


def test_dead_listeners_view_has_its_age() -> None:
    assert "all below is as seen 4s ago" in " ".join(lines(found(listener(pid=2**22 + 1))))


def test_many_waiting_workers_are_counted() -> None:
    waiting = [dataclasses.replace(WAITING, worker=f"s:{number}") for number in range(8)]
    shown = "\n".join(lines(found(listener(pool(*waiting)))))
    assert shown.count("waits: s:") == 5 and "waits: 3 more" in shown


@pytest.mark.parametrize(
    ("columns", "headings"),
    [
        (None, ["WORKER", "STATE", "BUSY", "MEMORY", "OF LIMIT", "SAMPLES"]),
        (100, ["WORKER", "STATE", "BUSY", "MEMORY", "OF LIMIT", "SAMPLES"]),
        (80, ["WORKER", "STATE", "BUSY", "MEMORY", "OF LIMIT", "SAMPLES"]),
        (70, ["WORKER", "STATE", "BUSY", "MEMORY", "OF LIMIT"]),
        (60, ["WORKER", "STATE", "BUSY", "MEMORY", "OF LIMIT"]),
        (54, ["WORKER", "STATE", "MEMORY", "OF LIMIT"]),
        (45, ["WORKER", "STATE", "OF LIMIT"]),
        (40, ["WORKER", "STATE", "OF LIMIT"]),
    ],
)
def test_columns_give_way_in_their_order(columns: int | None, headings: list[str]) -> None:
    (heading,) = [line for line in lines(columns=columns) if "STATE" in line]
    assert re.split(r" {2,}", heading.strip()) == headings


@pytest.mark.parametrize(
    ("one", "state"),
    [
        (DRAINED, "draining 5m12s"),
        (dataclasses.replace(DRAINED, drain=DrainState("x", "starting", NOW - 9, 0, "why")), "not back 9s"),
        (EVIDENCE, "before_stop 12s"),
        (WAITING, "waits"),
        (USUAL, "in service"),
        (STARTING, "STARTING"),
        (dataclasses.replace(USUAL, in_service=False, quiet=True), "quiet"),
        (dataclasses.replace(USUAL, in_service=False, quiet=None), "not in service"),
    ],
)
def test_state_of_a_worker_in_a_word(one: Any, state: str) -> None:
    row = lines(found(listener(pool(one))), columns=None)[-1]
    assert re.split(r" {2,}", row.strip())[1] == state


def test_colour_is_only_where_it_is_asked_for() -> None:
    assert not any("\x1b" in line for line in lines())
    shown = lines(has_colour=True)
    assert any("\x1b[31m" in line for line in shown)
    assert [COLOUR.sub("", line) for line in shown] == lines()


def test_output_without_the_characters_of_bars_has_others() -> None:
    text = "\n".join(lines(glyphs=ASCII))
    assert text.isascii() and "#" * 10 in text


HOSTILE = st.text(st.characters() | st.sampled_from("\x1b\r\n\x07\x9b\u202e\u200b\u0301\t世界"), max_size=60)


@tries(200)
@given(HOSTILE, HOSTILE, st.integers(20, 200), st.booleans())
def test_hostile_text_neither_steers_nor_widens_the_screen(
    name: str,
    words: str,
    columns: int,
    has_colour: bool,
) -> None:
    """Names of workers, verdicts and errors come from other processes and from Redis."""
    one = dataclasses.replace(WAITING, worker=name, verdict=words, state=words)
    drain = DrainState(words, words, NOW, NOW, words)
    two = dataclasses.replace(DRAINED, worker=words, drain=drain)
    three = dataclasses.replace(STARTING, worker=name, state=words)
    made = pool(one, two, three, name=name, kind=words, failure=words, source_away=words, unrecognised=words)
    away = {name: dataclasses.replace(OUTAGE, error=words)}
    state = listener(made, host=words, version=name, away=away)
    for line in lines(found(state, changes=(words,)), columns=columns, has_colour=has_colour):
        bare = COLOUR.sub("", line) if has_colour else line
        assert bare.isprintable(), bare
        assert width(bare) <= columns or len(bare.split()) == 1, "a long word stays whole"


def test_screen_in_the_docs_is_the_one_that_the_command_shows() -> None:
    """With the pid of the example."""
    state = listener(pool(DRAINED, WAITING, USUAL))
    shown = lines(found(state), columns=80, glyphs=BLOCKS)
    shown[0] = re.sub(r"pid \d+", "pid 812", shown[0])
    page = (DOCS / "status.rst").read_text()
    assert "\n".join(f"    {line}".rstrip() for line in shown) in page
