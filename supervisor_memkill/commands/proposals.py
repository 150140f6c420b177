"""The sections that a dry run proposes while no pool is configured, by the workers of supervisord."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supervisor_memkill.commands.table import wrap
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import MemkillError
from supervisor_memkill.processes import ProcessInfo, ProcessState
from supervisor_memkill.units import format_size
from supervisor_memkill.workers.command_line import option_text
from supervisor_memkill.workers.recognise import Known, framework_of, kinds_of
from supervisor_memkill.workers.wrappers import worker_elsewhere
from supervisor_memkill.world import redis_client
from supervisor_memkill.world.event_protocol import SUBSCRIPTION
from supervisor_memkill.world.redis_url import masked

if TYPE_CHECKING:
    from supervisor_memkill.workers.contract import Kind
    from supervisor_memkill.world.memory import ProcessTable

MEGABYTE = 1024**2
SMALL_STEP_BYTES, LARGE_STEP_BYTES = 50 * MEGABYTE, 512 * MEGABYTE
"""A proposed limit is a multiple of the first up to 1 GB, and of the second above."""
MAX_COLUMNS = 78
"""Of a comment: a terminal has 80."""
LOCAL_REDIS = "redis://localhost:6379/0"
_URL_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "celery": ("CELERY_BROKER_URL", "BROKER_URL"),
    "rq": ("RQ_REDIS_URL", "REDIS_URL"),
}
_URL_OPTIONS: Mapping[str, tuple[str, ...]] = {"celery": ("--broker", "-b"), "rq": ("--url", "-u")}
_OWN_NAME = re.compile(r"\s(?:-n|--hostname|--name|-i|--identifier)[\s=]\S+")
_CHANGING = re.compile(r"\[[0-9]+ of [0-9]+ busy\].*|^rq:worker:\S+")
"""What differs between workers that are started alike: their names, and what they do now."""


@dataclass(frozen=True)
class Seen:
    """One RUNNING worker of a kind."""

    process: ProcessInfo
    kind: str
    title: str
    memory_bytes: int | None
    """As the kind measures it; None: unknown."""
    url: str = ""
    """Of its Redis or broker, by its command line or environment, without its password; empty: not found."""


@dataclass(frozen=True)
class Proposal:
    """One section to write."""

    kind: str
    framework: str
    name: str
    """Of the pool."""
    programs: tuple[str, ...]
    """The patterns for the key of the same name."""
    workers: tuple[str, ...]
    limit_bytes: int
    """Twice what the largest worker uses now, rounded up."""
    section: str
    """The text to paste."""


def look(
    processes: Iterable[ProcessInfo],
    table: ProcessTable,
    known: Known,
    measure: Callable[[str, ProcessInfo], int | None],
) -> list[Seen]:
    """The processes that are surely workers of one kind.

    `measure` gives a worker's memory as this kind counts it.
    """
    found = []
    for process in processes:
        if process.state is not ProcessState.RUNNING or worker_elsewhere(process.pid, table):
            continue
        names = kinds_of(process.pid, table, known)
        if len(names) == 1:
            (kind,) = names
            title = table.title(process.pid)
            url = _url_of(kind, known[kind], process.pid, title, table)
            found.append(Seen(process, kind, title, measure(kind, process), url))
    return found


def propose(seen: Sequence[Seen], everything: Sequence[ProcessInfo], known: Known) -> list[Proposal]:
    """One section for workers of one kind that are started alike, in the order of their names.

    `everything`: all processes, of which a group's name may stand for those of the group.
    """
    pools: dict[tuple[str, str], list[Seen]] = {}
    for one in sorted(seen, key=lambda one: one.process.worker):
        alike = _CHANGING.sub("", _OWN_NAME.sub("", one.title))
        pools.setdefault((one.kind, alike), []).append(one)
    return [_proposal(workers, everything, known[kind]) for (kind, _), workers in pools.items()]


def _proposal(seen: Sequence[Seen], everything: Sequence[ProcessInfo], kind: type[Kind]) -> Proposal:
    programs = tuple(_patterns([one.process for one in seen], everything))
    name = programs[0].replace(":", "_")
    limit_bytes = limit_for(max((one.memory_bytes or 0 for one in seen), default=0))
    lines = [f"[memkill:{name}]"]
    if programs != (name,):
        lines.append(f"programs = {' '.join(programs)}")
    lines += [f"worker = {seen[0].kind}", *_limit_lines(seen, limit_bytes)]
    lines += _kind_lines(seen[0].kind, kind, next((one.url for one in seen if one.url), ""))
    if len(seen) == 1:
        lines += ["; one worker alone is never drained, unless nobody needs to stand in for it:"]
        lines += ["; min_available = 0"]
    workers = tuple(one.process.worker for one in seen)
    text = "\n".join(lines) + "\n"
    return Proposal(seen[0].kind, framework_of(kind), name, programs, workers, limit_bytes, text)


def _patterns(processes: Sequence[ProcessInfo], everything: Sequence[ProcessInfo]) -> Iterator[str]:
    """The names of groups, and of single workers of a group that has others as well."""
    ours = {process.worker for process in processes}
    for group in dict.fromkeys(process.group for process in processes):
        members = [process for process in everything if process.group == group]
        running = [one.worker for one in members if one.state is ProcessState.RUNNING]
        if ours.issuperset(running):
            yield group
        else:
            yield from (process.worker for process in processes if process.group == group)


def limit_for(largest_bytes: int) -> int:
    """Twice as much, rounded up to a figure that is easy to read."""
    twice = 2 * max(largest_bytes, 1)
    step = SMALL_STEP_BYTES if twice <= 1000 * MEGABYTE else LARGE_STEP_BYTES
    return -(-twice // step) * step


def _limit_lines(seen: Sequence[Seen], limit_bytes: int) -> Iterator[str]:
    largest = max((one.memory_bytes or 0 for one in seen), default=0)
    if largest:
        yield f"; the largest of them uses {format_size(largest)} now: twice that, rounded up"
    else:
        yield "; their memory could not be read: choose the limit yourself"
    yield f"max_rss = {format_size(limit_bytes)}"


def _kind_lines(name: str, kind: type[Kind], url: str) -> Iterator[str]:
    """The keys that this kind needs besides."""
    key = "broker" if "broker" in kind.options else "redis"
    values: dict[str, Any] = {option: known.default for option, known in kind.options.items()}
    if kind.needs_redis or key == "broker":
        yield from _url_lines(name, key, url)
        values |= {"redis": LOCAL_REDIS}
    for problem in kind.problems({"redis": None, **values}):
        yield from _as_comment(f"not complete yet: {problem}")


def _url_lines(name: str, key: str, url: str) -> Iterator[str]:
    if "***" in url:
        yield "; write the password in place of ***"
    elif key == "broker" and not url:
        yield from _as_comment("Celery's broker_url; on SQS, or without remote control, drain = stop instead")
    elif not url:
        yield "; the Redis of their jobs"
    yield f"{key} = {url or LOCAL_REDIS}"


def _as_comment(text: str) -> Iterator[str]:
    line = ";"
    for word in text.split():
        if len(line) + 1 + len(word) > MAX_COLUMNS:
            yield line
            line = ";"
        line = f"{line} {word}"
    yield line


def _url_of(name: str, kind: type[Kind], pid: int, title: str, table: ProcessTable) -> str:
    """The URL of the worker's Redis or broker, with a masked password; empty if none is found or is taken."""
    candidates = [option_text(title, *_URL_OPTIONS[name])] if name in _URL_OPTIONS else []
    try:
        environment = table.environment(pid)
    except MemkillError:
        environment = {}
    candidates += [environment.get(variable) for variable in _URL_VARIABLES.get(name, ("REDIS_URL",))]
    return next((masked(url) for url in candidates if url and _is_taken(kind, url)), "")


