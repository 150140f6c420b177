"""``worker = faktory``: faktory_worker_ruby, read by the title that it gives itself every 10 seconds.

``faktory-worker 1.1.0 app [2 of 10 busy] stopping`` (lib/faktory/launcher.rb of faktory_worker_ruby 1.1)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from supervisor_memkill.errors import MemkillError
from supervisor_memkill.processes import ProcessInfo, ProgramInfo
from supervisor_memkill.workers.contract import Advice, Note, Option, Reading, Target, Tools, Traits, unknown
from supervisor_memkill.workers.settings import signal_advice, wait_advice, wrapper_advice
from supervisor_memkill.world.memory import ProcessTable

TITLE = re.compile(r"faktory-worker \S+ .*?\[(?P<busy>\d+) of \d+ busy\](?P<quiet> stopping)?")
BEAT_SECONDS = 10.0
FETCH_SECONDS = 2.0
"""How long the server keeps a worker waiting that asked for a job: one may still arrive after the quiet."""
TIMEOUT_SECONDS = 25.0
"""How long it waits for its jobs when it is stopped, before it gives them back."""
TRAITS = Traits(quiets=True, confirms_quiet=True, repeat_quiet_after_seconds=3 * BEAT_SECONDS)


class Faktory:
    """Quiets by TSTP. The title may be a beat old, and counts its jobs before it says that it is quiet."""

    options: ClassVar[Mapping[str, Option]] = {}
    needs_redis: ClassVar[bool] = False
    traits = TRAITS

    def __init__(self, values: Mapping[str, Any], tools: Tools) -> None:
        self._tools = tools

    @classmethod
    def traits_for(cls, values: Mapping[str, Any]) -> Traits:
        return TRAITS

    @classmethod
    def problems(cls, values: Mapping[str, Any]) -> Sequence[str]:
        return ()

    def read(self, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        return {target.process.worker: self._reading(target, table) for target in targets}

    def _reading(self, target: Target, table: ProcessTable) -> Reading:
        found = TITLE.match(table.title(target.process.pid))
        if found is None:
            # TSTP would suspend a process that is still booting: what is not recognised gets no signal.
            return replace(
                unknown("no faktory-worker, or one that is booting", target.note), recognised=False
            )
        busy, quiet, now = int(found["busy"]), found["quiet"] is not None, self._tools.clock()
        note = dict(target.note or {})
        if target.note is not None and quiet:
            note.setdefault("quiet_seen_at", now)
        # A title says nothing of its age: two beats on, it was written after the last job could arrive.
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
        self._tools.signal(target.process.worker, "TSTP")
        return {}

    def resume(self, target: Target, table: ProcessTable) -> None:
        raise MemkillError("a quiet faktory-worker cannot be resumed")

    def before_stop(self, target: Target, table: ProcessTable) -> None:
        pass

    def memory_in_children(self, process: ProcessInfo, table: ProcessTable) -> bool:
        return False

    def advice(self, program: ProgramInfo, drain_timeout_seconds: float) -> Sequence[Advice]:
        return [
            *wait_advice(program, TIMEOUT_SECONDS, "faktory-worker's own timeout"),
            *signal_advice(program, {"TERM", "INT"}, "it gives its jobs back on these only"),
            *wrapper_advice(program, "faktory-worker"),
        ]
