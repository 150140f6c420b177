"""The environment that supervisord gives to the listener, as far as a command by hand can know it.

supervisord adds ``environment`` of its own section, and then that of the listener's section, to its own
environment (supervisor/options.py: ServerOptions.read_config, supervisor/process.py: Subprocess.spawn).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from supervisor_memkill.config import ini
from supervisor_memkill.config.supervisord_sections import SupervisordSections, fill

_SUPERVISORD, _LISTENER = "supervisord", "eventlistener:"
_OURS = re.compile("supervisor[-_]memkill")
_WORD_CHARACTERS = "/.+-():"
"""What a value without quotes may hold beside letters, digits and ``_``."""


def by_hand(
    sections: SupervisordSections, supervisords: Mapping[str, str], shell: Mapping[str, str]
) -> Mapping[str, str]:
    """The variables for the configuration by hand: those of the shell count first.

    `supervisords`: the environment of supervisord itself, as far as it is known.
    """
    own = sections.value(_SUPERVISORD, "environment")
    # supervisord fills this value in twice (Supervisor/supervisor#1441).
    known = {**supervisords, **pairs(None if own is None else fill(own, sections.names))}
    listener = _listener_section(sections)
    if listener is not None:
        name = listener.removeprefix(_LISTENER)
        process = {"program_name": name, "group_name": name, "process_num": 0, "numprocs": 1}
        names = {**sections.names, **ini.environment_names(known), **process}
        known |= pairs(sections.with_names(names).value(listener, "environment"))
    return {**known, **shell}


def _listener_section(sections: SupervisordSections) -> str | None:
    """The section of our listener; None: there is none, or more than one."""
    found = [
        name
        for name, values in sections.values.items()
        if name.startswith(_LISTENER) and _OURS.search(values.get("command", ""))
    ]
    return found[0] if len(found) == 1 else None


def pairs(text: str | None) -> Mapping[str, str]:
    """``KEY=value,OTHER="value"`` as supervisord reads it; nothing if it would refuse the text.

    supervisor/datatypes.py: dict_of_key_value_pairs.
    """
    lexer = shlex.shlex(text or "")
    lexer.wordchars += _WORD_CHARACTERS
    try:
        words = list(lexer)
    except ValueError:  # a quote that is not closed
        return {}
    found = {}
    for start in range(0, len(words), 4):
        key, *rest = words[start : start + 3]
        if len(rest) != 2 or rest[0] != "=":
            return {}
        found[key] = rest[1].strip("'\"")
    return found
