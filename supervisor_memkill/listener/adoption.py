"""Which workers are quiet because of a drain that is in no journal any more.

The journal was damaged and lost the drain. Or the drain ended, and its quiet took effect only then.
"""

from __future__ import annotations

import dataclasses

from supervisor_memkill.listener.doubts import life_of, with_doubts
from supervisor_memkill.listener.findings import Finding, Pool, PoolSurvey, Survey
from supervisor_memkill.listener.ledger import Ledger
from supervisor_memkill.processes import ProcessState


class Adoption:
    """Finds such workers. After a damaged journal it goes on until every worker was examined once."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._examined: set[str] = set()
        """Workers of which it is known whether they were left quiet."""

    @property
    def goes_on(self) -> bool:
        """After a damaged journal, some worker was not examined yet."""
        return self._ledger.contents.adopts

    def wants(self, pool: Pool, finding: Finding) -> bool:
        """The worker is quiet, and only a restart helps."""
        contents = self._ledger.contents
        if pool.name in contents.pauses:
            return False
        has_turned = contents.late_quiets.get(finding.worker) == life_of(finding.seen.process)
        if has_turned and finding.is_quiet and finding.worker not in contents.drains:
            return True
        return self.goes_on and self._was_left_quiet(pool, finding)

    def _was_left_quiet(self, pool: Pool, finding: Finding) -> bool:
        """Perhaps by a drain that a damaged journal lost. An operator may quiet workers from then on."""
        seen, worker = finding.seen, finding.worker
        if worker in self._examined:
            return False
        quiet = seen.reading.quiet if seen.reading is not None else None
        is_unknown = quiet is None and pool.kind.traits.confirms_quiet
        runs_undrained = seen.process.state is ProcessState.RUNNING and worker not in self._ledger.drains
        if not runs_undrained or not (is_unknown or quiet):
            self._examined.add(worker)
            return False
        return quiet is True

    def checked(self, survey: Survey) -> None:
        """All pools were checked: write down what is doubtful, and whether some worker is still unknown."""
        self._forget_ended(survey)
        if self.goes_on:
            adopts = not all(self._knows(pool) for pool in survey.pools)
            examined = with_doubts(self._ledger.contents, survey)
            self._ledger.save(dataclasses.replace(examined, adopts=adopts), must=False)

    def _forget_ended(self, survey: Survey) -> None:
        """Forget the late quiets of processes that ended. A pool that could not be looked at shows none."""
        late = self._ledger.contents.late_quiets
        if not late or any(pool.failure is not None for pool in survey.pools):
            return
        lives = {one.worker: life_of(one.seen.process) for pool in survey.pools for one in pool.findings}
        kept = {worker: life for worker, life in late.items() if lives.get(worker) == life}
        self._ledger.save(dataclasses.replace(self._ledger.contents, late_quiets=kept), must=False)

    def _knows(self, survey: PoolSurvey) -> bool:
        workers = {finding.worker for finding in survey.findings}
        return survey.failure is None and workers <= self._examined
