"""Find supervisord settings of a program that could lose jobs: building blocks for kinds.

Each function yields an Advice for every problem that it finds, and nothing if all is well.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Collection, Iterator

from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.units import format_duration, format_size
from supervisor_memkill.workers.command_line import (
    BLOCKING_WRAPPERS,
    KILLING_WRAPPERS,
    TERM_ONLY_WRAPPERS,
    blocking_wrapper,
    is_shell_without_exec,
    program_in,
)
from supervisor_memkill.workers.contract import Advice

SUPERVISORD_STOPWAITSECS = 10
"""supervisord's default, which nobody chose for the jobs of this program (supervisor/options.py)."""
LONGEST_JOB = "the duration of the longest job"
STOP_MARGIN_SECONDS = 5
"""What a framework needs beside its own timeout: Sidekiq's author allows so much for the jobs' way back."""


def advise_on_stopsignal(
    program: ProgramInfo,
    allowed: Collection[str],
    why: str,
    *,
    refuses: bool = False,
    cuts_jobs: bool = False,
) -> Iterator[Advice]:
    """stopsignal is not one of the `allowed`, such as ``{"TERM"}``; `why` follows a colon."""
    name = _signal_name(program.stopsignal)
    if name not in allowed:
        text = f"stopsignal={name} must be {' or '.join(sorted(allowed))}: {why}"
        yield Advice(text, refuses, cuts_jobs)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:
        return str(number)


def advise_on_stopasgroup(program: ProgramInfo, why: str, *, refuses: bool = False) -> Iterator[Advice]:
    """stopasgroup is true, or may be, and harms; `why` follows a colon."""
    if program.stopasgroup:
        yield Advice(f"remove stopasgroup=true: {why}", refuses)
    elif program.stopasgroup is None and program.killasgroup:
        yield Advice(
            "stopasgroup is unknown (supervisord's configuration files cannot be read, or the programs of a "
            f"group differ in it), and it must be false: {why}",
            refuses,
        )


def advise_on_reached_children(program: ProgramInfo) -> Iterator[Advice]:
    """stopasgroup is true: it does not harm the worker itself, but maybe what its jobs have started."""
    if program.stopasgroup:
        yield from advise_on_stopasgroup(
            program, "the stop signal also reaches processes that running jobs have started"
        )


def advise_on_stopwaitsecs(
    program: ProgramInfo,
    seconds: float,
    what: str,
    *,
    other_way: str = "",
    refuses: bool = False,
    cuts_jobs: bool = False,
) -> Iterator[Advice]:
    """stopwaitsecs is not above `seconds`, the duration of `what` (a noun, such as an option's name).

    `other_way` is what to change in the framework instead, such as "start the worker with -t 5".
    """
    if program.stopwaitsecs <= seconds:
        ways = f"; set stopwaitsecs = {seconds + STOP_MARGIN_SECONDS:g}, or {other_way}" if other_way else ""
        yield Advice(
            f"stopwaitsecs={program.stopwaitsecs} must be above {what} of {seconds:g} s, such as "
            f"{seconds + STOP_MARGIN_SECONDS:g}: otherwise SIGKILL cuts running jobs{ways}",
            refuses,
            cuts_jobs,
        )


def advise_on_drain_timeout(
    program: ProgramInfo, framework: str, drain_timeout_seconds: float | None, *, longest: str = LONGEST_JOB
) -> Iterator[Advice]:
    """stopwaitsecs gives jobs too little time, for a framework that drains by stopping.

    It is below drain_timeout; or nobody set drain_timeout (None), and stopwaitsecs is supervisord's default,
    so that nobody said how long the jobs of this program take. `longest` is what stopwaitsecs must cover.
    """
    seconds = program.stopwaitsecs
    cuts = f"{framework} drains by stopping, and SIGKILL after stopwaitsecs would cut jobs that need longer"
    other = f"; or, if no job takes longer than {seconds} s, set drain_timeout = {seconds}s in the pool"
    other = other if seconds else ""
    if drain_timeout_seconds is None:
        if seconds in (0, SUPERVISORD_STOPWAITSECS):
            default = " (supervisord's default)" if seconds else ""
            yield Advice(
                f"stopwaitsecs={seconds}{default}, and drain_timeout is not set: {cuts}; set stopwaitsecs to "
                f"{longest}{other}",
                refuses=True,
            )
    elif seconds < drain_timeout_seconds:
        timeout = format_duration(drain_timeout_seconds)
        yield Advice(
            f"stopwaitsecs={seconds} is below drain_timeout={timeout}: {cuts}; set stopwaitsecs = "
            f"{math.ceil(drain_timeout_seconds)} in supervisord's section of the program{other}",
            refuses=True,
        )


