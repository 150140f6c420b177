"""The heartbeat of the pools that drain: it keeps their slots while their workers take time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from supervisor_memkill.listener.findings import Pool
from supervisor_memkill.listener.ledger import Ledger
from supervisor_memkill.listener.outage import Outage
from supervisor_memkill.listener.slots import Slots
from supervisor_memkill.listener.survey import Surveyor
from supervisor_memkill.world.supervisord import SupervisordError

ForEachPool = Callable[[Iterable[Pool], Callable[[Pool], None]], None]


class Heartbeat:
    """`for_each` calls a function for each pool, and guards it."""

    def __init__(
        self,
        pools: Mapping[str, Pool],
        surveyor: Surveyor,
        ledger: Ledger,
        supervisord: Outage,
        for_each: ForEachPool,
    ) -> None:
        self._pools = pools
        self._surveyor = surveyor
        self._ledger = ledger
        self._supervisord = supervisord
        self._for_each = for_each

    def renew(self, slots: Slots) -> None:
        """Send the heartbeat of the pools that drain, first: later their slots may have expired.

        If supervisord did not answer the last time, the heartbeat does not wait for it. Raises
        SupervisordError.
        """
        waits_for_supervisord = not self._supervisord.is_away
        if not waits_for_supervisord:
            self._renew_unseen(slots)
        draining = {drain.pool for drain in self._ledger.drains.values()}
        try:
            self._for_each(
                [pool for pool in self._pools.values() if pool.name in draining],
                lambda pool: self._renew_seen(slots, pool),
            )
        except SupervisordError:
            if waits_for_supervisord:
                self._renew_unseen(slots)
            raise

    def _renew_unseen(self, slots: Slots) -> None:
        self._for_each(self._pools.values(), slots.renew_unseen)

    def _renew_seen(self, slots: Slots, pool: Pool) -> None:
        (survey,) = self._surveyor.look(self._ledger.contents, pool).pools
        if survey.failure is None:
            slots.publish(survey)
        else:
            slots.renew_unseen(pool)
