"""The hand: does what the plan says, undoes it when its time is over, and writes down both."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

from tests.chaos.doings import Doing, Doings, Standing
from tests.chaos.plan import LISTENER, Round, Sort, workers_of
from tests.chaos.stage import Host, Stage
from tests.harness import wait_for

TRAP_SECONDS = 8.0
"""How long a round waits for its trap to spring; the trap stays until the next calm."""
LISTENER_SECONDS = 60.0
COMING_SECONDS = 4.0
THAWED_SECONDS = 0.5
MAX_FROZEN_SECONDS = 9.0
"""For a trap that sprang just before another one took its place."""
UPDATE_TRIES = 8
REQUEST_EXPIRES = "20s"
"""Shorter than a calm: no request keeps workers away for long."""
REQUEST_SECONDS = 120.0


class Skipped(Exception):
    """There is nothing to do it to; why."""


@dataclasses.dataclass
class Undo:
    """What will be undone, and when (monotonic seconds)."""

    at: float
    target: str
    doing: Doing
    """It ends when it is undone, by this or by anything else."""
    act: Callable[[], str]


class Hand:
    """Acts on the stage. Everything is undone by `heal`."""

    def __init__(self, stage: Stage, doings: Doings) -> None:
        self._stage = stage
        self._doings = doings
        self._undoes: list[Undo] = []
        self._timers: list[threading.Timer] = []
        self._lock = threading.RLock()
        """Timers thaw."""
        self._down: set[str] = set()
        self._frozen: dict[str, int] = {}
        """The pid, by listener; ``coordination`` and ``jobs`` likewise."""
        self._hindered: dict[str, Doing] = {}
        """By host: its listener was hindered and is not at work again. The servers likewise."""
        self._thawed: dict[str, tuple[int, float]] = {}
        """By host: the pid of its listener, and since when."""
        self._trap_holds: dict[str, float] = {}
        self.done: Counter[Sort] = Counter()
        self.skipped: Counter[Sort] = Counter()
        self.sprung: Counter[str] = Counter()
        """By place: the traps that sprang."""
        self.deeds: list[tuple[float, str]] = []
        """For the story."""

    def do(self, todo: Round) -> str:
        """One round's deed, on the other host where this one cannot suffer it; what came of it."""
        try:
            words = self._act(todo)
        except Skipped as error:
            other = todo.elsewhere()
            try:
                if other is None:
                    raise
                words = self._act(other)
            except Skipped:
                self.skipped[todo.sort] += 1
                return f"skipped: {error}"
        self.done[todo.sort] += 1
        return words

    def _act(self, todo: Round) -> str:
        acts: dict[Sort, Callable[[Round], str]] = {
            Sort.KILL_LISTENER: self._kill_listener,
            Sort.KILL_LISTENER_AT: self._set_trap,
            Sort.FREEZE_LISTENER: self._freeze_listener,
            Sort.FREEZE_LISTENER_AT: self._set_trap,
            Sort.KILL_WORKER: self._kill_worker,
            Sort.RESTART_COORDINATION: self._restart_coordination,
            Sort.FREEZE_COORDINATION: self._freeze_server,
            Sort.FLUSH_COORDINATION: self._flush,
            Sort.FREEZE_JOBS: self._freeze_server,
            Sort.KILL_HOST: self._kill_host,
            Sort.RELOAD: self._reload,
            Sort.UPDATE: self._update,
            Sort.STOP: self._stop,
            Sort.RESTART: self._restart,
            Sort.REQUEST: self._request,
        }
        return acts[todo.sort](todo)

    def pause(self, seconds: float) -> None:
        """Wait, and undo what is due meanwhile."""
        end = time.monotonic() + seconds
        while True:
            self._look_after()
            if time.monotonic() >= end:
                return
            time.sleep(0.05)

    def heal(self) -> None:
        """Undo everything now."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        for host in self._stage.hosts.values():
            host.trap.unlink(missing_ok=True)
        for name in list(self._frozen):
            self._thaw(name)
        while self._undoes:
            self._undo(self._undoes[0])
        wait_for(self._has_no_hindered, LISTENER_SECONDS, "the listeners do not come back", every=0.1)

    def _has_no_hindered(self) -> bool:
        self._look_after()
        return not self._hindered and not any(host.sprung.exists() for host in self._stage.hosts.values())

    # --- undoing --------------------------------------------------------------------------------

    def _later(self, seconds: float, target: str, doing: Doing, act: Callable[[], str]) -> None:
        self._undoes.append(Undo(time.monotonic() + seconds, target, doing, act))

    def _look_after(self) -> None:
        for undo in sorted(self._undoes, key=lambda one: one.at):
            if time.monotonic() >= undo.at:
                self._undo(undo)
        for host in self._stage.hosts.values():
            with self._lock:
                self._look_after_listener(host)

    def _undo(self, undo: Undo) -> None:
        self._undoes.remove(undo)
        words = undo.act()
        self._doings.end(undo.doing)
        self._say(words)

    def _forget(self, target: str) -> None:
        """What was to be undone there is being undone by something else."""
        self._doings.standing.pop(target, None)
        for undo in [undo for undo in self._undoes if undo.target == target]:
            self._undoes.remove(undo)
            self._doings.end(undo.doing)

    def _say(self, words: str) -> str:
        self.deeds.append((time.time(), words))
        return words

    # --- what is there --------------------------------------------------------------------------

    def _host(self, todo: Round) -> Host:
        if todo.host in self._down:
            raise Skipped(f"host {todo.host} is down")
        return self._stage.hosts[todo.host]

    def _listener_pid(self, host: Host) -> int:
        """One that is only just coming is waited for."""
        end = time.monotonic() + COMING_SECONDS
        while True:
            if host.listener in self._frozen or host.listener in self._doings.standing:
                raise Skipped(f"{host.listener} is frozen or stopped")
            pid = host.running_pid(LISTENER)
            if pid:
                return pid
            if time.monotonic() > end:
                raise Skipped(f"{host.listener} does not run")
            self.pause(0.1)

    # --- listeners ------------------------------------------------------------------------------

    def _kill_listener(self, todo: Round) -> str:
        host = self._host(todo)
        pid = self._listener_pid(host)
        self._hinder(host, "killed")
        _send(pid, signal.SIGKILL)
        return self._say(f"{host.listener} {pid} killed")

    def _hinder(self, host: Host, what: str, since: float | None = None) -> None:
        """Until it is seen to be back, its listener can renew nothing."""
        if host.name not in self._hindered:
            self._hindered[host.name] = self._doings.begin(host.listener, what)
            self._thawed.pop(host.name, None)
        if since is not None:
            doing = self._hindered[host.name]
            doing.begun = min(doing.begun, since)

    def _look_after_listener(self, host: Host) -> None:
        if host.sprung.exists():
            self._take_sprung(host)
        doing = self._hindered.get(host.name)
        if doing is None or host.name in self._down or host.listener in self._frozen:
            return
        if self._is_itself_again(host) or host.listener_started_at() > doing.begun:
            self._doings.end(self._hindered.pop(host.name))

    def _is_itself_again(self, host: Host) -> bool:
        """It was frozen, and goes on."""
        pid, since = self._thawed.get(host.name, (0, 0.0))
        return bool(pid) and time.time() >= since + THAWED_SECONDS and host.running_pid(LISTENER) == pid

    def _set_trap(self, todo: Round) -> str:
        host = self._host(todo)
        self._listener_pid(host)
        if host.sprung.exists():
            raise Skipped(f"a trap of {host.listener} has just sprung")
        name = "KILL" if todo.sort is Sort.KILL_LISTENER_AT else "STOP"
        self._trap_holds[host.name] = todo.hold_seconds or MAX_FROZEN_SECONDS
        fresh = host.trap.with_suffix(".new")
        fresh.write_text(f"{todo.place} {name}")
        fresh.rename(host.trap)
        self._say(f"{host.listener}: {name} at {todo.place}")
        before = self.sprung[todo.place]
        end = time.monotonic() + TRAP_SECONDS
        while self.sprung[todo.place] == before and time.monotonic() < end:
            self.pause(0.05)
        how = "sprung" if self.sprung[todo.place] > before else "not sprung yet"
        return f"{host.listener}: {how}"

    def _take_sprung(self, host: Host) -> None:
        """The listener has just killed or frozen itself."""
        place, name = host.sprung.read_text().split()
        since = host.sprung.stat().st_ctime  # of the renaming
        self._hinder(host, f"at {place}", since)
        host.sprung.unlink()
        self.sprung[place] += 1
        self._say(f"{host.listener}: the trap at {place} sprang ({time.time() - since:.1f}s ago)")
        if name == "STOP":
            process = host.process(LISTENER)
            if process is not None and process.pid:
                self._hold_listener(host, process.pid, self._trap_holds[host.name])

    def _freeze_listener(self, todo: Round) -> str:
        host = self._host(todo)
        pid = self._listener_pid(host)
        self._hinder(host, "frozen")
        _send(pid, signal.SIGSTOP)
        self._hold_listener(host, pid, todo.hold_seconds)
        return self._say(f"{host.listener} {pid} frozen for {todo.hold_seconds:.1f}s")

    def _hold_listener(self, host: Host, pid: int, seconds: float) -> None:
        self._frozen[host.listener] = pid
        self._thaw_later(host.listener, seconds)

    def _thaw_later(self, name: str, seconds: float) -> None:
        """By a timer: whatever else the hand waits for may be waiting for this."""
        timer = threading.Timer(seconds, self._thaw, (name,))
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def _thaw(self, name: str) -> None:
        with self._lock:
            pid = self._frozen.pop(name, 0)
            if not pid:
                return
            _send(pid, signal.SIGCONT)
            self._say(f"{name} thawed")
            if name in self._hindered:  # a server; a listener is seen to itself
                self._doings.end(self._hindered.pop(name))
            else:
                self._thawed[name.partition("/")[0]] = pid, time.time()

    # --- workers --------------------------------------------------------------------------------

    def _kill_worker(self, todo: Round) -> str:
        host, name = self._host(todo), todo.target.partition("/")[2]
        found = host.process(name)
        if found is None or not found.pid:
            raise Skipped(f"{todo.target} has no process")
        doing = self._doings.begin(todo.target, "killed")
        self._doings.killed([found.pid], [todo.target])
        _send(found.pid, signal.SIGKILL)
        self._doings.end(doing)
        return self._say(f"{todo.target} {found.pid} killed while {found.state.name}")

    # --- Redis ----------------------------------------------------------------------------------

    def _freeze_server(self, todo: Round) -> str:
        server = self._stage.coordination if todo.target == "coordination" else self._stage.jobs
        if todo.target in self._frozen or todo.target in self._down:
            raise Skipped(f"{todo.target} is away already")
        self._hindered[todo.target] = self._doings.begin(todo.target, "frozen")
        server.pause()
        self._frozen[todo.target] = server.pid
        self._thaw_later(todo.target, todo.hold_seconds)
        return self._say(f"{todo.target} frozen for {todo.hold_seconds:.1f}s")

    def _restart_coordination(self, todo: Round) -> str:
        if todo.target in self._down:
            raise Skipped("it is down already")
        self._thaw("coordination")
        doing = self._doings.begin("coordination", "down")
        self._down.add("coordination")
        self._stage.coordination.stop()

        def start() -> str:
            self._stage.coordination.start()
            self._down.discard("coordination")
            return "coordination started, empty"

        self._later(todo.hold_seconds, "coordination", doing, start)
        return self._say(f"coordination down for {todo.hold_seconds:.1f}s")

    def _flush(self, todo: Round) -> str:
        if todo.target in self._frozen or todo.target in self._down:
            raise Skipped(f"{todo.target} is away")
        doing = self._doings.begin("flushed", "flushed")
        with contextlib.closing(self._stage.coordination.client()) as client:
            client.flushall()
        self._doings.end(doing)
        return self._say("coordination flushed")

    # --- hosts ----------------------------------------------------------------------------------

    def _kill_host(self, todo: Round) -> str:
        host = self._host(todo)
        doing = self._doings.begin(host.name, "killed")
        self._take_over(host)
        self._hinder(host, "killed with its host")
        self._down.add(host.name)
        workers = workers_of(host.name)
        since = self._doings.clock()
        self._doings.killed(host.die(), workers, since)

        def start() -> str:
            host.supervisord.start()
            self._down.discard(host.name)
            return f"host {host.name} started"

        self._later(todo.hold_seconds, host.name, doing, start)
        return self._say(f"host {host.name} killed for {todo.hold_seconds:.1f}s")

    def _take_over(self, host: Host) -> None:
        """All that stood on this host ends: supervisord starts everything anew."""
        for name in [*workers_of(host.name), host.listener]:
            self._forget(name)

    def _reload(self, todo: Round) -> str:
        host = self._host(todo)
        times = host.started_times()
        doing = self._doings.begin(host.name, "reloaded")
        self._take_over(host)
        self._hinder(host, "reloaded")
        if todo.how == "SIGHUP":
            _send(host.supervisord.pid, signal.SIGHUP)
        else:
            host.supervisord.ctl("reload")
        self._say(f"supervisord of {host.name} told to start anew ({todo.how})")
        self._stage.wait_for_host(host.name, times + 1)
        self._doings.end(doing)
        return self._say(f"supervisord of {host.name} has started anew")

    # --- supervisorctl ----------------------------------------------------------------------------

    def _update(self, todo: Round) -> str:
        host, name = self._host(todo), todo.target.partition("/")[2]
        if todo.how != "changed":
            words = host.supervisord.ctl("reread" if todo.how == "reread" else "update")
            return self._say(f"supervisorctl of {host.name}: {todo.how}: {_one_line(words)}")
        doing = self._doings.begin(todo.target, "updated")
        self._forget(todo.target)
        host.change(name)
        said = []
        for _ in range(UPDATE_TRIES):
            said.append(host.supervisord.ctl("update"))
            if "updated process group" in said[-1]:
                break
            time.sleep(0.3)
        self._doings.end(doing)
        return self._say(f"{todo.target} updated: {_one_line(' | '.join(said))}")

    def _stop(self, todo: Round) -> str:
        host, name = self._host(todo), todo.target.partition("/")[2]
        if todo.target in self._doings.standing:
            raise Skipped(f"{todo.target} is stopped already")
        doing = self._doings.begin(todo.target, "stopped")
        words = host.supervisord.ctl("stop", f"{name}:{name}")
        if ": stopped" not in words:
            self._doings.end(doing)
            return self._say(f"{todo.target} not stopped: {_one_line(words)}")
        if name == LISTENER:
            self._hinder(host, "stopped", doing.begun)
        (process,) = wait_for(lambda: [found for found in [host.process(name)] if found is not None])
        self._doings.standing[todo.target] = Standing(time.time(), process.stop)

        def start_again() -> str:
            self._doings.standing.pop(todo.target, None)
            said = host.supervisord.ctl("start", f"{name}:{name}")
            return f"{todo.target} started again: {_one_line(said)}"

        self._later(todo.hold_seconds, todo.target, doing, start_again)
        return self._say(f"{todo.target} stopped for {todo.hold_seconds:.1f}s")

    def _restart(self, todo: Round) -> str:
        host, name = self._host(todo), todo.target.partition("/")[2]
        doing = self._doings.begin(todo.target, "restarted")
        self._forget(todo.target)
        if name == LISTENER:
            self._hinder(host, "restarted")
        words = host.supervisord.ctl("restart", f"{name}:{name}")
        self._doings.end(doing)
        return self._say(f"{todo.target} restarted: {_one_line(words)}")

    def _request(self, todo: Round) -> str:
        """Press restart --fleet for the worker of this name on both hosts, whether Redis answers or not."""
        host = self._stage.hosts[todo.host]
        options = ["--fleet", "--expires", REQUEST_EXPIRES, "--config", str(host.config)]
        command = [sys.executable, "-m", "supervisor_memkill", "restart", todo.how, *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=REQUEST_SECONDS, check=False)
        return self._say(f"requested {todo.how} of all hosts: {_one_line(done.stdout + done.stderr)}")


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:160]
