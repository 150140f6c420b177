"""Keeps an error of one worker or pool from the others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from supervisor_memkill.coordination.contract import CoordinationUnknown
from supervisor_memkill.listener.journal import JournalError
from supervisor_memkill.listener.outage import Outage
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.events import Failed
from supervisor_memkill.world.supervisord import SupervisordError

T = TypeVar("T")


class Guard:
    """Reports errors under the name of what they concern."""

    def __init__(self, notifier: Notifier, coordination: Outage) -> None:
        self._notifier = notifier
        self._coordination = coordination

    @contextlib.contextmanager
    def guarded(self, name: str) -> Iterator[None]:
        """Report an error of one worker or pool under its name, and go on with the others.

        Errors of supervisord, the journal and coordination affect all, and are raised.
        """
        try:
            yield
        except (SupervisordError, JournalError, CoordinationUnknown):
            raise
        except Exception as error:  # noqa: BLE001 - a listener that dies leaves workers quiet
            self._notifier.report(Failed(name, f"{type(error).__name__}: {error}", _where(error)))

    def for_each(
        self,
        pools: Iterable[T],
        name: Callable[[T], str],
        do: Callable[[T], None],
        *,
        has_ended: Callable[[], bool],
    ) -> bool:
        """Call `do` for each pool until coordination does not answer: the others would probably wait in vain.

        A pool for which coordination did not answer comes last the next time, so that it starves no other.
        False: coordination did not answer.
        """
        for pool in sorted(pools, key=lambda pool: self._coordination.has_lost(name(pool))):
            if has_ended():
                break
            try:
                with self.guarded(f"pool {name(pool)}"):
                    do(pool)
            except CoordinationUnknown as error:
                self._coordination.away(error, name(pool))
                return False
        return True


def _where(error: BaseException) -> str:
    """File and line where the error was raised; empty if unknown."""
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
