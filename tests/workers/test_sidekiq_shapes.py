"""The Sidekiq kind reads the records of every version of Sidekiq, from boot to end."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from supervisor_memkill.testing.fakes import (
    STARTED,
    FakeProcesses,
    FakeRedis,
    Signals,
    process,
    read_one,
    tools,
)
from supervisor_memkill.workers.contract import Note, Reading, Target
from supervisor_memkill.workers.sidekiq.kind import Sidekiq
from tests.workers.sidekiq_shapes import HOST, IDENTITY, PID, QUEUES, SHAPES, Shape

EVERY = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.version)
FIRST_SLOW = "7.0.0"
"""Beats every 10 s, and alone of those does not say its version: it is taken for one that beats every 5 s."""


class Walk:
    """One Sidekiq that beats at its own pace, and the kind that reads it."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.store = FakeRedis()
        self.signals = Signals()
        self.processes = FakeProcesses({PID: shape.title})
        self.now = STARTED + 30.0
        self.kind = Sidekiq({}, tools(lambda: self.store, self.signals), hostname=HOST, wall=lambda: self.now)

    def beat(self, *jobs: str, quiet: bool = False, busy: int | None = None) -> None:
        """The next heartbeat, after its interval."""
        self.now += self.shape.beat_seconds
        self.processes.titles[PID] = self.shape.title + (" stopping" if quiet else "")
        self.store.data = dict(self.shape.keys(self.now, jobs, quiet, busy))

    def read(self, note: Note | None = None) -> Reading:
        return read_one(self.kind, Target(process(PID), note), self.processes.table)

    def quiet(self) -> Note:
        return self.kind.quiet(Target(process(PID), {}), self.processes.table)


def facts(reading: Reading) -> tuple[bool | None, bool | None, bool | None, int | None, Sequence[str] | None]:
    return reading.recognised, reading.in_service, reading.quiet, reading.busy, reading.jobs


@EVERY
def test_a_drain_walks_from_work_to_quiet_to_idle(shape: Shape) -> None:
    walk = Walk(shape)
    assert walk.read().recognised is False, "it boots: no record yet"

    walk.beat("Import", "Report")
    at_work = walk.read()
    assert facts(at_work) == (True, True, False, 2, ("Import", "Report"))
    assert (at_work.queues, at_work.why) == (frozenset(QUEUES), "")

    note = walk.quiet()
    assert walk.signals.sent == [("jobs:jobs_0", shape.quiet_signal)]
    told = walk.read(note)
    assert told.quiet is False and not told.idle, "its record is from before the signal"

    walk.beat(quiet=True)
    torn = walk.read(told.note)
    assert torn.quiet and not torn.idle, "its jobs may have been counted before the quiet"
    assert not walk.read(torn.note).idle, "the same beat again"

    walk.beat("Import", quiet=True)
    finishing = walk.read(torn.note)
    assert facts(finishing) == (True, False, True, 1, ("Import",))
    assert not finishing.idle

    walk.beat(quiet=True)
    assert walk.read(finishing.note).idle
    assert (facts(walk.read(finishing.note))) == (True, False, True, 0, ())


@EVERY
def test_a_record_is_fresh_until_three_beats_failed(shape: Shape) -> None:
    walk = Walk(shape)
    walk.beat()
    walk.now += shape.beat_seconds * (1.4 if shape.version == FIRST_SLOW else 2.9)
    assert walk.read().in_service
    walk.now += 3 * shape.beat_seconds
    assert walk.read().recognised is None


@EVERY
def test_a_record_whose_time_ran_out_leaves_its_process_unrecognised(shape: Shape) -> None:
    walk = Walk(shape)
    walk.beat()
    del walk.store.data[IDENTITY]
    assert walk.read().recognised is False


@EVERY
def test_a_job_is_seen_in_the_entries_even_when_busy_says_none(shape: Shape) -> None:
    walk = Walk(shape)
    walk.beat(quiet=True)
    note = walk.read({}).note
    walk.beat("Import", quiet=True, busy=0)
    assert not walk.read(note).idle
