"""Read command lines: which program runs, whether a wrapper runs it, and what its options say."""

from __future__ import annotations

import functools
import re
import shlex
from dataclasses import dataclass
from pathlib import PurePath

SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "zsh"})
BLOCKING_WRAPPERS = frozenset(
    {"su", "runuser", "sudo", "doas", "timeout", "dumb-init", "flock", "script", "conda", "dotenv"}
)
"""Wrappers that do not pass the stop signal to their child as supervisord sends it.

su and runuser answer TERM with TERM and, 2 s later, with SIGKILL (util-linux, login-utils/su-common.c), and
do not pass INT; timeout, sudo and dumb-init signal all processes below them at once, which many workers take
for a second signal; the others end alone.
"""
KILLING_WRAPPERS = frozenset({"su", "runuser"})
"""Those that kill their child at the stop, although its jobs are running."""
PASSING_WRAPPERS = frozenset({"uv"})
"""Wrappers that stay as the parent and pass TERM to their child; uv below 0.7 swallows the first INT."""


def is_shell(title: str) -> bool:
    """The process with this command line is a shell: the worker is a process below it."""
    words = title.split()
    return bool(words) and PurePath(words[0].removeprefix("-")).name in SHELLS


def blocking_wrapper(title: str) -> str:
    """The name of the shell or blocking wrapper that runs with this command line; empty for others."""
    words = [PurePath(word.removeprefix("-")).name for word in title.split()[:2]]
    if len(words) == 2 and words[0].startswith("python"):
        del words[0]
    return words[0] if words and words[0] in SHELLS | BLOCKING_WRAPPERS else ""


def why_wrapped(title: str, framework: str) -> str:
    """Why the process with this command line gets no signal meant for the framework; empty if it may."""
    name = blocking_wrapper(title)
    if not name:
        return ""
    if name in SHELLS:
        return f"{title[:60]!r} is a shell: start {framework} with exec, so that the stop signal reaches it"
    return f"{title[:60]!r}: {name} does not pass the stop signal unchanged: start {framework} without {name}"


def has_worker_below(title: str) -> bool:
    """The process with this command line is a wrapper: the worker below it holds the memory."""
    words = title.split()
    return bool(blocking_wrapper(title)) or bool(words and PurePath(words[0]).name in PASSING_WRAPPERS)


def is_shell_without_exec(command: str) -> bool:
    """``sh -c 'cd app; bundle exec sidekiq'``: that exec is Bundler's word, not the shell's."""
    script = _shell_script(command)
    begin = r"(?:^|[;&|(\n]|\bthen\b|\bdo\b)\s*(?:\w+=\S*\s+)*exec\s"
    return script is not None and re.search(begin, script) is None


@functools.lru_cache(maxsize=1024)  # Every look asks this for every worker, and shlex is slow.
def _shell_script(command: str) -> str | None:
    """The script that a shell gets by ``-c``; None for other commands."""
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


def option_text(command: str, *names: str) -> str | None:
    """The value of an option on a command line, after white space or ``=``; the last one counts.

    `names` are the option's names. A name of one letter may have its value joined to it (``-t60``). None if
    the option is not given.
    """
    found = None
    for name in names:
        if name.startswith("--"):
            for match in re.finditer(r"(?:^|\s)(--[\w-]+)(?:\s+|=)([^\s'\"]+)", command):
                # argparse and optparse accept the beginning of a name.
                if match[1] == name or (len(match[1]) > 5 and name.startswith(match[1])):
                    found = match[2]
            continue
        joint = r"(?:\s+|=)?" if re.fullmatch(r"-\w", name) else r"(?:\s+|=)"
        for match in re.finditer(rf"(?:^|\s){re.escape(name)}{joint}([^\s'\"]+)", command):
            found = match[1]
    return found


def option_number(command: str, *names: str) -> float | None:
    """The same as a number; None if it is not given or is not a number."""
    try:
        return float(option_text(command, *names) or "")
    except ValueError:
        return None


@dataclass(frozen=True)
class TimeOption:
    """A command-line option of a framework that holds a duration."""

    names: tuple[str, ...]
    """All its names, such as ``("-t", "--timeout")``; messages use the last one."""
    default: float | None = None
    """The framework's own default, in the option's unit; None for no limit."""
    seconds_per_unit: float = 1.0
    """0.001 for an option in milliseconds."""

    @property
    def name(self) -> str:
        return self.names[-1]

    def seconds(self, command: str) -> float | None:
        """The duration in force on this command line, in seconds; None for no limit."""
        number = self._number(command)
        return None if number is None else number * self.seconds_per_unit

    def setting(self, command: str) -> str:
        """The option as it is in force, such as ``--timeout=8``; the unit is named unless it is seconds."""
        remarks = ["milliseconds"] if self.seconds_per_unit != 1 else []
        if option_number(command, *self.names) is None:
            remarks.append("default")
        shown = f" ({', '.join(remarks)})" if remarks else ""
        return f"{self.name}={self._number(command):.10g}{shown}"

    def _number(self, command: str) -> float | None:
        """The value in force, in the option's unit."""
        given = option_number(command, *self.names)
        return self.default if given is None else given
