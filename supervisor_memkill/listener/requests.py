"""The requests of people: taken into the journal, and forgotten when they are over.

A request is journalled before it counts, with the processes that must go. So it survives the listener, and a
worker that somebody restarted meanwhile is not restarted again.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from supervisor_memkill.clock import Clock
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.ledger import Ledger
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.events import (
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
    MAX_KEPT,
    Act,
    OperatorRequest,
    Pause,
    RunningProcess,
    TakenRequest,
    decode,
)

MAX_WAITING = 20
"""Requests that wait for the journal or for supervisord; further ones are refused."""
DAY_SECONDS = 86400.0

Members = Mapping[str, Sequence[ProcessInfo]]
"""The workers of each pool."""


class Requests:
    """Takes requests, and ends them."""

    def __init__(self, ledger: Ledger, notifier: Notifier, clock: Clock) -> None:
        self._ledger = ledger
        self._notifier = notifier
        self._clock = clock
        self._waiting: deque[OperatorRequest] = deque()
        self._served: set[str] = set()
        """The ids of requests whose end was reported."""

    @property
    def are_waiting(self) -> bool:
        return bool(self._waiting)

    def receive(self, payload: str, *, only_looks: bool) -> None:
        """A request came. It counts only when `take` has journalled it."""
        try:
            request = decode(payload)
        except ValueError as error:
            self._notifier.report(RequestRefused(str(error)))
            return
        if only_looks:
            self._notifier.report(RequestRefused("this listener is a dry run"))
        elif len(self._waiting) >= MAX_WAITING:
            self._notifier.report(RequestRefused(f"{MAX_WAITING} requests wait already"))
        else:
            self._waiting.append(request)

    def take(self, members: Members) -> None:
        """Take all requests that came. One that cannot be journalled waits for the next turn."""
        while self._waiting:
            request = self._waiting[0]
            contents = self._ledger.contents
            if request.id not in contents.requests and request.id not in contents.ended_requests:
                changed = self._with(contents, request, members)
                if not self._ledger.save(changed, must=True):
                    return
                self._report_taken(changed.requests[request.id], before=contents)
            self._waiting.popleft()

    def _with(self, contents: Contents, request: OperatorRequest, members: Members) -> Contents:
        now = self._clock()
        ends_at = None if request.lasts_seconds is None else now + request.lasts_seconds
        pools = tuple(pool for pool in members if request.names_pool(pool))
        taken, pauses = TakenRequest(request, now, ends_at, pools=pools), dict(contents.pauses)
        if request.act is Act.RESTART:
            taken = dataclasses.replace(taken, workers=_running(request, members))
        elif request.act is Act.CANCEL:
            contents = self._withdrawn(contents, request, members)
        elif request.act is Act.PAUSE:
            pauses.update(dict.fromkeys(pools, Pause(now, ends_at, request.except_hard)))
        else:
            pauses = {pool: pause for pool, pause in pauses.items() if pool not in pools}
        kept = self._bounded({**contents.requests, request.id: taken})
        return dataclasses.replace(_with_requests(contents, kept), pauses=pauses)

    def _withdrawn(self, contents: Contents, cancel: OperatorRequest, members: Members) -> Contents:
        """Without the restarts that `cancel` names, but for workers whose drain has begun."""
        begun = {
            worker
            for worker, drain in contents.drains.items()
            if drain.reason is Reason.RESTART and drain.state is not State.ASKING
        }
        named = {process.worker for _, process in _named(cancel, members)} - begun
        requests = {
            identity: dataclasses.replace(
                taken, workers={name: one for name, one in taken.workers.items() if name not in named}
            )
            for identity, taken in contents.requests.items()
        }
        return dataclasses.replace(contents, requests=requests)

    def _bounded(self, requests: Mapping[str, TakenRequest]) -> Mapping[str, TakenRequest]:
        """The newest requests: the oldest ones that were served go first, then the oldest ones."""
        surplus = len(requests) - MAX_KEPT
        if surplus <= 0:
            return requests
        by_age = sorted(
            requests, key=lambda identity: (identity not in self._served, requests[identity].taken_at)
        )
        gone = set(by_age[:surplus])
        return {identity: taken for identity, taken in requests.items() if identity not in gone}

    def _report_taken(self, taken: TakenRequest, *, before: Contents) -> None:
        request = taken.request
        workers = tuple(taken.workers) or None
        self._notifier.report(
            RequestTaken(request.id, request.act, request.names, workers, taken.pools or None)
        )
        if request.act is Act.UNPAUSE:
            self._report_unpaused(pool for pool in taken.pools if pool in before.pauses)

    # --- the end of requests ------------------------------------------------------------------------

    def end(self, members: Members) -> None:
        """Forget what is over, and report requests that are served and pauses that last."""
        now, contents = self._clock(), self._ledger.contents
        over = {identity: taken for identity, taken in contents.requests.items() if taken.is_over(now)}
        ended = [
            pool for pool, pause in contents.pauses.items() if pause.until is not None and now >= pause.until
        ]
        for identity, taken in contents.requests.items():
            left = _still_wanted(taken, members)
            if identity in over and left:
                self._notifier.report(RequestExpired(identity, tuple(left)))
            elif taken.workers and not left and identity not in self._served:
                self._served.add(identity)
                self._notifier.report(RequestServed(identity, len(taken.workers), now - taken.taken_at))
        if over or ended:
            kept = {identity: one for identity, one in contents.requests.items() if identity not in over}
            pauses = {pool: pause for pool, pause in contents.pauses.items() if pool not in ended}
            self._ledger.save(dataclasses.replace(_with_requests(contents, kept), pauses=pauses), must=False)
        self._served &= set(self._ledger.contents.requests)
        self._report_unpaused(ended)
        for pool, pause in self._ledger.contents.pauses.items():
            left_seconds = None if pause.until is None else pause.until - now
            self._notifier.report(PoolPaused(pool, left_seconds, int((now - pause.since) // DAY_SECONDS)))

    def _report_unpaused(self, pools: Iterable[str]) -> None:
        for pool in pools:
            self._notifier.forget(PoolPaused, pool)
            self._notifier.report(PoolUnpaused(pool))


def _with_requests(contents: Contents, kept: Mapping[str, TakenRequest]) -> Contents:
    """The contents with these requests. The ids of the others are kept, in case they come once more."""
    ended = [*contents.ended_requests, *(one for one in contents.requests if one not in kept)]
    return dataclasses.replace(contents, requests=kept, ended_requests=tuple(ended[-MAX_ENDED_KEPT:]))


def _named(request: OperatorRequest, members: Members) -> Iterable[tuple[str, ProcessInfo]]:
    for pool, processes in members.items():
        for process in processes:
            if request.names_worker(pool, process):
                yield pool, process


def _running(request: OperatorRequest, members: Members) -> Mapping[str, RunningProcess]:
    """The processes that run now. A worker that runs no process needs no restart."""
    live = (ProcessState.RUNNING, ProcessState.STARTING)
    return {
        process.worker: RunningProcess(process.pid, process.start)
        for _, process in _named(request, members)
        if process.state in live and process.pid
    }


def _still_wanted(taken: TakenRequest, members: Members) -> list[str]:
    """The workers that still run the process which must go."""
    return [process.worker for processes in members.values() for process in processes if taken.wants(process)]
