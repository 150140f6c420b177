"""The screen: its lines show what they should, and they fit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from supervisor_memkill.demo.judge import Account, Life, Tally
from supervisor_memkill.demo.sample import Sight
from supervisor_memkill.demo.screen import STANDING_COLUMNS, Screen, bar, words_for
from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State
from tests.demo.values import MB, sample, sight, stopped

PLAIN = Screen(100, colour=False)
LIMIT = 48 * MB


@pytest.mark.parametrize(
    ("seen", "last_event", "expected"),
    [
        (sight(), "", "in service"),
        (sight(), "worker.held", "over, waits"),
        (sight(), "drain.quieting", "going quiet"),
        (sight(reported="quiet", is_busy=True), "drain.draining", "last job"),
        (sight(reported="quiet"), "drain.draining", "no job left"),
        (sight(reported="quiet", state=ProcessState.STOPPING), "drain.stopping", "stopping"),
        (stopped(), "drain.starting", "stopped"),
        (sight(reported="", state=ProcessState.STARTING), "drain.starting", "starting"),
        (sight(reported=""), "drain.settling", "starting"),
        (sight(), "drain.settling", "settling"),
        (sight(reported="quiet"), "", "no job left"),
    ],
)
def test_a_workers_standing_in_words(seen: Sight, last_event: str, expected: str) -> None:
    assert words_for(seen, last_event) == expected


def test_every_state_of_supervisord_and_every_event_has_words_that_fit_the_column() -> None:
    for state in ProcessState:
        assert 0 < len(words_for(sight(state=state, reported=""), "")) <= STANDING_COLUMNS
    for event in ("worker.held", *(f"drain.{state.value}" for state in State)):
        assert 0 < len(words_for(sight(), event)) <= STANDING_COLUMNS
    for is_busy in (True, False):
        assert len(words_for(sight(reported="quiet", is_busy=is_busy), "")) <= STANDING_COLUMNS


@pytest.mark.parametrize(
    ("megabytes", "expected"),
    [(0, "...... "), (24, "###... "), (47, "#####. "), (48, "###### "), (49, "######!"), (200, "######!")],
)
def test_the_bar_is_full_at_the_limit_and_marked_over_it(megabytes: int, expected: str) -> None:
    assert bar(megabytes * MB, LIMIT, 6) == expected


def test_a_timeline_shows_memory_standing_and_jobs_done() -> None:
    workers = [sight("a"), sight("b", memory_bytes=50 * MB), stopped("c")]
    line = PLAIN.timeline(sample(*workers, at=12.3, done=7), {"jobs:b": "worker.held"}, LIMIT)
    assert " ".join(line.split()) == (
        "12s a ##.... 20MB in service b ######! 50MB over, waits c ...... 0MB stopped 7 done"
    )


@pytest.mark.parametrize("columns", [100, 80])
def test_no_line_is_wider_than_the_screen(columns: int) -> None:
    screen = Screen(columns, colour=False)
    workers = [sight(name, memory_bytes=999 * MB, reported="quiet", is_busy=True) for name in "abc"]
    text = (
        screen.introduction(Path("/tmp/memkill-demo-12345678"), LIMIT, 1.25)
        + screen.timeline(sample(*workers, at=130.0, done=999), {}, LIMIT)
        + screen.event(130.0, "jobs:a is over its limit (999.9MB of 999.9MB): " + "word " * 30)
        + screen.summary(Tally(), Account(9, 9, (), ()), ["a promise " * 20], 130.0)
    )
    assert max(map(len, text.splitlines())) <= columns


def test_the_summary_shows_what_was_counted() -> None:
    lives = (Life(100, 20 * MB, 60 * MB), Life(101, 15 * MB, 30 * MB))
    tally = Tally({"jobs:a": lives, "jobs:b": lives[:1]}, max_out=("jobs:a",))
    text = PLAIN.summary(tally, Account(31, 30, ("0007",), ()), ["a job was lost"], 50.0)
    assert "31 jobs handed out, 30 done, 1 lost, 0 run twice" in text
    assert "out of service at the same time: at most 1 of 2 workers" in text
    assert "jobs:a: replaced once: 60MB before, 15MB after" in text
    assert "jobs:b: never replaced" in text
    assert "a job was lost" in text
    assert "Every promise was kept" not in text


@pytest.mark.parametrize(
    ("is_terminal", "environ", "expected"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": ""}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {}, False),
    ],
)
def test_colour_is_for_terminals_whose_user_has_nothing_against_it(
    is_terminal: bool, environ: dict[str, str], expected: bool
) -> None:
    assert Screen.of(80, is_terminal, environ).colour is expected


def test_colour_changes_nothing_of_the_text() -> None:
    plain, coloured = (Screen(100, colour).timeline(sample(), {}, LIMIT) for colour in (False, True))
    assert coloured != plain
    assert re.sub(r"\033\[\d+m", "", coloured) == plain
