"""Reads the facts about supervisord, the listener and the pools. Nothing is changed."""

from __future__ import annotations

import contextlib
import re
import shutil
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from supervisor_memkill.commands.doctor.facts import PoolFacts
from supervisor_memkill.config.program_files import ProgramFiles
from supervisor_memkill.config.supervisord_sections import SupervisordSections
from supervisor_memkill.coordination.contract import CoordinationUnknown, Coordinator
from supervisor_memkill.errors import one_line
from supervisor_memkill.listener.findings import PoolSurvey
from supervisor_memkill.listener.pool_sizes import PoolSizes, TooFew
from supervisor_memkill.listener.rivals import OURS
from supervisor_memkill.processes import ProcessInfo, ProcessState, ProgramInfo
from supervisor_memkill.workers.command_line import option_text
from supervisor_memkill.world.access import why_closed
from supervisor_memkill.world.supervisord import Supervisord, SupervisordError

LOG_BYTES = 256 * 1024
"""How much of supervisord's own log is read: hours of it, usually."""
LAST_LINE_BYTES, SHOWN = 4096, 300
PASSWORD = "SUPERVISOR_PASSWORD"


def pools(surveys: Iterable[PoolSurvey], coordinator: Coordinator) -> Iterator[PoolFacts]:
    """With the sizes of the pools on all hosts, as far as they are known. `coordinator` only reads."""
    sizes = PoolSizes()
    for survey in surveys:
        too_few: Sequence[TooFew] = ()
        if survey.findings and survey.terms.limit_bytes is not None:
            with contextlib.suppress(CoordinationUnknown):  # A finding of its own says that Redis is away.
                too_few = sizes.each_too_few(survey, survey.pool.config.min_available, coordinator)
        yield PoolFacts(survey, tuple(too_few))


def why_not_executable(command: str = "") -> str:
    """Why nobody can execute this command; empty: somebody can, or that is not known."""
    if "/" not in command:
        is_found = not command or shutil.which(command) is not None
        return "" if is_found else f"{command} is in no directory of PATH here; write the whole path"
    path = Path(command)
    if not path.is_absolute():
        return ""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return f"{command} does not exist"
    except OSError:
        return ""
    if not stat.S_ISREG(mode):
        return f"{command} is not a file"
    return "" if mode & 0o111 else f"{command} is not executable: its mode is {stat.S_IMODE(mode):04o}"


# --- the listener -------------------------------------------------------------------------------


def listeners(
    processes: Sequence[ProcessInfo], programs: Iterable[ProgramInfo], groups: Collection[str], known: str
) -> tuple[ProcessInfo, ...]:
    """The processes of our event listeners. `known`: the name of one by its own state; may be empty."""
    ours = {one.worker for one in programs if one.group in groups and OURS.search(one.command)} | {known}
    return tuple(one for one in processes if one.worker in ours)


def misplaced(
    processes: Iterable[ProcessInfo], programs: Iterable[ProgramInfo], groups: Collection[str]
) -> tuple[ProgramInfo, ...]:
    """Ordinary programs with the listener's command. The listener ends at once there; others may run."""
    running = {one.worker for one in processes if one.state is ProcessState.RUNNING}
    return tuple(
        one
        for one in programs
        if one.group not in groups and _is_listener(one.command) and one.worker not in running
    )


def _is_listener(command: str) -> bool:
    """It is our command with options alone: with another word, such as ``serve``, it may be a program."""
    ours = OURS.search(command)
    return ours is not None and re.match(r"\s+\w", command[ours.end() :]) is None


def groups_in_files(files: ProgramFiles) -> tuple[str, ...]:
    """The groups of our event listeners in supervisord's files."""
    ours = [one.group for one in files.programs if one.group in files.events and OURS.search(one.command)]
    return tuple(dict.fromkeys(ours))


def named_file(files: ProgramFiles) -> Path | None:
    """The file that --config in the command of our listener names; None: it names none."""
    for program in files.programs:
        if program.group in files.events and OURS.search(program.command):
            named = option_text(program.command, "--config")
            if named is not None and Path(named).is_absolute():
                return Path(named)
    return None


def last_line(supervisord: Supervisord, worker: str) -> str:
    """The last line that this process logged; empty if that is not known."""
    try:
        lines = supervisord.stderr_end(worker, LAST_LINE_BYTES).split("\n")
    except SupervisordError:
        return ""
    return next((one_line(line.strip())[:SHOWN] for line in reversed(lines) if line.strip()), "")


def in_unknown_state(supervisord: Supervisord, processes: Iterable[ProcessInfo]) -> frozenset[str]:
    """The listeners that supervisord sends no event any more; those of which its log says so."""
    try:
        log = supervisord.log_end(LOG_BYTES)
    except SupervisordError:
        return frozenset()
    return frozenset(one.worker for one in processes if is_unknown_by(log, one))


def is_unknown_by(log: str, process: ProcessInfo) -> bool:
    """The log's last word on this process is UNKNOWN (supervisor/dispatchers.py: _change_listener_state)."""
    name = re.escape(process.name)
    words = rf"spawned: '{name}' with pid (?P<pid>\d+)$|\b{name}: has entered the UNKNOWN state"
    found = list(re.finditer(words, log, re.MULTILINE))
    return bool(found) and found[-1]["pid"] is None


def closed_socket(sections: SupervisordSections, uid: int | None) -> str:
    """Why supervisord's socket is closed to the user of the listener; empty: it is open, or not known."""
    address = next(iter(sections.addresses()), None)
    if uid is None or address is None or not address.startswith("unix://"):
        return ""
    return why_closed(Path(address.removeprefix("unix://")), uid)


def lacks_password(sections: SupervisordSections, groups: Iterable[str]) -> bool:
    """The first server section wants a password, and nothing in the files gives it to the listener."""
    servers = [name for name in sections.values if name.partition(":")[0].endswith("_http_server")]
    first = next((name for name in servers if name.startswith("unix")), next(iter(servers), ""))
    if not sections.value(first, "password"):
        return False
    if "ENV_PATH" not in sections.names or f"ENV_{PASSWORD}" in sections.names:
        return False  # supervisord's environment is not known, or has it.
    places = ["supervisord", *(f"eventlistener:{group}" for group in groups)]
    return not any(PASSWORD in sections.values.get(place, {}).get("environment", "") for place in places)