def advise_on_job_limit(
    seconds: float, setting: str, framework: str, drain_timeout_seconds: float | None
) -> Iterator[Advice]:
    """The framework itself cuts jobs so many seconds after the stop signal, which is below drain_timeout.

    `setting` is the framework's setting as it is in force, such as ``--timeout=8``. `drain_timeout_seconds`
    None: nobody set it, so that nobody allowed the jobs more time than the framework gives them.
    """
    if drain_timeout_seconds is not None and seconds < drain_timeout_seconds:
        timeout = format_duration(drain_timeout_seconds)
        yield Advice(
            f"{setting} is below drain_timeout={timeout}: {framework} drains by stopping, and cuts jobs that "
            "need longer than that; raise it, or set drain_timeout to the duration of the longest job",
            refuses=True,
        )


def advise_on_memory_limit(
    limit_bytes: float, setting: str, framework: str, max_rss_bytes: int | None
) -> Iterator[Advice]:
    """The framework's own memory limit ends a worker before its pool's max_rss does; 0 is no limit.

    `setting` is the framework's setting as it is in force, such as ``--memory=128``.
    """
    if max_rss_bytes is not None and 0 < limit_bytes <= max_rss_bytes:
        yield Advice(
            f"{setting} is not above max_rss={format_size(max_rss_bytes)}: {framework}'s own limit comes "
            "first, and ends workers whether or not others are in service; set it to twice max_rss",
            comes_first=True,
        )


def advise_on_killasgroup(program: ProgramInfo, framework: str) -> Iterator[Advice]:
    """killasgroup is false, and the worker processes survive the SIGKILL of their parent."""
    if not program.killasgroup:
        yield Advice(
            f"killasgroup=false should be true: after a SIGKILL {framework}'s worker processes would go on "
            "without their parent, and keep taking jobs"
        )


def advise_on_killed_group(program: ProgramInfo, harm: str) -> Iterator[Advice]:
    """killasgroup is true, and a SIGKILL for the whole group does this harm; an empty text is no harm."""
    if harm and program.killasgroup:
        yield Advice(f"remove killasgroup=true: {harm}")


def advise_on_wrapper(program: ProgramInfo, framework: str, *, refuses: bool = False) -> Iterator[Advice]:
    """A shell without exec, or a wrapper that does not pass the stop signal unchanged, runs the framework.

    The running process decides. The command decides only if the process cannot be seen.
    """
    seen = program.command if program.running is None else program.running
    name = blocking_wrapper(seen)
    if program_in(seen) in TERM_ONLY_WRAPPERS and program.stopsignal != signal.SIGTERM:
        name = program_in(seen)
        yield Advice(f"{name} ignores all stop signals but TERM: set stopsignal=TERM", refuses)
    elif name in BLOCKING_WRAPPERS:
        yield Advice(
            f"command: {name} does not pass the stop signal unchanged: start {framework} without {name}",
            refuses,
            cuts_jobs=name in KILLING_WRAPPERS,
        )
    elif (name and program.running is not None) or is_shell_without_exec(seen):
        # bash may or may not replace itself by the last command of its list: the running process shows it.
        refuses = refuses and (name != "bash" or program.running is not None)
        orphan = "" if program.killasgroup else "; without killasgroup=true a SIGKILL leaves it running"
        yield Advice(
            f"command is a shell without exec: stopsignal reaches the shell and not {framework}{orphan}",
            refuses,
        )
