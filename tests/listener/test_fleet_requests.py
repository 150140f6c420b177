"""Requests to all hosts of a pool: taken from Redis once, by the age of the processes, and answered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from supervisor_memkill.coordination.contract import RequestAnswer
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.requests import MAX_OPEN, Act
from tests.listener.test_requests import calm, request, restarts
from tests.listener_world import Life, SharedCoordinator, World, pool_config

__all__ = ["calm"]


@pytest.fixture
def shared(calm: World) -> SharedCoordinator:
    return SharedCoordinator(calm)


def life_of(world: World, path: Path, shared: SharedCoordinator, **values: object) -> Life:
    return Life(world, path, coordinate=lambda contents: shared, **values)  # type: ignore[arg-type]


def test_every_worker_is_replaced_once_and_the_answer_says_how_far_it_is(
    calm: World, path: Path, shared: SharedCoordinator
) -> None:
    for worker in calm.workers.values():
        worker.jobs = 1
    life = life_of(calm, path, shared)
    identity = shared.offer(request(Act.RESTART), age=5.0)
    name = life.run_to(State.DRAINING)
    life.run(12)
    answer = shared.answers[identity]
    assert (answer.workers, answer.replaced) == (3, 0)
    first, *others = answer.lines
    assert (first.worker, first.standing, first.words) == (name, "draining", "draining, 1 running job")
    assert first.age_seconds is not None and first.age_seconds > 0
    assert [one.standing for one in others] == ["waiting", "waiting"]
    assert "max_draining is reached" in others[0].words
    calm.finish_jobs()
    life.run(120)
    assert shared.answers == {identity: RequestAnswer(workers=3, replaced=3)}
    assert sorted(restarts(calm)) == ["jobs:one", "jobs:three", "jobs:two"]
    assert "fleet=jobs" in life.stream.having("request.taken")[0]
    life.run(120)
    assert len(restarts(calm)) == 3


def test_process_that_began_after_the_request_is_left_alone(
    calm: World, path: Path, shared: SharedCoordinator
) -> None:
    """Whatever its journal lost, a listener that comes later replaces the older processes alone."""
    calm.operator_restarts("jobs:two")
    calm.advance(60)
    shared.offer(request(Act.RESTART), age=30.0)
    shared.offer(request(Act.RESTART, number=2), age=20.0)
    calm.operator_restarts("jobs:one")
    calm.advance(5)
    life = life_of(calm, path, shared)
    life.run(120)
    assert sorted(restarts(calm)) == ["jobs:three", "jobs:two"]
    life.die()
    path.unlink()
    life = life_of(calm, path, shared)
    life.run(120)
    assert len(restarts(calm)) == 2
    assert len(life.stream.having("request.taken")) == 2


def test_process_that_began_a_moment_before_the_request_is_replaced(
    calm: World, path: Path, shared: SharedCoordinator
) -> None:
    calm.operator_restarts("jobs:one")
    calm.advance(3)
    shared.offer(request(Act.RESTART, "jobs:one"), age=2.0)
    life = life_of(calm, path, shared)
    life.run(60)
    assert restarts(calm) == ["jobs:one"]


def test_request_is_forgotten_when_redis_says_that_its_time_is_over(
    calm: World, path: Path, shared: SharedCoordinator
) -> None:
    shared.offer(request(Act.RESTART, lasts=3600.0), age=3570.0, left=30.0)
    life = life_of(calm, path, shared, config=pool_config(min_available=3))
    life.run(60)
    assert len(life.stream.having("request.expired")) == 1
    assert not life.journal.load().contents.requests
    life.run(60)
    assert len(life.stream.having("request.taken")) == 1, "it is offered still, and counts no more"


def test_pause_is_in_force_before_a_listener_that_comes_later_begins_a_drain(
    world: World, path: Path
) -> None:
    world.finish_jobs()
    shared = SharedCoordinator(world)
    shared.offer(request(Act.PAUSE, lasts=None), age=86400.0, left=None)
    life = life_of(world, path, shared)
    life.run(60)
    assert world.happened == []
    shared.offers.clear()
    shared.offer(request(Act.UNPAUSE, number=2))
    life.run(200)
    assert len(restarts(world)) == 3
    assert len(life.stream.having("pool.unpaused")) == 1


def test_pause_that_comes_with_the_request_for_a_slot_holds_the_drain(world: World, path: Path) -> None:
    """The report before that request brings it."""
    world.finish_jobs()
    shared = SharedCoordinator(world)
    life = life_of(world, path, shared)

    def at(place: str) -> None:
        if place == "asking.saved" and not shared.offers:
            shared.offer(request(Act.PAUSE, lasts=None), left=None)

    life.at = at
    life.run(60)
    assert shared.offers and world.happened == []
    assert life.drains() == {}


def test_drain_of_a_quiet_worker_does_not_wait_for_a_request(world: World, path: Path) -> None:
    shared = SharedCoordinator(world)
    life = life_of(world, path, shared)
    name = life.run_to(State.DRAINING)
    shared.offer(request(Act.PAUSE, lasts=None), left=None)
    world.finish_jobs()
    life.run(120)
    assert restarts(world) == [name]


def test_restart_and_cancel_that_come_together_restart_nothing(
    calm: World, path: Path, shared: SharedCoordinator
) -> None:
    shared.offer(request(Act.RESTART), age=60.0)
    shared.offer(request(Act.CANCEL, number=2), age=30.0)
    life = life_of(calm, path, shared)
    life.run(60)
    assert restarts(calm) == []
    answer = shared.answers[f"{1:08x}"]
    assert [line.standing for line in answer.lines] == ["withdrawn"] * 3
    shared.offer(request(Act.RESTART, number=3))
    life.run(120)
    assert len(restarts(calm)) == 3


def test_cancel_and_unpause_of_the_fleet_leave_alone_what_was_requested_here_later(
    calm: World, path: Path, shared: SharedCoordinator
) -> None:
    life = life_of(calm, path, shared)
    life.run(2)
    life.listener.request(request(Act.PAUSE, lasts=None))
    life.listener.request(request(Act.RESTART, number=2))
    life.run(2)
    shared.offer(request(Act.CANCEL, number=3), age=30.0)
    shared.offer(request(Act.UNPAUSE, number=4), age=30.0)
    life.run(30)
    contents = life.journal.load().contents
    assert len(contents.requests[f"{2:08x}"].workers) == 3
    assert "jobs" in contents.pauses
    life.listener.request(request(Act.UNPAUSE, number=5))
    life.run(120)
    assert len(restarts(calm)) == 3


def test_local_cancel_and_unpause_end_what_came_for_the_fleet(
    calm: World, path: Path, shared: SharedCoordinator
) -> None:
    shared.offer(request(Act.PAUSE, lasts=None), left=None)
    shared.offer(request(Act.RESTART, number=2))
    life = life_of(calm, path, shared)
    life.run(10)
    life.listener.request(request(Act.CANCEL, number=3))
    life.listener.request(request(Act.UNPAUSE, number=4))
    life.run(60)
    assert life.journal.load().contents.pauses == {}
    assert restarts(calm) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"id": "00000001", "version": 9}', "version is not 1"),
        ('{"id": "00000001", "version": 1, "act": "explode", "names": ["x"]}', "does not know 'explode'"),
        (request(Act.RESTART).replace("00000001", "00000002"), "another id"),
        (request(Act.RESTART)[:-1], "not JSON"),
        (json.dumps({"id": "00000001", "x": "y" * 5000}), "longer than 4096 bytes"),
    ],
)
def test_what_is_not_understood_is_refused_and_reported_once(
    calm: World, path: Path, shared: SharedCoordinator, text: str, words: str
) -> None:
    shared.offer(request(Act.RESTART))
    (offer,) = shared.offers
    shared.offers = [type(offer)(offer.id, text, 0.0, 3600.0)]
    life = life_of(calm, path, shared)
    life.run(120)
    assert words in shared.answers[offer.id].refused
    (line,) = life.stream.having("request.refused")
    assert words in line
    assert restarts(calm) == []


def test_refused_request_holds_no_drain(world: World, path: Path) -> None:
    world.finish_jobs()
    shared = SharedCoordinator(world)
    shared.offer('{"id": "00000001", "version": 9}')
    life = life_of(world, path, shared)
    life.run(120)
    assert len(restarts(world)) == 3


def test_newcomer_beyond_the_most_open_restarts_is_answered_as_refused(
    calm: World, path: Path, shared: SharedCoordinator
) -> None:
    for number in range(MAX_OPEN + 1):
        shared.offer(request(Act.RESTART, number=number))
    life = life_of(calm, path, shared, config=pool_config(min_available=3))
    life.run(60)
    assert len(life.journal.load().contents.requests) == MAX_OPEN
    assert "withdraw some" in shared.answers[f"{MAX_OPEN:08x}"].refused
    life.die()
    life = life_of(calm, path, shared, config=pool_config(min_available=3))
    life.run(60)
    assert f"{MAX_OPEN:08x}" not in life.journal.load().contents.requests
    assert set(shared.answers) == {offer.id for offer in shared.offers}


def test_request_waits_for_a_journal_that_can_be_written_and_is_not_answered_before(
    calm: World, path: Path, shared: SharedCoordinator
) -> None:
    life = life_of(calm, path, shared)
    life.run(5)
    blocker = path.with_name(path.name + ".new")
    blocker.mkdir()
    identity = shared.offer(request(Act.RESTART))
    life.run(30)
    assert identity not in shared.answers and restarts(calm) == []
    blocker.rmdir()
    life.run(120)
    assert len(restarts(calm)) == 3 and identity in shared.answers


def test_request_to_one_pool_reaches_no_other_pool(
    calm: World, path: Path, shared: SharedCoordinator
) -> None:
    life = life_of(calm, path, shared)
    shared.offer(request(Act.RESTART, "jobs:t*"))
    life.run(60)
    assert sorted(restarts(calm)) == ["jobs:three", "jobs:two"]
    assert shared.answers[f"{1:08x}"] == RequestAnswer(workers=2, replaced=2)


def test_taken_request_is_served_while_redis_is_away_and_after_its_data_is_lost(
    calm: World, path: Path
) -> None:
    shared = SharedCoordinator(calm)
    life = life_of(calm, path, shared)
    shared.offer(request(Act.RESTART))
    life.run(3)
    shared.offers.clear()
    life.run(120)
    assert len(restarts(calm)) == 3
    assert shared.answers == {}, "it is not open any more"


def test_answer_names_a_worker_that_does_not_come_back(
    calm: World, path: Path, shared: SharedCoordinator
) -> None:
    calm.workers["jobs:one"].broken = True
    identity = shared.offer(request(Act.RESTART, "jobs:one"))
    life = life_of(calm, path, shared)
    life.run(60)
    (line,) = shared.answers[identity].lines
    assert (line.worker, line.standing) == ("jobs:one", "failed")
    assert "start failed" in line.words
    calm.workers["jobs:one"].broken = False
    life.run(120)
    assert shared.answers[identity] == RequestAnswer(workers=1, replaced=1)
