"""Read command lines: which program runs, whether a wrapper runs it, and what its options say."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import PurePath

from supervisor_memkill.dataclass import dataclass

SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "zsh"})
_SIGNAL_ALL = frozenset({"timeout", "sudo", "doas", "dumb-init"})
"""They signal all processes below them at once, which many workers take for a second signal."""
_STOP_OTHERWISE = frozenset({"su", "runuser", "honcho", "foreman", "watchmedo", "script"})
"""su and runuser answer TERM with TERM and, 2 s later, with SIGKILL (util-linux, su-common.c). They
ignore INT. honcho and foreman always send TERM, and SIGKILL 5 s later; watchmedo sends INT, and SIGKILL
10 s later; script hangs up."""
_PASS_NOTHING = frozenset(
    {"flock", "conda", "dotenv", "hatch", "npm", "npx", "yarn", "pnpm", "setsid", "xargs"}
)
"""They end alone, or ignore the signal."""
_PASS_LITTLE = frozenset({"make", "strace", "unshare"})
"""make passes TERM alone, strace and unshare ignore the signal."""
BLOCKING_WRAPPERS = _SIGNAL_ALL | _STOP_OTHERWISE | _PASS_NOTHING | _PASS_LITTLE
"""Wrappers that do not pass the stop signal to their child as supervisord sends it."""
KILLING_WRAPPERS = frozenset({"su", "runuser"})
"""Those that kill their child at the stop, although its jobs are running."""
PASSING_WRAPPERS = frozenset({"uv", "tini", "pdm"})
"""Wrappers that stay as the parent and pass TERM to their child; uv below 0.7 swallows the first INT."""
TERM_ONLY_WRAPPERS = frozenset({"pdm"})
"""They ignore INT (pdm 2.26)."""

SHOWN_CHARACTERS = 60
_USERINFO = re.compile(r"://[^\s'\"]*@")
_INTERPRETERS = re.compile(r"(python|pypy|ruby|node|nodejs|perl|bun)[0-9.]*")
_RUNS_BUNDLE = re.compile(r"bundle[-.0-9]* exec$")
"""Debian and rbenv have names with a version, such as ``bundle3.1``."""
_VALUE_OPTIONS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("python", "pypy"), frozenset({"-W", "-X"})),
    "ruby": frozenset({"-C", "-E", "-I", "-r"}),
}
"""Options of interpreters whose value may be the next word."""
_CONTAINER_WORDS = ("run", "exec", "start", "up", "attach")
_ELSEWHERE: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("docker", "podman", "nerdctl", "docker-compose", "podman-compose"), _CONTAINER_WORDS),
    **dict.fromkeys(("kubectl", "oc"), ("run", "exec", "attach")),
    **dict.fromkeys(("lxc", "incus"), ("exec",)),
    "vagrant": ("ssh",),
    **dict.fromkeys(("systemd-run", "ssh", "ddev", "lando"), ()),
}
"""Programs that start a process which is not below them, by the words that make them do so; none: always."""
_PARTS = ("compose", "container")
"""Parts of docker's command line, before that word."""
_GLOBAL_OPTIONS = frozenset(
    {"-H", "--host", "-c", "--context", "--config", "-l", "--log-level", "-n", "-f", "-p"}
)
"""Options before that word, which have a value."""


def is_shell(title: str) -> bool:
    """The process with this command line is a shell: the worker is a process below it."""
    words = title.split()
    return bool(words) and PurePath(words[0].removeprefix("-")).name in SHELLS


def words_in(title: str) -> list[str]:
    """The name of the program with this command line, then its arguments, without an interpreter before it.

    The name of a script is without its directory, that of a module without its package's parts.
    """
    return list(_words_in(title))


@functools.lru_cache(maxsize=1024)  # A look asks some times for each worker, and most titles do not change.
def _words_in(title: str) -> Sequence[str]:
    words = title.split()
    if not words:
        return []
    name = PurePath(words[0].removeprefix("-")).name
    interpreter = _INTERPRETERS.fullmatch(name)
    if interpreter:
        has_value = False
        for index, word in enumerate(words[1:], 1):
            if has_value:
                has_value = False
            elif word == "-m" and index + 1 < len(words):
                return [words[index + 1].partition(".")[0], *words[index + 2 :]]
            elif not word.startswith("-"):
                return [PurePath(word).name, *words[index + 1 :]]
            else:
                has_value = word in _VALUE_OPTIONS.get(interpreter[1], ())
    return [name.removesuffix(":"), *words[1:]]


def program_in(title: str) -> str:
    """The name of the program with this command line: of the script or module, if an interpreter runs one."""
    return "".join(words_in(title)[:1])


