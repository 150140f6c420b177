"""What the dry run says of other listeners, and of the running one, as Redis shows them."""

from __future__ import annotations

from supervisor_memkill.commands.dry_run_notes import FirstWait
from supervisor_memkill.commands.dry_run_report import Report
from supervisor_memkill.coordination.contract import ListenerRules, PoolView
from supervisor_memkill.coordination.read_only import ReadOnlyCoordinator
from supervisor_memkill.listener.journal_format import Contents
from tests import builders
from tests.commands.dry_runs import report_on, row
from tests.listener_world import World

WAIT = FirstWait(new_seconds=30.0, lost_seconds=60.0)


class Shared:
    """What the others reported to Redis."""

    def __init__(self, view: PoolView) -> None:
        self._view = view

    def view(self, pool: str) -> PoolView:
        return self._view


def report_beside(world: World, view: PoolView, contents: Contents | None = None) -> Report:
    coordinator = ReadOnlyCoordinator(Shared(view), "here/s", world.clock)
    return report_on(world, contents=contents, coordinator=coordinator, first_wait=WAIT)


def test_new_pool_is_named_with_its_first_wait_and_nothing_is_drained_now(world: World) -> None:
    report = report_beside(world, PoolView((), is_new=True))
    assert row(report, "one").verdict == "over its limit, would be drained after the first wait"
    assert "max_draining is reached" in row(report, "two").verdict
    (note,) = report.notes
    assert note.startswith(
        "[memkill:jobs] the pool is new in Redis: after its start, the listener waits 30s "
    )


def test_pool_that_the_listener_saw_before_and_redis_lost_is_no_new_pool(world: World) -> None:
    report = report_beside(world, PoolView((), is_new=True), Contents(epochs={"jobs": "e"}))
    (note,) = report.notes
    assert note.startswith("[memkill:jobs] Redis has lost the data of this pool: after its start, the ")
    assert "waits 60s" in note or "waits 1m00s" in note


def test_listeners_that_are_silent_are_named(world: World) -> None:
    view = PoolView(
        (builders.report("two/s/jobs:a"),),
        silent=frozenset({"two/s/jobs:a", "two/s/jobs:b", "here/s/jobs:c"}),
    )
    assert report_beside(world, view).notes == (
        "[memkill:jobs] PEERS does not count the workers of silent listeners: two/s",
    )


def test_setting_of_another_listener_is_named_in_the_verdict(world: World) -> None:
    view = PoolView((), rules=(ListenerRules("two/s", 3, 1),))
    report = report_beside(world, view)
    assert row(report, "one").verdict == (
        "over its limit, would wait: 2 others are in service and min_available is 3 (a setting of two/s)"
    )
    assert report.notes == ()


def test_relaxed_setting_is_previewed_and_the_running_listeners_own_is_named(world: World) -> None:
    view = PoolView((), rules=(ListenerRules("here/s", 3, 1),))
    report = report_beside(world, view)
    assert row(report, "one").would_drain
    (note,) = report.notes
    assert note == (
        "[memkill:jobs] this table is made with min_available = 1 and max_draining = 1, but the running"
        " listener has 3 and 1: restart it to change its settings"
    )


def test_running_listener_with_the_same_settings_is_no_news(world: World) -> None:
    assert report_beside(world, PoolView((), rules=(ListenerRules("here/s", 1, 1),))).notes == ()
