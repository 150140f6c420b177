"""After a damaged journal: which workers are quiet, perhaps because of a drain that the journal lost."""

from __future__ import annotations

import dataclasses

from supervisor_memkill.listener.doubts import with_doubts
from supervisor_memkill.listener.findings import Finding, Pool, PoolSurvey, Survey
from supervisor_memkill.listener.ledger import Ledger
from supervisor_memkill.processes import ProcessState


class Adoption:
    """Goes on until every worker was examined once."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._examined: set[str] = set()
        """Workers of which it is known whether they were left quiet."""

    @property
    def goes_on(self) -> bool:
        return self._ledger.contents.adopts

    def wants(self, pool: Pool, finding: Finding) -> bool:
        """The worker is quiet, and only a restart helps."""
        seen, worker = finding.seen, finding.worker
        contents = self._ledger.contents
        if worker in self._examined:
            return False
        if pool.name in contents.pauses:
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
        if self.goes_on:
            adopts = not all(self._knows(pool) for pool in survey.pools)
            examined = with_doubts(self._ledger.contents, survey)
            self._ledger.save(dataclasses.replace(examined, adopts=adopts), must=False)

    def _knows(self, survey: PoolSurvey) -> bool:
        workers = {finding.worker for finding in survey.findings}
        return survey.failure is None and workers <= self._examined
