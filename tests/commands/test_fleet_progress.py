"""How far a restart is on all hosts, by what their listeners answered."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_memkill.commands.fleet_progress import FleetProgress
from supervisor_memkill.commands.fleet_request import Sent, draining, silent_hosts
from supervisor_memkill.commands.progress import Progress, as_bar
from supervisor_memkill.coordination.contract import (
    AnswerLine,
    ListenerView,
    Offer,
    PoolView,
    RequestAnswer,
)
from supervisor_memkill.errors import MemkillError
from supervisor_memkill.rules.requests import Act, OperatorRequest, encode
from supervisor_memkill.rules.standing import Standing
from tests.builders import report

NOW = 1000.0
MADE = OperatorRequest("ab" * 8, Act.RESTART, ("jobs",), 3600.0)
SERVED = RequestAnswer(workers=2, replaced=2)


def offer(request: OperatorRequest = MADE) -> Offer:
    return Offer(request.id, encode(request), 5.0, 3600.0)


def host(
    name: str, answer: RequestAnswer | None = None, *, silent: bool = False, request: OperatorRequest = MADE
) -> ListenerView:
    return ListenerView(f"{name}/s", silent, 2.0, {} if answer is None else {request.id: answer})


def view(*hosts: ListenerView, requests: tuple[Offer, ...] | None = None) -> dict[str, PoolView]:
    reports = tuple(report(f"{one.listener}/jobs:x") for one in hosts)
    found = (offer(),) if requests is None else requests
    return {"jobs": PoolView(reports, listeners=hosts, requests=found)}


class Follower:
    """Follows one request, and keeps what it says."""

    def __init__(self, **values: Any) -> None:
        self.said: list[str] = []
        self.sent = [Sent("jobs", MADE, values.get("at", float("inf")))]
        self._progress = FleetProgress(self.sent, lambda: NOW, self.said.append)

    def look(self, views: dict[str, PoolView]) -> Progress:
        return self._progress.progress(views)

    def words(self, views: dict[str, PoolView]) -> list[tuple[str, Standing]]:
        return [(line.worker, line.standing) for line in self.look(views).lines]


def test_it_is_served_when_every_host_has_answered_so() -> None:
    follower = Follower()
    one = AnswerLine("jobs:x", "draining", "draining, 2 running jobs", 10.0)
    made = follower.look(view(host("a", SERVED), host("b", RequestAnswer(workers=1, lines=(one,)))))
    assert (made.replaced, made.workers, made.is_over) == (2, 3, False)
    (line,) = made.lines
    assert (line.worker, line.standing, line.since) == ("b/s/jobs:x", Standing.DRAINING, NOW - 12.0)
    assert "2 of 3 replaced; b/s/jobs:x: draining for 12s, 2 running jobs" in as_bar(made, NOW, 200)
    made = follower.look(view(host("a", SERVED), host("b", SERVED)))
    assert made.is_over and made.is_served


def test_host_without_an_answer_keeps_it_open_whether_it_works_or_not() -> None:
    follower = Follower()
    found = follower.look(view(host("a", SERVED), host("b"), host("c", silent=True)))
    assert [(line.worker, line.standing) for line in found.lines] == [
        ("b/s", Standing.WAITING),
        ("c/s", Standing.WAITING),
    ]
    assert not found.is_over


def test_silent_host_that_had_begun_keeps_it_open() -> None:
    follower = Follower()
    lines = (AnswerLine("jobs:x", "draining", "draining"), AnswerLine("jobs:y", "replaced", ""))
    found = follower.look(view(host("a", RequestAnswer(workers=2, replaced=1, lines=lines), silent=True)))
    assert [line.standing for line in found.lines] == [Standing.WAITING, Standing.REPLACED]
    assert not found.is_over and (found.replaced, found.workers) == (1, 2)
    assert follower.look(view(host("a", SERVED, silent=True))).is_served


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (RequestAnswer(refused="50 are open"), "refused: 50 are open"),
        (RequestAnswer(workers=1, lines=(AnswerLine("jobs:x", "failed", "its start failed"),)), "its start"),
    ],
)
def test_host_that_fails_or_refuses_ends_it(answer: RequestAnswer, words: str) -> None:
    found = Follower().look(view(host("a", answer), host("b")))
    assert found.is_over and not found.is_served
    assert words in found.lines[0].words


def test_older_version_ends_it_unless_it_is_silent() -> None:
    old = ListenerView("a/s", False, None, None)
    found = Follower().look(view(old, host("b", SERVED)))
    assert found.is_over and not found.is_served and "update it there" in found.lines[0].words
    silent = ListenerView("a/s", True, None, None)
    assert not Follower().look(view(silent, host("b", SERVED))).is_over


def test_long_list_is_counted() -> None:
    lines = tuple(AnswerLine(f"jobs:{number}", "waiting", "its turn comes") for number in range(30))
    found = Follower().look(view(host("a", RequestAnswer(workers=100, replaced=20, lines=lines))))
    assert (found.replaced, found.workers, found.is_over) == (20, 100, False)
    assert "(and 79 more wait)" in as_bar(found, NOW, 200)


def test_standing_of_a_newer_version_is_one_that_is_not_over() -> None:
    line = AnswerLine("jobs:x", "resting", "it rests")
    assert not Follower().look(view(host("a", RequestAnswer(workers=1, lines=(line,))))).is_over


def test_request_that_redis_lost_is_named_with_those_who_took_it() -> None:
    follower = Follower()
    waiting = RequestAnswer(workers=1, lines=(AnswerLine("jobs:x", "waiting", "its turn comes"),))
    follower.look(view(host("a", waiting), host("b")))
    with pytest.raises(MemkillError, match=r"lost the request to jobs\. a/s goes on with it"):
        follower.look(view(requests=()))
    with pytest.raises(MemkillError, match="before any listener took it"):
        Follower().look(view(host("a"), requests=()))


def test_request_that_was_served_before_redis_lost_it_is_served() -> None:
    follower = Follower()
    follower.look(view(host("a", SERVED)))
    assert follower.look(view(host("a"), requests=())).is_served


def test_request_whose_time_is_over_is_not_served() -> None:
    follower = Follower(at=-1e9)
    found = follower.look(view(host("a", SERVED), host("b", silent=True), requests=()))
    assert found.is_over and not found.is_served
    assert follower.words(view(host("b"), requests=())) == [("b/s", Standing.WITHDRAWN)]


def test_newer_request_of_the_same_names_is_watched_instead() -> None:
    follower = Follower()
    newer = OperatorRequest("cd" * 8, Act.RESTART, ("jobs",), 3600.0)
    other = OperatorRequest("ef" * 8, Act.RESTART, ("jobs:x",), 3600.0)
    open_ones = (offer(other), offer(newer), Offer("12" * 8, "{", 1.0, None))
    assert not follower.look(view(host("a", SERVED), host("b"), requests=open_ones)).is_over
    assert follower.said and "is watched" in follower.said[0]
    assert not follower.look(view(host("a"), host("b", SERVED, request=newer), requests=open_ones)).is_over
    hosts = (host("a", SERVED, request=newer), host("b", SERVED, request=newer))
    assert follower.look(view(*hosts, requests=open_ones)).is_served


def test_pool_that_nobody_reported_is_not_served() -> None:
    assert not Follower().look(view()).is_over


def test_silent_hosts_are_those_that_had_a_worker_of_that_name() -> None:
    views = view(host("a", silent=True), host("b"))
    sent = Follower().sent
    assert silent_hosts(sent, views) == ["a/s"]
    nobody = {"jobs": PoolView((), listeners=views["jobs"].listeners)}
    assert silent_hosts(sent, nobody) == []


def test_drains_of_all_hosts_are_seen_by_slot_or_by_state() -> None:
    reports = (report("a/s/jobs:x", state="draining"), report("b/s/jobs:x", state="RUNNING"))
    assert draining({"jobs": PoolView(reports, ("c/s/jobs:y",))}) == ["a/s/jobs:x", "c/s/jobs:y"]


def test_what_stands_in_redis_cannot_steer_the_terminal() -> None:
    line = AnswerLine("jobs:x", "waiting", "red \x1b[31m")
    found = Follower().look(view(host("a", RequestAnswer(workers=1, lines=(line,)))))
    assert "\x1b" not in as_bar(found, NOW, 200)


def test_bar_fits_80_columns_by_short_names_and_shows_who_has_not_answered() -> None:
    draining_one = AnswerLine("jobs_1:jobs_1", "draining", "draining, 1 running job", 10.0)
    waiting = AnswerLine("jobs:2", "waiting", "a person requested a restart, but max_draining is reached")
    one = ListenerView(
        "web1/supervisor", False, 0.0, {MADE.id: RequestAnswer(workers=2, lines=(draining_one, waiting))}
    )
    two = ListenerView("web2/supervisor", True, 90.0, {})
    bar = as_bar(Follower().look(view(one, two)), NOW, 79)
    assert bar == "[....] 0 of 3 replaced; web1/jobs_1: draining for 10s, 1 running job; 2 wait"
    assert "job; web2: its listener is silent" in as_bar(Follower().look(view(one, two)), NOW, 200)
    found = as_bar(Follower().look(view(one)), NOW, 200)
    assert found.endswith("; web1/jobs:2: max_draining is reached")


@pytest.mark.parametrize(
    ("columns", "bar"),
    [
        (
            200,
            "[....................] 0 of 3 replaced; host-a/sidekiq_0: draining for 12s, 0 running jobs;"
            " host-a/sidekiq_1: max_draining is reached (and 1 more wait)",
        ),
        (95, "[...........] 0 of 3 replaced; host-a/sidekiq_0: draining for 12s, 0 running jobs; 2 wait"),
        (87, "[....] 0 of 3 replaced; host-a/sidekiq_0: draining for 12s, 0 running jobs; 2 wait"),
        (79, "[....] 0 of 3 replaced; host-a/sidekiq_0: draining for 12s, 0 running jobs"),
        (60, "[....] 0 of 3 replaced; host-a/sidekiq_0: draining for 12..."),
    ],
)
def test_who_drains_since_when_and_its_jobs_are_the_last_to_give_way(columns: int, bar: str) -> None:
    drains = AnswerLine("sidekiq:sidekiq_0", "draining", "draining, 0 running jobs", 12.0)
    why = "a person requested a restart, but max_draining is reached"
    waits = AnswerLine("sidekiq:sidekiq_1", "waiting", why)
    answer = RequestAnswer(workers=3, lines=(drains, waits))
    one = ListenerView("host-a/supervisor", False, 0.0, {MADE.id: answer})
    assert as_bar(Follower().look(view(one)), NOW, columns) == bar
