"""What in a program's supervisord settings could lose jobs, as far as kinds have it in common."""

from __future__ import annotations

import functools
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


STAY_BETWEEN = frozenset(
    {"su", "runuser", "sudo", "doas", "timeout", "dumb-init", "flock", "script", "conda", "dotenv"}
)
"""What they start is not stopped as supervisord says. su and runuser answer TERM with TERM and, 2 s later,
SIGKILL (util-linux, login-utils/su-common.c), and pass INT on to nobody; timeout, sudo and dumb-init signal
all below them at once, which many workers take for a second signal; the others end alone."""
PASS_TERM_ON = frozenset({"uv"})
"""They stay as the parent, and pass TERM on; uv swallowed the first INT until 0.7."""


def stays_between(title: str) -> str:
    """The name of the shell or starter that this command line is of, with its worker below it; or empty."""
    words = [PurePath(word.removeprefix("-")).name for word in title.split()[:2]]
    if len(words) == 2 and words[0].startswith("python"):
        del words[0]
    return words[0] if words and words[0] in SHELLS | STAY_BETWEEN else ""


def why_between(title: str, framework: str) -> str:
    """Why the process with this command line gets no signal meant for the framework; empty when it may."""
    name = stays_between(title)
    if not name:
        return ""
    if name in SHELLS:
        return f"{title[:60]!r} is a shell: start {framework} with exec, so that the stop reaches it"
    return f"{title[:60]!r}: {name} does not pass the stop on as it is: start {framework} without it"


def is_measured_below(title: str) -> bool:
    """The process with this command line has started another one, which holds the memory."""
    words = title.split()
    return bool(stays_between(title)) or bool(words and PurePath(words[0]).name in PASS_TERM_ON)


def is_wrapped_without_exec(command: str) -> bool:
    """``sh -c 'cd app; bundle exec sidekiq'``: there exec is Bundler's word, not the shell's."""
    script = _script_of_shell(command)
    begin = r"(?:^|[;&|(\n]|\bthen\b|\bdo\b)\s*(?:\w+=\S*\s+)*exec\s"
    return script is not None and re.search(begin, script) is None


@functools.lru_cache(maxsize=1024)  # Every look asks it of every worker, and shlex is slow.
def _script_of_shell(command: str) -> str | None:
    """What a shell is told to do by its ``-c``; None where the command is none such."""
    try:
        shell, *words = shlex.split(command)
    except ValueError:
        return None
    if PurePath(shell).name not in SHELLS:
        return None
    for index, word in enumerate(words[:-1]):
        if re.fullmatch(r"-[a-z]*c", word):
            return words[index + 1]
        if not word.startswith("-"):
            break
    return None


def option_in(command: str, *names: str) -> str | None:
    """The value that a command line gives an option, after white space or ``=``; the last one counts.

    A name of one letter after one dash may have its value joined to it (``-t60``).
    """
    found = None
    for name in names:
        if name.startswith("--"):
            for match in re.finditer(r"(?:^|\s)(--[\w-]+)(?:\s+|=)([^\s'\"]+)", command):
                # argparse and optparse take a beginning of the name for it.
                if match[1] == name or (len(match[1]) > 5 and name.startswith(match[1])):
                    found = match[2]
            continue
        joint = r"(?:\s+|=)?" if re.fullmatch(r"-\w", name) else r"(?:\s+|=)"
        for match in re.finditer(rf"(?:^|\s){re.escape(name)}{joint}([^\s'\"]+)", command):
            found = match[1]
    return found


def wrapper_advice(program: ProgramInfo, framework: str, *, refuses: bool = False) -> Iterator[Advice]:
    """Its command is a shell, or a starter, that stays in between."""
    name = stays_between(program.command)
    if name in STAY_BETWEEN:
        yield Advice(
            f"its command is {name}, which does not pass the stop on as it is: start it without", refuses
        )
    elif is_wrapped_without_exec(program.command):
        # bash itself replaces itself by the last command of its list, or does not: the process will show.
        refuses = refuses and name != "bash"
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
            "whether stopasgroup is set could not be found out (supervisord's configuration files cannot be "
            f"read, or programs of one group differ in it); it must not be: {why}",
            refuses,
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
