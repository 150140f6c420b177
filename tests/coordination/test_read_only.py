"""A dry run on a fleet judges by what the others shared and by what it sees itself."""

from __future__ import annotations

from supervisor_memkill.coordination.contract import Cause, ListenerRules, PoolView, Report
from supervisor_memkill.coordination.read_only import ReadOnlyCoordinator
from tests.builders import report
from tests.coordination.servers import POOL, FakeClock, ask, over, rules


class View:
    """What is shared, made up."""

    def __init__(self, view: PoolView) -> None:
        self.now = view

    def view(self, pool: str) -> PoolView:
        return self.now


def looking(view: PoolView, *seen_here: Report) -> ReadOnlyCoordinator:
    """A dry run on host one, beside its real listener, that has told what it sees."""
    coordinator = ReadOnlyCoordinator(View(view), "one/s", FakeClock())
    coordinator.publish(POOL, rules(), seen_here, [])
    return coordinator


def test_worker_of_another_host_stands_in() -> None:
    coordinator = looking(PoolView((report("two/s/b"),)), over("a"))
    assert coordinator.consider(POOL, rules(), ask("a")).granted


def test_what_was_shared_of_its_own_workers_does_not_count_beside_what_it_sees() -> None:
    shared = (over("one/s/a"), report("one/s/b"))
    coordinator = looking(PoolView(shared), over("a"), report("b", in_service=False))
    answer = coordinator.consider(POOL, rules(), ask("a"))
    assert (answer.refused, answer.others_in_service) == (Cause.TOO_FEW_IN_SERVICE, 0)


def test_worker_of_a_silent_host_does_not_stand_in() -> None:
    view = PoolView((report("two/s/b"),), silent=frozenset({"two/s/b"}))
    coordinator = looking(view, over("a"))
    assert coordinator.consider(POOL, rules(), ask("a")).refused is Cause.TOO_FEW_IN_SERVICE


def test_worker_of_another_host_that_is_not_in_service_does_not_stand_in() -> None:
    coordinator = looking(PoolView((report("two/s/b", in_service=False),)), over("a"))
    assert coordinator.consider(POOL, rules(), ask("a")).refused is Cause.TOO_FEW_IN_SERVICE


def test_more_urgent_worker_of_another_host_goes_first() -> None:
    coordinator = looking(PoolView((over("two/s/b", 2.5),)), over("a"), report("c"))
    answer = coordinator.consider(POOL, rules(), ask("a"))
    assert (answer.refused, answer.detail) == (Cause.MORE_URGENT, "two/s/b")


def test_worker_of_a_silent_host_keeps_nobody_waiting() -> None:
    view = PoolView((over("two/s/b", 2.5),), silent=frozenset({"two/s/b"}))
    coordinator = looking(view, over("a"), report("c"))
    assert coordinator.consider(POOL, rules(), ask("a")).granted


def test_slot_that_another_host_holds_is_taken() -> None:
    coordinator = looking(PoolView((), ("two/s/b",)), over("a"), report("c"))
    answer = coordinator.consider(POOL, rules(), ask("a"))
    assert (answer.refused, answer.detail) == (Cause.SLOTS_TAKEN, "two/s/b")


def test_slot_that_was_shared_of_its_own_worker_does_not_count_beside_its_own_drains() -> None:
    coordinator = looking(PoolView((), ("one/s/b",)), over("a"), report("c"))
    assert coordinator.consider(POOL, rules(), ask("a")).granted


def test_nothing_is_granted_while_a_worker_of_another_host_does_not_come_back() -> None:
    view = PoolView((), ("two/s/b",), not_back={"two/s/b": "it was not seen running"})
    answer = looking(view, over("a"), report("c")).consider(POOL, rules(max_draining=2), ask("a"))
    assert (answer.refused, answer.detail) == (Cause.NOT_BACK, "two/s/b: it was not seen running")


def test_cooldown_counts_from_the_end_of_the_last_drain_of_another_host() -> None:
    view = PoolView((report("two/s/b"),), drain_ended_seconds_ago=20.0)
    coordinator = looking(view, over("a"))
    answer = coordinator.consider(POOL, rules(cooldown_seconds=60.0), ask("a"))
    assert (answer.refused, answer.detail) == (Cause.COOLDOWN, "40s left")
    assert coordinator.consider(POOL, rules(cooldown_seconds=20.0), ask("a")).granted


def test_slot_that_it_took_for_itself_is_taken_until_it_is_released() -> None:
    coordinator = looking(PoolView(()), over("a"), over("b"), report("c"))
    assert coordinator.acquire(POOL, rules(), ask("a")).granted
    assert coordinator.acquire(POOL, rules(), ask("b")).refused is Cause.SLOTS_TAKEN
    coordinator.release(POOL, "a", "token-a", drained=False)
    assert coordinator.consider(POOL, rules(), ask("b")).draining == 0


def test_pool_is_shown_as_it_was_when_it_was_judged() -> None:
    shared = View(PoolView((report("two/s/b"),)))
    coordinator = ReadOnlyCoordinator(shared, "one/s", FakeClock())
    assert coordinator.view(POOL).reports, "not judged yet"
    coordinator.publish(POOL, rules(), [over("a")], [])
    shared.now = PoolView(())
    assert coordinator.view(POOL).reports


def test_nothing_is_granted_while_the_pool_settles() -> None:
    view = PoolView((report("two/s/b"),), settling_seconds=12.0, settling_cause=Cause.DATA_LOST)
    coordinator = looking(view, over("a"))
    for answer in (
        coordinator.consider(POOL, rules(), ask("a")),
        coordinator.acquire(POOL, rules(), ask("a")),
    ):
        assert (answer.refused, answer.detail) == (Cause.DATA_LOST, "12s left")


def test_strictest_setting_of_another_live_listener_holds_and_is_named() -> None:
    others = (ListenerRules("two/s", 3, 2), ListenerRules("three/s", 2, 1))
    coordinator = looking(PoolView((report("two/s/b"),), rules=others), over("a"), over("c"), report("d"))
    lax = rules(min_available=0, max_draining=5)
    answer = coordinator.consider(POOL, lax, ask("a"))
    assert (answer.min_available, answer.min_available_of) == (3, "two/s")
    assert (answer.max_draining, answer.max_draining_of) == (1, "three/s")
    assert answer.granted


def test_own_setting_that_is_as_strict_is_not_named_as_another_ones() -> None:
    coordinator = looking(PoolView((), rules=(ListenerRules("two/s", 1, 1),)), over("a"))
    answer = coordinator.consider(POOL, rules(1, 1), ask("a"))
    assert (answer.min_available_of, answer.max_draining_of) == ("", "")


def test_setting_of_the_live_listener_that_it_would_replace_does_not_hold() -> None:
    """A dry run can preview a relaxed rule."""
    coordinator = looking(PoolView((), rules=(ListenerRules("one/s", 9, 1),)), over("a"), report("b"))
    assert coordinator.consider(POOL, rules(min_available=1), ask("a")).granted
