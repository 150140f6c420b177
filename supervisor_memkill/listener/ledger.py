"""The present contents of the journal: in memory and on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from supervisor_memkill.listener.journal import Journal, JournalError
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.outage import Outage
from supervisor_memkill.rules.back_off import BackOff
from supervisor_memkill.rules.drain import Drain


class Ledger:
    """Keeps the contents in memory and the journal equal, as far as the disk allows."""

    def __init__(self, journal: Journal, outage: Outage) -> None:
        self._journal = journal
        self._outage = outage
        self.contents = Contents()
        self._is_behind = False
        """The file may differ from the contents in memory."""

    @property
    def drains(self) -> Mapping[str, Drain]:
        """By worker."""
        return self.contents.drains

    def save(self, contents: Contents, *, must: bool) -> bool:
        """Save the contents and make them the present ones. True if they are on disk.

        `must`: the next action needs the journal, so that nothing changes if it cannot be written. Without
        `must` the contents in memory change all the same: the action gives capacity back, and the older
        journal leads to the same end.
        """
        if contents == self.contents and not self._is_behind:
            return True
        try:
            self._journal.save(contents)
        except JournalError as error:
            self._outage.away(error)
            self._is_behind = True  # The error may have come after the rename.
            if not must:
                self.contents = contents
            return False
        self._outage.back()
        self._is_behind = False
        self.contents = contents
        return True

    @property
    def can_begin(self) -> bool:
        """The last save worked. A drain must not begin without the journal."""
        return not self._outage.is_away

    def catch_up(self) -> None:
        """Save again if the last save failed."""
        self.save(self.contents, must=False)

    def keep(self) -> None:
        """Keep the journal where others remove old files. Raises JournalError if its lock is lost."""
        try:
            is_gone = self._journal.keep()
        except JournalError:
            self._is_behind = True  # Whoever has the lock may have written the file.
            raise
        if is_gone:
            self._is_behind = True
            self.catch_up()

    def put(self, drain: Drain, *, must: bool) -> bool:
        """Save this drain in place of the worker's former one; see `save`."""
        drains = {**self.drains, drain.worker: drain}
        return self.save(dataclasses.replace(self.contents, drains=drains), must=must)

    def remove(
        self,
        worker: str,
        *,
        ended_at: Mapping[str, float],
        back_offs: Mapping[str, BackOff] | None = None,
        late_quiets: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        """Remove a drain that is over. `ended_at`: when each pool's last drain ended, on the boot clock.

        `back_offs` and `late_quiets` None: they stay as they are.
        """
        contents = self.contents
        changed = dataclasses.replace(
            contents,
            drains={name: drain for name, drain in self.drains.items() if name != worker},
            drain_ended_at=dict(ended_at),
            back_offs=contents.back_offs if back_offs is None else dict(back_offs),
            late_quiets=contents.late_quiets if late_quiets is None else dict(late_quiets),
        )
        self.save(changed, must=False)
