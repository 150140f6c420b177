"""Sends a person's request to the listener, and waits until the listener has taken it.

The request travels by supervisord's own sendRemoteCommEvent: whoever may control supervisord may make it, and
nobody else. The listener's state file says that it was taken.
"""

from __future__ import annotations

import argparse
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from supervisor_memkill.errors import MemkillError, UsageError
from supervisor_memkill.listener import state_file
from supervisor_memkill.listener.state_file import HiddenState, StateError
from supervisor_memkill.rules.requests import Act, OperatorRequest, TakenRequest, encode, unmatched
from supervisor_memkill.world.event_protocol import REQUEST_TYPE, SUBSCRIPTION
from supervisor_memkill.world.full_disk import why_unwritable

if TYPE_CHECKING:
    from supervisor_memkill.commands.context import Context
    from supervisor_memkill.listener.state_values import ListenerState

TAKEN_WITHIN_SECONDS = 15.0
"""A listener takes a request within a turn; supervisord may need seconds to answer it."""
STARTS_WITHIN_SECONDS = 10.0
"""A listener that ended is started again by supervisord within this time, or not at all."""
LISTENER_AWAY_SECONDS = 60.0
"""How long --wait waits for a listener that ended: supervisord starts it again."""
LOOK_SECONDS = 0.2
SUBSCRIBE = (
    "no listener took the request. Check that the [eventlistener:...] section has"
    f" {SUBSCRIPTION} (then: supervisorctl update), and that the listener"
    " runs"
)
NO_LISTENER = "the listener does not run (its last process was pid {pid}): start it with supervisorctl"
NOBODY = "no worker that runs has the name {names}; the pools are {pools}"
NO_POOL = "no pool has the name {names}; the pools are {pools}"
SENT_UNSEEN = "the request was sent; this user cannot see whether the listener took it ({why})"
TAKES_IT_LATER = "; it then takes this request"


