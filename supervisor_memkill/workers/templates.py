"""Texts with placeholders for one worker: ``%(pid)s``, ``%(group)s``, ``%(name)s`` and ``%(host)s``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supervisor_memkill.processes import ProcessInfo

PLACEHOLDERS = ("pid", "group", "name", "host")


def parse_template(text: str, placeholders: Sequence[str] = PLACEHOLDERS) -> str:
    """The text unchanged. Raises ValueError if it is empty or has an unknown placeholder."""
    _check_placeholders(text, placeholders)
    if not text.strip():
        raise ValueError("a text that is not empty")
    return text


def parse_command(text: str, placeholders: Sequence[str] = PLACEHOLDERS) -> tuple[str, ...]:
    """The words of a command that runs without a shell. Raises ValueError."""
    try:
        words = tuple(shlex.split(parse_template(text, placeholders)))
        for word in words:  # quotes and backslashes may have hidden a placeholder
            _check_placeholders(word, placeholders)
    except ValueError as error:
        raise ValueError(f"a command that runs without a shell ({error})") from None
    return words


def _check_placeholders(text: str, placeholders: Sequence[str]) -> None:
    for found in re.findall(r"%\([^)]*\)?.?", text):
        if found not in {f"%({name})s" for name in placeholders}:
            known = " ".join(f"%({name})s" for name in placeholders)
            raise ValueError(f"a text with no other placeholders than {known}, not {found!r}")


def fill(template: str, process: ProcessInfo, host: str, more: Mapping[str, str] | None = None) -> str:
    """The template with the values of this process; `host` is the configured name of the machine.

    `more` are the values of further placeholders.
    """
    texts = (str(process.pid), process.group, process.name, host)
    known = {**dict(zip(PLACEHOLDERS, texts, strict=True)), **(more or {})}
    return re.sub(r"%\((\w+)\)s", lambda found: known[found[1]], template)
