"""The requests of people: taken into the journal, and forgotten when they are over.

A request is journalled before it counts, with the processes that must go. So it survives the listener, and a
worker that somebody restarted meanwhile is not restarted again.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from supervisor_memkill.clock import Clock
from supervisor_memkill.coordination.contract import Offer
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.ledger import Ledger
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.request_events import (
    PoolPaused,
    PoolUnpaused,
    RequestExpired,
    RequestRefused,
    RequestServed,
    RequestTaken,
)
from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.requests import (
    MAX_ENDED_KEPT,
    MAX_OPEN,
    MAX_SERVED_KEPT,
    Act,
    Arrival,
    Members,
    OperatorRequest,
    Pause,
    RunningProcess,
    TakenRequest,
    decode,
)

MAX_WAITING = 20
"""Requests that wait for the journal or for supervisord; further ones are refused."""
DAY_SECONDS = 86400.0
AGE_SLACK_SECONDS = 1.0
"""supervisord counts whole seconds. In doubt a process is restarted: it may run an older version."""
TOO_MANY_OPEN = (
    f"{MAX_OPEN} requested restarts are not done yet: wait for them, or withdraw some with restart --cancel"
)

AgeOf = Callable[[ProcessInfo], float]
"""For how many seconds a process has run."""


@dataclass(frozen=True)
class Refusal:
    """The listener does not take this request."""

    fleet_pool: str
    """As in `Arrival`."""
    why: str
    """As text for a person; empty: the request is over, as far as this listener knows."""


class Requests:
    """Takes requests, and ends them."""

    def __init__(self, ledger: Ledger, notifier: Notifier, clock: Clock) -> None:
        self._ledger = ledger
        self._notifier = notifier
        self._clock = clock
        self._waiting: deque[Arrival] = deque()
        self.refusals: dict[str, Refusal] = {}
        """The last refused requests, by id. In memory only: the next listener may understand more."""

    @property
    def are_waiting(self) -> bool:
        return bool(self._waiting)

    def receive(self, payload: str, *, only_looks: bool) -> None:
        """A request came through supervisord. It counts only when `take` has journalled it."""
        try:
            request = decode(payload)
        except ValueError as error:
            self._notifier.report(RequestRefused(str(error)))
            return
        now = self._clock()
        ends_at = None if request.lasts_seconds is None else now + request.lasts_seconds
        if only_looks:
            self._refuse(request.id, "this listener is a dry run")
        elif len(self._waiting) >= MAX_WAITING:
            self._refuse(request.id, f"{MAX_WAITING} requests wait already")
        else:
            self._waiting.append(Arrival(request, now, ends_at))

    def offered(self, pool: str, offer: Offer) -> None:
        """Redis holds a request to all hosts that share the pool. It counts when `take` has journalled it.

        What is not taken or refused is offered again.
        """
        contents = self._ledger.contents
        waits = any(arrival.request.id == offer.id for arrival in self._waiting)
        if offer.id in contents.requests or waits or len(self._waiting) >= MAX_WAITING:
            return
        if offer.id in contents.ended_requests:
            self._keep_refusal(offer.id, Refusal(pool, ""))
            return
        try:
            request = decode(offer.text)
            if request.id != offer.id:
                raise ValueError("it has another id than in Redis")
        except ValueError as error:
            self._refuse(offer.id, str(error), pool)
            return
        now = self._clock()
        ends_at = None if offer.left_seconds is None else now + offer.left_seconds
        self._waiting.append(Arrival(request, now - offer.age_seconds, ends_at, pool))

    def take(self, members: Members, age_of: AgeOf) -> None:
        """Take all requests that came. One that cannot be journalled waits for the next turn."""
        while self._waiting:
            arrival, contents = self._waiting[0], self._ledger.contents
            identity = arrival.request.id
            if identity not in contents.requests and identity not in contents.ended_requests:
                if arrival.request.act is Act.RESTART and self._has_no_room(members):
                    self._ledger.save(_with_ended(contents, (identity,)), must=False)
                    self._refuse(identity, TOO_MANY_OPEN, arrival.fleet_pool)
                else:
                    changed = self._with(contents, arrival, members, age_of)
                    if not self._ledger.save(changed, must=True):
                        return
                    self._report_taken(changed.requests[identity], before=contents)
            self._waiting.popleft()

    def _has_no_room(self, members: Members) -> bool:
        taken = self._ledger.contents.requests.values()
        return sum(bool(_still_wanted(one, members)) for one in taken) >= MAX_OPEN

    def _refuse(self, identity: str, why: str, fleet_pool: str = "") -> None:
        self._keep_refusal(identity, Refusal(fleet_pool, why))
        self._notifier.report(RequestRefused(why))

    def _keep_refusal(self, identity: str, refusal: Refusal) -> None:
        self.refusals[identity] = refusal
        while len(self.refusals) > MAX_ENDED_KEPT:
            del self.refusals[next(iter(self.refusals))]

    def _with(self, contents: Contents, arrival: Arrival, members: Members, age_of: AgeOf) -> Contents:
        now, request, pools = self._clock(), arrival.request, arrival.pools(members)
        taken = TakenRequest(request, now, arrival.ends_at, pools=pools, fleet_pool=arrival.fleet_pool)
        pauses = dict(contents.pauses)
        if request.act is Act.RESTART:
            taken = dataclasses.replace(taken, workers=_running(arrival, members, age_of, now))
        elif request.act is Act.CANCEL:
            contents = self._withdrawn(contents, arrival, members)
        elif request.act is Act.PAUSE:
            pause = Pause(arrival.made_at, arrival.ends_at, request.except_hard, bool(arrival.fleet_pool))
            pauses.update(dict.fromkeys(pools, pause))
        else:
            pauses = {pool: one for pool, one in pauses.items() if not _ends(arrival, pools, pool, one)}
        kept = self._bounded({**contents.requests, request.id: taken}, members)
        return dataclasses.replace(_with_requests(contents, kept), pauses=pauses)

    def _withdrawn(self, contents: Contents, cancel: Arrival, members: Members) -> Contents:
        """Without the restarts that `cancel` names, but for workers whose drain has begun."""
        begun = {
            worker
            for worker, drain in contents.drains.items()
            if drain.reason is Reason.RESTART and drain.state is not State.ASKING
        }
        named = {process.worker for _, process in _named(cancel, members)} - begun
        requests = {
            identity: taken.without(named) if _is_before(taken, cancel) else taken
            for identity, taken in contents.requests.items()
        }
        return dataclasses.replace(contents, requests=requests)

    def _bounded(self, requests: Mapping[str, TakenRequest], members: Members) -> Mapping[str, TakenRequest]:
        """All restarts that are not served, and the newest ones of the others."""
        others = [identity for identity, taken in requests.items() if not _still_wanted(taken, members)]
        gone = set(others[: max(0, len(others) - MAX_SERVED_KEPT)])
        return {identity: taken for identity, taken in requests.items() if identity not in gone}

    def _report_taken(self, taken: TakenRequest, *, before: Contents) -> None:
        request = taken.request
        workers = tuple(taken.workers) or None
        self._notifier.report(
            RequestTaken(
                request.id, request.act, request.names, workers, taken.pools or None, taken.fleet_pool or None
            )
        )
        self._report_unpaused(pool for pool in before.pauses if pool not in self._ledger.contents.pauses)

    # --- the end of requests ------------------------------------------------------------------------

    def end(self, members: Members) -> None:
        """Forget what is over, and report requests that are served and pauses that last."""
        now, contents = self._clock(), self._ledger.contents
        over = {identity: taken for identity, taken in contents.requests.items() if taken.is_over(now)}
        ended = [
            pool for pool, pause in contents.pauses.items() if pause.until is not None and now >= pause.until
        ]
        served = []
        for identity, taken in contents.requests.items():
            left = _still_wanted(taken, members)
            if identity in over and left:
                self._notifier.report(RequestExpired(identity, tuple(left)))
            elif taken.workers and not left and not self._drains(taken) and not taken.was_served:
                served.append(identity)
                self._notifier.report(RequestServed(identity, len(taken.workers), now - taken.taken_at))
        if over or ended or served:
            kept = {
                identity: dataclasses.replace(one, was_served=one.was_served or identity in served)
                for identity, one in contents.requests.items()
                if identity not in over
            }
            pauses = {pool: pause for pool, pause in contents.pauses.items() if pool not in ended}
            self._ledger.save(dataclasses.replace(_with_requests(contents, kept), pauses=pauses), must=False)
        self._report_unpaused(ended)
        for pool, pause in self._ledger.contents.pauses.items():
            left_seconds = None if pause.until is None else pause.until - now
            self._notifier.report(PoolPaused(pool, left_seconds, int((now - pause.since) // DAY_SECONDS)))

    def _drains(self, taken: TakenRequest) -> bool:
        """A worker that it names is not back in service yet."""
        return any(worker in self._ledger.drains for worker in taken.workers)

    def _report_unpaused(self, pools: Iterable[str]) -> None:
        for pool in pools:
            self._notifier.forget(PoolPaused, pool)
            self._notifier.report(PoolUnpaused(pool))


def _with_requests(contents: Contents, kept: Mapping[str, TakenRequest]) -> Contents:
    """The contents with these requests. The ids of the others are kept, in case they come once more."""
    gone = [identity for identity in contents.requests if identity not in kept]
    return dataclasses.replace(_with_ended(contents, gone), requests=kept)


def _with_ended(contents: Contents, identities: Iterable[str]) -> Contents:
    ended = (*contents.ended_requests, *identities)
    return dataclasses.replace(contents, ended_requests=ended[-MAX_ENDED_KEPT:])


def _is_before(taken: TakenRequest, cancel: Arrival) -> bool:
    """It was made before the cancel was. Redis hands over what it holds in the order in which it was made."""
    return taken.taken_at <= cancel.made_at or bool(taken.fleet_pool) or not cancel.fleet_pool


def _ends(unpause: Arrival, pools: Iterable[str], pool: str, pause: Pause) -> bool:
    """Likewise: a pause that was made after the end of the pause goes on."""
    is_before = pause.since <= unpause.made_at or pause.fleet
    return pool in pools and is_before


def _named(arrival: Arrival, members: Members) -> Iterable[tuple[str, ProcessInfo]]:
    request: OperatorRequest = arrival.request
    for pool, processes in arrival.reaches(members).items():
        for process in processes:
            if request.names_worker(pool, process):
                yield pool, process


def _running(arrival: Arrival, members: Members, age_of: AgeOf, now: float) -> Mapping[str, RunningProcess]:
    """The processes that run now, and ran when the request was made. A stopped worker needs no restart."""
    live = (ProcessState.RUNNING, ProcessState.STARTING)
    return {
        process.worker: RunningProcess(process.pid, process.start)
        for _, process in _named(arrival, members)
        if process.state in live
        and process.pid
        and age_of(process) + AGE_SLACK_SECONDS >= now - arrival.made_at
    }


def _still_wanted(taken: TakenRequest, members: Members) -> list[str]:
    """The workers that still run the process which must go."""
    return [process.worker for processes in members.values() for process in processes if taken.wants(process)]
