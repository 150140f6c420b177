"""The findings as text for people, or as JSON."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence

from supervisor_memkill.commands.doctor.facts import Facts
from supervisor_memkill.commands.doctor.finding import Finding, Severity
from supervisor_memkill.dataclass import dataclass

COLOURS = {Severity.ERROR: "31;1", Severity.WARNING: "33;1", Severity.NOTE: "36"}
"""The codes of a terminal, by ECMA-48."""
WIDTH = 100
"""The longest line where nobody knows the width."""
INDENT = "  "
LABELS = ("then", "change")


@dataclass(frozen=True)
class Style:
    """What the terminal can do."""

    columns: int | None = None
    """None: the output is no terminal, or its width is unknown."""
    has_colour: bool = False


def as_text(findings: Sequence[Finding], facts: Facts, style: Style) -> str:
    """Each finding in a paragraph, the worst first, and one line at the end."""
    paragraphs = ["\n".join(_paragraph(finding, style)) for finding in findings]
    return "\n\n".join([*paragraphs, summary(findings, facts)]) + "\n"


def _paragraph(finding: Finding, style: Style) -> Iterator[str]:
    head = f"{finding.severity.value} {finding.name}"
    width = style.columns or WIDTH
    if finding.at and len(head) + 2 + len(finding.at) <= width:
        yield _coloured(head, finding, style) + f"  {finding.at}"
    else:
        yield _coloured(head, finding, style)
        if finding.at:
            yield from _wrapped(finding.at, INDENT, INDENT, width)
    yield from _wrapped(finding.what, INDENT, INDENT, width)
    for label, text in zip(LABELS, (finding.consequence, finding.change), strict=True):
        first = f"{INDENT}{label + ':':8}"
        yield from _wrapped(text, first, " " * len(first), width)
    if finding.place:
        yield from _wrapped(finding.place, f"{INDENT}in:     ", " " * 10, width)


def _wrapped(text: str, first: str, others: str, width: int) -> list[str]:
    """A word that is longer than a line, such as a path, is broken: a terminal would do it, too."""
    return textwrap.wrap(
        text,
        max(width, len(others) + 10),
        initial_indent=first,
        subsequent_indent=others,
        break_on_hyphens=False,
    )


def _coloured(head: str, finding: Finding, style: Style) -> str:
    if not style.has_colour:
        return head
    word, _, name = head.partition(" ")
    return f"\x1b[{COLOURS[finding.severity]}m{word}\x1b[0m {name}"


def summary(findings: Sequence[Finding], facts: Facts) -> str:
    """One line."""
    counts = Counter(finding.severity for finding in findings)
    found = ", ".join(_count(counts[one], one.value) for one in Severity if counts[one])
    if any(one.is_fault for one in counts):
        return found
    workers = sum(len(pool.survey.findings) for pool in facts.pools)
    looked = f"{_count(len(facts.pools), 'pool')} with {_count(workers, 'worker')}"
    return f"nothing wrong was found: {looked}; {found}" if found else f"all is well: {looked}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def as_json(findings: Sequence[Finding], facts: Facts) -> str:
    """For programs. docs/doctor.rst names every key."""
    supervisord, state, memory = facts.supervisord, facts.listener.state, facts.memory
    shown = {
        "well": not any(one.severity.is_fault for one in findings),
        "findings": [
            {
                "severity": one.severity.value,
                "name": one.name,
                "at": one.at,
                "what": one.what,
                "consequence": one.consequence,
                "change": one.change,
                "place": one.place,
            }
            for one in findings
        ],
        "asked": {
            "supervisord": {
                "url": supervisord.url,
                "version": supervisord.version or None,
                "pid": supervisord.pid,
            },
            "listener": {
                "version": state.version if state is not None else None,
                "pid": state.pid if state is not None and facts.listener.is_alive else None,
            },
            "pools": [
                {"name": pool.survey.pool.name, "workers": len(pool.survey.findings)} for pool in facts.pools
            ],
            "redis": [{"url": one.url, "version": one.version or None} for one in facts.redis],
            "memory": {
                "bytes": memory.size_bytes if memory is not None else None,
                "file": str(memory.file) if memory is not None and memory.file is not None else None,
            },
            "files": [str(path) for path in facts.configuration.files],
        },
    }
    return json.dumps(shown, indent=2) + "\n"
