"""Who may drain: every rule by itself, the same in process and through a real Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from supervisor_memkill.coordination.contract import Cause, Coordinator, SlotClaim
from supervisor_memkill.coordination.in_process import InProcessCoordinator
from supervisor_memkill.coordination.rules import PATIENCE_SECONDS
from tests.builders import report
from tests.coordination.servers import (
    POOL,
    ClockedRedis,
    FakeClock,
    ask,
    listening,
    over,
    redis_server,
    rules,
)

Start = Callable[[], Coordinator]

LISTENER = "here/s"
FOR_EVER = 1_000_000.0
"""Leases and heartbeats that never run out: one listener alone has no others to be silent."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="module")
def client() -> Iterator[redis.Redis]:
    with redis_server() as server:
        yield server.client()


@pytest.fixture(params=["in process", pytest.param("redis", marks=pytest.mark.real)])
def start(request: pytest.FixtureRequest, clock: FakeClock) -> Start:
    """Starts the listener; once more, and it is restarted with what its journal kept."""
    if request.param == "redis":
        return _start_with_redis(request.getfixturevalue("client"), clock)
    before: list[InProcessCoordinator] = []

    def start_alone() -> Coordinator:
        kept = before[-1].drain_ended_at() if before else {}
        before.append(InProcessCoordinator(clock, kept))
        return before[-1]

    return start_alone


def _start_with_redis(client: redis.Redis, clock: FakeClock) -> Start:
    client.flushall()
    clocked = ClockedRedis(client, clock)

    def start() -> Coordinator:
        return listening(
            clocked, LISTENER, heartbeat_seconds=FOR_EVER, slot_ttl_seconds=FOR_EVER, settle_seconds=0
        )

    return start


@pytest.fixture
def coordinator(start: Start) -> Coordinator:
    return start()


def names(*ids: str) -> tuple[str, ...]:
    """Workers' names of their ids, which through Redis begin with the listener's."""
    return tuple(one.removeprefix(f"{LISTENER}/") for one in ids)


def test_slot_is_granted_when_a_peer_is_in_service(coordinator: Coordinator) -> None:
    coordinator.publish(POOL, rules(), [over("a"), report("b")], [])
    answer = coordinator.acquire(POOL, rules(), ask("a"))
    assert answer.granted
    assert (answer.others_in_service, answer.draining) == (1, 0)


def test_last_one_is_never_taken(coordinator: Coordinator) -> None:
    coordinator.publish(POOL, rules(), [over("a"), report("b", in_service=False)], [])
    assert coordinator.acquire(POOL, rules(), ask("a")).refused is Cause.TOO_FEW_IN_SERVICE


def test_last_one_is_not_taken_above_the_hard_limit_either(coordinator: Coordinator) -> None:
    coordinator.publish(POOL, rules(), [over("a")], [])
    assert coordinator.acquire(POOL, rules(), ask("a", hard=True)).refused is Cause.TOO_FEW_IN_SERVICE


def test_min_available_0_lets_a_pool_of_one_drain(coordinator: Coordinator) -> None:
    coordinator.publish(POOL, rules(0), [over("a")], [])
    assert coordinator.acquire(POOL, rules(0), ask("a")).granted


def test_peer_counts_only_when_it_covers_the_same_queues(coordinator: Coordinator) -> None:
    both, one = frozenset({"mail", "default"}), frozenset({"mail"})
    coordinator.publish(POOL, rules(), [over("a", queues=both), report("b", queues=one)], [])
    assert coordinator.acquire(POOL, rules(), ask("a", queues=both)).refused is Cause.TOO_FEW_IN_SERVICE
    coordinator.publish(POOL, rules(), [over("b", queues=one), report("a", queues=both)], [])
    assert coordinator.acquire(POOL, rules(), ask("b", queues=one)).granted


@pytest.mark.parametrize("most", [1, 2])
def test_no_more_than_max_draining_at_a_time(coordinator: Coordinator, most: int) -> None:
    rule = rules(max_draining=most)
    workers = ["a", "b", "c"][: most + 1]
    coordinator.publish(POOL, rule, [*map(over, workers), report("d")], [])
    for worker in workers[:most]:
        assert coordinator.acquire(POOL, rule, ask(worker)).granted
    refused = coordinator.acquire(POOL, rule, ask(workers[most]))
    assert refused.refused is Cause.SLOTS_TAKEN
    assert names(*refused.detail.split(", ")) == tuple(workers[:most])


