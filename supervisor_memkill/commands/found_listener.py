"""The listener of the supervisord that is asked, by hand: its journal, its state, and whether it lives.

Nothing depends on how the address is spelt, on who asks, or on the environment, as far as permissions allow.
A living listener shows which journal it has locked, and a state names the supervisord that it belongs to.
"""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Sequence
from pathlib import Path

from supervisor_memkill.commands import which
from supervisor_memkill.commands.configuration import Configuration
from supervisor_memkill.commands.context import Context
from supervisor_memkill.config.loaded import changes, loaded
from supervisor_memkill.config.sections import ParsedFiles
from supervisor_memkill.config.supervisord_files import read_supervisord
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import ConfigError
from supervisor_memkill.listener import state_file
from supervisor_memkill.listener.journal import read_boot_id
from supervisor_memkill.listener.state_file import HiddenState, NoState, StateError
from supervisor_memkill.listener.state_values import ListenerState
from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.world import started_by
from supervisor_memkill.world.addresses import is_of_this_machine
from supervisor_memkill.world.full_disk import why_unwritable

NO_STATE = "no listener of this supervisord (pid {pid}) has written its state yet"
ELSEWHERE = (
    "supervisord at {url} is on another machine or in a container:"
    " to see its listener, run this command there"
)


@dataclass(frozen=True)
class FoundListener:
    """What can be seen of the listener."""

    journal: Path
    state: ListenerState | None = None
    """What it wrote last; None: nothing of this supervisord's listener can be read."""
    problem: str = ""
    """Why there is no state; empty if there is one."""
    is_hidden: bool = False
    """There may be a state, which another user owns: nothing is known of the listener."""
    is_unreadable: bool = False
    """There is a state, and it is damaged or has the format of another version."""
    process: ProcessInfo | None = None
    """Its process as supervisord sees it; None: supervisord has none of this name."""
    unwritable: str = ""
    """Why it can write neither its journal nor its state: its disk is full, say. Empty: that is not known."""
    changes: tuple[str, ...] | None = None
    """What changed in the configuration's files since it read them; None: unknown."""

    @property
    def is_alive(self) -> bool:
        """Whether the process that wrote the state lives. False also if it is not known."""
        return self.state is not None and self.state.is_alive

    @property
    def is_dead(self) -> bool:
        """Surely no listener of this supervisord works now."""
        if self.is_alive or self.is_hidden:
            return False
        return self.process is None or self.process.state is not ProcessState.RUNNING

    @property
    def name(self) -> str:
        """Its name in supervisord, ``group:name``; empty: unknown."""
        if self.state is not None and self.state.origin.name:
            return self.state.origin.name
        return self.process.worker if self.process is not None else ""

    @property
    def why_dead(self) -> str:
        """For a person, when `is_dead`."""
        parts = []
        if self.state is not None:
            parts.append(f"its last process was pid {self.state.pid}")
        if self.process is not None:
            parts.append(f"supervisord shows {self.process.worker} as {self.process.state.name}")
        elif self.name:
            parts.append(f"supervisord has no {self.name}")
        return "; ".join(parts) or "none is in supervisord's configuration"

    @property
    def start_words(self) -> str:
        """What to do about a dead listener."""
        if self.process is None:
            return "add the section [eventlistener:memkill], then: supervisorctl update"
        if self.process.state in (ProcessState.STARTING, ProcessState.BACKOFF):
            return "supervisord starts it again: if it ends each time, its log names the cause"
        return f"start it: supervisorctl start {self.process.worker}"

    @property
    def restart_words(self) -> str:
        """How the configuration on disk gets in force."""
        return f"supervisorctl restart {self.name or 'memkill'}"


def find_listener(configuration: Configuration, context: Context) -> FoundListener:
    """The listener of the supervisord that is asked. Raises SupervisordError."""
    supervisord, groups = context.supervisord, configuration.eventlistener_groups
    if configuration.supervisord_pid is None and not is_of_this_machine(supervisord.url):
        supervisord.pid()  # A misspelt host name is a clearer cause than another machine.
        problem = ELSEWHERE.format(url=supervisord.url)
        return FoundListener(context.journal.path, problem=problem, is_hidden=True)
    listeners = which.listeners(supervisord.all_processes(), groups)
    living = which.journal_of_living(supervisord, groups)
    found = _best(context, living, supervisord.pid())
    found = dataclasses.replace(found, process=_process(found.state, listeners))
    unwritable = why_unwritable(found.journal.parent, is_root=_may_be_root(found))
    found = dataclasses.replace(found, unwritable=unwritable)
    if found.state is None:
        return found
    return dataclasses.replace(found, changes=_changes(found.state, configuration))


def _best(context: Context, living: Path | None, supervisord_pid: int) -> FoundListener:
    """The state of a listener that lives, else the one that was written last; else why there is none."""
    places = [path for place in context.journals for path in (place.path, *place.former)]
    journals = dict.fromkeys([*([living] if living else []), *places])
    found: list[FoundListener] = []
    problems: list[FoundListener] = []
    for journal in journals:
        for path in state_file.paths_beside(journal):
            try:
                state = state_file.read(path)
            except NoState:
                continue
            except StateError as error:
                hidden = isinstance(error, HiddenState)
                problems.append(
                    FoundListener(journal, problem=str(error), is_hidden=hidden, is_unreadable=not hidden)
                )
                continue
            if state.origin.supervisord_pid == supervisord_pid and state.boot_id == read_boot_id():
                found.append(FoundListener(journal, state))
    if found:
        return max(found, key=_rank)
    if problems:
        return min(problems, key=lambda one: one.is_hidden)
    journal = living or context.journal.existing() or context.journal.path
    return FoundListener(journal, problem=NO_STATE.format(pid=supervisord_pid))


def _rank(found: FoundListener) -> tuple[bool, bool, float]:
    """Of several states the greatest counts. A listener that drains comes before one that only looks."""
    assert found.state is not None
    return (found.is_alive, not found.state.dry_run, found.state.written_at)


def _process(state: ListenerState | None, listeners: Sequence[ProcessInfo]) -> ProcessInfo | None:
    if state is not None and state.origin.name:
        return next((one for one in listeners if one.worker == state.origin.name), None)
    groups = {one.group for one in listeners}
    return listeners[0] if len(groups) == 1 else None


def _may_be_root(found: FoundListener) -> bool:
    """Whether the user of the listener is root, or not known."""
    if found.state is not None and found.is_alive:
        return started_by.see(found.state.pid).uid in (0, None)
    return (
        found.process is None or not found.process.pid or started_by.see(found.process.pid).uid in (0, None)
    )


def _read(named: Path, configuration: Configuration) -> ParsedFiles:
    """The file that --config of the listener names, with its includes. Raises ConfigError."""
    return read_supervisord(named, configuration.environ, socket.gethostname())


def _changes(state: ListenerState, configuration: Configuration) -> tuple[str, ...] | None:
    """What changed in the files that this listener would read after its next start."""
    before = state.origin.configuration
    named = Path(before.named) if before.named else None
    try:
        reading = configuration.supervisords if named is None else _read(named, configuration)
    except ConfigError:
        return None
    if reading is None or reading.unread or not before.files:
        return None
    return tuple(changes(before, loaded(reading, named, before.secrets)))
