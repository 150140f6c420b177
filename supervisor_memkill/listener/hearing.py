"""Notices that supervisord sends no TICKs any more.

After one stray word on the protocol's channel, such as the greeting of a login shell, supervisord sends this
listener no event again, shows it as RUNNING, and only a new process helps.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection

from supervisor_memkill.clock import Clock
from supervisor_memkill.listener.deaf_record import DeafRecord
from supervisor_memkill.listener.own_group import Standing
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.events import (
    ListenerDeaf,
    ListenerGivesWay,
    ListenerStandsBy,
    ListenerWithoutTicks,
)
from supervisor_memkill.units import format_duration
from supervisor_memkill.world.event_protocol import PERIOD_SECONDS

DOUBT_PERIODS, DEAF_PERIODS = 2.0, 2.5
"""After the first number of periods without a TICK supervisord is asked, after the second it is certain."""
LOOKS_PER_PERIOD = 4
MAX_RESTARTS = 5
"""After so many new processes that did not hear either, another one does not help."""
AGAIN_SECONDS = 86400.0
"""How often a listener that stays deaf reports it."""
UNKNOWN_PERIOD_SECONDS = 3600.0
"""The longest period, assumed while nothing is known."""


class Judgement(enum.Enum):
    """What the silence means."""

    HEARS = "hears"
    """Nothing is to be done."""
    ENDS = "ends"
    """The listener must end, so that supervisord starts it anew."""


def shortest_period(events: Collection[str] | None) -> float | None:
    """The period of the shortest TICK among these subscribed events: 0 without any TICK; None: unknown."""
    if events is None:
        return None
    if {"TICK", "EVENT"} & set(events):
        return float(min(PERIOD_SECONDS.values()))
    return float(min((PERIOD_SECONDS[event] for event in events if event in PERIOD_SECONDS), default=0))


class Hearing:
    """Measures how long no TICK came, and judges.

    Only time in which this process ran counts, and only while supervisord answers: a machine that slept, a
    process that was frozen and a supervisord that hangs are no silence.
    """

    def __init__(
        self,
        period_seconds: float | None,
        standing: Callable[[], Standing],
        record: DeafRecord | None,
        notifier: Notifier,
        clock: Clock,
    ) -> None:
        """`period_seconds`: see `shortest_period`; `record` None: it may not be written, as in a dry run."""
        self._subscribed = period_seconds
        self._standing = standing
        self._record = record
        self._notifier = notifier
        self._clock = clock
        self._heard: set[float] = set()
        """The periods of the TICKs that were heard; a TICK for another listener may have strayed here."""
        self._looked_at = clock()
        self._silence = 0.0
        self._asked_at: float | None = None
        """The silence when supervisord last said that it sends events to this listener."""
        self._reported_at: float | None = None
        """The silence at the last report."""
        if period_seconds == 0:
            notifier.report(ListenerWithoutTicks())

    @property
    def look_seconds(self) -> float:
        """How often to look."""
        return self._period / LOOKS_PER_PERIOD

    @property
    def _period(self) -> float:
        """Seconds between two TICKs. The file may be newer than what is in force: what was heard counts."""
        if self._heard:
            return self._subscribed if self._subscribed in self._heard else max(self._heard)
        recorded = self._record.period_seconds if self._record is not None else 0.0
        return max(self._subscribed or 0.0, recorded) or UNKNOWN_PERIOD_SECONDS

    def hears(self, event: str) -> None:
        """An event came."""
        if event not in PERIOD_SECONDS:
            return
        self._heard.add(float(PERIOD_SECONDS[event]))
        self._forget_silence()
        if self._record is not None:
            self._record.save(restarts=0, period_seconds=self._period)

    def judge(self, *, is_in_charge: bool) -> Judgement:
        """Called often. `is_in_charge`: this listener has the journal."""
        now, period = self._clock(), self._period
        was_frozen = self._has_been_frozen(self._looked_at, now)
        self._silence += min(now - self._looked_at, 2 * self.look_seconds)
        self._looked_at = now
        has_no_ticks = self._subscribed == 0 and not self._heard  # It was reported at the start.
        if has_no_ticks or self._silence < DOUBT_PERIODS * period:
            return Judgement.HEARS
        if self._asked_at is None or self._silence - self._asked_at > period:
            self._ask()
            return Judgement.HEARS
        # If supervisord hung until it was asked, a TICK was on its way.
        if self._silence < self._due() or self._silence - self._asked_at < self.look_seconds:
            return Judgement.HEARS
        standing = self._ask()
        if not standing.is_sent_events:
            return Judgement.HEARS
        if was_frozen or self._has_been_frozen(now, self._clock()):
            return Judgement.HEARS  # The TICKs of this time may wait, unread.
        if standing.siblings and not is_in_charge:
            self._forget_silence()
            self._notifier.report(ListenerStandsBy(standing.siblings))
            return Judgement.HEARS
        return self._judge_deaf(has_siblings=standing.siblings > 0)

    def _has_been_frozen(self, since: float, now: float) -> bool:
        return now - since > 2 * self.look_seconds

    def _ask(self) -> Standing:
        standing = self._standing()
        if standing.is_sent_events:
            self._asked_at = self._silence
        else:
            self._forget_silence()
        return standing

    @property
    def _restarts(self) -> int:
        return self._record.restarts if self._record is not None else MAX_RESTARTS  # no file, no restart

    @property
    def _ends_after(self) -> float:
        """Each restart in a row waits twice as long as the one before."""
        return DEAF_PERIODS * self._period * float(2**self._restarts)

    def _due(self) -> float:
        """The silence at which the next report or the end is due."""
        if self._reported_at is None:
            return DEAF_PERIODS * self._period
        again = self._reported_at + AGAIN_SECONDS
        return again if self._restarts >= MAX_RESTARTS else min(again, self._ends_after)

    def _judge_deaf(self, *, has_siblings: bool) -> Judgement:
        restarts, ends_in = self._restarts, self._ends_after - self._silence
        ends = (
            self._record is not None
            and restarts < MAX_RESTARTS
            and ends_in <= 0
            and self._record.save(restarts=restarts + 1, period_seconds=self._record.period_seconds)
        )
        self._reported_at = self._silence
        if has_siblings and restarts < MAX_RESTARTS and (ends or ends_in > 0):
            # The TICKs may go to a sibling, which works as soon as this listener has ended.
            if ends:
                self._notifier.report(ListenerGivesWay(self._silence))
            return Judgement.ENDS if ends else Judgement.HEARS
        self._notifier.report(ListenerDeaf(self._silence, _words(ends, ends_in, restarts)))
        return Judgement.ENDS if ends else Judgement.HEARS

    def _forget_silence(self) -> None:
        self._silence, self._asked_at, self._reported_at = 0.0, None, None


def _words(ends: bool, ends_in_seconds: float, restarts: int) -> str:
    if ends:
        return "the listener ends now, so that supervisord starts it anew"
    if restarts >= MAX_RESTARTS:
        return "the listener goes on without TICKs: new processes did not help"
    if ends_in_seconds > 0:
        return f"the listener ends in {format_duration(ends_in_seconds)}, so that supervisord starts it anew"
    return "the listener goes on without TICKs: the file that counts its restarts cannot be written"
