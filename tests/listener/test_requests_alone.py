"""What the listener keeps of each request, and when the request ends: without a listener round it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from supervisor_memkill.coordination.contract import Offer
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.requests import MAX_WAITING, TOO_MANY_OPEN, Refusal, Requests
from supervisor_memkill.notices.event import Event, Notifier
from supervisor_memkill.notices.request_events import (
    PoolPaused,
    PoolUnpaused,
    RequestExpired,
    RequestRefused,
    RequestServed,
    RequestTaken,
)
from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.rules.drain import Drain, State
from supervisor_memkill.rules.requests import (
    MAX_ENDED_KEPT,
    MAX_OPEN,
    Act,
    OperatorRequest,
    Pause,
    RunningProcess,
    TakenRequest,
    encode,
)
from tests.builders import PID, START, drain, info

NOW = 1000.0
ONE, OTHER = info(), info(name="two", pid=PID + 1)
MEMBERS = {"jobs": [ONE, OTHER], "mail": [info(group="mail", name="m", pid=PID + 2)]}


def request(act: Act, *names: str, number: int = 1, lasts: float | None = 3600.0) -> str:
    return encode(OperatorRequest(identity(number), act, names or ("jobs",), lasts))


def identity(number: int) -> str:
    return f"{number:08x}"


def offer(act: Act, *names: str, number: int = 1, age: float = 0.0, left: float | None = 60.0) -> Offer:
    return Offer(identity(number), request(act, *names, number=number), age, left)


class Scene:
    """The requests of a listener, with what it keeps and reports of them."""

    def __init__(self) -> None:
        self.now = NOW
        self.contents = Contents()
        self.can_save = True
        self.events: list[Event] = []
        self.ages: dict[str, float] = {}
        self.requests = Requests(self, Notifier([self]), lambda: self.now)  # type: ignore[arg-type]

    @property
    def drains(self) -> Mapping[str, Drain]:
        return self.contents.drains

    def save(self, contents: Contents, *, must: bool) -> bool:
        if self.can_save or not must:
            self.contents = contents
        return self.can_save

    def take(self, event: Event) -> None:
        self.events.append(event)

    def of(self, *kinds: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kinds)]

    def age_of(self, process: ProcessInfo) -> float:
        return self.ages.get(process.worker, 10_000.0)

    def turn(self, members: Mapping[str, list[ProcessInfo]] = MEMBERS) -> None:
        self.requests.take(members, self.age_of)

    def receive(self, *payloads: str) -> None:
        """Requests that came through supervisord, and the turn that takes them."""
        for payload in payloads:
            self.requests.receive(payload, only_looks=False)
        self.turn()

    def workers(self, number: int = 1) -> list[str]:
        """Those that must go because of this request."""
        return list(self.contents.requests[identity(number)].workers)

    def has(self, **contents: Any) -> None:
        self.contents = dataclasses.replace(self.contents, **contents)

    def end(self, *processes: ProcessInfo) -> None:
        """The end of a turn in which these run in the pool."""
        self.requests.end({"jobs": list(processes)})


@pytest.fixture
def scene() -> Scene:
    return Scene()


# --- requests that wait -----------------------------------------------------------------------------


def test_request_is_refused_while_the_most_wait_and_taken_when_it_comes_again(scene: Scene) -> None:
    payloads = [request(Act.UNPAUSE, number=number) for number in range(MAX_WAITING + 1)]
    for payload in payloads:
        scene.requests.receive(payload, only_looks=False)
    assert [one.error for one in scene.of(RequestRefused)] == [f"{MAX_WAITING} requests wait already"]
    assert list(scene.requests.refusals) == [identity(MAX_WAITING)]
    scene.turn()
    scene.receive(payloads[-1])
    assert len(scene.of(RequestTaken)) == MAX_WAITING + 1


def test_request_that_is_not_understood_is_reported_and_does_not_wait(scene: Scene) -> None:
    scene.receive("[]")
    assert len(scene.of(RequestRefused)) == 1 and not scene.requests.are_waiting


@pytest.mark.parametrize("act", list(Act))
def test_only_a_restart_is_refused_while_the_most_restarts_are_open(scene: Scene, act: Act) -> None:
    """A refused one stays refused when it comes again: it may be wanted no more by then."""
    for number in range(MAX_OPEN):
        scene.receive(request(Act.RESTART, number=number))
    scene.events.clear()
    for _ in range(2):
        scene.requests.offered("jobs", offer(act, number=MAX_OPEN))
        scene.turn()
    refused = [one.error for one in scene.of(RequestRefused)]
    assert refused == ([TOO_MANY_OPEN] if act is Act.RESTART else [])
    assert len(scene.of(RequestTaken)) == (0 if act is Act.RESTART else 1)
    assert (identity(MAX_OPEN) in scene.contents.ended_requests) is (act is Act.RESTART)


def test_offer_beyond_the_most_that_wait_is_left_for_the_next_report(scene: Scene) -> None:
    offers = [offer(Act.UNPAUSE, number=number) for number in range(MAX_WAITING + 1)]
    for one in [offers[0], *offers]:
        scene.requests.offered("jobs", one)
    assert scene.requests.refusals == {}
    scene.turn()
    assert list(scene.contents.requests) == [one.id for one in offers[:-1]], "the same one waits once"
    scene.requests.offered("jobs", offers[-1])
    scene.requests.offered("jobs", offers[0])
    scene.turn()
    assert [one.request for one in scene.of(RequestTaken)] == [one.id for one in offers]


def test_offer_that_the_journal_has_does_not_wait_again(scene: Scene) -> None:
    """While a request waits, no drain may begin."""
    scene.requests.offered("jobs", offer(Act.RESTART))
    scene.turn()
    scene.requests.offered("jobs", offer(Act.RESTART))
    assert not scene.requests.are_waiting


@pytest.mark.parametrize("ended", [(), (identity(1),)])
def test_request_that_comes_again_is_taken_once(scene: Scene, ended: tuple[str, ...]) -> None:
    scene.has(ended_requests=ended)
    scene.receive(request(Act.RESTART), request(Act.RESTART))
    scene.receive(request(Act.RESTART))
    assert len(scene.of(RequestTaken)) == (0 if ended else 1)


def test_offer_with_another_id_than_its_request_is_refused(scene: Scene) -> None:
    scene.requests.offered("jobs", dataclasses.replace(offer(Act.RESTART), id=identity(2)))
    scene.turn()
    assert scene.requests.refusals == {identity(2): Refusal("jobs", "it has another id than in Redis")}
    assert scene.contents.requests == {}


def test_offer_of_a_request_that_has_ended_is_answered_and_not_reported(scene: Scene) -> None:
    scene.has(ended_requests=(identity(1),))
    scene.requests.offered("jobs", offer(Act.RESTART))
    scene.turn()
    assert scene.requests.refusals == {identity(1): Refusal("jobs", "")}
    assert scene.events == [] and not scene.requests.are_waiting


def test_only_the_newest_refusals_are_kept(scene: Scene) -> None:
    for number in range(MAX_ENDED_KEPT + 2):
        scene.requests.receive(request(Act.UNPAUSE, number=number), only_looks=True)
    kept = list(scene.requests.refusals)
    assert kept == [identity(number) for number in range(2, MAX_ENDED_KEPT + 2)]


def test_request_counts_only_when_it_is_in_the_journal(scene: Scene) -> None:
    scene.can_save = False
    scene.receive(request(Act.PAUSE, lasts=None))
    assert (scene.requests.are_waiting, scene.contents.pauses, scene.events) == (True, {}, [])
    scene.can_save = True
    scene.turn()
    assert (scene.requests.are_waiting, len(scene.of(RequestTaken))) == (False, 1)


# --- what is taken ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("lasts", "ends_at"), [(60.0, NOW + 60.0), (None, None)])
def test_pause_ends_after_its_time_or_never(scene: Scene, lasts: float | None, ends_at: float | None) -> None:
    scene.receive(request(Act.PAUSE, lasts=lasts))
    assert scene.contents.requests[identity(1)].ends_at == ends_at
    assert scene.contents.pauses == {"jobs": Pause(NOW, ends_at)}


@pytest.mark.parametrize(("left", "ends_at"), [(60.0, NOW + 60.0), (None, None)])
def test_pause_of_a_fleet_is_as_old_and_lasts_as_long_as_redis_says(
    scene: Scene, left: float | None, ends_at: float | None
) -> None:
    scene.requests.offered("mail", offer(Act.PAUSE, age=30.0, left=left))
    scene.turn()
    assert scene.contents.pauses == {"mail": Pause(NOW - 30.0, ends_at, fleet=True)}


def test_report_names_what_the_request_reaches(scene: Scene) -> None:
    scene.receive(request(Act.RESTART, "jobs:one"), request(Act.PAUSE, "nothing", number=2))
    scene.requests.offered("mail", offer(Act.PAUSE, number=3))
    scene.turn()
    found = [(one.workers, one.pools, one.fleet) for one in scene.of(RequestTaken)]
    assert found == [(("jobs:one",), None, None), (None, None, None), (None, ("mail",), "mail")]


def test_restart_is_for_the_processes_that_ran_when_it_was_made(scene: Scene) -> None:
    """supervisord counts whole seconds: in doubt a process is replaced."""
    processes = [
        info(name="old"),
        info(name="just_before", pid=11),
        info(name="after", pid=12),
        info(ProcessState.STARTING, name="starting", pid=13),
        info(ProcessState.STOPPED, name="stopped"),
        info(ProcessState.STOPPING, name="stopping", pid=14),
        info(name="without_pid", pid=0),
    ]
    scene.ages |= {"jobs:just_before": 29.0, "jobs:after": 28.9}
    scene.requests.offered("jobs", offer(Act.RESTART, age=30.0))
    scene.turn({"jobs": processes})
    assert scene.workers() == ["jobs:old", "jobs:just_before", "jobs:starting"]


@pytest.mark.parametrize(
    ("drained_for", "state", "left"),
    [
        (Reason.RESTART, State.DRAINING, ["jobs:one"]),
        (Reason.RESTART, State.ASKING, []),
        (Reason.MAX_RSS, State.DRAINING, []),
    ],
)
def test_cancel_withdraws_all_but_a_restart_that_has_begun(
    scene: Scene, drained_for: Reason, state: State, left: list[str]
) -> None:
    scene.receive(request(Act.RESTART))
    scene.has(drains={"jobs:one": drain(state, reason=drained_for)})
    scene.receive(request(Act.CANCEL, number=2))
    assert scene.workers() == left


def test_cancel_that_came_with_a_restart_withdraws_it_however_late_both_are_taken(scene: Scene) -> None:
    """They wait while the journal cannot be written."""
    scene.can_save = False
    scene.receive(request(Act.RESTART), request(Act.CANCEL, number=2))
    scene.now += 60.0
    scene.can_save = True
    scene.turn()
    assert scene.workers() == []


def test_cancel_leaves_the_workers_alone_that_it_does_not_name(scene: Scene) -> None:
    scene.receive(request(Act.RESTART), request(Act.CANCEL, "jobs:two", number=2))
    assert scene.workers() == ["jobs:one"]


ENDS_WHAT_WAS_MADE = [
    ("", "", 10.0, True),
    ("", "jobs", 10.0, True),
    ("jobs", "jobs", 10.0, True),
    ("jobs", "", -1.0, True),
    ("jobs", "", 0.0, True),
    ("jobs", "", 1.0, False),
]
"""The fleet of the end, the fleet of what is ended, by how much that was made later, and whether it ends."""


@pytest.mark.parametrize(("ends", "made", "later", "is_ended"), ENDS_WHAT_WAS_MADE)
def test_end_for_the_fleet_leaves_alone_what_was_requested_here_later(
    scene: Scene, ends: str, made: str, later: float, is_ended: bool
) -> None:
    """Redis hands over what it holds in the order in which it was made, however late it comes."""
    restart = OperatorRequest(identity(1), Act.RESTART, ("jobs",), 3600.0)
    wanted = {"jobs:one": RunningProcess(PID, START)}
    taken = TakenRequest(restart, NOW - 30.0 + later, None, wanted, fleet_pool=made)
    pause = Pause(NOW - 30.0 + later, None, fleet=bool(made))
    scene.has(requests={identity(1): taken}, pauses={"jobs": pause, "mail": pause})
    for number, act in ((2, Act.CANCEL), (3, Act.UNPAUSE)):
        if ends:
            scene.requests.offered("jobs", offer(act, number=number, age=30.0))
        else:
            scene.requests.receive(request(act, number=number), only_looks=False)
    scene.turn()
    assert (not scene.workers()) is is_ended
    assert scene.contents.pauses.keys() == ({"mail"} if is_ended else {"jobs", "mail"})
    assert [one.pool for one in scene.of(PoolUnpaused)] == (["jobs"] if is_ended else [])


# --- the end ----------------------------------------------------------------------------------------


def test_restart_is_served_once_no_old_process_runs_and_no_drain_of_it_goes_on(scene: Scene) -> None:
    scene.receive(request(Act.RESTART, "jobs:one"))
    scene.end(ONE)
    scene.has(drains={"jobs:one": drain(State.SETTLING)})
    fresh = info(pid=PID + 7)
    scene.now += 20.0
    scene.end(fresh)
    assert scene.of(RequestServed) == []
    scene.has(drains={})
    for _ in range(2):
        scene.end(fresh)
    assert scene.of(RequestServed) == [RequestServed(identity(1), 1, 20.0)]
    assert scene.contents.requests[identity(1)].was_served


def test_request_that_names_no_worker_is_never_reported_as_served(scene: Scene) -> None:
    scene.receive(request(Act.RESTART, "nothing"), request(Act.CANCEL, number=2))
    scene.end(ONE)
    assert scene.of(RequestServed) == []


def test_other_requests_stay_when_one_is_served_or_over(scene: Scene) -> None:
    scene.receive(
        request(Act.RESTART, "jobs:one", lasts=60.0),
        request(Act.RESTART, "jobs:two", number=2),
        request(Act.RESTART, "jobs:two", number=3),
    )
    scene.now += 59.9
    scene.end(ONE)
    assert list(scene.contents.requests) == [identity(1), identity(2), identity(3)]
    assert [one.was_served for one in scene.contents.requests.values()] == [False, True, True]
    scene.now += 0.1
    scene.end(ONE, OTHER)
    assert list(scene.contents.requests) == [identity(2), identity(3)]
    assert scene.contents.ended_requests == (identity(1),)
    assert scene.of(RequestExpired) == [RequestExpired(identity(1), ("jobs:one",))]
    assert [one.was_served for one in scene.contents.requests.values()] == [True, True]


def test_request_that_was_served_is_over_without_a_word(scene: Scene) -> None:
    scene.receive(request(Act.RESTART, lasts=60.0))
    scene.end()
    scene.now += 60.0
    scene.end()
    assert scene.of(RequestExpired) == [] and len(scene.of(RequestServed)) == 1
    assert scene.contents.requests == {}


def test_pause_ends_at_its_end_and_another_pause_is_reported_again(scene: Scene) -> None:
    scene.receive(request(Act.PAUSE, lasts=60.0), request(Act.PAUSE, "mail", number=2, lasts=None))
    scene.end()
    scene.now += 59.9
    scene.end()
    assert scene.of(PoolPaused) == [PoolPaused("jobs", 60.0, 0), PoolPaused("mail", None, 0)]
    assert scene.of(PoolUnpaused) == []
    scene.now += 0.1
    scene.end()
    assert scene.of(PoolUnpaused) == [PoolUnpaused("jobs")]
    assert list(scene.contents.pauses) == ["mail"]
    scene.receive(request(Act.PAUSE, number=3, lasts=60.0))
    scene.end()
    assert [one.pool for one in scene.of(PoolPaused)] == ["jobs", "mail", "jobs"]


def test_pause_ends_at_its_end_also_if_its_request_is_not_kept_any_more(scene: Scene) -> None:
    """Newer requests took its place."""
    scene.has(pauses={"jobs": Pause(NOW - 60.0, NOW)})
    scene.end()
    assert scene.contents.pauses == {}
    assert scene.of(PoolUnpaused) == [PoolUnpaused("jobs")]


def test_pause_that_lasts_counts_its_days(scene: Scene) -> None:
    scene.receive(request(Act.PAUSE, lasts=None))
    for seconds in (86399.0, 1.0):
        scene.now += seconds
        scene.end()
    assert [one.days for one in scene.of(PoolPaused)] == [0, 1]
