"""Reads the entries of one section into values, and names the place of each problem."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from supervisor_memkill.config import ini, redis_file
from supervisor_memkill.config.ini import Entry, Section
from supervisor_memkill.config.options import GLOBAL_KEYS, POOL_KEYS, TEMPLATES
from supervisor_memkill.workers.contract import Option
from supervisor_memkill.world.redis_url import masked

COMMANDS = ("hook", "before_stop")
_SECRET = re.compile("pass|secret|token|transport_options|^notify$")


def read_values(
    section: str,
    entries: Iterable[Entry],
    keys: Mapping[str, Option],
    names: Mapping[str, str],
    problems: list[str],
    wrong: set[str],
) -> dict[str, Any]:
    """The value of each of `keys`, parsed or by default; an invalid one stays as text, and is in `wrong`."""
    values = {key: option.default for key, option in keys.items()}
    for entry in entries:
        if entry.key in keys:
            filled = ""
            try:
                filled = ini.fill(entry.value, names, keeps_other_names=_has_own_names(keys, entry.key))
                _refuse_quotes(entry.key, filled.strip())
                values[entry.key] = _parse(filled, keys[entry.key])
            except ValueError as error:
                values[entry.key] = entry.value
                wrong.add(entry.key)
                text = str(error)
                for value in filter(None, (filled, entry.value)):
                    text = text.replace(value, _shown(entry))
                problems.append(problem_of(section, entry, text))
    return values


def read_redis_file(
    section: str, entries: Iterable[Entry], values: dict[str, Any], problems: list[str]
) -> bool:
    """Put the URL that ``redis_file`` holds into the values; whether the section has either key."""
    given = {entry.key: entry for entry in entries if entry.key in ("redis", "redis_file")}
    entry = given.get("redis_file")
    if entry and "redis" in given:
        problems.append(problem_of(section, entry, f"redis stands at {given['redis'].place}: keep one"))
    elif entry and isinstance(values["redis_file"], Path):
        try:
            values["redis"] = redis_file.read(values["redis_file"], os.geteuid())
        except ValueError as error:
            values["redis"] = entry.value
            problems.append(problem_of(section, entry, str(error)))
    return bool(given)


def _has_own_names(keys: Mapping[str, Option], key: str) -> bool:
    """A kind's own options may have names of their own, such as ``%(pid)s``; the kind refuses others."""
    return key in TEMPLATES or (keys is not GLOBAL_KEYS and keys is not POOL_KEYS)


def _refuse_quotes(key: str, text: str) -> None:
    """Only a command may have quotes around it; elsewhere they would be part of a name or a pattern."""
    is_command = key in COMMANDS or key.endswith("_command")
    if not is_command and len(text) > 1 and text[0] in "\"'" and text[-1] == text[0]:
        raise ValueError("has quotes around it, which would be part of the value: remove them")


def _parse(text: str, option: Option) -> Any:
    """The parsed value. Raises ValueError in a whole phrase."""
    if not text.strip():
        raise ValueError("has no value; leave the key out for its default")
    try:
        return option.parse(text)
    except ValueError as error:
        raise ValueError(f"must be {error}") from None


def unknown_key(key: str, known: Iterable[str], elsewhere: Collection[str], place: str) -> str:
    """What is wrong with a key that is not `known`; `elsewhere` are the keys that belong in `place`."""
    if key in elsewhere:
        return f"belongs in {place}"
    near = difflib.get_close_matches(key.replace("-", "_"), known, n=1)
    if near:
        return f"unknown key, did you mean {near[0]}?"
    return f"unknown key (known: {', '.join(known)})"


def problem_of(section: str, entry: Entry, text: str) -> str:
    """One line of error about an entry."""
    return f"{entry_place(section, entry)}: {text}"


def place_of(section: Section, *keys: str) -> str:
    """The place of the first of these keys that the section has; without one, of the section."""
    for key in keys:
        for entry in section.entries:
            if entry.key == key:
                return entry_place(section.name, entry)
    return f"{section.place}: [{section.name}]"


def entry_place(section: str, entry: Entry) -> str:
    """File, line, section, key and value of an entry."""
    return f"{entry.place}: [{section}] {entry.key} = {_shown(entry)!r}"


def _shown(entry: Entry) -> str:
    """The value with passwords masked."""
    return "***" if _SECRET.search(entry.key) else masked(entry.value)