def words_run(title: str) -> list[str]:
    """The same as `words_in`, for what ``bundle exec`` and the like run, which replace themselves by it."""
    words = words_in(title)
    if words[:2] in (["poetry", "run"], ["pipenv", "run"]) or _RUNS_BUNDLE.match(" ".join(words[:2])):
        return words_in(" ".join(words[2:]))
    return words


@functools.lru_cache(maxsize=1024)  # As for `_words_in`.
def commands_in(title: str) -> frozenset[str]:
    """The program with this command line, and the words that may be its command.

    ``manage.py rqworker``, ``django-admin rqworker`` and ``coverage run manage.py rqworker`` have the command
    rqworker. ``gunicorn --chdir /srv/rqworker`` and ``gunicorn --name rqworker`` have not.
    """
    words = words_run(title)
    behind_scripts = [word for before, word in pairwise(words) if before.endswith(".py")]
    plain = [word for before, word in pairwise(words) if not (before.startswith("-") or word.startswith("-"))]
    return frozenset([*words[:2], *behind_scripts, *plain[:1]])


def beginning(title: str) -> str:
    """The beginning of a command line for a message, which may travel far: no password of a URL is in it."""
    return _USERINFO.sub("://***@", title)[:SHOWN_CHARACTERS]


def has_words(title: str, text: str) -> bool:
    """Whether the text is in the command line as whole words; a path may stand before it."""
    return re.search(rf"(?:^|[\s/]){re.escape(text)}(?=\s|$)", title) is not None


def blocking_wrapper(title: str) -> str:
    """The name of the shell or blocking wrapper that runs with this command line; empty for others."""
    name = program_in(title)
    return name if name in SHELLS | BLOCKING_WRAPPERS else ""


def why_wrapped(title: str, framework: str) -> str:
    """Why the process with this command line gets no signal meant for the framework; empty if it may."""
    name = blocking_wrapper(title)
    if not name:
        return ""
    shown = beginning(title)
    if name in SHELLS:
        return f"{shown!r} is a shell: start {framework} with exec, so that the stop signal reaches it"
    return f"{shown!r}: {name} does not pass the stop signal unchanged: start {framework} without {name}"


def has_worker_below(title: str) -> bool:
    """The process with this command line is a wrapper: the worker below it holds the memory."""
    return bool(blocking_wrapper(title)) or program_in(title) in PASSING_WRAPPERS


def starts_elsewhere(title: str) -> str:
    """``docker run`` and the like, which start a worker where it cannot be seen; empty for others."""
    words = title.split()
    name = program_in(title)
    if name not in _ELSEWHERE or not words or PurePath(words[0]).name != name:
        return ""
    starting = _ELSEWHERE[name]
    if not starting:
        return name
    rest = iter(words[1:])
    for word in rest:
        if word in _GLOBAL_OPTIONS:
            next(rest, "")
        elif word in _PARTS:
            continue
        elif not word.startswith("-"):
            return f"{name} {word}" if word in starting else ""
    return ""


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
    has_value = False
    for index, word in enumerate(words[:-1]):
        if has_value:
            has_value = False
        elif re.fullmatch(r"-[abd-np-z]*c[abd-np-z]*", word):
            return words[index + 1]
        elif not word.startswith("-"):
            break
        else:
            has_value = re.fullmatch(r"-[a-z]*[oO]", word) is not None
    return None


def option_text(command: str, *names: str) -> str | None:
    """The value of an option on a command line, after white space or ``=``; the last one counts.

    `names` are the option's names. A name of one letter may have its value joined to it (``-t60``). Quotes
    may stand around the value or the whole option, as supervisord's `command` has them. None if the option is
    not given.
    """
    found = [one for name in names for one in _given(command, name)]
    return max(found)[1] if found else None


def _given(command: str, name: str) -> Iterator[tuple[int, str]]:
    """The values of the option with this name, each with its place on the command line."""
    begin, value = r"(?:^|[\s'\"])", r"['\"]?([^\s'\"]+)"
    if name.startswith("--"):
        for match in re.finditer(rf"{begin}(--[\w-]+)['\"]?(?:\s+|=){value}", command):
            # argparse and optparse accept the beginning of a name.
            if match[1] == name or (len(match[1]) > 5 and name.startswith(match[1])):
                yield match.start(), match[2]
        return
    joint = r"(?:\s+|=)?" if re.fullmatch(r"-\w", name) else r"(?:\s+|=)"
    for match in re.finditer(rf"{begin}{re.escape(name)}['\"]?{joint}{value}", command):
        yield match.start(), match[1]


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
