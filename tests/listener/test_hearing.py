"""A listener that gets no TICKs any more says so, and ends a few times so that supervisord starts it anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.listener.deaf_record import DeafRecord, record_path
from supervisor_memkill.listener.hearing import (
    AGAIN_SECONDS,
    MAX_RESTARTS,
    Hearing,
    Judgement,
    shortest_period,
)
from supervisor_memkill.listener.own_group import Standing
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.log import LogSink
from tests.listener_world import Lines

SENT = Standing(is_sent_events=True, siblings=0)
AWAY = Standing(is_sent_events=False, siblings=0)


class Ear:
    """One listener's life: its hearing, a clock and what supervisord says."""

    def __init__(self, record: Path | None, period: float | None = 60.0) -> None:
        self.stream = Lines()
        self.now = 0.0
        self.standing = SENT
        self.asked = 0
        """How often supervisord was asked."""
        self.freezes_while_it_asks = 0.0
        log: Any = LogSink(self.stream)  # type: ignore[arg-type]
        self.hearing = Hearing(
            period,
            self.ask,
            DeafRecord(record) if record is not None else None,
            Notifier([log]),
            lambda: self.now,
        )

    def ask(self) -> Standing:
        self.asked += 1
        self.now += self.freezes_while_it_asks
        self.freezes_while_it_asks = 0.0
        return self.standing

    def run(self, seconds: float, *, in_charge: bool = True, tick: str = "", every: float = 60.0) -> bool:
        """Let time pass as the main loop does, maybe with TICKs; whether the listener must end."""
        end, next_tick = self.now + seconds, self.now + every
        while self.now < end:
            self.now += min(self.hearing.look_seconds, end - self.now)
            if tick and self.now >= next_tick:
                self.hearing.hears(tick)
                next_tick += every
            if self.hearing.judge(is_in_charge=in_charge) is Judgement.ENDS:
                return True
        return False

    @property
    def reports(self) -> list[str]:
        return self.stream.having("listener.deaf")


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return record_path(tmp_path / "own" / "here.journal", "memkill:memkill")


def test_listener_without_ticks_ends_after_two_and_a_half_periods(record: Path) -> None:
    ear = Ear(record)
    assert ear.run(1000)
    assert ear.now == 150
    assert "silent=2m30s" in ear.reports[0]
    assert "ends now" in ear.reports[0]


def test_listener_that_gets_its_ticks_goes_on(record: Path) -> None:
    ear = Ear(record)
    assert not ear.run(7200, tick="TICK_60")
    assert not ear.stream.lines
    assert not ear.asked, "supervisord is asked only after two periods without a TICK"


def test_listener_without_the_journal_that_gets_no_ticks_ends_too(record: Path) -> None:
    """No sibling has the journal: nobody would ever get them."""
    ear = Ear(record)
    assert ear.run(1000, in_charge=False)
    assert ear.now == 150


def test_listener_that_was_frozen_while_it_asked_reads_its_ticks_first(record: Path) -> None:
    ear = Ear(record)
    assert not ear.run(149)
    ear.freezes_while_it_asks = 3600.0
    assert not ear.run(1)
    assert ear.now == 3750
    assert not ear.run(7200, tick="TICK_60", every=1.0)
    assert not ear.reports


def test_listener_that_was_frozen_before_it_judges_reads_its_ticks_first(record: Path) -> None:
    ear = Ear(record)
    assert not ear.run(149)
    ear.now += 3600.0
    assert ear.hearing.judge(is_in_charge=True) is Judgement.HEARS
    assert ear.run(1000), "no TICK waited"


def test_restarts_wait_longer_each_time_and_end(record: Path) -> None:
    """Where a new process does not help, the listener stays and reports it once a day."""
    lives = []
    for _ in range(MAX_RESTARTS):
        ear = Ear(record)
        assert ear.run(100_000)
        lives.append(ear.now)
        assert len(ear.reports) <= 2, "at the first suspicion, and at the end"
        assert "ends now" in ear.reports[-1]
        assert all("the listener ends in" in line for line in ear.reports[:-1])
    assert [round(life / 150) for life in lives] == [1, 2, 4, 8, 16]
    ear = Ear(record)
    assert not ear.run(3 * AGAIN_SECONDS)
    assert len(ear.reports) == 3
    assert "new processes did not help" in ear.reports[0]


