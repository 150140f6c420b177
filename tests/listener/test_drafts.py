"""What a look makes of the last one: the same finding while nothing is new, and what it measured."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

from supervisor_memkill.listener.drafts import Depth, Draft, draft_again, judged
from supervisor_memkill.listener.findings import Finding
from supervisor_memkill.listener.former_looks import FormerLook
from supervisor_memkill.processes import MemorySize
from supervisor_memkill.rules.policy import Hold, Sighting, Terms, judge
from tests.builders import info, reading

TERMS = Terms(limit_bytes=200, hard_limit_bytes=None, strikes=1, min_uptime_seconds=60.0, settle_seconds=10.0)
NOW = 50.0


def draft_of_calm_worker(
    memory_bytes: int = 100,
    depth: Depth = Depth.MEASURED,
    terms: Terms = TERMS,
    jobs: tuple[str, ...] | None = None,
) -> tuple[Draft, FormerLook]:
    """The draft of a worker that had 100 bytes at the last look, and that look; it was examined at 7."""
    seen = Sighting(info(), 100, reading(jobs=jobs), memory_least_bytes=100, age_seconds=600.0)
    before = FormerLook(Finding(seen, judge(seen, terms, 0.0)), counts_children=True, examined_at=7.0)
    table: Any = SimpleNamespace(
        measured=lambda pid, measure, with_children: MemorySize(memory_bytes, memory_bytes),
        age_seconds=lambda pid: 660.0,
    )
    pool: Any = SimpleNamespace(measure="rss")
    draft = draft_again(before, pool, info(), terms, table, NOW, depth)
    assert draft is not None
    return draft, before


def test_worker_of_which_nothing_is_new_keeps_the_very_finding_of_the_last_look() -> None:
    """GrowthWatch goes on with what it read since then, and does not begin again with an older size."""
    for depth in (Depth.KNOWN, Depth.MEASURED):
        draft, before = draft_of_calm_worker(depth=depth)
        (finding,) = judged([draft], TERMS, NOW)
        assert finding is before.finding


def test_memory_or_verdict_that_changed_is_another_finding() -> None:
    grown, before = draft_of_calm_worker(memory_bytes=150)
    (finding,) = judged([grown], TERMS, NOW)
    assert (finding.seen.memory_bytes, finding.seen.memory_least_bytes, finding.verdict.urgency) == (
        150,
        150,
        0.75,
    )
    assert (finding.advice, finding.program) == (before.finding.advice, before.finding.program)
    same, before = draft_of_calm_worker()
    other = dataclasses.replace(before.finding.verdict, hold=Hold.PAUSED)
    assert same.finding(other) == dataclasses.replace(before.finding, verdict=other)


def test_memory_that_changed_is_another_finding_also_without_a_limit() -> None:
    terms = dataclasses.replace(TERMS, limit_bytes=None)
    grown, _ = draft_of_calm_worker(memory_bytes=150, terms=terms)
    (finding,) = judged([grown], terms, NOW)
    assert (finding.seen.memory_bytes, finding.verdict.hold) == (150, Hold.NO_LIMIT)


def test_worker_whose_jobs_are_named_has_its_present_age_whatever_its_memory_is() -> None:
    """How long an interval of its jobs is goes by its age."""
    draft, _ = draft_of_calm_worker(jobs=("Report",))
    assert draft.seen.age_seconds == 660.0


def test_next_look_takes_over_what_this_one_measured_and_when_the_worker_was_examined() -> None:
    draft, _ = draft_of_calm_worker(memory_bytes=150)
    (finding,) = judged([draft], TERMS, NOW)
    assert draft.look(finding, NOW) == FormerLook(finding, counts_children=True, examined_at=7.0)


def test_worker_that_was_looked_at_anew_was_examined_now() -> None:
    draft, before = draft_of_calm_worker()
    anew = dataclasses.replace(draft, former=None)
    assert anew.look(before.finding, NOW).examined_at == NOW
