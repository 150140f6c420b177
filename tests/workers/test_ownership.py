"""Whose record it is: by host, pid and start, whatever the clock did."""

from __future__ import annotations

import pytest

from supervisor_memkill.errors import Unknown
from supervisor_memkill.testing.fakes import STARTED, FakeProcesses, process
from supervisor_memkill.workers.ownership import (
    LONGEST_BOOT_SECONDS,
    SLACK_SECONDS,
    Began,
    Hosts,
    began_now,
    beginnings,
    is_left_behind,
    parse_hosts,
    why_not_own,
    why_other_name,
)

FAR = -1e9
"""A start by the other clock that nothing fits."""


@pytest.mark.parametrize(
    ("seconds", "fits"),
    [(-0.001, False), (0, True), (LONGEST_BOOT_SECONDS, True), (LONGEST_BOOT_SECONDS + 0.001, False)],
)
def test_by_supervisords_start_a_record_begins_with_the_process_and_within_the_longest_boot(
    seconds: float, fits: bool
) -> None:
    """supervisord rounds the start down: a record of the process's own is never before it."""
    assert Began(then=1000, now=FAR).fits(1000 + seconds) is fits


@pytest.mark.parametrize(
    ("seconds", "fits"),
    [
        (-SLACK_SECONDS - 0.001, False),
        (-SLACK_SECONDS, True),
        (LONGEST_BOOT_SECONDS, True),
        (LONGEST_BOOT_SECONDS + 0.001, False),
    ],
)
def test_by_the_present_clock_there_is_some_slack(seconds: float, fits: bool) -> None:
    assert Began(then=FAR, now=1000).fits(1000 + seconds) is fits


def test_between_two_clocks_that_differ_nothing_fits() -> None:
    """The clock was put forward by a day: a stranger's record from that day is not ours."""
    began = Began(then=0, now=86_400)
    assert began.fits(5) and began.fits(86_405) and not began.fits(43_200)


def test_each_process_of_a_tree_has_its_own_start() -> None:
    """Behind a loop in a shell the worker began much later than what supervisord started."""
    table = FakeProcesses({100: "sh", 170: "worker", 300: "another"}, {170: 100}).table
    found = beginnings(process(100), table, lambda: STARTED + 500.0, lambda: 601.0)
    assert found == {
        100: Began(STARTED, STARTED - 1.0),
        170: Began(STARTED + 70, STARTED + 69.0),
    }
    assert next(iter(found)) == 100
    assert beginnings(process(999), table, lambda: 0.0, lambda: 0.0) == {}


def test_a_process_that_supervisord_does_not_know_has_a_start_by_the_present_clock() -> None:
    table = FakeProcesses({170: "worker"}).table
    assert began_now(170, table, lambda: 5000.0, lambda: 270.0) == Began(4900.0, 4900.0)
    with pytest.raises(Unknown):
        began_now(999, table, lambda: 5000.0, lambda: 270.0)


def test_whether_a_process_that_is_gone_was_left_behind_is_no() -> None:
    processes = FakeProcesses({100: "worker", 200: "worker"})
    processes.leaders[200] = 199
    assert is_left_behind(200, {100}, processes.table)
    del processes.titles[200]
    table = processes.table
    processes.parents = lambda: {100: 1, 200: 1}  # type: ignore[method-assign]
    assert not is_left_behind(200, {100}, table), "it went after the table was read"


def test_the_reason_names_the_nearer_clock() -> None:
    assert "began 1m00s before this process" in why_not_own("r", 940, Began(then=1000, now=FAR))
    assert "began 1m00s before this process" in why_not_own("r", 940, Began(then=FAR, now=1000))
    late = why_not_own("r", 8200, Began(then=1000, now=FAR))
    assert "began 2h00m after this process" in late and "restart it" in late


@pytest.mark.parametrize(
    ("text", "names"), [("a", ("a",)), ("a, b c,d", ("a", "b", "c", "d")), (" worker.* ", ("worker.*",))]
)
def test_names_are_separated_by_white_space_or_commas(text: str, names: tuple[str, ...]) -> None:
    assert parse_hosts(text) == names


@pytest.mark.parametrize("text", ["", " ", ","])
def test_no_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="host names"):
        parse_hosts(text)


def test_a_machine_has_its_own_name_and_those_that_are_set() -> None:
    assert "web1" in Hosts("web1") and "web2" not in Hosts("web1")
    hosts = Hosts("web1", ("old", "worker.*"))
    assert "web1" in hosts and "old" in hosts and "worker.3" in hosts
    assert "older" not in hosts and "web2" not in hosts


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["b"], "under b:"),
        (["c", "a", "b"], "under a, b, c:"),
        (["d", "c", "b", "a"], "under a, b, c and 1 more:"),
    ],
)
def test_other_names_are_shown_and_one_is_proposed(names: list[str], shown: str) -> None:
    words = why_other_name(812, Hosts("web1"), names)
    assert shown in words and "pid 812" in words and "web1" in words
    assert words.endswith(f"set record_hosts = {min(names)}")