def test_slot_holder_is_not_counted_as_in_service(coordinator: Coordinator) -> None:
    """Granted, but not yet published as quiet: it is as good as gone."""
    coordinator.publish(POOL, rules(max_draining=2), [over("a"), over("b")], [])
    assert coordinator.acquire(POOL, rules(max_draining=2), ask("a")).granted
    refused = coordinator.acquire(POOL, rules(max_draining=2), ask("b"))
    assert refused.refused is Cause.TOO_FEW_IN_SERVICE


def test_hard_limit_waits_for_no_slot(coordinator: Coordinator) -> None:
    coordinator.publish(POOL, rules(), [over("a"), over("b"), report("c")], [])
    assert coordinator.acquire(POOL, rules(), ask("a")).granted
    assert coordinator.acquire(POOL, rules(), ask("b", hard=True)).granted
    assert names(*coordinator.view(POOL).holders) == ("a", "b")


def test_hard_limit_waits_for_no_cooldown_and_for_nobody_more_urgent(coordinator: Coordinator) -> None:
    waiting = rules(cooldown_seconds=60.0)
    coordinator.publish(POOL, waiting, [over("a", 1.5), over("b", 2.5), report("c")], [])
    assert coordinator.acquire(POOL, waiting, ask("c", hard=True)).granted
    coordinator.release(POOL, "c", "token-c", drained=True)
    assert coordinator.acquire(POOL, waiting, ask("a", 1.5)).refused is Cause.COOLDOWN
    assert coordinator.acquire(POOL, waiting, ask("a", 1.5, hard=True)).granted


def test_worker_that_is_out_already_waits_for_nothing(coordinator: Coordinator) -> None:
    """Two quiet workers must not wait for each other for ever."""
    coordinator.publish(POOL, rules(), [over("a", in_service=False), over("b", in_service=False)], [])
    assert coordinator.acquire(POOL, rules(), ask("a", already_out=True)).granted
    assert coordinator.acquire(POOL, rules(), ask("b", already_out=True)).granted


def test_cooldown_counts_from_the_end_of_the_last_drain(
    coordinator: Coordinator, start: Start, clock: FakeClock
) -> None:
    """A restart does not cut it short."""
    waiting = rules(cooldown_seconds=60.0)
    coordinator.publish(POOL, waiting, [over("a"), over("b")], [])
    assert coordinator.acquire(POOL, waiting, ask("a")).granted
    coordinator.release(POOL, "a", "token-a", drained=True)
    clock.now += 59.0
    assert coordinator.acquire(POOL, waiting, ask("b")).refused is Cause.COOLDOWN
    restarted = start()
    restarted.publish(POOL, waiting, [report("a"), over("b")], [])
    assert restarted.acquire(POOL, waiting, ask("b")).refused is Cause.COOLDOWN
    clock.now += 1.0
    assert restarted.acquire(POOL, waiting, ask("b")).granted


def test_end_of_an_earlier_drain_that_is_reported_late_does_not_shorten_the_cooldown(
    coordinator: Coordinator,
) -> None:
    waiting = rules(max_draining=2, cooldown_seconds=40.0)
    coordinator.publish(POOL, waiting, [over("a"), over("b"), report("c")], [])
    for worker in ("a", "b"):
        assert coordinator.acquire(POOL, waiting, ask(worker)).granted
    coordinator.release(POOL, "a", "token-a", drained=True)
    coordinator.release(POOL, "b", "token-b", drained=True, seconds_ago=50.0)
    assert coordinator.acquire(POOL, waiting, ask("a")).refused is Cause.COOLDOWN


def test_drain_that_touched_nothing_starts_no_cooldown(coordinator: Coordinator) -> None:
    waiting = rules(cooldown_seconds=60.0)
    coordinator.publish(POOL, waiting, [report("a"), over("b")], [])
    coordinator.acquire(POOL, waiting, ask("a", already_out=True))
    coordinator.release(POOL, "a", "token-a", drained=False)
    assert coordinator.acquire(POOL, waiting, ask("b")).granted