def test_a_tick_ends_the_count_of_restarts(record: Path) -> None:
    assert Ear(record).run(1000)
    assert DeafRecord(record).restarts == 1
    assert not Ear(record).run(61, tick="TICK_60")
    assert DeafRecord(record).restarts == 0
    ear = Ear(record)
    assert ear.run(1000)
    assert ear.now == 150


@pytest.mark.parametrize("away", [30, 600])
def test_supervisord_that_does_not_answer_is_no_deafness(record: Path, away: int) -> None:
    """It hangs, starts this listener, or shuts down: its TICKs come when it is back."""
    ear = Ear(record)
    ear.standing = AWAY
    assert not ear.run(130 + away)
    ear.standing = SENT
    assert not ear.run(75)
    ear.hearing.hears("TICK_60")
    assert not ear.run(100)
    assert not ear.stream.lines


def test_supervisord_that_hung_until_it_was_asked_has_time_for_its_tick(record: Path) -> None:
    """Its answer to the question may come a moment before the TICK."""
    ear = Ear(record)
    assert not ear.run(119)
    for seconds in (30, 2):
        ear.now += seconds
        assert ear.hearing.judge(is_in_charge=True) is Judgement.HEARS
        assert ear.asked == 1
    ear.hearing.hears("TICK_60")
    assert not ear.run(100)
    assert not ear.stream.lines


def test_supervisord_that_begins_to_hang_meanwhile_is_no_deafness(record: Path) -> None:
    ear = Ear(record)
    assert not ear.run(130)  # it answered
    ear.standing = AWAY
    assert not ear.run(100)
    assert not ear.reports


def test_supervisord_that_hung_between_two_reports_is_no_deafness(record: Path) -> None:
    """It is asked once in each period: only while it answers, a missing TICK counts."""
    DeafRecord(record).save(restarts=2, period_seconds=0.0)
    ear = Ear(record)
    assert not ear.run(200)
    assert ear.reports, "it ends after ten minutes"
    ear.standing = AWAY
    assert not ear.run(100)
    ear.standing = SENT
    assert not ear.run(500)


def test_time_in_which_the_listener_did_not_run_is_no_silence(record: Path) -> None:
    """It was stopped by a debugger, or the machine had no time for it: the TICKs wait in the pipe."""
    ear = Ear(record)
    ear.run(60, tick="TICK_60")
    ear.now += 10_000
    assert ear.hearing.judge(is_in_charge=True) is Judgement.HEARS
    ear.now += 1
    assert ear.hearing.judge(is_in_charge=True) is Judgement.HEARS
    ear.hearing.hears("TICK_60")
    assert not ear.run(100)
    assert not ear.stream.lines


def test_listener_that_stands_by_is_not_deaf(record: Path) -> None:
    """With numprocs = 2 supervisord sends every TICK to the other process, which works."""
    ear = Ear(record)
    ear.standing = Standing(is_sent_events=True, siblings=1)
    assert not ear.run(10_000, in_charge=False)
    assert len(ear.stream.having("listener.stands_by")) == 1
    assert not ear.reports


def test_listener_that_takes_charge_of_its_sibling_has_time_for_its_first_tick(record: Path) -> None:
    """What was silent until then were the TICKs for its sibling."""
    ear = Ear(record)
    ear.standing = Standing(is_sent_events=True, siblings=1)
    assert not ear.run(600, in_charge=False)
    ear.standing = SENT
    assert not ear.run(100)
    assert not ear.reports


def test_listener_with_the_journal_gives_way_to_the_one_with_the_ticks(record: Path) -> None:
    ear = Ear(record)
    ear.standing = Standing(is_sent_events=True, siblings=1)
    assert ear.run(10_000, in_charge=True)
    assert len(ear.stream.having("listener.gives_way")) == 1
    assert not ear.reports


def test_listener_that_gave_way_before_gives_way_again_without_an_alarm(record: Path) -> None:
    """It took the journal when its sibling died, and the TICKs go to the sibling's next process."""
    DeafRecord(record).save(restarts=1, period_seconds=0.0)
    ear = Ear(record)
    ear.standing = Standing(is_sent_events=True, siblings=1)
    assert ear.run(10_000, in_charge=True)
    assert len(ear.stream.having("listener.gives_way")) == 1
    assert not ear.reports


