"""Makes the man page from the parsers of the command line, which also make ``--help``."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator

from supervisor_memkill import __version__
from supervisor_memkill.commands import parsing
from supervisor_memkill.commands.command import PROGRAM

SECTION = "1"
BRIEFLY = "replaces job workers that exceed their memory limit, without losing a job"
ENVIRONMENT = (
    (
        "SUPERVISOR_SERVER_URL, SUPERVISOR_USERNAME, SUPERVISOR_PASSWORD",
        "where supervisord is, by hand",
    ),
    ("MEMKILL_REDIS", "the URL of Redis, in place of redis in [memkill]"),
    ("MEMKILL_NOTIFY", "the URLs that get notices, in place of notify in [memkill]"),
    ("MEMKILL_WEB_PASSWORD", "the password of the web page of supervisor-memkill serve"),
    ("NO_COLOR", "with any text: no colour"),
)
SEE_ALSO = (
    "supervisord(1), supervisorctl(1). The pages in the folder docs of the project describe the options, each"
    " command and each event. supervisor-memkill --sample reference prints every option with its default."
)


def man_page() -> str:
    """The page as roff."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    parser = parsing.parser_of()
    yield '.\\" Made by scripts/build-docs.py from the parsers of the command line.'
    yield f'.TH SUPERVISOR-MEMKILL {SECTION} "" "supervisor-memkill {__version__}" "User Commands"'
    yield ".SH NAME"
    yield f"{_plain(PROGRAM)} \\- {BRIEFLY}"
    yield ".SH SYNOPSIS"
    yield from _synopsis(PROGRAM, [*(_brief(one) for one in _options(parser)), "[COMMAND]"])
    yield ".SH DESCRIPTION"
    yield _plain(parser.description or "")
    yield ".SH OPTIONS"
    for action in _options(parser):
        yield from _entry(_name(action), action.help or "")
    yield ".SH COMMANDS"
    for command in parsing.COMMANDS:
        yield from _command(f"{PROGRAM} {command.name}", command.help, _of(parser, command.name))
    yield ".SH EXIT STATUS"
    yield _plain(re.sub("^Exit status: ", "", parser.epilog or ""))
    yield ".SH ENVIRONMENT"
    for name, meaning in ENVIRONMENT:
        yield from _entry(_bold(name), meaning)
    yield ".SH SEE ALSO"
    yield _plain(SEE_ALSO)


def _command(name: str, meaning: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f".SS {_plain(name)}"
    yield _plain(f"{meaning[0].upper()}{meaning[1:]}.")
    positional = [action for action in parser._actions if not action.option_strings]
    words = [*(_brief(one) for one in _options(parser)), *map(_brief, positional)]
    yield ".P"
    yield from _synopsis(name, words)
    for action in [*positional, *_options(parser)]:
        yield from _entry(_name(action), action.help or "")


def _of(parser: argparse.ArgumentParser, name: str) -> argparse.ArgumentParser:
    """The parser of one command."""
    assert parser._subparsers is not None
    (group,) = parser._subparsers._group_actions
    found: argparse.ArgumentParser = dict(group.choices or {})[name]  # type: ignore[call-overload]
    return found


def _options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The options, without --help."""
    return [action for action in parser._actions if action.option_strings and action.dest != "help"]


def _synopsis(name: str, words: Iterable[str]) -> Iterator[str]:
    yield f".B {_plain(name)}"
    yield from words


def _brief(action: argparse.Action) -> str:
    """``[--config FILE]``, ``NAME ...``."""
    if not action.option_strings:
        text = {"*": "[{0} ...]", "+": "{0} [{0} ...]", "?": "[{0}]"}.get(str(action.nargs), "{0}")
        return text.format(_italic(_metavar(action)))
    return f"[{_name(action)}]"


def _name(action: argparse.Action) -> str:
    """``--config FILE``."""
    if not action.option_strings:
        return _italic(_metavar(action))
    flags = ", ".join(map(_bold, action.option_strings))
    if action.nargs == 0:
        return flags
    value = _italic(_metavar(action))
    return f"{flags} [{value}]" if action.nargs == "?" else f"{flags} {value}"


def _metavar(action: argparse.Action) -> str:
    return str(action.metavar or action.dest.upper())


def _entry(name: str, meaning: str) -> Iterator[str]:
    yield ".TP"
    yield name
    text = meaning.replace("%%", "%")
    yield _plain(f"{text[:1].upper()}{text[1:]}.") if text else ""


def _bold(text: str) -> str:
    return f"\\fB{_plain(text)}\\fR"


def _italic(text: str) -> str:
    return f"\\fI{_plain(text)}\\fR"


def _plain(text: str) -> str:
    """The text as one line of roff: a dot or an apostrophe at its beginning is no request."""
    escaped = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
