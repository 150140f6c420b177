"""The records of one night, as the tests of ``history`` show them."""

from __future__ import annotations

from supervisor_memkill.notices.records import Record
from tests.notices.record_values import DRAIN, drain, held, killed

NIGHT = 1_796_000_000.0
HOSTILE = "evil\x1b[31m\nx\u202e:one"
MANY: tuple[Record, ...] = (
    DRAIN,
    killed(at=NIGHT + 60, cause="drain_timeout", took_seconds=3674.0),
    killed(at=NIGHT + 120, worker="plain:one", pool="plain", jobs_cut=None, jobs=None, quiet_seconds=None),
    drain(at=NIGHT + 180, outcome="let_go", cause="stopped_by_others", after_bytes=None, reason="restart"),
    drain(at=NIGHT + 240, worker=HOSTILE, host=HOSTILE, cause="drain_timeout"),
    held(at=NIGHT + 300),
)