def test_siblings_of_which_none_hears_report_it_in_the_end(record: Path) -> None:
    DeafRecord(record).save(restarts=MAX_RESTARTS, period_seconds=0.0)
    ear = Ear(record)
    ear.standing = Standing(is_sent_events=True, siblings=1)
    assert not ear.run(10_000, in_charge=True)
    assert ear.reports


def test_listener_whose_restarts_cannot_be_counted_stays(tmp_path: Path) -> None:
    """Otherwise it might end for ever: in a dry run, and where nothing can be written."""
    for record in (None, tmp_path / "file" / "record"):
        (tmp_path / "file").write_text("")
        ear = Ear(record)
        assert not ear.run(4000)
        assert ear.reports
    assert "restarts cannot be written" in ear.reports[0]


def test_siblings_of_which_none_can_count_its_restarts_report_it(tmp_path: Path) -> None:
    """Without its end, the TICKs stay with a sibling that does not have the journal."""
    (tmp_path / "file").write_text("")
    ear = Ear(tmp_path / "file" / "record")
    ear.standing = Standing(is_sent_events=True, siblings=1)
    assert not ear.run(150)
    assert "restarts cannot be written" in ear.reports[0]


def test_listener_of_a_dry_run_hears_its_ticks() -> None:
    ear = Ear(None)
    assert not ear.run(7200, tick="TICK_60")
    assert not ear.reports


def test_other_events_are_no_ticks(record: Path) -> None:
    """They arrive although the TICKs do not: the section subscribes to them, and its TICK was removed."""
    ear = Ear(record)
    assert ear.run(1000, tick="PROCESS_STATE_EXITED", every=10)


def test_listener_without_any_tick_event_says_so_at_once(record: Path) -> None:
    ear = Ear(record, period=0.0)
    assert ear.stream.having("listener.without_ticks")
    assert not ear.run(100_000)
    assert not ear.reports


def test_ticks_that_the_file_does_not_name_any_more_are_missed_too(record: Path) -> None:
    """supervisord still sends them, so that their end is a silence."""
    ear = Ear(record, period=0.0)
    ear.hearing.hears("TICK_60")
    assert ear.run(1000)
    assert ear.now == 150


def test_unknown_period_counts_as_the_longest_until_a_tick_comes(record: Path) -> None:
    ear = Ear(record, period=None)
    assert not ear.run(8000)
    ear.hearing.hears("TICK_5")
    assert ear.run(100)


def test_events_that_were_changed_without_an_update_do_not_make_it_deaf(record: Path) -> None:
    """The file has TICK_5 now, and supervisord still sends TICK_60."""
    Ear(record).run(61, tick="TICK_60")
    ear = Ear(record, period=5.0)
    assert not ear.run(7200, tick="TICK_60")
    assert not ear.reports


def test_stray_tick_of_another_listener_does_not_change_the_period(record: Path) -> None:
    ear = Ear(record)
    for stray in ("TICK_5", "TICK_3600"):
        ear.hearing.hears(stray)
        ear.hearing.hears("TICK_60")
    assert not ear.run(140)
    assert ear.run(10)


@pytest.mark.parametrize(
    ("events", "period"),
    [
        (["TICK_60"], 60),
        (["TICK_3600", "TICK_5"], 5),
        (["TICK"], 5),
        (["EVENT"], 5),
        (["PROCESS_STATE"], 0),
        (None, None),
    ],
)
def test_period_is_that_of_the_shortest_tick_subscribed_to(
    events: list[str] | None, period: float | None
) -> None:
    assert shortest_period(events) == period


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"restarts": -1, "period_seconds": 5}', '{"restarts": 1}', "[" * 5000]
)
def test_damaged_record_counts_as_empty(record: Path, text: str) -> None:
    record.parent.mkdir()
    record.write_text(text)
    assert (DeafRecord(record).restarts, DeafRecord(record).period_seconds) == (0, 0.0)
    assert DeafRecord(record).save(restarts=2, period_seconds=5.0)
    assert (DeafRecord(record).restarts, DeafRecord(record).period_seconds) == (2, 5.0)
