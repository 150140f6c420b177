"""How far a requested restart is, as people see it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from supervisor_memkill.commands.progress import Progress, as_bar, as_words, left, progress
from supervisor_memkill.listener.state_values import DrainState, ListenerState, PoolState, WorkerState
from supervisor_memkill.rules.requests import Act, OperatorRequest, RunningProcess, TakenRequest
from supervisor_memkill.rules.standing import Line, Standing

NOW = 1000.0
IDENTITY = "ab" * 8
WANTED = {"jobs:one": RunningProcess(1, 10), "jobs:two": RunningProcess(2, 10)}


def worker(name: str, pid: int, drain: DrainState | None = None, **values: Any) -> WorkerState:
    defaults: dict[str, Any] = {
        "memory_bytes": 1,
        "busy": None,
        "in_service": True,
        "verdict": "its turn comes",
    }
    return WorkerState(f"jobs:{name}", pid, 10, "RUNNING", drain=drain, **{**defaults, **values})


def state(*workers: WorkerState, wanted: dict[str, RunningProcess] | None = None) -> ListenerState:
    request = OperatorRequest(IDENTITY, Act.RESTART, ("jobs",), 60.0)
    return ListenerState(
        version="1",
        pid=1,
        created=0.0,
        boot_id="",
        host="here",
        dry_run=False,
        started_at=0.0,
        written_at=NOW,
        ticked_at=None,
        pools=(PoolState("jobs", NOW, 100, None, 1, 1, workers),) if workers else (),
        requests=(TakenRequest(request, 0.0, 60.0, WANTED if wanted is None else wanted),),
    )


def drain(name: str = "draining", not_back: str = "") -> DrainState:
    return DrainState("restart", name, NOW - 65.0, NOW - 70.0, not_back)


@pytest.mark.parametrize(
    ("one", "standing", "words"),
    [
        (worker("one", 1), Standing.WAITING, "jobs:one: waiting (its turn comes)"),
        (
            worker("one", 1, drain(), busy=2),
            Standing.DRAINING,
            "jobs:one: draining (draining, 2 running jobs)",
        ),
        (
            worker("one", 1, drain(), busy=1),
            Standing.DRAINING,
            "jobs:one: draining (draining, 1 running job)",
        ),
        (
            worker("one", 1, dataclasses.replace(drain(), evidence_since=NOW - 5), busy=0),
            Standing.DRAINING,
            "jobs:one: draining (draining (before_stop runs), 0 running jobs)",
        ),
        (worker("one", 5, drain("settling")), Standing.DRAINING, "jobs:one: draining (settling)"),
        (worker("one", 5), Standing.REPLACED, "jobs:one: replaced (runs as process 5)"),
        (
            worker("one", 0, drain("starting", "it was not seen running")),
            Standing.FAILED,
            "failed (it was not seen running)",
        ),
    ],
)
def test_standing_of_a_worker(one: WorkerState, standing: Standing, words: str) -> None:
    line = progress(WANTED, IDENTITY, state(one, worker("two", 2))).lines[0]
    assert line.standing is standing
    assert words in as_words(line)


def test_worker_that_left_the_configuration_needs_no_restart() -> None:
    made = progress(WANTED, IDENTITY, state(worker("one", 5)))
    assert made.is_over and made.is_served


def test_listener_that_has_not_looked_yet_has_replaced_nobody() -> None:
    assert not progress(WANTED, IDENTITY, state()).is_over


def test_withdrawn_restart_is_over_and_not_served() -> None:
    made = progress(WANTED, IDENTITY, state(worker("one", 5), worker("two", 2), wanted={}))
    assert made.is_over and not made.is_served
    assert [line.standing for line in made.lines] == [Standing.REPLACED, Standing.WITHDRAWN]


def test_one_failure_is_the_end_of_the_watching() -> None:
    failed = worker("one", 0, drain("starting", "it was not seen running"))
    made = progress(WANTED, IDENTITY, state(failed, worker("two", 2)))
    assert made.is_over and not made.is_served


@pytest.mark.parametrize("columns", [40, 79, 200])
def test_bar_fits_the_terminal(columns: int) -> None:
    made = progress(WANTED, IDENTITY, state(worker("one", 1, drain(), busy=2), worker("two", 2)))
    text = as_bar(made, NOW, columns)
    assert len(text) <= columns
    assert "0 of 2 replaced" in text
    if columns == 200:
        assert "jobs:one: draining for 1m05s, 2 running jobs; jobs:two: its turn comes" in text


def test_nothing_from_outside_steers_the_terminal() -> None:
    made = progress(WANTED, IDENTITY, state(worker("one", 1, verdict="\x1b[2J\r\n")))
    assert as_bar(made, NOW, 200).isprintable()
    assert as_words(made.lines[0]).isprintable()


def test_error_names_the_worker_that_fails_first_and_counts_the_others() -> None:
    waiting = tuple(Line(f"jobs:{number}", Standing.WAITING, "its turn comes") for number in range(300))
    failed = Line("jobs:broken", Standing.FAILED, "it was not seen running")
    words = left(Progress((*waiting, failed), 7, 40))
    assert words.startswith(
        "jobs:broken: failed (it was not seen running); jobs:0: waiting (its turn comes); jobs:1"
    )
    assert words.endswith("jobs:3: waiting (its turn comes); and 336 more")


def test_error_names_nobody_who_is_replaced() -> None:
    done = Line("jobs:done", Standing.REPLACED, "runs as process 7")
    assert (
        left(Progress((done, Line("jobs:one", Standing.DRAINING, "quieting"))))
        == "jobs:one: draining (quieting)"
    )
