"""Makes a person's request of all hosts that share a pool, and sees what each host answers. Through Redis.

Whoever may write the pool's data in Redis may make a request, and nobody else. No supervisord is asked.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from supervisor_memkill.commands import output
from supervisor_memkill.commands.request import may_name_workers, with_groups
from supervisor_memkill.coordination.contract import (
    MAX_SILENT_HEARTBEATS,
    CoordinationUnknown,
    ListenerView,
    PoolView,
)
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import MemkillError, UsageError
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.requests import MAX_SECONDS, Act, OperatorRequest, decode, encode, unmatched

if TYPE_CHECKING:
    from supervisor_memkill.coordination.redis import RedisCoordinator

LOOK_SECONDS = 1.0
LOOKS_SHARE = 20
"""A look at a large pool takes long: the pause after it is so many times longer."""
REDIS_AWAY_SECONDS = 300.0
"""How long --wait waits for Redis."""
TRIES = 3
ANSWER_SLACK_SECONDS = 5.0
CLOCK_SLACK_SECONDS = 60.0


@dataclass(frozen=True)
class Sent:
    """One request as it stands in Redis."""

    pool: str
    request: OperatorRequest
    at: float
    """When it was made, on the monotonic clock of the command."""

    @property
    def is_due(self) -> bool:
        """Its time is over, by the clock of this machine."""
        lasts = self.request.lasts_seconds
        return lasts is not None and time.monotonic() - self.at >= lasts - ANSWER_SLACK_SECONDS


Views = Mapping[str, PoolView]
"""The pools by name."""


class FleetRequester:
    """Makes requests of all listeners that share a pool."""

    def __init__(
        self, coordinator: RedisCoordinator, pools: Sequence[str], *, answers_within_seconds: float
    ) -> None:
        self._coordinator = coordinator
        self.pools = tuple(pools)
        self.answers_within_seconds = answers_within_seconds
        """A listener that works answers within this time."""

    def send(
        self, act: Act, names: Sequence[str], *, lasts_seconds: float | None, except_hard: bool = False
    ) -> list[Sent]:
        """Put the request into every pool that it names. Raises MemkillError, also if it names none."""
        made = OperatorRequest(secrets.token_hex(8), act, tuple(names), lasts_seconds, except_hard)
        try:
            encode(made)
        except ValueError as error:
            raise UsageError(f"the request cannot be sent: {error}") from None
        missing = unmatched(names, self.pools)
        if missing and may_name_workers(act):
            missing = unmatched(missing, self._known_workers() | self._open_names(act, self.pools))
        if missing:
            what = "worker that is known" if may_name_workers(act) else "pool"
            known = ", ".join(self.pools)
            raise MemkillError(f"no {what} has the name {' '.join(missing)}; the pools are {known}")
        named = [pool for pool in self.pools if self._is_named(pool, made)]
        return [self._put(pool, dataclasses.replace(made, id=secrets.token_hex(8))) for pool in named]

    def _known_workers(self) -> set[str]:
        """The names of the workers on all hosts, and of their groups. Raises MemkillError."""
        views = (self._coordinator.view(pool) for pool in self.pools)
        return with_groups(report.worker.split("/", 2)[-1] for view in views for report in view.reports)

    def _open_names(self, act: Act, pools: Sequence[str]) -> set[str]:
        """For a cancel: what open requests name, such as workers of a host that is off.

        Raises MemkillError.
        """
        found = set[str]()
        if act is Act.CANCEL:
            for offer in (one for pool in pools for one in self._coordinator.view(pool).requests):
                with contextlib.suppress(ValueError):  # Another version made it.
                    found.update(decode(offer.text).names)
        return found

    def longest_left_seconds(self) -> float:
        """How long the open request that lasts longest is open; 0 if none has an end. Raises MemkillError."""
        offers = (offer for pool in self.pools for offer in self._coordinator.view(pool).requests)
        left = max((offer.left_seconds or 0.0 for offer in offers), default=0.0)
        return min(left + CLOCK_SLACK_SECONDS, MAX_SECONDS) if left else 0.0

    def _is_named(self, pool: str, request: OperatorRequest) -> bool:
        if request.names_pool(pool):
            return True
        if len(unmatched(request.names, self._open_names(request.act, (pool,)))) < len(request.names):
            return True
        return may_name_workers(request.act) and any(
            names_worker(request, pool, report.worker) for report in self._coordinator.view(pool).reports
        )

    def _put(self, pool: str, request: OperatorRequest) -> Sent:
        """A lost reply leaves it open whether the request was made: the same one is made again."""
        from supervisor_memkill.coordination.redis import MAX_OPEN_REQUESTS

        at = time.monotonic()
        for tried in range(1, TRIES + 1):
            try:
                is_open = self._coordinator.request(
                    pool,
                    request.id,
                    encode(request),
                    lasts_seconds=request.lasts_seconds,
                    place=_place(request),
                )
            except CoordinationUnknown as error:
                if tried == TRIES:
                    again = "it may have been made or not; make it again, which does no harm"
                    raise MemkillError(f"the request to {pool}: {error}: {again}") from None
            else:
                break
        if not is_open:
            raise MemkillError(
                f"{pool} has {MAX_OPEN_REQUESTS} open requests already: name several workers in one request,"
                " by patterns, or wait until some have expired"
            )
        return Sent(pool, request, at)

    # --- looking ------------------------------------------------------------------------------------

    def views(self, sent: Sequence[Sent], timeout_seconds: float | None) -> Iterator[Views]:
        """The pools again and again, until the time is over. Raises MemkillError if Redis stays away."""
        began = seen_at = time.monotonic()
        is_away = False
        while True:
            looked_at = time.monotonic()
            try:
                views = {pool: self._coordinator.view(pool) for pool in {one.pool for one in sent}}
            except CoordinationUnknown as error:
                if time.monotonic() - seen_at > REDIS_AWAY_SECONDS:
                    raise
                if not is_away:
                    output.show("\n")
                    output.say(f"{error}: what was taken goes on; waiting for Redis")
                is_away = True
            else:
                seen_at, is_away = time.monotonic(), False
                yield views
            now = time.monotonic()
            if timeout_seconds is not None and now - began > timeout_seconds:
                return
            time.sleep(max(LOOK_SECONDS, LOOKS_SHARE * (now - looked_at)))

    def wait_for_answers(self, sent: Sequence[Sent]) -> Views:
        """The pools once each listener that works has answered. Raises MemkillError if one does not."""
        views: Views = {}
        for views in self.views(sent, self.answers_within_seconds):
            if not any(self._unanswered(one, views[one.pool]) for one in sent):
                break
        problems = [
            text for one in sent if one.pool in views for text in self._problems(one, views[one.pool])
        ]
        if not views:
            problems = ["Redis does not answer"]
        if problems:
            raise MemkillError(f"the request is open, but {'; '.join(problems)}")
        return views

    def _unanswered(self, sent: Sent, view: PoolView) -> list[str]:
        return [
            one.listener
            for one in concerned(sent, view)
            if not one.is_silent and one.answers is not None and sent.request.id not in one.answers
        ]

    def _problems(self, sent: Sent, view: PoolView) -> Iterator[str]:
        missing = self._unanswered(sent, view)
        if missing:
            yield f"{', '.join(missing)} has not taken it yet: see its log"
        for one in concerned(sent, view):
            if one.answers is None and not one.is_silent:
                yield f"{one.listener} {OLDER}"
            elif one.answers is not None and sent.request.id in one.answers:
                refused = one.answers[sent.request.id].refused
                if refused:
                    yield f"{one.listener} refused it: {refused}"


OLDER = "has an older version, which takes no requests through Redis: update it there"


def silent_hosts(sent: Sequence[Sent], views: Views) -> list[str]:
    """The listeners that are concerned and did not report lately."""
    return sorted(
        {one.listener for made in sent for one in concerned(made, views[made.pool]) if one.is_silent}
    )


def draining(views: Views) -> list[str]:
    """The workers of all hosts whose drain is under way, as far as Redis shows it."""
    states = {one.value for one in State}
    found = set[str]()
    for view in views.values():
        found |= {*view.holders, *(one.worker for one in view.reports if one.state in states)}
    return sorted(found)


def concerned(sent: Sent, view: PoolView) -> list[ListenerView]:
    """The listeners that may have a worker which the request names; a silent one by its last report."""
    request, pool = sent.request, sent.pool
    having = {
        listener_of(report.worker) for report in view.reports if names_worker(request, pool, report.worker)
    }
    is_for_all = request.names_pool(pool)
    return [one for one in view.listeners if one.listener in having or (is_for_all and not one.is_silent)]


def names_worker(request: OperatorRequest, pool: str, worker_id: str) -> bool:
    """Whether it names this worker, ``host/identifier/group:name``."""
    worker = worker_id.split("/", 2)[-1]
    return request.names_one(pool, worker, worker.partition(":")[0])


def listener_of(worker_id: str) -> str:
    """``host/identifier`` of ``host/identifier/group:name``."""
    return "/".join(worker_id.split("/", 2)[:2])


def _place(request: OperatorRequest) -> str:
    """A newer request of the same place replaces the older one: a pause or its end, or the same restart."""
    if not may_name_workers(request.act):
        return "pause"
    names = "\n".join(sorted(request.names))
    return f"{request.act.value} {hashlib.sha256(names.encode()).hexdigest()[:32]}"


def fleet_requester(arguments: argparse.Namespace, environ: Mapping[str, str]) -> FleetRequester:
    """For the Redis of the configuration. Raises MemkillError."""
    from supervisor_memkill.commands.by_hand import find_by_hand
    from supervisor_memkill.commands.context import NEEDS_REDIS, connect_to_pools

    config = find_by_hand(arguments, environ).config
    if not config.pools:
        raise UsageError("no [memkill:NAME] section was found: name its file with --config")
    if config.redis is None:
        raise UsageError(NEEDS_REDIS)
    coordinator = connect_to_pools(config, config.redis)
    within = MAX_SILENT_HEARTBEATS * config.heartbeat_seconds + ANSWER_SLACK_SECONDS
    return FleetRequester(coordinator, [pool.name for pool in config.pools], answers_within_seconds=within)
