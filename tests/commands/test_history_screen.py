"""How ``history`` shows records and totals, in the width that there is."""

from __future__ import annotations

import re
import time

import pytest

from supervisor_memkill.commands.history_screen import GIVES_WAY, curve_line, screen
from supervisor_memkill.commands.history_values import Wanted, shown
from supervisor_memkill.commands.terminal import ASCII, BLOCKS, Terminal, width
from supervisor_memkill.notices.records import DrainRecord, Record
from tests.commands.night import MANY, NIGHT
from tests.notices.record_values import DRAIN, drain, held, killed


def lines(
    *records: Record, columns: int | None = None, is_fleet: bool = False, colour: bool = False
) -> list[str]:
    return screen(shown(records, Wanted(), is_fleet=is_fleet), Terminal(columns, None, colour))


def test_ordinary_drain_is_one_line_with_all_that_matters() -> None:
    heading, line, *_ = lines(drain(at=NIGHT))
    assert heading.split() == [
        *("WHEN", "POOL", "WORKER", "REASON", "BEFORE", "AFTER"),
        *("QUIET", "STOPPED", "TOOK", "CURVE", "OUTCOME"),
    ]
    begin = time.strftime("%Y-%m-%d %H:%M", time.localtime(NIGHT))
    assert line.split() == [
        *begin.split(),
        *("sidekiq", "sidekiq:sidekiq_0", "max_rss", "2.1GB", "286.1MB", "1m12s", "800ms", "1m24s"),
        curve_line(DRAIN.curve or (), BLOCKS),
        "done",
    ]


def test_job_classes_of_the_old_process_are_shown_where_there_is_room() -> None:
    record = drain(job_classes={"Mail": 3, "Report": 9, "Sync": 1, "Evil\x1b[2J": 5})
    assert lines(record)[1].endswith("done     ran Report, Evil\\x1b[2J, Mail, ...")
    assert "ran Report" in lines(record, columns=200)[1]
    _, line, empty, *_ = lines(record, columns=100)
    assert line.endswith("done") and empty == "", "no line is made longer for them"


def test_at_80_columns_an_ordinary_drain_is_one_line() -> None:
    heading, line, empty, *_ = lines(drain(), columns=80)
    assert empty == "" and max(len(heading), len(line)) <= 80
    assert "REASON" in heading and "TOOK" in heading and "max_rss" in line and line.endswith("done")


@pytest.mark.parametrize("is_fleet", [False, True])
@pytest.mark.parametrize("columns", range(40, 220, 3))
def test_no_line_is_longer_than_the_terminal(columns: int, is_fleet: bool) -> None:
    made = lines(*MANY, columns=columns, is_fleet=is_fleet)
    assert max(map(width, made)) <= columns, "\n".join(made)
    text = " ".join(" ".join(made).split())
    for word in ("KILLED", "2 jobs cut: Mail, Report", "let go", "held", "somebody else stopped the worker"):
        assert word in text


def test_columns_give_way_in_their_order() -> None:
    whole = lines(*MANY, is_fleet=True)[0].split()
    for columns in range(220, 40, -1):
        heading = lines(*MANY, columns=columns, is_fleet=True)[0].split()
        left_out = [name for name in whole if name not in heading]
        assert sorted(left_out, key=GIVES_WAY.index) == list(GIVES_WAY[: len(left_out)]), columns
    assert {"WHEN", "WORKER", "OUTCOME"} <= set(heading)


def test_jobs_that_were_cut_are_named_and_unknown_ones_are_said() -> None:
    text = "\n".join(lines(*MANY))
    assert "KILLED   2 jobs cut: Mail, Report; stopped because drain_timeout is over" in text
    assert "KILLED   its running jobs are unknown" in text
    assert "KILLED   no job was running" in "\n".join(lines(killed(jobs_cut=0, jobs=None)))


def test_what_became_of_the_command_before_the_stop_is_said() -> None:
    assert "done     evidence taken" in "\n".join(lines(drain(evidence="taken")))
    lost = "\n".join(lines(killed(evidence="lost", cause="idle")))
    assert "2 jobs cut: Mail, Report; no evidence: the listener ended while the command ran" in lost
    gone = drain(outcome="let_go", cause="stopped_by_others", evidence="given_up")
    assert "somebody else stopped the worker; no evidence: the drain could not wait" in "\n".join(lines(gone))
    assert "no evidence: \\x1b" in "\n".join(lines(drain(evidence="\x1b[2J"))), "of a later version"


def test_nothing_from_outside_steers_the_terminal() -> None:
    for made in (lines(*MANY, columns=100, is_fleet=True), lines(*MANY)):
        assert all(line.isprintable() for line in made)
    jobs = lines(killed(jobs=("\x1b]0;title\x07",), reason="\x1b[2J", outcome="\x1b[2J", kind="\x1b"))
    assert all(line.isprintable() for line in jobs)
    assert all(line.isprintable() for line in lines(held(why="\x1b[2J\r"), drain(cause="\x9b2J")))


def test_only_what_needs_a_person_has_a_colour_and_only_on_a_terminal() -> None:
    coloured = lines(*MANY, columns=200, colour=True)
    assert any("\x1b[31mKILLED" in line for line in coloured)
    assert any("\x1b[33mlet go" in line for line in coloured)
    plain = [re.sub("\x1b\\[[0-9]*m", "", line) for line in coloured]
    assert [line.rstrip() for line in plain] == lines(*MANY, columns=200)


def test_curve_is_drawn_over_equal_times() -> None:
    points = tuple((60 * look, look) for look in range(101))
    assert curve_line(points, ASCII) == "__..--==++**%%##"
    assert curve_line(points[:1], ASCII) == curve_line((), ASCII) == ""


def test_missing_values_are_a_dash() -> None:
    bare = DrainRecord(NIGHT, "", "jobs", "jobs:one", "", "done")
    row = lines(bare, is_fleet=True)[1].split()[2:]
    assert row == ["-", "jobs", "jobs:one", "-", "-", "-", "-", "-", "-", "done"]


def test_totals_say_what_an_operator_asks_in_the_morning() -> None:
    text = "\n".join(lines(*MANY))
    assert "5 drains: 4 max_rss, 1 restart; 2 done, 2 KILLED, 1 let go" in text
    assert "jobs cut: 2, and those of 1 killed worker are unknown" in text
    assert "longest out of service: 1h01m (sidekiq:sidekiq_0," in text
    assert "held for more than an hour: 1 time" in text
    assert "memory given back: 7.5GB" in text


def test_no_drain_is_said_with_the_time_and_the_older_records() -> None:
    made = screen(shown([drain()], Wanted(since=NIGHT * 1.01)), Terminal())
    assert made[0].startswith("no drain since 20")
    assert made[1] == "1 older record: --since all shows them"
