"""The drains in memory, and the disk that may fail to save them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from supervisor_memkill.listener.journal import JournalError
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.ledger import Ledger
from supervisor_memkill.listener.outage import Outage
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.events import JournalAway, JournalBack
from supervisor_memkill.rules.drain import State
from tests.builders import drain


class Disk:
    """The journal: its contents, how often it was written, and its error."""

    def __init__(self) -> None:
        self.held = Contents()
        self.times_written = 0
        self.error: JournalError | None = None
        self.fails_at_the_end = False
        self.is_swept = False
        self.lock_error: JournalError | None = None

    def keep(self) -> bool:
        if self.lock_error is not None:
            raise self.lock_error
        return self.is_swept

    def save(self, contents: Contents) -> None:
        if self.error is not None and not self.fails_at_the_end:
            raise self.error
        self.held = contents
        self.times_written += 1
        if self.error is not None:
            raise self.error


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def ledger(disk: Any) -> Ledger:
    return Ledger(disk, Outage(JournalAway, JournalBack, Notifier([]), lambda: 0.0))


QUIETING, STOPPING = drain(State.QUIETING), drain(State.STOPPING)


def test_unchanged_contents_are_not_written_again(ledger: Ledger, disk: Disk) -> None:
    assert ledger.put(QUIETING, must=True)
    assert ledger.put(QUIETING, must=True)
    ledger.catch_up()
    assert disk.times_written == 1


def test_record_that_cannot_be_saved_before_an_action_is_dropped(ledger: Ledger, disk: Disk) -> None:
    assert ledger.put(QUIETING, must=True)
    disk.error = JournalError("full")
    assert not ledger.put(STOPPING, must=True)
    assert ledger.drains == {"jobs:one": QUIETING}
    assert not ledger.can_begin


def test_step_that_restores_capacity_continues_without_the_disk(ledger: Ledger, disk: Disk) -> None:
    disk.error = JournalError("full")
    assert not ledger.put(STOPPING, must=False)
    assert ledger.drains == {"jobs:one": STOPPING}
    assert disk.held == Contents()
    disk.error = None
    ledger.catch_up()
    assert disk.held.drains == {"jobs:one": STOPPING}
    assert ledger.can_begin
    ledger.catch_up()
    assert disk.times_written == 1, "it is on disk"


def test_save_that_failed_at_its_end_leaves_no_stop_in_the_journal(ledger: Ledger, disk: Disk) -> None:
    """The file was replaced, but the directory could not be synced: the stop was not sent."""
    assert ledger.put(QUIETING, must=True)
    disk.error, disk.fails_at_the_end = JournalError("I/O error"), True
    assert not ledger.put(STOPPING, must=True)
    disk.error = None
    ledger.catch_up()
    assert disk.held.drains == {"jobs:one": QUIETING}


def test_end_of_a_drain_is_saved(ledger: Ledger, disk: Disk) -> None:
    other = dataclasses.replace(QUIETING, worker="jobs:two")
    ledger.put(QUIETING, must=True)
    ledger.put(other, must=True)
    ledger.remove("jobs:one", ended_at={"jobs": 5.0})
    assert disk.held.drains == {"jobs:two": other}
    assert disk.held.drain_ended_at == {"jobs": 5.0}


def test_journal_that_was_swept_is_written_again(ledger: Ledger, disk: Disk) -> None:
    assert ledger.put(QUIETING, must=True)
    ledger.keep()
    assert disk.times_written == 1
    disk.is_swept, disk.held = True, Contents()
    ledger.keep()
    assert disk.held.drains == {"jobs:one": QUIETING}


def test_lost_lock_holds_and_its_return_writes_the_journal_again(ledger: Ledger, disk: Disk) -> None:
    assert ledger.put(QUIETING, must=True)
    disk.lock_error = JournalError("held by another listener")
    with pytest.raises(JournalError):
        ledger.keep()
    disk.held, disk.lock_error = Contents(), None
    ledger.keep()
    ledger.catch_up()
    assert disk.held.drains == {"jobs:one": QUIETING}
