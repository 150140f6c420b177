"""supervisord as the listener reaches it: requests and replies may be lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from supervisor_memkill.processes import ProcessInfo, ProcessState, ProgramInfo
from supervisor_memkill.world.supervisord import NoAnswer, NoSuchProcess, SupervisordError

if TYPE_CHECKING:
    from tests.simulation.machine import Machine


class Gateway:
    """The part of Supervisord that the listener uses."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._calls = machine.supervisord
        self._judge = machine.world.promises

    def identification(self) -> str:
        found: str = self._machine.ask_supervisord(lambda: "supervisor")
        return found

    def all_processes(self) -> list[ProcessInfo]:
        def tell() -> list[ProcessInfo]:
            found = self._calls.all_processes()
            self._machine.looked_at = self._machine.engine.now
            self._machine.times_reported += 1
            self._machine.events.all_reported()
            return found

        found: list[ProcessInfo] = self._machine.ask_supervisord(tell)
        return found

    def process(self, name: str) -> ProcessInfo | None:
        def tell() -> ProcessInfo:
            self._machine.served[name] = self._machine.engine.now
            return self._calls.get(name)

        try:
            found: ProcessInfo = self._machine.ask_supervisord(tell)
        except NoSuchProcess:
            return None
        if found.state is ProcessState.RUNNING:
            self._machine.unanswered.pop(name, None)
        return found

    def programs(self) -> list[ProgramInfo]:
        found: list[ProgramInfo] = self._machine.ask_supervisord(self._calls.programs)
        return found

    def log_end(self, size_bytes: int) -> str:
        self._machine.has_read_log = False
        found: str = self._machine.ask_supervisord(lambda: "".join(self._calls.log))
        self._machine.has_read_log = True
        return found[-size_bytes:]

    def stop(self, name: str) -> None:
        self._machine.unanswered[name] = self._machine.engine.now
        try:
            self._act("stop", name, lambda: self._calls.stop(name, "us"))
        except NoAnswer:
            raise
        except SupervisordError:
            self._machine.unanswered.pop(name, None)
            raise
        self._machine.unanswered.pop(name, None)

    def start(self, name: str) -> None:
        self._act("start", name, lambda: self._calls.start(name))

    def signal(self, name: str, signal: str) -> None:
        act = {"CONT": "thaw", "USR2": "resume"}.get(signal, "quiet")
        self._act(act, name, lambda: self._deliver(act, name, signal))

    def _deliver(self, act: str, name: str, signal: str) -> None:
        """A worker may handle a quiet only some time later."""
        machine, now = self._machine, self._machine.engine.now
        worker = self._calls.workers.get(name)
        process = worker.process if worker is not None else None
        is_late = act == "quiet" and process is not None and now < process.hears_from
        if worker is None or process is None or not is_late or worker.state is not ProcessState.RUNNING:
            self._calls.signal(name, signal)
            return
        self._calls.get(name)

        def handle() -> None:
            is_open = worker.process is process and process.stop_at is None and process.resumed_at < now
            if is_open and process.quiet_at is None and worker.state is ProcessState.RUNNING:
                machine.world.trace.count("late quiet")
                machine.world.trace.say(machine.name, f"{name} turns quiet late")
                machine.world.standings.turns_quiet(worker)
                self._calls.signal(name, signal)

        machine.engine.after(process.hears_from - now, handle)

    def _act(self, act: str, name: str, effect: Callable[[], None]) -> None:
        machine = self._machine
        machine.point(f"{act} before")
        self._judge.acts(machine, act, name)

        def happen() -> None:
            machine.world.trace.say(machine.name, f"{act} of {name} arrives")
            worker, standings = self._calls.workers.get(name), machine.world.standings
            if worker is None or worker.state is ProcessState.STOPPING:
                effect()  # It is refused, or changes nothing any more.
                return
            took_jobs = standings.takes_jobs(worker)
            effect()
            standings.arrived(act, worker, took_jobs=took_jobs)

        machine.ask_supervisord(happen)
