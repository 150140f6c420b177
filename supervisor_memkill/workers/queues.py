"""Which workers of a pool stand in for each other: by the queues that their command lines name.

A worker without an option for its queues takes those that its application names. Such workers are alike, and
unlike those whose command line names queues, although these may be the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from supervisor_memkill.units import parse_choice
from supervisor_memkill.workers.contract import Option

SAME, ANY = "same", "any"
"""The values of `queues`."""
QUEUES: Mapping[str, Option] = {
    "queues": Option(
        parse_choice(SAME, ANY),
        SAME,
        "which other workers stand in for a worker: those that take from all of its queues (same), or all"
        " of the pool (any); same or any",
    ),
}
"""The option of the kinds that know the queues of a worker."""


def compared(values: Mapping[str, Any], queues: frozenset[str]) -> frozenset[str]:
    """The queues for the comparison with peers, by the settings of the pool; empty: all are alike."""
    return frozenset() if values.get("queues") == ANY else queues


def of_each(source: str, queues: Iterable[str]) -> frozenset[str]:
    """Queues of the same names in two sources, such as two connections, are different queues."""
    return frozenset(f"{source}: {queue}" if source else queue for queue in queues if queue)


def words_after(title: str, *programs: str) -> list[str]:
    """The words behind the first program of one of these names, whatever runs it; none if it is not there."""
    words = title.split()
    places = (index for index, word in enumerate(words) if PurePath(word).name in programs)
    return words[next(places, len(words)) + 1 :]


def arguments_and_options(
    words: Sequence[str], with_value: Collection[str], with_many: Collection[str] = ()
) -> tuple[list[str], dict[str, list[str]]]:
    """The words of a command that are no options, and the values of its options by their names.

    `with_value`: the options whose value is the next word if no ``=`` joins it. `with_many`: those whose
    values are all words up to the next option. All other options have no value.
    """
    arguments: list[str] = []
    options: dict[str, list[str]] = {}
    name, takes_more = "", False
    for word in words:
        if word.startswith("-"):
            name, is_joined, value = word.partition("=")
            takes_more = name in with_many
            if is_joined:
                options.setdefault(name, []).append(value)
            if (is_joined or name not in with_value) and not takes_more:
                name = ""
        elif name:
            options.setdefault(name, []).append(word)
            name = name if takes_more else ""
        else:
            arguments.append(word)
    return arguments, options
