"""Records of the tests' own making."""

from __future__ import annotations

import dataclasses
from typing import Any

from supervisor_memkill.notices.records import DrainRecord, HeldRecord

DRAIN = DrainRecord(
    at=1_796_000_000.5,
    host="web-1",
    pool="sidekiq",
    worker="sidekiq:sidekiq_0",
    reason="max_rss",
    outcome="done",
    kind="sidekiq",
    pid=812,
    cause="idle",
    before_bytes=2_300_000_000,
    after_bytes=300_000_000,
    quiet_seconds=71.5,
    stopped_seconds=0.8,
    took_seconds=84.25,
    curve=((60, 300_000_000), (3600, 2_300_000_000)),
)
HELD = HeldRecord(
    at=1_796_000_100.0,
    host="web-1",
    pool="sidekiq",
    worker="sidekiq:sidekiq_1",
    cause="slots_taken",
    why="over its limit, but other workers drain",
    held_seconds=3660.0,
    is_over=False,
    pid=813,
)


def drain(**changes: Any) -> DrainRecord:
    return dataclasses.replace(DRAIN, **changes)


def killed(**changes: Any) -> DrainRecord:
    return drain(**{"outcome": "killed", "jobs_cut": 2, "jobs": ("Mail", "Report"), **changes})


def held(**changes: Any) -> HeldRecord:
    return dataclasses.replace(HELD, **changes)
