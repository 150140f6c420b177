"""The drains under way, in memory and in the journal."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from supervisor_memkill.listener.journal import Journal, JournalError
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.outage import Outage
from supervisor_memkill.rules.drain import Drain
from supervisor_memkill.rules.policy import BackOff


class Ledger:
    """What the listener owes, kept equal to the journal as far as the disk allows."""

    def __init__(self, journal: Journal, outage: Outage) -> None:
        self._journal = journal
        self._outage = outage
        self.contents = Contents()
        self._is_behind = False
        """The disk may hold something else than the present contents."""

    @property
    def drains(self) -> Mapping[str, Drain]:
        """By worker."""
        return self.contents.drains

    def save(self, contents: Contents, *, must: bool) -> bool:
        """Write the contents and make them the present ones; whether they are on disk.

        `must`: the act that follows needs the journal to say so, hence nothing changes without it.
        Otherwise the present ones change all the same: the act gives capacity back, and the older
        journal leads to the same end.
        """
        if contents == self.contents and not self._is_behind:
            return True
        try:
            self._journal.save(contents)
        except JournalError as error:
            self._outage.away(error)
            self._is_behind = True  # What it holds is not known: it may have failed at the very end.
            if not must:
                self.contents = contents
            return False
        self._outage.back()
        self._is_behind = False
        self.contents = contents
        return True

    @property
    def can_begin(self) -> bool:
        """Nothing is taken out of service without the journal's word, which the disk took the last time."""
        return not self._outage.is_away

    def catch_up(self) -> None:
        """Write what could not be written before, if there is any."""
        self.save(self.contents, must=False)

    def put(self, drain: Drain, *, must: bool) -> bool:
        """Keep this drain in place of the worker's former one; see `save`."""
        drains = {**self.drains, drain.worker: drain}
        return self.save(dataclasses.replace(self.contents, drains=drains), must=must)

    def remove(
        self, worker: str, *, ended_at: Mapping[str, float], back_offs: Mapping[str, BackOff] | None = None
    ) -> None:
        """Forget a drain that is over. `ended_at`: when each pool's last drain ended."""
        drains = {name: drain for name, drain in self.drains.items() if name != worker}
        kept = self.contents.back_offs if back_offs is None else dict(back_offs)
        changed = dataclasses.replace(
            self.contents, drains=drains, drain_ended_at=dict(ended_at), back_offs=kept
        )
        self.save(changed, must=False)
