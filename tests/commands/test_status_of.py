"""What ``status`` says: what is well, what is a problem, what is only a note."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.commands.found_listener import FoundListener
from supervisor_memkill.commands.status_of import matches, status_of
from supervisor_memkill.commands.status_values import Status, as_json
from supervisor_memkill.listener.state_values import Origin
from supervisor_memkill.processes import ProcessInfo, ProcessState
from tests.commands.status_values import (
    DRAINED,
    NOW,
    OUTAGE,
    PAUSE,
    REQUEST,
    USUAL,
    WAITING,
    found,
    listener,
    pool,
)

PROCESS = ProcessInfo("memkill", "memkill", ProcessState.FATAL, 0, 0, 0, 0)
DEAD: dict[str, Any] = {"pid": 2**22 + 1}


def status(made: FoundListener, *names: str) -> Status:
    return status_of(made, NOW, names)


def test_listener_that_works_has_no_problem() -> None:
    shown = status(found())
    assert (shown.listener.alive, shown.listener.problem, shown.problems, shown.notes) == (True, "", (), ())
    assert (shown.listener.tick_seconds_ago, shown.listener.up_for_seconds) == (23.0, 10_920.0)
    assert shown.listener.configuration.in_force is True


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (found(listener(**DEAD), process=PROCESS), "no listener works (its last process was pid 4194305;"),
        (found(listener(**DEAD), process=PROCESS), "start it: supervisorctl start memkill:memkill"),
        (found(listener(**DEAD)), "supervisord has no memkill:memkill"),
        (
            found(listener(**DEAD), process=dataclasses.replace(PROCESS, state=ProcessState.RUNNING)),
            "a new process of the listener has not looked at its workers yet",
        ),
        (
            found(listener(**DEAD), process=dataclasses.replace(PROCESS, state=ProcessState.BACKOFF)),
            "as BACKOFF); supervisord starts it again: if it ends each time, its log names the cause",
        ),
        (found(listener(written_at=NOW - 181)), "but it has done nothing for 3m01s"),
        (found(listener(ticked_at=NOW - 181)), "no TICK came for 3m01s, and one should come every 1m00s"),
        (found(listener(ticked_at=None, started_at=NOW - 181)), "no TICK came for 3m01s"),
        (found(listener(origin=Origin(tick_seconds=0.0))), "subscribes to no TICK"),
        (
            found(listener(away={"coordination": OUTAGE})),
            "coordination has not answered the listener for 3m20s",
        ),
        (
            found(listener(pool(failure="KeyError('x')"))),
            "[memkill:sidekiq] could not be looked at: KeyError",
        ),
        (found(listener(pool(source_away="Redis is away"))), "until this is solved: Redis is away"),
        (found(listener(pool(unrecognised="no record"))), "none of its workers is recognised: no record"),
        (FoundListener(Path("x"), problem="it belongs to root", is_hidden=True), "it belongs to root"),
        (FoundListener(Path("x"), problem="none", process=PROCESS), "no listener works (supervisord shows"),
        (FoundListener(Path("x"), problem="none yet"), "none yet"),
    ],
)
def test_what_is_not_well_is_a_problem(made: FoundListener, words: str) -> None:
    assert words in " ".join(status(made).problems)


def test_listener_whose_disk_is_full_is_not_called_deaf() -> None:
    """Its state is old because it cannot be written: the TICKs in it say nothing."""
    written = listener(written_at=NOW - 181, ticked_at=NOW - 181)
    (problem,) = status(found(written, unwritable="no space is left in the file system of /own")).problems
    assert problem.startswith("no space is left in the file system of /own: the listener (pid ")
    assert "begins no drain; all below is as seen 3m01s ago" in problem
    assert status(found(unwritable="no space is left in the file system of /own")).problems == ()


def test_worker_that_does_not_come_back_is_a_problem() -> None:
    assert DRAINED.drain is not None
    drain = dataclasses.replace(DRAINED.drain, not_back="its start failed")
    (problem,) = status(found(listener(pool(dataclasses.replace(DRAINED, drain=drain))))).problems
    assert problem == "sidekiq:sidekiq_0 does not come back: its start failed; see the worker's log"


def test_ticks_of_an_unknown_period_may_be_away() -> None:
    assert status(found(listener(ticked_at=NOW - 3000, origin=Origin(tick_seconds=None)))).problems == ()


def test_older_configuration_and_a_dry_run_are_notes() -> None:
    shown = status(found(listener(dry_run=True), changes=("[memkill:sidekiq] was changed in /x",)))
    assert shown.problems == ()
    dry_run, older = shown.notes
    assert "dry_run = yes" in dry_run
    assert older.startswith("the configuration in force is older than the one on disk: [memkill:sidekiq] was")
    assert older.endswith("supervisorctl restart memkill:memkill")
    assert shown.listener.configuration.in_force is False
    assert status(found(changes=None)).listener.configuration.in_force is None


def test_names_choose_pools_and_workers() -> None:
    one, other = pool(), pool(dataclasses.replace(USUAL, worker="rq:rq_0"), name="rq")
    made = found(listener(one, other))

    def shown(*names: str) -> dict[str, int]:
        return {line.name: len(line.workers) for line in status(made, *names).pools}

    assert shown() == {"sidekiq": 4, "rq": 1}
    assert shown("rq") == {"rq": 1}
    assert shown("sidekiq:*_1", "r?") == {"sidekiq": 1, "rq": 1}
    assert shown("none") == {}
    assert matches(["sidekiq"], "other", "sidekiq:sidekiq_1"), "a group"


def test_pool_counts_all_its_workers_whatever_is_shown() -> None:
    (line,) = status(found(), "sidekiq:sidekiq_1").pools
    assert (line.in_service, line.workers_in_all, len(line.workers)) == (2, 4, 1)


def test_requests_and_pauses_stand_at_their_pool() -> None:
    (line,) = status(found(listener(requests=(REQUEST,), pauses=(PAUSE,)))).pools
    (request,) = line.requests
    assert (request.act, request.workers, request.workers_left) == (
        "restart",
        (USUAL.worker, WAITING.worker),
        (USUAL.worker,),
    )
    assert (request.for_seconds, request.left_seconds) == (60.0, 86340.0)
    assert line.pause is not None
    assert (line.pause.for_seconds, line.pause.left_seconds, line.pause.except_hard) == (300.0, 3300.0, True)
    other = pool(dataclasses.replace(USUAL, worker="rq:rq_0"), name="rq")
    (line,) = status(found(listener(other, requests=(REQUEST,), pauses=(PAUSE,)))).pools
    assert (line.requests, line.pause) == ((), None)


def test_times_in_the_future_are_now() -> None:
    """The file may be written between two readings of the clock."""
    assert status(found(listener(written_at=NOW + 1))).listener.written_seconds_ago == 0


def test_json_is_the_values_by_their_names() -> None:
    shown = status(found(listener(requests=(REQUEST,), pauses=(PAUSE,), away={"journal": OUTAGE})))
    read = json.loads(as_json(shown))
    assert read == json.loads(json.dumps(dataclasses.asdict(shown)))
    assert as_json(shown, in_one_line=True).count("\n") == 1
    assert read["pools"][0]["workers"][0]["drain"]["state"] == "draining"
