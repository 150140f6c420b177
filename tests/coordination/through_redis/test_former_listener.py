"""A listener whose name is taken by its own former process, which had another journal, knows that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from supervisor_memkill.coordination.contract import Cause
from tests.builders import report
from tests.coordination.servers import FRESH, HEARTBEAT, Fleet, over

pytestmark = pytest.mark.real


class Processes:
    """The processes of one machine, by the test's word."""

    def __init__(self, pid: str, ended: set[str] | None = None) -> None:
        self._pid = pid
        self._ended = ended or set()

    def own(self) -> Mapping[str, str]:
        return {"machine": "m", "pid": self._pid}

    def has_ended(self, process: Mapping[str, Any]) -> bool:
        return process.get("pid") in self._ended


def test_former_process_that_has_ended_is_told_with_the_time_that_is_left(fleet: Fleet) -> None:
    former = fleet.host("one", over("a"), report("b"), processes=Processes("12"))
    fleet.settled(former)
    fleet.passes(1)
    again = fleet.host(
        "one", over("a"), report("b"), instance="another life", processes=Processes("34", {"12"})
    )
    published = again.beat()
    assert (published.name_is_taken, published.former_seconds) == (True, FRESH - 1)
    refused = again.ask("a")
    assert (refused.refused, refused.detail) == (Cause.FORMER_LISTENER, f"{FRESH - 1:.0f}s left")
    assert again.ask("a", hard=True).refused is Cause.FORMER_LISTENER
    fleet.passes(FRESH - HEARTBEAT, again)
    fleet.passes(HEARTBEAT, again)
    assert again.beat().former_seconds is None
    assert again.ask("a").granted


@pytest.mark.parametrize("processes", [None, Processes("34")])
def test_another_listener_that_may_live_has_the_name(fleet: Fleet, processes: Processes | None) -> None:
    other = fleet.host("one", over("a"), report("b"), processes=Processes("12"))
    fleet.settled(other)
    newcomer = fleet.host("one", over("a"), instance="another life", processes=processes)
    published = newcomer.beat()
    assert (published.name_is_taken, published.former_seconds) == (True, None)
    assert newcomer.ask("a").refused is Cause.NAME_TAKEN


def test_listener_that_left_no_process_in_its_record_may_live(fleet: Fleet) -> None:
    """It is of an older version, or its system does not tell."""
    fleet.settled(fleet.host("one", over("a"), report("b")))
    newcomer = fleet.host("one", over("a"), instance="another life", processes=Processes("34", {"12"}))
    assert newcomer.beat().former_seconds is None
    assert newcomer.ask("a").refused is Cause.NAME_TAKEN
