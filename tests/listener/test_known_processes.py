"""The processes that the listener knows by supervisord's events, and when it asks for all of them again."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping

import pytest

from supervisor_memkill.listener.known_processes import (
    ALL_AGAIN_AT_LATEST_SECONDS,
    ALL_AGAIN_SECONDS,
    FEW,
    SHARE_OF_SUPERVISORD,
    KnownProcesses,
)
from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.world.event_protocol import Event
from supervisor_memkill.world.memory import Gone, ProcessTable
from supervisor_memkill.world.supervisord import NoAnswer, SupervisordError
from tests.small_world import EPOCH

P = ProcessState
OWN = "memkill:memkill"


def running(worker: str, pid: int) -> ProcessInfo:
    group, name = worker.split(":")
    return ProcessInfo(group, name, P.RUNNING, pid, EPOCH, 0, 0)


class CountingSupervisord:
    """supervisord with its processes, as values; counts what it is asked."""

    def __init__(self, names: list[str]) -> None:
        self.now = 1000.0
        self.wall_ahead = 0
        self.processes = {name: running(name, 100 + number) for number, name in enumerate([*names, OWN])}
        self.born = {one.pid: float(one.pid) for one in self.processes.values()}
        self.asked: list[str] = []
        self.error: SupervisordError | None = None
        self.answer_seconds = 0.0

    def clock(self) -> float:
        return self.now

    def wall(self) -> float:
        return EPOCH + self.now + self.wall_ahead

    def _answer(self, what: str) -> None:
        self.asked.append(what)
        self.now += self.answer_seconds
        if self.error is not None:
            raise self.error

    def _present(self, info: ProcessInfo) -> ProcessInfo:
        return dataclasses.replace(info, now=int(self.wall()))

    def all_processes(self) -> list[ProcessInfo]:
        self._answer("all")
        return [self._present(one) for one in self.processes.values()]

    def process(self, worker: str) -> ProcessInfo | None:
        self._answer(worker)
        return self._present(self.processes[worker]) if worker in self.processes else None

    def becomes(self, worker: str, state: ProcessState, pid: int = 0) -> None:
        """Its state changes; `pid`: of a new process."""
        former = self.processes[worker]
        ends = state in (P.STOPPED, P.EXITED)
        if ends or pid:
            self.born.pop(former.pid, None)
        if pid:
            self.born[pid] = self.now
        self.processes[worker] = dataclasses.replace(
            former,
            state=state,
            pid=0 if ends else pid or former.pid,
            stop=int(self.wall()) if ends else former.stop,
        )


class Table(ProcessTable):
    """The processes that the system shows."""

    def __init__(self, supervisord: CountingSupervisord) -> None:
        super().__init__(Born(supervisord), supervisord.clock)  # type: ignore[arg-type]


class Born:
    def parents(self) -> Mapping[int, int]:
        return {}

    def generations(self) -> Mapping[int, int]:
        return {}

    def __init__(self, supervisord: CountingSupervisord) -> None:
        self._supervisord = supervisord

    def created(self, pid: int) -> float:
        if pid not in self._supervisord.born:
            raise Gone(f"there is no process {pid}")
        return self._supervisord.born[pid]


class Scene:
    """supervisord, its events, and what the listener knows."""

    def __init__(self, *names: str, is_subscribed: bool = True, sees_own_start: bool = True) -> None:
        self.supervisord = CountingSupervisord(list(names) or ["jobs:one", "jobs:two"])
        self.known = KnownProcesses(
            self.supervisord,  # type: ignore[arg-type]
            lambda: Table(self.supervisord),
            self.supervisord.clock,
            wall=self.supervisord.wall,
            own_worker=OWN,
            is_subscribed=is_subscribed,
        )
        self.serials = itertools.count(5)
        if sees_own_start:
            self.event(OWN)

    def event(
        self, worker: str | None, name: str = "PROCESS_STATE_RUNNING", serial: int | None = None
    ) -> None:
        serial = next(self.serials) if serial is None else serial
        self.known.take(Event(name, serial, pool_serial=serial, changed=worker))

    def tick(self) -> None:
        serial = next(self.serials)
        self.known.take(Event("TICK_60", serial, pool_serial=serial))

    def look(self) -> list[str]:
        """What one look asks supervisord for. What it finds is what supervisord shows."""
        self.supervisord.asked.clear()
        found = {one.worker: one for one in self.known.all()}
        asked = list(self.supervisord.asked)
        wall = int(self.supervisord.wall())
        assert all(abs(one.now - wall) <= 1 for one in found.values())
        same_now = {name: dataclasses.replace(one, now=wall) for name, one in found.items()}
        assert same_now == {
            name: dataclasses.replace(one, now=wall) for name, one in self.supervisord.processes.items()
        }
        return asked

    def passes(self, seconds: float) -> None:
        self.supervisord.now += seconds


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    assert made.look() == ["all"]
    assert made.look() == []
    return made


def test_look_asks_for_nothing_while_nothing_has_changed(scene: Scene) -> None:
    for _ in range(9):
        scene.passes(60)
        scene.tick()
        assert scene.look() == []


def test_look_asks_only_for_the_process_that_an_event_names(scene: Scene) -> None:
    scene.supervisord.becomes("jobs:one", P.RUNNING, pid=500)
    scene.event("jobs:one")
    assert scene.look() == ["jobs:one"]
    assert scene.look() == []


def test_process_that_is_not_the_same_any_more_is_asked_for_without_an_event(scene: Scene) -> None:
    """Its event may be on its way: its pid is gone, or belongs to another process."""
    scene.supervisord.becomes("jobs:one", P.RUNNING, pid=500)
    assert scene.look() == ["jobs:one"]
    scene.supervisord.born[500] += 10.0
    assert scene.look() == ["jobs:one"]


def test_process_that_starts_or_stops_is_asked_for_at_each_look(scene: Scene) -> None:
    scene.supervisord.becomes("jobs:one", P.STOPPING)
    scene.event("jobs:one")
    assert [scene.look(), scene.look()] == [["jobs:one"], ["jobs:one"]]


def test_stopped_process_is_asked_for_until_an_update_would_have_removed_it(scene: Scene) -> None:
    """`supervisorctl update` stops a group, then removes it, and no event of this listener tells."""
    scene.supervisord.becomes("jobs:one", P.STOPPED)
    scene.event("jobs:one", "PROCESS_STATE_STOPPED")
    assert [scene.look(), scene.look()] == [["jobs:one"], ["jobs:one"]]
    scene.passes(61)
    assert scene.look() == []
    scene.supervisord.becomes("jobs:two", P.STOPPED)
    scene.event("jobs:two", "PROCESS_STATE_STOPPED")
    del scene.supervisord.processes["jobs:two"]
    assert scene.look() == ["jobs:two"]
    assert scene.look() == []


def test_process_that_is_not_known_leads_to_a_look_at_all(scene: Scene) -> None:
    scene.supervisord.processes["jobs:new"] = running("jobs:new", 700)
    scene.supervisord.born[700] = 1.0
    scene.event("jobs:new")
    assert scene.look() == ["all"]
    assert scene.look() == []


def test_missing_number_leads_to_a_look_at_all(scene: Scene) -> None:
    next(scene.serials)
    scene.tick()
    assert scene.look() == ["all"]
    scene.tick()
    assert scene.look() == []


def test_event_that_comes_again_or_late_is_no_gap(scene: Scene) -> None:
    scene.tick()
    scene.event("jobs:one", serial=5)
    assert scene.look() == ["jobs:one"]
    scene.tick()
    assert scene.look() == []


@pytest.mark.parametrize(
    "event",
    [
        Event("PROCESS_STATE_RUNNING", 6, pool_serial=6),
        Event("TICK_60", 6),
        Event("PROCESS_GROUP_ADDED", 6, pool_serial=6),
        Event("PROCESS_GROUP_REMOVED", 6, pool_serial=6),
    ],
)
def test_event_that_is_not_understood_and_a_changed_group_lead_to_a_look_at_all(
    scene: Scene, event: Event
) -> None:
    scene.known.take(event)
    assert scene.look() == ["all"]


def test_failed_look_is_followed_by_a_look_at_all(scene: Scene) -> None:
    scene.event("jobs:one")
    scene.supervisord.error = NoAnswer("away")
    with pytest.raises(NoAnswer):
        scene.look()
    with pytest.raises(NoAnswer):
        scene.look()
    scene.supervisord.error = None
    assert scene.look() == ["all"]
    scene.known.doubt()
    assert scene.look() == ["all"]


@pytest.mark.parametrize("seconds", [-3600, -2, 2, 3600])
def test_clock_that_was_set_leads_to_a_look_at_all(scene: Scene, seconds: int) -> None:
    """supervisord may have moved the starts of its processes."""
    scene.supervisord.wall_ahead = seconds
    assert scene.look() == ["all"]
    assert scene.look() == []


def test_all_are_asked_for_again_after_half_an_hour_or_later_if_that_takes_long(scene: Scene) -> None:
    scene.passes(ALL_AGAIN_SECONDS - 1)
    assert scene.look() == []
    scene.supervisord.answer_seconds = 0.15
    scene.passes(1)
    assert scene.look() == ["all"]
    scene.passes(0.15 / SHARE_OF_SUPERVISORD - 2)
    assert scene.look() == []
    scene.supervisord.answer_seconds = 4.0
    scene.passes(3)
    assert scene.look() == ["all"]
    scene.passes(ALL_AGAIN_AT_LATEST_SECONDS - 1)
    assert scene.look() == []
    scene.passes(1)
    assert scene.look() == ["all"]


def test_many_changes_are_one_question() -> None:
    names = [f"jobs:{number}" for number in range(2 * FEW)]
    scene = Scene(*names)
    scene.look()
    for name in names[:FEW]:
        scene.event(name)
    assert scene.look() == names[:FEW]
    for name in names[: FEW + 1]:
        scene.event(name)
    assert scene.look() == ["all"]


def test_look_before_an_action_asks_for_all(scene: Scene) -> None:
    scene.known.all_anew()
    scene.known.all_anew()
    assert scene.supervisord.asked == ["all", "all"]


@pytest.mark.parametrize(
    "scene",
    [
        Scene(is_subscribed=False),
        Scene(sees_own_start=False),
        Scene("jobs:one", "memkill:memkill_2"),
    ],
    ids=["not subscribed", "subscribed in a file that is not in force", "events go to a sibling too"],
)
def test_without_all_events_each_look_asks_for_all(scene: Scene) -> None:
    """With TICKs alone the listener works as before."""
    for _ in range(3):
        scene.tick()
        scene.event("jobs:one")
        assert scene.look() == ["all"]