def test_most_urgent_goes_first(coordinator: Coordinator) -> None:
    coordinator.publish(POOL, rules(), [over("a", 1.5), over("b", 2.5), report("c")], [])
    refused = coordinator.acquire(POOL, rules(), ask("a", 1.5))
    assert (refused.refused, names(refused.detail)) == (Cause.MORE_URGENT, ("b",))
    assert coordinator.acquire(POOL, rules(), ask("b", 2.5)).granted


def test_of_the_equally_urgent_the_one_that_asked_first_goes_first(
    coordinator: Coordinator, clock: FakeClock
) -> None:
    """By name where they asked in the same moment."""
    coordinator.publish(POOL, rules(), [report("a"), over("b"), over("c"), report("d")], [])
    clock.now += 1.0
    coordinator.publish(POOL, rules(), [over("a"), over("b"), over("c"), report("d")], [])
    for worker, first in (("a", "b"), ("c", "b"), ("b", "")):
        assert names(coordinator.consider(POOL, rules(), ask(worker)).detail) == (first,)
    clock.now += 1.0
    coordinator.publish(POOL, rules(), [over("a"), over("b"), over("d")], [])
    assert names(coordinator.consider(POOL, rules(), ask("d")).detail) == ("b",)


def test_worker_does_not_wait_for_itself(coordinator: Coordinator) -> None:
    """Its memory fell a little between the publishing and the request."""
    coordinator.publish(POOL, rules(), [over("a", 2.5), report("c")], [])
    assert coordinator.acquire(POOL, rules(), ask("a", 1.5)).granted


def test_more_urgent_one_with_just_enough_peers_goes_first(coordinator: Coordinator) -> None:
    a, b = over("a", 1.5, in_service=False), over("b", 2.5)
    coordinator.publish(POOL, rules(), [a, b, report("c", in_service=False)], [])
    assert coordinator.acquire(POOL, rules(), ask("a", 1.5)).granted
    coordinator.release(POOL, "a", "token-a", drained=False)
    coordinator.publish(POOL, rules(), [a, b, report("c")], [])
    assert coordinator.acquire(POOL, rules(2), ask("a", 1.5)).granted
    coordinator.release(POOL, "a", "token-a", drained=False)
    assert coordinator.acquire(POOL, rules(1), ask("a", 1.5)).refused is Cause.MORE_URGENT


def test_one_that_could_not_go_itself_keeps_nobody_waiting(coordinator: Coordinator) -> None:
    special = frozenset({"special"})
    coordinator.publish(POOL, rules(), [over("a", 1.5), over("b", 2.5, queues=special), report("c")], [])
    assert coordinator.acquire(POOL, rules(), ask("b", 2.5, queues=special)).refused
    assert coordinator.acquire(POOL, rules(), ask("a", 1.5)).granted


def test_nobody_waits_for_ever(coordinator: Coordinator, clock: FakeClock) -> None:
    """The less urgent one goes first once it has asked for long enough."""
    coordinator.publish(POOL, rules(), [over("a", 1.5), report("c")], [])
    clock.now += PATIENCE_SECONDS
    coordinator.publish(POOL, rules(), [over("a", 1.5), over("b", 2.5), report("c")], [])
    assert coordinator.acquire(POOL, rules(), ask("b", 2.5)).refused is Cause.MORE_URGENT
    assert coordinator.acquire(POOL, rules(), ask("a", 1.5)).granted


def test_of_those_who_waited_for_too_long_the_oldest_goes_first(
    coordinator: Coordinator, clock: FakeClock
) -> None:
    coordinator.publish(POOL, rules(), [over("a", 1.5), report("c")], [])
    clock.now += 1.0
    both = [over("a", 1.5), over("b", 2.5), report("c")]
    coordinator.publish(POOL, rules(), both, [])
    clock.now += PATIENCE_SECONDS
    coordinator.publish(POOL, rules(), both, [])
    refused = coordinator.acquire(POOL, rules(), ask("b", 2.5))
    assert (refused.refused, names(refused.detail)) == (Cause.MORE_URGENT, ("a",))


