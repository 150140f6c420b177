"""Checks of our own sections."""

from __future__ import annotations

import re
from collections.abc import Iterator

from supervisor_memkill.commands.doctor.facts import Facts
from supervisor_memkill.commands.doctor.finding import Fault, Finding, Severity

WRONG = Fault(
    "configuration-wrong",
    Severity.ERROR,
    "a [memkill...] section or one of its keys is wrong; each problem is a finding of its own",
    "the listener does not start; a listener that runs keeps the values that it read at its start",
    "correct the line or the file that is named",
)
MISPLACED = Fault(
    "key-misplaced",
    Severity.WARNING,
    "a key of supervisor-memkill stands in a section of supervisord, such as max_rss in [program:x]",
    "supervisord ignores it without a word, and the listener does not have it",
    "move the key to the section that the finding names",
)
NOT_FOUND = Fault(
    "configuration-not-found",
    Severity.ERROR,
    "the configuration of this supervisord was not found",
    "nothing is known about the pools, nor about the settings of supervisord",
    "name the file with --config FILE",
)
UNREAD = Fault(
    "configuration-unreadable",
    Severity.WARNING,
    "a file that supervisord includes cannot be read",
    "the sections in it are not known here",
    "run this command as root, or as the user of the listener",
)
NO_POOLS = Fault(
    "no-pools",
    Severity.ERROR,
    "there is no [memkill:NAME] section",
    "the listener does not start: it has nothing to watch",
    "add a section [memkill:NAME] with worker and max_rss; supervisor-memkill --sample shows one",
)
HOOK = Fault(
    "hook-missing",
    Severity.WARNING,
    "the command of hook cannot be executed",
    "nobody gets the events that the hook is for",
    "correct hook in [memkill], or the mode of the file",
)
FAULTS = (WRONG, MISPLACED, NOT_FOUND, UNREAD, NO_POOLS, HOOK)

_PLACE = re.compile(r"(?P<at>\S+:\d+|environment): (?P<what>.+)", re.DOTALL)


def check_problems(facts: Facts) -> Iterator[Finding]:
    """All problems at once."""
    for problem in facts.configuration.problems:
        placed = _PLACE.fullmatch(problem)
        if placed is None:
            yield WRONG.found(problem)
        else:
            yield WRONG.found(placed["what"], placed["at"], change=f"correct {placed['at']}")
    for problem in facts.configuration.misplaced:
        placed = _PLACE.fullmatch(problem)
        yield MISPLACED.found(problem) if placed is None else MISPLACED.found(placed["what"], placed["at"])


def check_files(facts: Facts) -> Iterator[Finding]:
    configuration = facts.configuration
    if not configuration.is_found:
        yield NOT_FOUND.found(
            "its file is neither in the command line of this supervisord nor at a standard place"
        )
    elif not configuration.has_pools:
        yield NO_POOLS.found("no section for a pool was found", ", ".join(map(str, configuration.files[:1])))
    for file in configuration.unread:
        yield UNREAD.found(file)


def check_hook(facts: Facts) -> Iterator[Finding]:
    if facts.configuration.hook_problem:
        yield HOOK.found(facts.configuration.hook_problem, "[memkill]")


CHECKS = (check_problems, check_files, check_hook)
