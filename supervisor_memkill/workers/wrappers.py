"""What runs below a supervised process: the process tree decides, not how the command looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor_memkill.errors import Unknown
from supervisor_memkill.workers.command_line import (
    has_worker_below,
    program_in,
    starts_elsewhere,
    words_in,
)

if TYPE_CHECKING:
    from supervisor_memkill.world.memory import ProcessTable


def runs_below(pid: int, table: ProcessTable, programs: frozenset[str]) -> bool:
    """The worker runs below this process, which is no such program itself, and is not known to be replaced.

    Any other program that has a process below it counts as a wrapper: not all wrappers have known names.
    """
    title = table.title(pid)
    if program_in(title) in programs:
        return False
    try:
        return has_worker_below(title) or len(table.tree(pid)) > 1
    except Unknown:
        return False


def worker_elsewhere(pid: int, table: ProcessTable) -> str:
    """``docker run`` or the like, if it starts the worker of this process out of sight; empty otherwise.

    It may stand behind a wrapper: ``bash -c "sudo docker run ..."``.
    """
    title = table.first_title(pid)
    found = starts_elsewhere(title)
    if found or not has_worker_below(title):
        return found
    try:
        below = table.tree(pid)[1:]
    except Unknown:
        return ""
    return next((name for child in below if (name := starts_elsewhere(table.title(child.pid)))), "")


def unknown_wrapper(pid: int, table: ProcessTable) -> str:
    """The name of the program that runs its own last words as a child, and has no known name as a wrapper.

    ``doppler run -- celery worker`` runs ``celery worker``. A worker's own children repeat all of its words.
    """
    title = table.title(pid)
    if has_worker_below(title):
        return ""
    words = words_in(title)
    try:
        below = table.tree(pid)[1:]
    except Unknown:
        return ""
    for child in below:
        run = words_in(table.title(child.pid))
        if run and len(run) < len(words) and words[-len(run) :] == run:
            return program_in(title)
    return ""