class Requester:
    """Makes requests of one supervisord's listener."""

    def __init__(self, context: Context, state_path: Path) -> None:
        self._supervisord = context.supervisord
        self._surveyor = context.surveyor
        self._path = state_path
        self.pools = tuple(pool.name for pool in context.pools)

    def state(self) -> ListenerState:
        """The listener's state as of now. Raises StateError."""
        return state_file.read(self._path)

    def withdrawn(self) -> set[tuple[str, str]]:
        """The restarts that were withdrawn: the request's id and the worker. Raises StateError."""
        return {(one.request.id, worker) for one in self.state().requests for worker in one.withdrawn}

    def states(self, timeout_seconds: float | None) -> Iterator[ListenerState]:
        """The listener's state again and again, until the time is over.

        A listener that ended may be away for `LISTENER_AWAY_SECONDS`: supervisord starts it again. Raises
        MemkillError after that.
        """
        until = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        alive_at = time.monotonic()
        while True:
            problem: MemkillError | None = None
            try:
                state = self.state()
            except StateError as error:
                problem = error
            else:
                yield state
                if not state.is_alive:
                    problem = MemkillError(NO_LISTENER.format(pid=state.pid))
            now = time.monotonic()
            if problem is None:
                alive_at = now
            elif now - alive_at > LISTENER_AWAY_SECONDS:
                raise problem
            if until is not None and now > until:
                return
            time.sleep(LOOK_SECONDS)

    def send(
        self, act: Act, names: Sequence[str], *, lasts_seconds: float | None, except_hard: bool = False
    ) -> TakenRequest:
        """Send a request, and wait until the listener has taken it. Raises MemkillError.

        supervisord keeps a request for a listener that does not run, and delivers it when that listener
        starts, maybe days later: so nothing is sent then.
        """
        request = OperatorRequest(secrets.token_hex(8), act, tuple(names), lasts_seconds, except_hard)
        try:
            payload = encode(request)
        except ValueError as error:
            raise UsageError(f"the request cannot be sent: {error}") from None
        self._wait_for_listener()
        self._check_names(request)
        self._supervisord.send_event(REQUEST_TYPE, payload)
        until = time.monotonic() + TAKEN_WITHIN_SECONDS
        while (taken := self._taken(request.id)) is None:
            if refused := self._refused(request.id):
                raise MemkillError(f"the listener refused the request: {refused}")
            if time.monotonic() > until:
                raise MemkillError(self._why_not_taken())
            time.sleep(LOOK_SECONDS)
        return taken

    def _check_names(self, request: OperatorRequest) -> None:
        """Raises MemkillError if a name names nothing: nothing is requested for the other names, either."""
        names_workers = may_name_workers(request.act)
        known = {*self.pools, *(self._names_in_state(request.act) if names_workers else ())}
        missing = unmatched(request.names, known)
        if missing and names_workers:
            # The listener has not looked yet, or not since the worker was added.
            missing = unmatched(missing, self._present_names())
        if missing:
            wrong = NOBODY if names_workers else NO_POOL
            raise MemkillError(wrong.format(names=" ".join(missing), pools=", ".join(self.pools)))

    def _names_in_state(self, act: Act) -> set[str]:
        """The workers and their groups; for a cancel also what open requests name: it may have gone."""
        try:
            state = self.state()
        except StateError:
            return set()
        known = with_groups(one.worker for pool in state.pools for one in pool.workers)
        if act is Act.CANCEL:
            for taken in state.requests:
                known |= {*taken.request.names, *with_groups(taken.workers)}
        return known

    def _present_names(self) -> set[str]:
        """The workers and their groups, as supervisord has them now. Raises SupervisordError."""
        members = self._surveyor.members(anew=True)
        return with_groups(process.worker for processes in members.values() for process in processes)

    def _wait_for_listener(self) -> None:
        """Raises MemkillError if the listener does not run. A state that cannot be read tells nothing."""
        until = time.monotonic() + STARTS_WITHIN_SECONDS
        while True:
            try:
                state = self.state()
            except StateError:
                return
            if state.is_alive:
                return
            if time.monotonic() > until:
                raise MemkillError(NO_LISTENER.format(pid=state.pid))
            time.sleep(LOOK_SECONDS)

    def _taken(self, identity: str) -> TakenRequest | None:
        try:
            return self.state().request(identity)
        except HiddenState as error:
            raise MemkillError(SENT_UNSEEN.format(why=error)) from error
        except StateError:
            return None

    def _refused(self, identity: str) -> str:
        try:
            return self.state().refused.get(identity, "")
        except StateError:
            return ""

    def _why_not_taken(self) -> str:
        try:
            state = self.state()
        except StateError as error:
            return f"{SUBSCRIBE} ({error})"
        if not state.is_alive:
            return f"{NO_LISTENER.format(pid=state.pid)}{TAKES_IT_LATER}"
        if unwritable := why_unwritable(self._path.parent):
            return f"{unwritable}: the listener cannot write its journal; it takes this request when it can"
        if "journal" in state.away:
            why = state.away["journal"].error
            return f"the listener cannot write its journal, and takes no request: {why}"
        return SUBSCRIBE


def may_name_workers(act: Act) -> bool:
    """Its names may be those of workers; else they are those of pools alone."""
    return act in (Act.RESTART, Act.CANCEL)


def with_groups(workers: Iterable[str]) -> set[str]:
    """The workers (``group:name``) and their groups."""
    return {name for worker in workers for name in (worker, worker.partition(":")[0])}


def requester(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Requester:
    """For the supervisord that the arguments name. Raises MemkillError."""
    from supervisor_memkill.commands.by_hand import find_by_hand
    from supervisor_memkill.commands.context import build
    from supervisor_memkill.commands.found_listener import find_listener

    configuration = find_by_hand(arguments, environ)
    context = build(configuration, configuration.supervisord(arguments, environ), environ, own_group="")
    return Requester(context, state_file.path_beside(find_listener(configuration, context).journal))
