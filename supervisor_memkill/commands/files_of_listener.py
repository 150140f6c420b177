"""Finds the files that the listener keeps beside its journal, such as the history."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from supervisor_memkill.commands.found_listener import find_listener
from supervisor_memkill.errors import MemkillError
from supervisor_memkill.listener.journal_place import newest

if TYPE_CHECKING:
    from supervisor_memkill.commands.configuration import Configuration
    from supervisor_memkill.commands.context import Context


def journal_here(configuration: Configuration, context: Context) -> Path:
    """The journal of the listener; while supervisord does not answer, the likeliest one."""
    try:
        return find_listener(configuration, context).journal
    except MemkillError:
        return context.journal.path


def journal_with(context: Context, found: Path, beside: Callable[[Path], Iterable[Path]]) -> Path:
    """The journal `found`, unless it has none of these files and another journal of the context has.

    `beside` gives the paths of the files beside a journal.
    """
    journals = [path for place in context.journals for path in (place.path, *place.former)]
    if newest(beside(found)) is not None:
        return found
    written = {path: journal for journal in journals for path in beside(journal)}
    last = newest(written)
    return found if last is None else written[last]
