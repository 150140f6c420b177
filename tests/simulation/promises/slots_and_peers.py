"""Slots and peers: whether a worker may be taken out now, for what the other workers of its pool are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.rules.drain import State
from tests.simulation.leases import Grant
from tests.simulation.promises.act import Act
from tests.simulation.promises.judge import LOOK_LASTS_SECONDS, TURN_SECONDS, Judge, Times
from tests.simulation.shape import LIMIT
from tests.simulation.supervisord import Worker

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.world import World

NOTICED_SECONDS = 40.0
"""A worker that hangs or was quieted is noticed this late at most: three of Sidekiq's longest beats."""
HEARTBEATS_FRESH = 3


class SlotsAndPeers(Judge):
    """Judges S1, S2, L4, a broken release, and the answer by which a worker is taken out."""

    def __init__(self, world: World, times: Times) -> None:
        super().__init__(world, times)
        self.orderly_from = float("inf")
        """From then on, no fault is left that could excuse a drain of a less urgent worker."""

    def s1_slots(self, act: Act) -> None:
        """Never more than max_draining are out of service at once, except for hard limits and lost slots."""
        if act.is_hard:
            return
        out = [
            peer.id
            for peer in self.world.peers(act.worker)
            if self.world.standings.is_taken(peer) and not self._is_slot_lost(act, peer)
        ]
        if len(out) >= act.config.max_draining:
            self.broken("S1", act.machine, f"{act.worker.name} is taken out while {', '.join(out)} is out")

    def _is_slot_lost(self, act: Act, peer: Worker) -> bool:
        """Of the two slots, the one that was given first was not in force when the other was given.

        Or the peer's had run out when this one asked last.
        """
        if not self.world.shape.shares:
            return False
        leases = self.world.redis.leases
        had_run_out = leases.had_run_out(peer.id, act.worker.id)
        return had_run_out or not leases.are_in_conflict(peer.id, act.worker.id)

    def broken_release(self, act: Act, grant: Grant | None) -> None:
        """While a worker of the pool does not come back, no other is taken out, hard limits aside."""
        if act.is_hard or act.drain.touched:
            return
        for peer in self.world.peers(act.worker):
            machine = self.world.machine(peer.host)
            drain = machine.disk.drains.get(peer.name)
            if drain is None or drain.state not in (State.STARTING, State.SETTLING):
                continue
            lost_from = self.times.lost_from.get(drain.token, float("inf"))
            if machine is act.machine:
                is_known = lost_from < self.times.began[act.drain.token]
            else:
                heard = grant.heard.get(peer.host) if grant is not None else None
                is_known = heard is not None and lost_from < heard.looked_at - TURN_SECONDS
            if is_known and not self._is_slot_lost(act, peer):
                text = f"{act.worker.name} is taken out, and {peer.id} does not come back"
                self.broken("broken release", act.machine, text)

    def s2_peers(self, act: Act, grant: Grant | None) -> None:
        """No worker is taken out unless min_available others are in service at that moment."""
        standings, least = self.world.standings, act.config.min_available
        if act.needs_no_peers:
            return
        there = [
            peer
            for peer in standings.stand_ins(act.worker)
            if standings.in_service(peer) or self.is_excused(act, peer, grant)
        ]
        if len(there) < least:
            names = ", ".join(one.id for one in there) or "none"
            text = f"{act.worker.name} is taken out; in service: {names}; needed: {least}"
            self.broken("S2", act.machine, text)

    def is_excused(self, act: Act, peer: Worker, grant: Grant | None) -> bool:
        """Whether it is out of service unknown to its listener, or by a drain whose slot was lost."""
        standings = self.world.standings
        if standings.is_taken(peer):
            return self._is_slot_lost(act, peer)
        if peer.host == act.machine.name or grant is None:
            looked_at = max(act.machine.looked_at, self.world.engine.now - LOOK_LASTS_SECONDS)
        elif peer.host not in grant.heard or not self._is_fresh(grant, peer):
            return False
        else:
            heard = grant.heard[peer.host]
            looked_at = max(heard.looked_at, heard.at - LOOK_LASTS_SECONDS)
        standing = standings.of(peer)
        is_noticed_late = standing.served_until == standing.hidden_at
        return standing.served_until >= looked_at - (NOTICED_SECONDS if is_noticed_late else 0.0)

    def _is_fresh(self, grant: Grant, peer: Worker) -> bool:
        """Whether the last report of the peer's listener still counted, by a clock that did not jump."""
        if "redis clock" in self.world.weather.sorts:
            return True
        age = grant.at - grant.heard[peer.host].at
        return age <= HEARTBEATS_FRESH * self.world.shape.heartbeat + 1

    def s6_answer(self, act: Act) -> Grant | None:
        """A missing answer never counts as a grant, and no slot is used that may have run out."""
        if not self.world.shape.shares:
            return None
        if act.needs_no_peers:
            return None
        if not act.machine.answers.get(act.drain.token):
            self.broken("S6", act.machine, f"{act.worker.name} is taken out, and no answer allowed it")
        grant = self.world.redis.leases.granted[act.worker.id]
        age = self.world.engine.now - grant.at
        if age >= self.world.shape.slot_ttl:
            text = f"{act.worker.name} is taken out by a slot that is {age:.0f} s old"
            self.broken("S1", act.machine, text)
        return grant

    def l4_order(self, act: Act) -> None:
        """The most urgent worker is drained first."""
        if self.world.engine.now < self.orderly_from or act.is_hard or act.attempts > 1:
            return
        for peer in self.world.peers(act.worker):
            if self._is_more_urgent(peer, act.machine.shown_memory(act.process)):
                text = f"{act.worker.name} goes before {peer.id}, which is further over its limit"
                self.broken("L4", act.machine, text)

    def _is_more_urgent(self, peer: Worker, memory: int) -> bool:
        """Further over its limit, for long enough that all listeners know it, and nothing else holds it."""
        world, machine, own = self.world, self.world.machine(peer.host), peer.process
        config, standings = machine.pools[peer.pool], self.world.standings
        if own is None or machine.shown_memory(own) <= max(LIMIT, memory) or machine.is_gone:
            return False
        if config.drain_hours is not None:
            return False  # The clocks of two machines open the hours at different moments.
        if peer.name in machine.disk.drains or backs_off(machine, peer) or peer.pool in machine.disk.pauses:
            return False
        known_after = config.min_uptime_seconds + (config.strikes + 1) * world.shape.tick
        known_after += 3 * world.shape.heartbeat + config.settle_seconds + 10
        known_since = max(own.created, machine.lives_since)  # a new listener counts strikes anew
        if world.engine.now - known_since < known_after or not standings.takes_jobs(peer):
            return False
        # Of a stand-in that has just come back, the listener that asks may not have heard yet.
        known = [
            one
            for one in standings.stand_ins(peer)
            if standings.in_service(one)
            and one.process is not None
            and world.engine.now - one.process.created >= known_after
        ]
        return len(known) >= config.min_available


def backs_off(machine: Machine, worker: Worker) -> bool:
    """Whether its drains wait: a restart freed no memory, or the worker could not be reached."""
    pause = machine.disk.back_offs.get(worker.name)
    return pause is not None and pause.applies(Reason.MAX_RSS, LIMIT, machine.clock())
