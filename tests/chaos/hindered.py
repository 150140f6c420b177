"""What keeps listeners and servers from their work: killed, frozen, trapped, until they are at work again."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable

from tests.chaos.doings import Doing, Doings
from tests.chaos.plan import LISTENER
from tests.chaos.stage import Host, Stage

THAWED_SECONDS = 0.5
MAX_FROZEN_SECONDS = 9.0
"""For a trap that sprang just before another one took its place."""


class Hindered:
    """The listeners and servers that the hand hinders. A timer thaws what is frozen."""

    def __init__(self, stage: Stage, doings: Doings, say: Callable[[str], str]) -> None:
        self._stage = stage
        self._doings = doings
        self._say = say
        self._timers: list[threading.Timer] = []
        self._lock = threading.RLock()
        """Timers thaw."""
        self.down: set[str] = set()
        """Hosts, and ``coordination``."""
        self._frozen: dict[str, int] = {}
        """The pid, by listener; ``coordination`` and ``jobs`` likewise."""
        self._hindered: dict[str, Doing] = {}
        """By host: its listener was hindered and is not at work again. The servers likewise."""
        self._thawed: dict[str, tuple[int, float]] = {}
        """By host: the pid of its listener, and since when."""
        self._trap_holds: dict[str, float] = {}
        self.sprung: Counter[str] = Counter()
        """By place: the traps that sprang."""

    def is_frozen(self, name: str) -> bool:
        return name in self._frozen

    def is_away(self, server: str) -> bool:
        return server in self._frozen or server in self.down

    def is_over(self) -> bool:
        """Each listener and server is at work again."""
        return not self._hindered and not any(host.sprung.exists() for host in self._stage.hosts.values())

    def hinder(self, host: Host, what: str, since: float | None = None) -> None:
        """Until it is seen to be back, its listener can renew nothing."""
        if host.name not in self._hindered:
            self._hindered[host.name] = self._doings.begin(host.listener, what)
            self._thawed.pop(host.name, None)
        if since is not None:
            doing = self._hindered[host.name]
            doing.begun = min(doing.begun, since)

    def look_after(self) -> None:
        """Take up the traps that sprang, and which listener is at work again."""
        for host in self._stage.hosts.values():
            with self._lock:
                self._look_after_listener(host)

    def _look_after_listener(self, host: Host) -> None:
        if host.sprung.exists():
            self._take_sprung(host)
        doing = self._hindered.get(host.name)
        if doing is None or host.name in self.down or host.listener in self._frozen:
            return
        if self._is_itself_again(host) or host.listener_started_at() > doing.begun:
            self._doings.end(self._hindered.pop(host.name))

    def _is_itself_again(self, host: Host) -> bool:
        """It was frozen, and goes on."""
        pid, since = self._thawed.get(host.name, (0, 0.0))
        return bool(pid) and time.time() >= since + THAWED_SECONDS and host.running_pid(LISTENER) == pid

    # --- traps ----------------------------------------------------------------------------------

    def set_trap(self, host: Host, place: str, name: str, hold_seconds: float) -> None:
        """The listener sends itself this signal at this place of a drain."""
        self._trap_holds[host.name] = hold_seconds or MAX_FROZEN_SECONDS
        fresh = host.trap.with_suffix(".new")
        fresh.write_text(f"{place} {name}")
        fresh.rename(host.trap)

    def _take_sprung(self, host: Host) -> None:
        """The listener has just killed or frozen itself."""
        place, name = host.sprung.read_text().split()
        since = host.sprung.stat().st_ctime  # of the renaming
        self.hinder(host, f"at {place}", since)
        host.sprung.unlink()
        self.sprung[place] += 1
        self._say(f"{host.listener}: the trap at {place} sprang ({time.time() - since:.1f}s ago)")
        if name == "STOP":
            process = host.process(LISTENER)
            if process is not None and process.pid:
                self._hold(host.listener, process.pid, self._trap_holds[host.name])

    # --- freezing -------------------------------------------------------------------------------

    def freeze_listener(self, host: Host, pid: int, seconds: float) -> None:
        self.hinder(host, "frozen")
        send(pid, signal.SIGSTOP)
        self._hold(host.listener, pid, seconds)

    def freeze_server(self, name: str, seconds: float) -> None:
        """``coordination`` or ``jobs``."""
        server = self._stage.coordination if name == "coordination" else self._stage.jobs
        self._hindered[name] = self._doings.begin(name, "frozen")
        server.pause()
        self._hold(name, server.pid, seconds)

    def _hold(self, name: str, pid: int, seconds: float) -> None:
        """By a timer: whatever else the hand waits for may be waiting for this."""
        self._frozen[name] = pid
        timer = threading.Timer(seconds, self.thaw, (name,))
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def thaw(self, name: str) -> None:
        """Let it go on, if it is frozen."""
        with self._lock:
            pid = self._frozen.pop(name, 0)
            if not pid:
                return
            send(pid, signal.SIGCONT)
            self._say(f"{name} thawed")
            if name in self._hindered:  # a server; a listener is seen to itself
                self._doings.end(self._hindered.pop(name))
            else:
                self._thawed[name.partition("/")[0]] = pid, time.time()

    def release(self) -> None:
        """Thaw everything, and take the traps away."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        for host in self._stage.hosts.values():
            host.trap.unlink(missing_ok=True)
        for name in list(self._frozen):
            self.thaw(name)


def send(pid: int, number: signal.Signals) -> None:
    """Send the signal, if the process is there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