def _is_taken(kind: type[Kind], url: str) -> bool:
    check = kind.options["broker"].parse if "broker" in kind.options else redis_client.check
    try:
        check(masked(url))
    except (ValueError, MemkillError):
        return False
    return re.fullmatch(r"[!-~]+", url) is not None and "%(" not in url


# --- as text ------------------------------------------------------------------------------------

LISTENER = """\
[eventlistener:memkill]
command = {command}
{events}
stdout_logfile = NONE
"""
LOG_DIRECTORY = Path("/var/log/supervisor")
"""Debian's; elsewhere supervisord chooses the file."""
HOW = (
    "To have them watched, write this into a file that supervisord includes, such as "
    "/etc/supervisor/conf.d/memkill.conf, run this command again, and then supervisorctl update:"
)
SHOWN_WORKERS = 3


def listener_section(command: str, log_directory: Path = LOG_DIRECTORY) -> str:
    """The section of the listener itself."""
    log = f"stderr_logfile = {log_directory}/memkill.log\n" if log_directory.is_dir() else ""
    return LISTENER.format(command=command, events=SUBSCRIPTION) + log


def as_text(proposals: Sequence[Proposal], listener: str, columns: int | None) -> str:
    """What the workers look like, and what to write. `listener`: its section; empty if there is one."""
    looks = [wrap(_in_words(one), columns) for one in proposals]
    how = wrap(HOW, columns)
    sections = [text for text in (listener, *(one.section for one in proposals)) if text]
    return "\n".join([*looks, how, "", "\n".join(sections)])


def _in_words(proposal: Proposal) -> str:
    first, rest = proposal.workers[:SHOWN_WORKERS], len(proposal.workers) - SHOWN_WORKERS
    more = f" and {rest} more" if rest > 0 else ""
    what = f"{proposal.framework} worker"
    look = f"These look like {what}s" if len(proposal.workers) > 1 else f"This looks like one {what}"
    return f"{look}: {', '.join(first)}{more}"
