"""Parses the arguments of ``supervisor-memkill``, and chooses the command. A wrong word is a UsageError."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from supervisor_memkill import __version__
from supervisor_memkill.commands import (
    demo,
    doctor,
    dry_run,
    history,
    listen,
    notify,
    output,
    pause,
    restart,
    sample,
    serve,
    status,
    suspects,
)
from supervisor_memkill.commands.command import (
    CONFIG,
    JSON,
    PROGRAM,
    SERVER_OPTIONS,
    Command,
)
from supervisor_memkill.errors import UsageError

COMMAND = "command"
"""The attribute of the parsed arguments that holds the command's name; None: no name was typed."""

COMMANDS = (
    status.COMMAND,
    history.COMMAND,
    suspects.COMMAND,
    restart.COMMAND,
    pause.PAUSE,
    pause.UNPAUSE,
    doctor.COMMAND,
    notify.COMMAND,
    serve.COMMAND,
    demo.COMMAND,
)
"""The commands that are typed by name. A further command is one module, and one entry here."""

NAMELESS = (listen.COMMAND, dry_run.COMMAND, sample.COMMAND)
"""The commands that an option, or no word at all, stands for."""

OPTIONS = (CONFIG, dry_run.OPTION, JSON, sample.OPTION, *SERVER_OPTIONS)
"""The options that may stand before the name of a command, in the order of the help."""


def parse(
    argv: Sequence[str],
    environ: Mapping[str, str],
    process: int | None = None,
    commands: Sequence[Command] = COMMANDS,
) -> tuple[Command, argparse.Namespace]:
    """The command that these arguments ask for, and its arguments. Raises UsageError.

    `process`: the pid of the process that the arguments are for; None: this one.
    """
    parser = parser_of(commands)
    _refuse_unknown_options(argv, parser.known)
    arguments, unexpected = parser.parse_known_args(argv)
    command = _choose(arguments, environ, process, commands)
    given = [
        option.flag for option in OPTIONS if option.is_given(arguments) and option not in command.options
    ]
    if refused := [*given, *unexpected]:
        raise UsageError(_refusal(command, refused[0].partition("=")[0], parser.takers))
    return command, arguments


def _choose(
    arguments: argparse.Namespace,
    environ: Mapping[str, str],
    process: int | None,
    commands: Sequence[Command],
) -> Command:
    for command in commands:
        if command.name == getattr(arguments, COMMAND):
            return command
    if sample.OPTION.is_given(arguments):
        return sample.COMMAND
    if dry_run.OPTION.is_given(arguments) and not listen.is_run_by_supervisord(
        environ, arguments.config, process
    ):
        return dry_run.COMMAND
    return listen.COMMAND


def _refusal(command: Command, word: str, takers: Mapping[str, Sequence[str]]) -> str:
    if {command.name, word} <= {one.name for one in NAMELESS}:
        return f"write either {word} or {command.name}, not both"
    if word not in takers:
        return f"{command.name} does not take {word!r} (try --help)"
    if command.name in takers[word]:
        return f"write {word} behind {command.name}, not before it"
    if not any(command.name in names for names in takers.values()):
        return f"{command.name} takes no options: remove {word}"
    *others, last = takers[word]
    named = f"{', '.join(others)} and {last}" if others else last
    return f"{command.name} does not take {word}: it is an option of {named}"


class _Parser(argparse.ArgumentParser):
    """Raises UsageError, which becomes one line, and remembers which options there are."""

    def __init__(self, **settings: Any) -> None:
        self.known: set[str] = set()
        self.takers: dict[str, list[str]] = {}
        """The names of the commands that take an option."""
        super().__init__(**{"allow_abbrev": False, **settings})

    def add_argument(self, *names: Any, **settings: Any) -> argparse.Action:
        self.known.update(name for name in names if name.startswith("-"))
        return super().add_argument(*names, **settings)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (try --help)")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Called for the help and the version. argparse itself ignores an error of the output."""
        output.show(message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """argparse's own message has no suggestion, and differs between versions of Python."""
        if action.dest == COMMAND and action.choices is not None and value not in action.choices:
            hint = _near(value, action.choices) or f", known: {', '.join(action.choices)}"
            raise UsageError(f"unknown command {value!r}{hint} (try --help)")
        super()._check_value(action, value)


OF_SUPERVISORCTL = {"-c": "--config", "-s": "--serverurl", "-u": "--username", "-p": "--password"}
"""The short options of supervisorctl, and the options with the same meaning here."""


def _refuse_unknown_options(argv: Iterable[str], known: Iterable[str]) -> None:
    """Checked first: argparse would take the value of a misspelt option for a command."""
    for word in argv:
        if word == "--":
            return
        name = word.partition("=")[0]
        if _is_option(word) and name not in known:
            hint = OF_SUPERVISORCTL.get(name, "")
            hint = f", did you mean {hint}?" if hint else _near(name, known)
            raise UsageError(f"unknown option {name}{hint} (try --help)")


def _is_option(word: str) -> bool:
    """As argparse decides it: text with a blank and negative numbers may be the value of an option."""
    return re.match("-[-A-Za-z]", word) is not None and " " not in word


def _near(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {near[0]}?" if near else ""


def parser_of(commands: Sequence[Command] = COMMANDS) -> _Parser:
    parser = _Parser(
        prog=PROGRAM,
        usage="%(prog)s [OPTION ...] [COMMAND]",
        description="Replaces job workers that exceed their memory limit, without losing a job."
        " supervisord runs it as an event listener; the options and commands below are for use by hand.",
        epilog="Exit status: 0 success, 1 failure, 2 usage or configuration error.",
    )
    for option in OPTIONS:
        option.add_to(parser)
        parser.takers[option.flag] = [one.name for one in NAMELESS if option in one.options]
    version = f"{PROGRAM} {__version__}"
    parser.add_argument("--version", action="version", version=version, help="show the version")
    named = parser.add_subparsers(prog=PROGRAM, title="commands", dest=COMMAND, metavar="COMMAND")
    for command in commands:
        own = named.add_parser(command.name, help=command.help, description=command.help)
        for option in command.options:
            # Without a default of its own: that would replace what was given before the command's name.
            option.add_to(own, default=argparse.SUPPRESS)
        command.add_arguments(own)
        parser.known |= own.known
        for flag in own.known - {"-h", "--help"}:
            parser.takers.setdefault(flag, []).append(command.name)
    return parser
