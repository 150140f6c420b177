"""Whose slot is in force in truth: by what reached Redis, not by what it answered or anybody believes.

A lease is in force for `slot_ttl` from its last renewal. It is gone when Redis loses it: with its data, or
when its clock goes back behind the renewal. One that ran out is not renewed; who is out of service takes a
new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

CLOCK_SLACK_SECONDS = 1.0


@dataclass
class Lease:
    token: str
    renewed: float
    """By Redis's clock."""


@dataclass(frozen=True)
class Heard:
    """What the last report of a machine on a pool was based on; times by the world's clock."""

    at: float
    looked_at: float


@dataclass(frozen=True)
class Grant:
    """A granted slot; times by the world's clock."""

    token: str
    since: float
    at: float
    """When it was last requested, and granted."""
    in_force: frozenset[tuple[str, str]]
    """The other leases, by worker's id and token, that were in force when it was first granted."""
    still_in_force: frozenset[tuple[str, str]]
    """The same when it was last granted."""
    heard: Mapping[str, Heard]
    """The last reports that counted when it was last granted, by machine."""
    is_hard: bool
    """It was granted for the hard limit, although others were in force."""


@dataclass
class Leases:
    """All leases of one Redis."""

    ttl: float
    leases: dict[tuple[str, str], Lease] = field(default_factory=dict)
    """By pool and worker's id."""
    granted: dict[str, Grant] = field(default_factory=dict)
    """The last grant of each worker."""
    heard: dict[tuple[str, str], Heard] = field(default_factory=dict)
    """By pool and machine."""
    lost: dict[tuple[str, str], Lease] = field(default_factory=dict)
    """By pool and worker: leases in force when Redis lost them, until their machine reports again."""
    not_noticed: dict[tuple[str, str], Lease] = field(default_factory=dict)
    """Leases that Redis lost when it fell back to older data, until a listener that saw newer data writes."""
    ended: dict[str, float] = field(default_factory=dict)
    """When the last drain of each pool ended, by Redis's clock and as far as Redis knows."""

    def in_force(self, pool: str, now: float) -> frozenset[tuple[str, str]]:
        return frozenset(
            (worker, lease.token)
            for (its_pool, worker), lease in self.leases.items()
            if its_pool == pool and self._is_in_force(lease, now)
        )

    def _is_in_force(self, lease: Lease, now: float) -> bool:
        return lease.renewed <= now + CLOCK_SLACK_SECONDS and now < lease.renewed + self.ttl

    def acquired(self, pool: str, request: Mapping[str, Any], now: float, at: float) -> None:
        """A slot was granted; `now` by Redis's clock, `at` by the world's."""
        worker, token = worker_id(request["id"]), request["token"]
        before, lease = self.granted.get(worker), self.leases.get((pool, worker))
        still = frozenset(one for one in self.in_force(pool, now) if one[0] != worker)
        since, others = at, still
        if before and lease and before.token == lease.token == token and self._is_in_force(lease, now):
            since, others = before.since, before.in_force
        self._found_again(pool, worker)
        heard = {machine: heard for (its_pool, machine), heard in self.heard.items() if its_pool == pool}
        self.granted[worker] = Grant(token, since, at, others, still, heard, request["hard"])
        self.leases[pool, worker] = Lease(token, now)

    def published(self, pool: str, request: Mapping[str, Any], now: float) -> None:
        machine = request["listener"].split("/")[0]
        for lost in (self.lost, self.not_noticed):
            for key in [key for key in lost if key[0] == pool and key[1].startswith(f"{machine}/")]:
                del lost[key]
        for name, token, is_out, _ in request["holdings"]:
            worker = worker_id(name)
            lease = self.leases.get((pool, worker))
            holds = lease is not None and lease.token == token and self._is_in_force(lease, now)
            if holds or is_out:
                self.leases[pool, worker] = Lease(token, now)

    def released(self, pool: str, request: Mapping[str, Any], now: float) -> None:
        worker = worker_id(request["id"])
        self._found_again(pool, worker)
        lease = self.leases.get((pool, worker))
        if lease is not None and lease.token == request["token"]:
            del self.leases[pool, worker]
        if request["drained"]:
            self.ended[pool] = max(self.ended.get(pool, -1e12), now - request["ago"] / 1000)

    def _found_again(self, pool: str, worker: str) -> None:
        self.lost.pop((pool, worker), None)
        self.not_noticed.pop((pool, worker), None)

    def lose(self, pools: Iterable[str], now: float) -> None:
        """Redis lost the data of these pools."""
        for pool in pools:
            for key in [key for key in self.leases if key[0] == pool]:
                lease = self.leases.pop(key)
                if self._is_in_force(lease, now):
                    self.lost[key] = lease
            self.ended.pop(pool, None)

    def fall_back(self, older: Mapping[tuple[str, str], Lease], now: float) -> None:
        """Redis has this older data again. A slot that it has too is held on, as it was renewed then."""
        self.lost.clear()
        self.ended.clear()
        present = self.leases
        self.not_noticed = {
            key: lease
            for key, lease in present.items()
            if self._is_in_force(lease, now) and (key not in older or older[key].token != lease.token)
        }
        self.leases = {
            key: lease for key, lease in older.items() if key in present and present[key].token == lease.token
        }

    def loss_is_noticed(self, pool: str) -> None:
        """A listener that saw newer data of the pool reaches Redis."""
        for key in [key for key in self.not_noticed if key[0] == pool]:
            self.lost[key] = self.not_noticed.pop(key)

    def lost_by_living(self, pool: str, worker: str, now: float, live_seconds: float) -> list[str]:
        """The other workers of the pool whose slot was lost, and whose machine renewed it in this time."""
        return sorted(
            its_worker
            for (its_pool, its_worker), lease in self.lost.items()
            if its_pool == pool and its_worker != worker and now - lease.renewed < live_seconds
        )

    def clock_jumped(self) -> None:
        """How long ago a lost lease was renewed is unknown from now on."""
        self.lost.clear()
        self.not_noticed.clear()

    def clock_went_back(self, now: float) -> None:
        self.ended.clear()
        self.leases = {
            key: lease for key, lease in self.leases.items() if lease.renewed <= now + CLOCK_SLACK_SECONDS
        }

    def had_run_out(self, one: str, other: str) -> bool:
        """Whether the earlier slot of one was no longer in force when the other asked last."""
        first, second = self.granted.get(one), self.granted.get(other)
        if first is None or second is None or first.since > second.at:
            return False
        return all(worker != one for worker, _ in second.still_in_force)

    def are_in_conflict(self, one: str, other: str) -> bool:
        """Whether the later slot was granted while the other was in force, and not for the hard limit."""
        first, second = self.granted.get(one), self.granted.get(other)
        if first is None or second is None:
            return False
        if first.since > second.since:
            one, other, first, second = other, one, second, first
        return not second.is_hard and (one, first.token) in second.in_force


def worker_id(name: str) -> str:
    """``host/group:name`` of ``host/identifier/group:name``."""
    host, _, worker = name.split("/", 2)
    return f"{host}/{worker}"


def local_name(name: str) -> str:
    """``group:name`` of ``host/identifier/group:name``."""
    return name.split("/", 2)[2]
