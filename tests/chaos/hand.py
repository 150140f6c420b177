"""The hand: does what the plan says, undoes it when its time is over, and writes down both."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

from tests.chaos.doings import Doing, Doings, Standing
from tests.chaos.hindered import Hindered, send
from tests.chaos.plan import LISTENER, Round, Sort, workers_of
from tests.chaos.stage import Host, Stage
from tests.harness import wait_for

TRAP_SECONDS = 8.0
"""How long a round waits for its trap to spring; the trap stays until the next calm."""
LISTENER_SECONDS = 60.0
COMING_SECONDS = 4.0
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
        self.done: Counter[Sort] = Counter()
        self.skipped: Counter[Sort] = Counter()
        self.deeds: list[tuple[float, str]] = []
        """For the story."""
        self._hindered = Hindered(stage, doings, self._say)

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

    @property
    def sprung(self) -> Counter[str]:
        """By place: the traps that sprang."""
        return self._hindered.sprung

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
        self._hindered.release()
        while self._undoes:
            self._undo(self._undoes[0])
        wait_for(self._is_over, LISTENER_SECONDS, "the listeners do not come back", every=0.1)

    def _is_over(self) -> bool:
        self._look_after()
        return self._hindered.is_over()

    # --- undoing --------------------------------------------------------------------------------

    def _later(self, seconds: float, target: str, doing: Doing, act: Callable[[], str]) -> None:
        self._undoes.append(Undo(time.monotonic() + seconds, target, doing, act))

    def _look_after(self) -> None:
        for undo in sorted(self._undoes, key=lambda one: one.at):
            if time.monotonic() >= undo.at:
                self._undo(undo)
        self._hindered.look_after()

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
        if todo.host in self._hindered.down:
            raise Skipped(f"host {todo.host} is down")
        return self._stage.hosts[todo.host]

    def _listener_pid(self, host: Host) -> int:
        """One that is only just coming is waited for."""
        end = time.monotonic() + COMING_SECONDS
        while True:
            if self._hindered.is_frozen(host.listener) or host.listener in self._doings.standing:
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
        self._hindered.hinder(host, "killed")
        send(pid, signal.SIGKILL)
        return self._say(f"{host.listener} {pid} killed")

    def _set_trap(self, todo: Round) -> str:
        host = self._host(todo)
        self._listener_pid(host)
        if host.sprung.exists():
            raise Skipped(f"a trap of {host.listener} has just sprung")
        name = "KILL" if todo.sort is Sort.KILL_LISTENER_AT else "STOP"
        self._hindered.set_trap(host, todo.place, name, todo.hold_seconds)
        self._say(f"{host.listener}: {name} at {todo.place}")
        before = self._hindered.sprung[todo.place]
        end = time.monotonic() + TRAP_SECONDS
        while self._hindered.sprung[todo.place] == before and time.monotonic() < end:
            self.pause(0.05)
        how = "sprung" if self._hindered.sprung[todo.place] > before else "not sprung yet"
        return f"{host.listener}: {how}"

    def _freeze_listener(self, todo: Round) -> str:
        host = self._host(todo)
        pid = self._listener_pid(host)
        self._hindered.freeze_listener(host, pid, todo.hold_seconds)
        return self._say(f"{host.listener} {pid} frozen for {todo.hold_seconds:.1f}s")

    # --- workers --------------------------------------------------------------------------------

    def _kill_worker(self, todo: Round) -> str:
        host, name = self._host(todo), todo.target.partition("/")[2]
        found = host.process(name)
        if found is None or not found.pid:
            raise Skipped(f"{todo.target} has no process")
        doing = self._doings.begin(todo.target, "killed")
        self._doings.killed([found.pid], [todo.target])
        send(found.pid, signal.SIGKILL)
        self._doings.end(doing)
        return self._say(f"{todo.target} {found.pid} killed while {found.state.name}")

    # --- Redis ----------------------------------------------------------------------------------

    def _freeze_server(self, todo: Round) -> str:
        if self._hindered.is_away(todo.target):
            raise Skipped(f"{todo.target} is away already")
        self._hindered.freeze_server(todo.target, todo.hold_seconds)
        return self._say(f"{todo.target} frozen for {todo.hold_seconds:.1f}s")

    def _restart_coordination(self, todo: Round) -> str:
        if todo.target in self._hindered.down:
            raise Skipped("it is down already")
        self._hindered.thaw("coordination")
        doing = self._doings.begin("coordination", "down")
        self._hindered.down.add("coordination")
        self._stage.coordination.stop()

        def start() -> str:
            self._stage.coordination.start()
            self._hindered.down.discard("coordination")
            return "coordination started, empty"

        self._later(todo.hold_seconds, "coordination", doing, start)
        return self._say(f"coordination down for {todo.hold_seconds:.1f}s")

    def _flush(self, todo: Round) -> str:
        if self._hindered.is_away(todo.target):
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
        self._hindered.hinder(host, "killed with its host")
        self._hindered.down.add(host.name)
        workers = workers_of(host.name)
        since = self._doings.clock()
        self._doings.killed(host.die(), workers, since)

        def start() -> str:
            host.supervisord.start()
            self._hindered.down.discard(host.name)
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
        self._hindered.hinder(host, "reloaded")
        if todo.how == "SIGHUP":
            send(host.supervisord.pid, signal.SIGHUP)
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
            self._hindered.hinder(host, "stopped", doing.begun)
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
            self._hindered.hinder(host, "restarted")
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


def _one_line(text: str) -> str:
    return " ".join(text.split())[:160]
