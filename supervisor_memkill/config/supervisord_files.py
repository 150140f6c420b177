"""Finds ``stopasgroup``, which supervisord's XML-RPC does not tell, in its configuration files.

What is found is what the files say now; supervisord may have read them before. What cannot be found is
left out, and so is unknown.
"""

from __future__ import annotations

import configparser
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import psutil

from supervisor_memkill.config.inifile import supervisord_files
from supervisor_memkill.errors import ConfigError, MemkillError

PLAIN_NAME = "%(program_name)s"
TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
"""As supervisord takes them (supervisor/datatypes.py: boolean)."""


def reader(
    pid: Callable[[], int], found: Path | None, environ: Mapping[str, str]
) -> Callable[[], Mapping[str, bool]]:
    """A function that tells the stopasgroup of each group whose programs all have the same one.

    `pid` is supervisord's; its command line names the configuration, else it is the one `found` at a
    standard place.
    """

    def read() -> Mapping[str, bool]:
        try:
            path = _path_of(pid()) or found
            files = supervisord_files(path, environ, socket.gethostname()) if path else []
        except (ConfigError, MemkillError):
            return {}
        return by_group(files)

    return read


def _path_of(pid: int) -> Path | None:
    """The ``-c FILE`` of supervisord's own command line."""
    try:
        process = psutil.Process(pid)
        return path_in(process.cmdline(), Path(process.cwd()))
    except (psutil.Error, OSError, ValueError):
        return None


LONG, SHORTEST = "--configuration", "--co"
"""The option in full, and the least of it that getopt takes for it."""
SHORT = re.compile(r"-[h?vnkts]*c(.*)", re.DOTALL)
"""``-c FILE``, ``-cFILE``, and both behind options without a value, as in ``-nc``."""


def path_in(words: Iterable[str], cwd: Path) -> Path | None:
    """The configuration that a command line of supervisord's names (supervisor/options.py)."""
    waiting = False
    for word in words:
        if waiting:
            return cwd / word
        name, is_joined, value = word.partition("=")
        is_long = LONG.startswith(name) and len(name) >= len(SHORTEST)
        if is_long and is_joined:
            return cwd / value
        short = SHORT.fullmatch(word)
        if short and short[1]:
            return cwd / short[1]
        waiting = is_long or short is not None
    return None


def by_group(files: Iterable[Path]) -> Mapping[str, bool]:
    """Group to stopasgroup; ``group:program`` where the programs of a group differ in it.

    Of those, one whose processes have other names than itself is left out.
    """
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    try:
        for path in files:
            parser.read_string(path.read_text("utf-8-sig"))
    except (configparser.Error, OSError, UnicodeDecodeError):
        return {}
    own: dict[str, bool | None] = {}
    plain: set[str] = set()
    members: dict[str, list[str]] = {}
    for section in parser.sections():
        sort, _, name = section.partition(":")
        if sort in ("program", "fcgi-program"):
            own[name] = _boolean(parser[section].get("stopasgroup", "false"))
            if parser[section].get("process_name", PLAIN_NAME).strip() == PLAIN_NAME:
                plain.add(name)
        elif sort == "group":
            members[name] = [one.strip() for one in parser[section].get("programs", "").split(",")]
    grouped = {program for programs in members.values() for program in programs}
    members |= {name: [name] for name in own if name not in grouped}
    found = {}
    for group, programs in members.items():
        values = {own.get(name) for name in programs}
        value = values.pop() if len(values) == 1 else None
        if value is not None:
            found[group] = value
            continue
        for name in programs:
            own_value = own.get(name)
            if own_value is not None and name in plain:
                found[f"{group}:{name}"] = own_value
    return found


def _boolean(text: str) -> bool | None:
    word = text.strip().lower()
    return True if word in TRUE else False if word in FALSE else None
