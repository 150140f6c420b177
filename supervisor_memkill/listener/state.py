"""Keeps the state file up to date with what the listener sees and does."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from supervisor_memkill import __version__
from supervisor_memkill.clock import Clock
from supervisor_memkill.config.options import Config
from supervisor_memkill.listener import state_file
from supervisor_memkill.listener.findings import Finding, PoolSurvey
from supervisor_memkill.listener.journal import read_boot_id
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.state_file import (
    DrainState,
    ListenerState,
    PauseState,
    PoolState,
    WorkerState,
)
from supervisor_memkill.rules.drain import Drain, State
from supervisor_memkill.rules.policy import is_in_service


class StateKeeper:
    """Collects the state of this listener, and writes it when `write` is called."""

    def __init__(self, path: Path, config: Config, clock: Clock) -> None:
        """`path` is that of the journal."""
        self._path = state_file.path_beside(path)
        self._clock = clock
        self._settle_seconds = {pool.name: pool.settle_seconds for pool in config.pools}
        self._verdicts: dict[str, str] = {}
        # Until the first look, the last listener's looks are shown, with their age.
        self._pools = {pool.name: pool for pool in self._pools_before() if pool.name in self._settle_seconds}
        self._state = ListenerState(
            version=__version__,
            pid=os.getpid(),
            created=state_file.process_began(os.getpid()) or 0.0,
            boot_id=read_boot_id(),
            host=config.host,
            dry_run=config.dry_run,
            started_at=clock(),
            written_at=clock(),
            ticked_at=None,
        )

    def _pools_before(self) -> tuple[PoolState, ...]:
        try:
            before = state_file.read(self._path)
        except state_file.StateError:
            return ()
        return before.pools if before.boot_id == read_boot_id() else ()

    def ticked(self) -> None:
        self._state = dataclasses.replace(self._state, ticked_at=self._clock())

    def decided(self, worker: str, words: str) -> None:
        """What was decided about this worker at this look, as text for a person."""
        self._verdicts[worker] = words

    def looked(self, survey: PoolSurvey) -> None:
        """A look at a pool is complete."""
        name, config = survey.pool.name, survey.pool.config
        if survey.failure is not None and name in self._pools:
            failed = dataclasses.replace(self._pools[name], failure=repr(survey.failure))
            self._pools[name] = failed
            return
        self._pools[name] = PoolState(
            name=name,
            looked_at=self._clock(),
            limit_bytes=survey.terms.limit_bytes,
            hard_limit_bytes=survey.terms.hard_limit_bytes,
            min_available=config.min_available,
            max_draining=config.max_draining,
            workers=tuple(self._worker(survey, one) for one in survey.findings),
            failure=repr(survey.failure) if survey.failure is not None else "",
        )

    def _worker(self, survey: PoolSurvey, finding: Finding) -> WorkerState:
        seen = finding.seen
        return WorkerState(
            worker=finding.worker,
            pid=seen.process.pid,
            start=seen.process.start,
            state=seen.process.state.name,
            memory_bytes=seen.memory_bytes,
            busy=seen.reading.busy if seen.reading is not None else None,
            in_service=is_in_service(seen, survey.terms.settle_seconds),
            verdict=self._verdicts.pop(finding.worker, finding.verdict.words),
        )

    def write(self, contents: Contents, away: Mapping[str, str]) -> None:
        """Write the state. The drains are those of `contents`, whenever the last look was."""
        pools = [
            dataclasses.replace(
                pool,
                workers=tuple(
                    dataclasses.replace(one, drain=self._drain(contents.drains.get(one.worker)))
                    for one in pool.workers
                ),
            )
            for pool in self._pools.values()
        ]
        state = dataclasses.replace(
            self._state,
            written_at=self._clock(),
            pools=tuple(pools),
            requests=tuple(contents.requests.values()),
            pauses=tuple(
                PauseState(pool, pause.since, pause.until, pause.except_hard)
                for pool, pause in contents.pauses.items()
            ),
            away=away,
        )
        state_file.write(self._path, state)

    def _drain(self, drain: Drain | None) -> DrainState | None:
        if drain is None or drain.state is State.ASKING:
            return None
        settle_seconds = self._settle_seconds.get(drain.pool, 0.0)
        return DrainState(
            reason=drain.reason.value,
            state=drain.state.value,
            since=drain.since,
            began_at=drain.began_at,
            not_back=drain.why_not_back(settle_seconds, self._clock()),
        )
