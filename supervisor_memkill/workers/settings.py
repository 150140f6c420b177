"""What in a program's supervisord settings could lose jobs, as far as kinds have it in common."""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Collection, Iterator
from pathlib import PurePath

from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.units import format_duration
from supervisor_memkill.workers.contract import Advice

SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "zsh"})


def is_shell(title: str) -> bool:
    """The process with this command line is a shell: another one, below it, does the work."""
    words = title.split()
    return bool(words) and PurePath(words[0].removeprefix("-")).name in SHELLS


def is_wrapped_without_exec(command: str) -> bool:
    """``sh -c 'cd app; bundle exec sidekiq'``: there exec is Bundler's word, not the shell's."""
    try:
        shell, option, script, *_ = shlex.split(command)
    except ValueError:
        return False
    is_wrapper = PurePath(shell).name in SHELLS and re.fullmatch(r"-[a-z]*c", option) is not None
    return is_wrapper and re.search(r"(?:^|[;&|(\n])\s*exec\s", script) is None


def option_in(command: str, *names: str) -> str | None:
    """The value that a command line gives an option, after white space or ``=``; the last one counts.

    A name of one letter after one dash may have its value joined to it (``-t60``).
    """
    found = None
    for name in names:
        joint = r"(?:\s+|=)?" if re.fullmatch(r"-\w", name) else r"(?:\s+|=)"
        for match in re.finditer(rf"(?:^|\s){re.escape(name)}{joint}([^\s'\"]+)", command):
            found = match[1]
    return found


def wrapper_advice(program: ProgramInfo, framework: str, *, refuses: bool = False) -> Iterator[Advice]:
    """Its command is a shell that stays in between."""
    if is_wrapped_without_exec(program.command):
        orphan = "" if program.killasgroup else ", and without killasgroup=true SIGKILL leaves it behind"
        yield Advice(
            f"its command is a shell without exec: stopsignal reaches the shell, not {framework}{orphan}",
            refuses,
        )


def signal_advice(
    program: ProgramInfo, allowed: Collection[str], why: str, *, refuses: bool = False
) -> Iterator[Advice]:
    """Its stopsignal is not one of the `allowed`, such as ``{"TERM"}``; `why` follows a colon."""
    name = _signal_name(program.stopsignal)
    if name not in allowed:
        yield Advice(f"stopsignal={name} must be {' or '.join(sorted(allowed))}: {why}", refuses)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:
        return str(number)


def group_advice(program: ProgramInfo, why: str, *, refuses: bool = False) -> Iterator[Advice]:
    """Its stopasgroup is set, or may be; `why` follows a colon."""
    if program.stopasgroup:
        yield Advice(f"stopasgroup=true must go: {why}", refuses)
    elif program.stopasgroup is None and program.killasgroup:
        yield Advice(
            "supervisord's configuration file was not found, so whether stopasgroup is set is unknown; "
            f"it must not be: {why}"
        )


def wait_advice(
    program: ProgramInfo, seconds: float, what: str, *, refuses: bool = False
) -> Iterator[Advice]:
    """supervisord's SIGKILL comes no later than `what` (a noun) of so many seconds ends."""
    if program.stopwaitsecs <= seconds:
        yield Advice(
            f"stopwaitsecs={program.stopwaitsecs} must be above {what} of {seconds:g} s, such as "
            f"{seconds + 5:g}: a SIGKILL cuts the jobs in hand",
            refuses,
        )


def drain_advice(program: ProgramInfo, drain_timeout_seconds: float) -> Iterator[Advice]:
    """For a kind that drains by its stop: its jobs get stopwaitsecs, and were promised drain_timeout."""
    if program.stopwaitsecs < drain_timeout_seconds:
        timeout = format_duration(drain_timeout_seconds)
        yield Advice(
            f"stopwaitsecs={program.stopwaitsecs} is below drain_timeout={timeout}: its stop is its drain,"
            f" and supervisord's SIGKILL would cut jobs that may take so long; set stopwaitsecs="
            f"{drain_timeout_seconds:.0f}, or drain_timeout to what the longest job takes",
            refuses=True,
        )