def test_of_those_who_waited_for_too_long_since_the_same_moment_one_goes_first(
    coordinator: Coordinator, clock: FakeClock
) -> None:
    """By name; otherwise each would wait for the other, or both would go."""
    both = [over("a", 1.5), over("b", 2.5), report("c")]
    for _ in range(2):
        coordinator.publish(POOL, rules(), both, [])
        clock.now += PATIENCE_SECONDS
    coordinator.publish(POOL, rules(), both, [])
    assert coordinator.acquire(POOL, rules(), ask("b", 2.5)).refused is Cause.MORE_URGENT
    assert coordinator.acquire(POOL, rules(), ask("a", 1.5)).granted


def test_same_token_is_told_that_it_holds(coordinator: Coordinator) -> None:
    coordinator.publish(POOL, rules(), [over("a"), report("b")], [])
    assert coordinator.acquire(POOL, rules(), ask("a")).granted
    coordinator.publish(
        POOL, rules(), [over("a"), report("b", in_service=False)], [SlotClaim("a", "token-a")]
    )
    again = coordinator.acquire(POOL, rules(), ask("a"))
    assert again.granted
    assert not again.peers_suffice


def test_consider_takes_nothing(coordinator: Coordinator) -> None:
    coordinator.publish(POOL, rules(), [over("a"), report("b")], [])
    assert coordinator.consider(POOL, rules(), ask("a")).granted
    assert names(*coordinator.view(POOL).holders) == ()


def test_release_needs_the_own_token_and_may_be_repeated(coordinator: Coordinator) -> None:
    coordinator.publish(POOL, rules(), [over("a"), report("b")], [])
    coordinator.acquire(POOL, rules(), ask("a"))
    coordinator.release(POOL, "a", "another", drained=True)
    assert names(*coordinator.view(POOL).holders) == ("a",)
    coordinator.release(POOL, "a", "token-a", drained=True)
    coordinator.release(POOL, "a", "token-a", drained=True)
    assert names(*coordinator.view(POOL).holders) == ()


def test_drains_from_the_journal_take_their_slots_anew(coordinator: Coordinator) -> None:
    held = coordinator.publish(POOL, rules(), [report("a"), over("b")], [SlotClaim("a", "t1")])
    assert held.held == {"t1"}
    assert coordinator.acquire(POOL, rules(), ask("b")).refused is Cause.SLOTS_TAKEN


# --- a worker that does not come back -------------------------------------------------------------


def lost(worker: str) -> SlotClaim:
    return SlotClaim(worker, f"token-{worker}", not_back="its start failed")


def test_pool_grants_nothing_while_a_worker_does_not_come_back(coordinator: Coordinator) -> None:
    """Whatever max_draining allows: a new version that cannot start costs one worker."""
    many = rules(max_draining=3)
    reports = [over("a"), report("b"), report("c"), report("d", in_service=False)]
    coordinator.publish(POOL, many, reports, [lost("d")])
    answer = coordinator.acquire(POOL, many, ask("a"))
    assert answer.refused is Cause.NOT_BACK
    assert "d: its start failed" in answer.words


def test_hard_limit_and_a_worker_that_is_out_already_do_not_wait_for_it(coordinator: Coordinator) -> None:
    many = rules(max_draining=3)
    reports = [over("a"), over("b"), report("c"), report("d", in_service=False)]
    coordinator.publish(POOL, many, reports, [lost("d")])
    assert coordinator.acquire(POOL, many, ask("a", hard=True)).granted
    assert coordinator.acquire(POOL, many, ask("b", already_out=True)).granted


def test_pool_goes_on_when_the_worker_is_back_or_is_let_go(coordinator: Coordinator) -> None:
    many = rules(max_draining=3)
    reports = [over("a"), report("b"), report("d", in_service=False)]
    coordinator.publish(POOL, many, reports, [lost("d")])
    assert not coordinator.consider(POOL, many, ask("a")).granted
    coordinator.publish(POOL, many, reports, [SlotClaim("d", "token-d")])
    assert coordinator.consider(POOL, many, ask("a")).granted, "its slot is no obstacle"
    coordinator.publish(POOL, many, reports, [lost("d")])
    coordinator.release(POOL, "d", "token-d", drained=True)
    assert coordinator.consider(POOL, many, ask("a")).granted
