"""The take-over: a new listener takes up what the last one left in the journal."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterable, Sequence

from supervisor_memkill.clock import Clock
from supervisor_memkill.listener.journal import Journal
from supervisor_memkill.listener.ledger import Ledger
from supervisor_memkill.listener.outage import Outage
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.events import JournalDamaged, JournalOfAnotherBoot
from supervisor_memkill.rules.drain import Drain


def take_over(
    journal: Journal, ledger: Ledger, outage: Outage, notifier: Notifier, pools: Iterable[str]
) -> Sequence[Drain]:
    """Lock the journal and load it into the ledger; the drains in it. Raises JournalError.

    `pools`: the names of all pools. If the journal does not say which of them the listener saw, it may have
    seen any.
    """
    journal.lock()
    loaded = journal.load()
    outage.back()
    if loaded.damaged:
        notifier.report(JournalDamaged(loaded.damaged))
    if loaded.other_boot:
        notifier.report(JournalOfAnotherBoot(journal.path))
    ledger.contents = loaded.contents
    if loaded.contents.epochs is None:
        ledger.contents = dataclasses.replace(loaded.contents, epochs=dict.fromkeys(pools, ""))
    if not loaded.contents.instance:
        identified = dataclasses.replace(
            ledger.contents, instance=secrets.token_hex(8), adopts=bool(loaded.damaged)
        )
        ledger.save(identified, must=False)
    return tuple(loaded.contents.drains.values())


def note_name(ledger: Ledger, name: str, clock: Clock) -> None:
    """Save the listener's name in coordination, and when it replaced another name."""
    contents = ledger.contents
    if name and name != contents.listener:
        since = clock() if contents.listener else contents.listener_since
        ledger.save(dataclasses.replace(contents, listener=name, listener_since=since), must=False)
