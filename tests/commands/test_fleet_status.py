"""``status --fleet``: the pools in Redis, with all hosts, silent ones marked, and the slots."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_memkill.commands.fleet_screen import fleet
from supervisor_memkill.commands.fleet_status import fleet_pool, problems
from supervisor_memkill.commands.status_of import status_of
from supervisor_memkill.commands.status_screen import screen
from supervisor_memkill.commands.status_values import FleetPoolLine, as_json
from supervisor_memkill.commands.terminal import Terminal, width
from supervisor_memkill.coordination.contract import (
    UNNAMED,
    Cause,
    ListenerRules,
    ListenerView,
    Offer,
    PoolView,
    Report,
    RequestAnswer,
    SlotView,
)
from supervisor_memkill.rules.requests import Act, OperatorRequest, encode
from tests.commands.status_values import GB, NOW, found
from tests.commands.test_status_screen import COLOUR, HOSTILE
from tests.docs.pages import DOCS
from tests.fuzz.effort import tries

ONE, TWO, DEAD = "web-1/supervisor", "web-2/supervisor", "web-3/supervisor"
REQUEST = OperatorRequest("ab" * 8, Act.RESTART, ("sidekiq",), 600.0)


def report(listener: str, number: int, gigabytes: float | None, **values: Any) -> Report:
    defaults: dict[str, Any] = {
        "worker": f"{listener}/sidekiq:sidekiq_{number}",
        "pid": 812,
        "start": 1,
        "memory_bytes": None if gigabytes is None else int(gigabytes * GB),
        "limit_bytes": 2 * GB,
        "in_service": True,
        "state": "RUNNING",
        "busy": 3,
        "urgency": None,
    }
    return Report(**{**defaults, **values})


REPORTS = (
    report(ONE, 0, 2.4, in_service=False, state="draining", busy=2),
    report(ONE, 1, 1.0),
    report(TWO, 0, 2.1, urgency=1.05),
    report(TWO, 1, None, busy=None),
    report(DEAD, 0, 1.5),
)
HOLDER = REPORTS[0].worker
VIEW = PoolView(
    REPORTS,
    holders=(HOLDER,),
    silent=frozenset({REPORTS[4].worker}),
    rules=(ListenerRules(ONE, 1, 2), ListenerRules(TWO, 2, 1), ListenerRules(UNNAMED, 1, 3)),
    drain_ended_seconds_ago=77.0,
    listeners=(
        ListenerView(ONE, is_silent=False, seen_seconds_ago=3.0, answers={REQUEST.id: RequestAnswer()}),
        ListenerView(TWO, is_silent=False, seen_seconds_ago=8.0, answers={}),
        ListenerView(DEAD, is_silent=True, seen_seconds_ago=400.0, answers=None),
    ),
    requests=(Offer(REQUEST.id, encode(REQUEST), 60.0, 540.0), Offer("cd" * 8, "newer", 5.0, None)),
    slots=(SlotView(HOLDER, 312.0, 48.0),),
)


def shown(view: PoolView = VIEW, *names: str) -> FleetPoolLine:
    return fleet_pool("sidekiq", view, names)


def lines(view: PoolView = VIEW, columns: int | None = 80, *names: str, **settings: Any) -> list[str]:
    return list(fleet(shown(view, *names), Terminal(columns, **settings), with_workers=bool(names)))


def test_workers_in_service_are_neither_silent_nor_draining() -> None:
    line = shown()
    assert (line.in_service, line.workers_in_all) == (3, 5)
    assert [one.in_service for one in line.workers] == [False, True, True, True, False]
    holds = dataclasses.replace(VIEW, holders=(REPORTS[1].worker,))
    assert shown(holds).in_service == 2, "its report may be older than its slot"


def test_rules_are_the_strictest_of_the_live_listeners() -> None:
    assert (shown().min_available, shown().max_draining) == (2, 1)
    nobody = dataclasses.replace(VIEW, rules=())
    assert (shown(nobody).min_available, shown(nobody).max_draining) == (None, None)


def test_each_listener_has_its_sums() -> None:
    one, two, dead = shown().hosts
    assert (one.listener, one.silent, one.seen_seconds_ago) == (ONE, False, 3.0)
    assert (one.workers, one.in_service, one.busy, one.fullest_share) == (2, 1, 5, 1.199)
    assert one.memory_bytes == int(2.4 * GB) + GB
    assert (two.in_service, two.busy, two.fullest_share) == (2, 3, 1.049)
    assert (dead.silent, dead.in_service, dead.workers) == (True, 0, 1)


def test_listener_that_is_known_by_its_workers_alone_is_silent() -> None:
    """It is of an older version, or its record was swept."""
    (only,) = shown(PoolView((REPORTS[1],))).hosts
    assert (only.listener, only.silent, only.seen_seconds_ago) == (ONE, True, None)


def test_silent_listeners_and_workers_that_do_not_come_back_are_problems() -> None:
    (silent,) = problems(shown())
    assert silent.startswith(
        "[memkill:sidekiq] silent listeners: web-3/supervisor for 6m40s; their workers (1)"
    )
    absent = dataclasses.replace(
        VIEW, not_back={HOLDER: "its start failed"}, silent=frozenset(), listeners=()
    )
    assert f"{HOLDER} does not come back: its start failed; see the worker's log" in problems(shown(absent))
    many = [ListenerView(f"h{n}/s", is_silent=True, seen_seconds_ago=None, answers=None) for n in range(5)]
    reports = tuple(report(one.listener, 0, 1.0) for one in many)
    (silent,) = problems(shown(PoolView(reports, listeners=tuple(many))))
    assert "h0/s, h1/s, h2/s and 2 more" in silent


def test_silent_listener_without_workers_is_not_shown() -> None:
    """It left nothing behind but its name. One that lives is shown: its programs may be stopped."""
    gone = ListenerView(DEAD, is_silent=True, seen_seconds_ago=1.0, answers=None)
    line = shown(PoolView((), listeners=(gone, VIEW.listeners[0])))
    assert ([one.listener for one in line.hosts], list(problems(line))) == ([ONE], [])


def test_names_choose_workers_by_group_and_name_or_by_their_whole_id() -> None:
    def workers(*names: str) -> list[str]:
        return [one.worker for one in shown(VIEW, *names).workers]

    assert len(workers()) == len(workers("sidekiq")) == 5
    assert workers("sidekiq:*_1") == [REPORTS[1].worker, REPORTS[3].worker]
    assert workers("web-2/*") == [REPORTS[2].worker, REPORTS[3].worker]
    assert workers("other") == []


def test_worker_with_a_slot_does_not_ask_any_more() -> None:
    """Its report may be older than its slot."""
    asks = PoolView((report(ONE, 0, 2.5, urgency=1.2),))
    assert [(one.asks, one.holds_slot) for one in shown(asks).workers] == [(True, False)]
    holds = dataclasses.replace(asks, holders=(HOLDER,))
    assert [(one.asks, one.holds_slot) for one in shown(holds).workers] == [(False, True)]
    assert "holds a slot" in lines(holds, 80, "sidekiq")[-1]


def test_requests_are_shown_with_the_number_of_answers() -> None:
    mine, newer = shown().requests
    assert (mine.act, mine.names, mine.answered, mine.left_seconds) == ("restart", ("sidekiq",), 1, 540.0)
    assert (newer.act, newer.names, newer.answered) == ("", (), 0)


def test_screen_of_a_fleet() -> None:
    assert lines(columns=100) == [
        "sidekiq on all hosts: 3 of 5 in service, 3 listeners (1 silent); min_available 2, max_draining 1",
        "  slot: web-1/supervisor/sidekiq:sidekiq_0, held for 5m12s, 48s left",
        "  asks: web-2/supervisor/sidekiq:sidekiq_0, 2.1GB of 2GB",
        "  request: restart sidekiq, made 1m00s ago, 9m00s left, answered by 1 of 3",
        "  request: a request of another version, made 5s ago, answered by 0 of 3",
        "  LISTENER          SEEN              IN SERVICE  WORKERS  BUSY  MEMORY  FULLEST",
        "  web-1/supervisor  3s ago            1           2        5     3.4GB   ████████████████████ 119%",
        "  web-2/supervisor  8s ago            2           2        3     2.1GB   ████████████████████ 104%",
        "  web-3/supervisor  SILENT 6m40s ago  0           1        3     1.5GB   ███████████████░░░░░  75%",
    ]


def test_rows_of_workers_stand_below_if_names_were_given() -> None:
    assert [re.split(r" {2,}", line.strip())[:2] for line in lines(VIEW, 80, "sidekiq")[-5:]] == [
        [REPORTS[0].worker, "draining"],
        [REPORTS[1].worker, "in service"],
        [REPORTS[2].worker, "asks"],
        [REPORTS[3].worker, "in service"],
        [REPORTS[4].worker, "silent"],
    ]
    many = PoolView(tuple(report(ONE, number, 1.0) for number in range(60)))
    assert lines(many, 80, "sidekiq")[-1] == "  (10 more workers: name fewer, or use --json)"


def test_long_lists_are_counted() -> None:
    asking = tuple(report(ONE, number, 3.0, urgency=1.5) for number in range(8))
    slots = tuple(SlotView(f"{ONE}/x:{number}", 1.0, 1.0) for number in range(12))
    text = lines(PoolView(asking, slots=slots))
    assert "  asks: 3 more" in text and "  slots: 2 more" in text


def test_pool_that_waits_says_why_and_a_new_one_says_that_it_is_new() -> None:
    waits = dataclasses.replace(VIEW, settling_seconds=23.0, settling_cause=Cause.DATA_LOST)
    assert lines(waits, None)[1] == f"  no drain begins for 23s: {Cause.DATA_LOST.words}"
    assert (shown(waits).settling_cause, shown().settling_cause) == ("data_lost", "")
    assert lines(PoolView((), is_new=True)) == ["sidekiq on all hosts: no listener has reported to Redis yet"]


def test_screen_in_the_docs_is_the_one_that_the_command_shows() -> None:
    view = dataclasses.replace(VIEW, requests=VIEW.requests[:1])
    page = (DOCS / "status.rst").read_text()
    assert "\n".join(f"    {line}".rstrip() for line in lines(view)) in page


@pytest.mark.parametrize(
    ("columns", "headings"),
    [
        (80, ["LISTENER", "SEEN", "IN SERVICE", "WORKERS", "BUSY", "FULLEST"]),
        (72, ["LISTENER", "SEEN", "IN SERVICE", "WORKERS", "FULLEST"]),
        (66, ["LISTENER", "SEEN", "IN SERVICE", "WORKERS", "FULLEST"]),
        (58, ["LISTENER", "SEEN", "IN SERVICE", "FULLEST"]),
        (50, ["LISTENER", "SEEN", "IN SERVICE"]),
    ],
)
def test_columns_give_way_in_their_order(columns: int, headings: list[str]) -> None:
    (heading,) = [line for line in lines(columns=columns) if "IN SERVICE" in line]
    assert re.split(r" {2,}", heading.strip()) == headings


@tries(200)
@given(HOSTILE, HOSTILE, st.integers(20, 200), st.booleans())
def test_hostile_text_from_redis_neither_steers_nor_widens_the_screen(
    name: str,
    words: str,
    columns: int,
    has_colour: bool,
) -> None:
    reports = (
        report(name, 0, 3.0, worker=words, state=words, urgency=2.0),
        report(words, 0, 1.0, state=words),
    )
    listener = ListenerView(name, is_silent=True, seen_seconds_ago=1.0, answers=None)
    view = PoolView(
        reports,
        holders=(words,),
        not_back={words: name},
        listeners=(listener,),
        requests=(Offer(words, name, 1.0, None),),
        slots=(SlotView(words, 1.0, 1.0),),
    )
    line = dataclasses.replace(shown(view, "*"), settling_cause=words)
    status = dataclasses.replace(status_of(found(), NOW), fleet=(line,), problems=tuple(problems(line)))
    json.loads(as_json(status))
    for text in screen(status, Terminal(columns, has_colour=has_colour), with_workers=True):
        bare = COLOUR.sub("", text) if has_colour else text
        assert bare.isprintable(), bare
        assert width(bare) <= columns or len(bare.split()) == 1, "a long word stays whole"
