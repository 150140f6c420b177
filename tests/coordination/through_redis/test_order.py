"""The most urgent worker goes first, and no worker waits for ever."""

from __future__ import annotations

import pytest

from supervisor_memkill.coordination.contract import Cause
from supervisor_memkill.coordination.rules import PATIENCE_SECONDS
from tests.builders import report
from tests.coordination.servers import (
    HEARTBEAT,
    POOL,
    Fleet,
    Host,
    ask,
    over,
    rules,
)

pytestmark = pytest.mark.real


def test_peer_must_cover_all_queues(fleet: Fleet) -> None:
    mail, both, other = frozenset({"mail"}), frozenset({"mail", "default"}), frozenset({"default", "bulk"})
    one = fleet.host("one", over("a", queues=both), report("m", queues=mail), report("o", queues=other))
    two = fleet.host("two", over("c", queues=mail))
    fleet.settled(one, two)
    refused = one.ask("a", queues=both)
    assert (refused.refused, refused.others_in_service) == (Cause.TOO_FEW_IN_SERVICE, 0)
    answer = two.ask("c", queues=mail)
    assert answer.granted
    assert answer.others_in_service == 2
    two.release("c", drained=False)
    two.reports.append(report("d", queues=both | other))
    two.beat()
    answer = one.ask("a", queues=both)
    assert (answer.granted, answer.others_in_service) == (True, 1)


def test_worker_whose_queues_change_counts_once(fleet: Fleet) -> None:
    mail, both = frozenset({"mail"}), frozenset({"mail", "default"})
    one = fleet.host("one", over("a", queues=mail), report("b", queues=mail))
    fleet.settled(one)
    for queues in (both, frozenset({"bulk"}), mail):
        one.reports[1] = report("b", queues=queues)
        one.beat()
        answer = one.coordinator.consider(POOL, rules(), ask("a", queues=mail))
        assert answer.others_in_service == (queues >= mail)


def test_most_urgent_of_all_hosts_goes_first(pair: tuple[Host, Host]) -> None:
    one, two = pair
    refused = two.ask("c")
    assert (refused.refused, refused.detail) == (Cause.MORE_URGENT, one("a"))
    assert one.ask("a").granted


def test_one_that_asks_no_more_keeps_nobody_waiting(pair: tuple[Host, Host]) -> None:
    one, two = pair
    one.reports[0] = report("a")
    one.beat()
    assert two.ask("c").granted


def test_one_that_asks_again_waits_from_then_on(fleet: Fleet) -> None:
    one = fleet.host("one", over("a"), report("b"))
    two = fleet.host("two", report("c"), report("d"))
    fleet.settled(one, two)
    one.reports[0], two.reports[0] = report("a"), over("c")
    fleet.passes(HEARTBEAT, one, two)
    one.reports[0] = over("a")
    fleet.passes(HEARTBEAT, one, two)
    assert one.ask("a").detail == two("c")


def test_refusal_names_the_most_urgent_though_a_less_urgent_asked_before(fleet: Fleet) -> None:
    one = fleet.host("one", over("older", 2.0), over("least", 1.5), report("b"))
    fleet.settled(one)
    one.reports.append(over("most", 2.5))
    one.beat()
    assert one.ask("least").detail == one("most")


def test_of_many_equally_urgent_the_one_that_asked_first_goes_first(fleet: Fleet) -> None:
    """Whatever their names are: Redis sorts equals by these."""
    first = fleet.host("0", over("first"), report("spare"))
    fleet.settled(first)
    crowd = fleet.host("9", *(over(f"w{number:02}") for number in range(70)))
    fleet.passes(1, crowd, first)
    crowd.beat()
    refused = crowd.ask("w69")
    assert (refused.refused, refused.detail) == (Cause.MORE_URGENT, first("first"))
    assert first.ask("first").granted


def test_many_that_could_not_go_hide_no_one_that_could(fleet: Fleet) -> None:
    special = frozenset({"special"})
    stuck = fleet.host("9", *(over(f"w{number}", 5.0, queues=special) for number in range(70)))
    stuck.reports = [
        over(one.worker, 5.0, queues=special | {one.worker}, in_service=False) for one in stuck.reports
    ]
    able = fleet.host("0", over("able", 2.5), over("less", 1.5), report("spare"))
    fleet.settled(stuck, able)
    assert able.ask("less").detail == able("able")
    assert able.ask("able").granted


def test_one_that_could_not_go_keeps_no_other_host_waiting(fleet: Fleet) -> None:
    special = frozenset({"special"})
    one = fleet.host("one", over("a", 9.0, queues=special))
    two = fleet.host("two", over("c"), report("d"))
    fleet.settled(one, two)
    assert one.ask("a", queues=special).refused is Cause.TOO_FEW_IN_SERVICE
    assert two.ask("c").granted


def test_who_asked_for_long_enough_goes_before_more_urgent_ones(fleet: Fleet) -> None:
    one = fleet.host("one", over("patient", 1.1), report("b"))
    fleet.settled(one)
    fleet.passes(PATIENCE_SECONDS, one)
    two = fleet.host("two", over("c", 9.0), report("d"))
    two.beat()
    refused = two.ask("c")
    assert (refused.refused, refused.detail) == (Cause.MORE_URGENT, one("patient"))
    assert one.ask("patient").granted


def test_of_two_that_asked_for_long_enough_the_older_goes_first(fleet: Fleet) -> None:
    one = fleet.host("one", over("older", 1.1), report("b"))
    fleet.settled(one)
    two = fleet.host("two", over("younger", 9.0), report("d"))
    fleet.passes(HEARTBEAT, one, two)
    fleet.passes(PATIENCE_SECONDS, one, two)
    assert two.ask("younger").detail == one("older")
    assert one.ask("older").granted
