"""Reasons: what a drain or a pause states as its reason is true."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor_memkill.rules.back_off import BACK_OFF_SECONDS, NEAR_LIMIT, BackOff, BackOffCause
from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.policy import AGE_SPREAD
from supervisor_memkill.rules.shortage import Yields
from tests.simulation.promises.act import Act
from tests.simulation.promises.judge import TURN_SECONDS, Judge, Times
from tests.simulation.shape import HARD_LIMIT, LIMIT

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.world import World


MAX_IN_VAIN = 4
"""A journal may be lost, and a measurement may show more than a process has."""
DAY_SECONDS, MAX_IN_VAIN_PER_DAY = 86400.0, 12
"""10 minutes that double each time reach a day after 8 times; and the same as above."""


class Reasons(Judge):
    """Judges S6 of an action, and L1 of a pause after a drain."""

    def __init__(self, world: World, times: Times) -> None:
        super().__init__(world, times)
        self._taken: dict[str, tuple[float, int, int]] = {}
        """By worker: when it was taken for its memory last, its memory, and how often in vain in a row."""
        self._in_vain: dict[str, list[float]] = {}
        """By worker: when processes that had not grown were replaced for their memory."""

    def l1_back_off(self, machine: Machine, name: str, pause: BackOff) -> None:
        """The pause of a worker has the cause that it states."""
        before = machine.disk.drains.get(name)
        measured = machine.measured.get(before.pid, (0, 0))[1] if before is not None else 0
        is_true = {
            BackOffCause.AFTER_RESUME: before is not None and before.state is State.RESUMING,
            BackOffCause.NOT_BEGUN: before is not None and before.state is State.QUIETING,
            BackOffCause.BELOW_BASELINE: measured > LIMIT / 2,
            BackOffCause.NOTHING_GAINED: before is not None and before.reason.takes_largest,
        }
        if not is_true[pause.cause]:
            self.broken("L1", machine, f"{name} backs off, for {pause.cause.words}")

    def s6_reason(self, act: Act) -> None:
        """What the drain states as its reason is true."""
        if act.drain.stops_new_process:
            measured = act.machine.measured.get(act.process.pid, (-1e9, 0))[1]
            if act.config.hard_max_rss is None or (act.drain.stop.attempts == 1 and measured <= HARD_LIMIT):
                self.broken("S6", act.machine, f"{act.worker.name} is new, and within its hard limit")
        elif act.drain.reason.is_own_limit:
            self.s6_memory(act)
            self._gain(act)
        elif act.drain.reason.is_for_machine:
            self._shortage(act)
            self._gain(act)
        elif act.attempts > 1 or act.machine.wall_set_at > self.times.began[act.drain.token] - TURN_SECONDS:
            return
        elif act.drain.reason is Reason.RESTART:
            times = [
                self.times.taken_at[act.machine.name, act.machine.boot, identity]
                for identity, taken in act.machine.disk.requests.items()
                if act.worker.name in taken.workers
            ]
            if times and act.process.created > max(times):
                self.broken("restart", act.machine, f"{act.worker.name} began after every request for it")
        elif act.drain.reason is Reason.MAX_AGE:
            age, limit = self.world.engine.now - act.process.created, act.config.max_age_seconds or 0.0
            if age < limit * (1 - AGE_SPREAD):
                self.broken("S6", act.machine, f"{act.worker.name} is taken out for its age, {age:.0f} s")
        elif act.drain.reason is Reason.MAX_TOTAL_RSS:
            self._total(act)
            self._gain(act)

    def _shortage(self, act: Act) -> None:
        """The machine had less than min_free left when it was read last, and the pool yields."""
        left, least = act.machine.free_read, self.world.shape.min_free
        if act.attempts > 1 or (least is not None and left < least and act.config.yields is not Yields.NO):
            return
        self.broken("S6", act.machine, f"{act.worker.name} is taken for the machine, which has {left} left")

    def _gain(self, act: Act) -> None:
        """A worker whose new processes are no smaller is not replaced for its memory again and again."""
        now, size = self.world.engine.now, act.process.memory
        if act.attempts > 1:
            return
        has_grown = size * NEAR_LIMIT > self.world.fresh_memory
        at, before, in_vain = self._taken.get(act.worker.id, (-1e9, 0, 0))
        is_in_vain = now - at < BACK_OFF_SECONDS / 2 and size <= before / NEAR_LIMIT
        if has_grown and not act.drain.reason.is_for_machine:
            is_in_vain = False
        self._taken[act.worker.id] = (now, size, in_vain + 1 if is_in_vain else 0)
        times = [one for one in self._in_vain.get(act.worker.id, []) if one > now - DAY_SECONDS]
        self._in_vain[act.worker.id] = times if has_grown else [*times, now]
        if (is_in_vain and in_vain >= MAX_IN_VAIN) or len(self._in_vain[act.worker.id]) > MAX_IN_VAIN_PER_DAY:
            self.broken("S6", act.machine, f"{act.worker.name} is taken for memory again, for nothing")

    def _total(self, act: Act) -> None:
        """The last measurements of all processes of the pool on this machine are above the total."""
        pids = {
            process.pid
            for worker in self.world.workers_of(act.worker.pool, act.machine.name)
            for process in (worker.process, worker.last)
            if process is not None
        }
        total = sum(act.machine.measured.get(pid, (0.0, 0))[1] for pid in pids)
        most = total + len(pids)  # Each may have a child, of one byte.
        limit = act.config.max_total_rss.exact_bytes if act.config.max_total_rss else None
        if limit is None or most <= limit:
            self.broken("S6", act.machine, f"{act.worker.name} is taken out for a total of {total}")

    def s6_memory(self, act: Act) -> None:
        """A failed reading never counts as over the limit: a drained worker was measured in this drain."""
        if act.attempts > 1:
            return
        at, measured = act.machine.measured.get(act.process.pid, (-1e9, 0))
        if measured <= LIMIT or at < self.times.began[act.drain.token]:
            text = f"{act.worker.name} is taken out, and was not measured to be over its limit"
            self.broken("S6", act.machine, text)
