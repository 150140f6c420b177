"""``worker = faktory``: faktory_worker_ruby, read by the title that it gives itself every 10 seconds.

``faktory-worker 1.1.0 app [2 of 10 busy] stopping`` (lib/faktory/launcher.rb of faktory_worker_ruby 1.1)
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from supervisor_memkill.workers import (
    Advice,
    BaseKind,
    Note,
    ProcessTable,
    ProgramInfo,
    Reading,
    Target,
    Traits,
    advise_on_stopsignal,
    advise_on_stopwaitsecs,
    advise_on_wrapper,
    unrecognised,
)

TITLE = re.compile(r"faktory-worker \S+ .*?\[(?P<busy>\d+) of \d+ busy\](?P<quiet> stopping)?")
BEAT_SECONDS = 10.0
FETCH_SECONDS = 2.0
"""How long the server keeps a worker waiting that asked for a job: a job may still arrive after the quiet."""
TIMEOUT_SECONDS = 25.0
"""How long a stopped worker waits for its jobs, before it gives them back."""


class Faktory(BaseKind):
    """Quiets by TSTP. The title may be a beat old, and its job count may be older than its quiet."""

    framework = "faktory-worker"
    traits = Traits(quiets=True, confirms_quiet=True, repeat_quiet_after_seconds=3 * BEAT_SECONDS)

    def read_one(self, target: Target, table: ProcessTable) -> Reading:
        found = TITLE.match(table.title(target.process.pid))
        if found is None:
            # TSTP would suspend a process that is still booting: an unrecognised process gets no signal.
            return unrecognised("not faktory-worker, or still booting", target.note)
        busy, quiet, now = int(found["busy"]), found["quiet"] is not None, self.tools.clock()
        note = dict(target.note or {})
        if target.note is not None and quiet:
            note.setdefault("quiet_seen_at", now)
        # A title does not show its age: two beats later, it was written after the last job could arrive.
        is_late = now - note.get("quiet_seen_at", now) >= 2 * BEAT_SECONDS + FETCH_SECONDS
        return Reading(
            recognised=True,
            in_service=not quiet,
            quiet=quiet,
            busy=busy,
            idle=quiet and is_late and busy == 0,
            note=note,
        )

    def quiet(self, target: Target, table: ProcessTable) -> Note:
        self.tools.signal(target.process.worker, "TSTP")
        return {}

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float | None) -> Sequence[Advice]:
        return [
            *advise_on_stopwaitsecs(program, TIMEOUT_SECONDS, "faktory-worker's own timeout"),
            *advise_on_stopsignal(program, {"TERM", "INT"}, "it gives its jobs back only at these"),
            *advise_on_wrapper(program, "faktory-worker"),
        ]
