"""One virtual clock for many programs that run in turn, each as if it were alone.

What ships is written to block, so every listener runs on a thread of its own. One of them runs at a time:
whoever sleeps hands over to whom the clock wakes next. The order is that of the clock, and of nothing else.
"""

from __future__ import annotations

import _thread
import heapq
import threading
from collections.abc import Callable
from typing import Any


class Over(BaseException):
    """The simulation has ended; raised in every program that still runs."""


class Actor:
    """One program with its own thread."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.turn = 0
        """Counts its sleeps, so that a wake-up for an earlier sleep is recognised."""
        self.doom: BaseException | None = None
        """The error that ends it at its next breath."""
        self.finished = False
        self.wake = _thread.allocate_lock()
        self.wake.acquire()


class Engine:
    """The clock, the due work, and the program that runs."""

    def __init__(self) -> None:
        self.now = 0.0
        self.failure: BaseException | None = None
        """The faults of the simulation itself."""
        self._due: list[tuple[float, int, Any, int]] = []
        self._count = 0
        self._main = Actor("main")
        self._actors: list[Actor] = []
        self.current = self._main

    def at(self, when: float, happen: Callable[[], None]) -> None:
        """Call this when the clock reaches this time."""
        self._push(when, happen, 0)

    def after(self, seconds: float, happen: Callable[[], None]) -> None:
        self._push(self.now + seconds, happen, 0)

    def start(self, actor: Actor, body: Callable[[], None]) -> None:
        """Run the body as this actor from now on."""

        def live() -> None:
            actor.wake.acquire()
            try:
                body()
            except Over:
                pass
            except BaseException as error:  # noqa: BLE001 - the main thread raises it again
                self._fail(error)
            actor.finished = True
            self._hand_over(None)

        self._actors.append(actor)
        threading.Thread(target=live, name=actor.name, daemon=True).start()
        self._push(self.now, actor, actor.turn)

    def sleep(self, seconds: float) -> None:
        """Advance the clock for the program that runs now; due work is done meanwhile."""
        me, until = self.current, self.now + seconds
        if me.doom is not None:
            raise me.doom
        if self._due and self._due[0][0] <= until:
            me.turn += 1
            self._push(until, me, me.turn)
            self._hand_over(me)
            if me.doom is not None:
                raise me.doom
        else:
            self.now = until

    def doom(self, actor: Actor, error: BaseException) -> None:
        """End the actor with this error, now."""
        actor.doom = error
        self.wake(actor)

    def wake(self, actor: Actor) -> None:
        """End its sleep now."""
        if actor is not self.current:
            actor.turn += 1
            self._push(self.now, actor, actor.turn)

    def run_until(self, when: float) -> None:
        """Advance the clock to this time. Raises the faults of the simulation itself."""
        while self.now < when and self.failure is None:
            self.sleep(when - self.now)
        if self.failure is not None:
            raise self.failure

    def end(self) -> None:
        """End every actor."""
        self._due.clear()
        for actor in self._actors:
            if not actor.finished:
                self.doom(actor, Over())
        while not all(actor.finished for actor in self._actors):
            self._main.turn += 1
            self._push(self.now, self._main, self._main.turn)
            self._hand_over(self._main)

    def _push(self, when: float, what: Any, turn: int) -> None:
        self._count += 1
        heapq.heappush(self._due, (when, self._count, what, turn))

    def _hand_over(self, me: Actor | None) -> None:
        """Do the due work until it is a program's turn, and wait for the own turn."""
        while True:
            when, _, what, turn = heapq.heappop(self._due)
            if type(what) is not Actor:
                self.now = max(self.now, when)
                self._let_happen(what)
                continue
            if turn != what.turn or what.finished:
                continue
            self.now = max(self.now, when)
            self.current = what
            if what is me:
                return
            what.wake.release()
            if me is not None:
                me.wake.acquire()
            return

    def _let_happen(self, happen: Callable[[], None]) -> None:
        try:
            happen()
        except BaseException as error:  # noqa: BLE001 - the main thread raises it again
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self.failure = self.failure or error
        self._main.turn += 1
        self._push(self.now, self._main, self._main.turn)
