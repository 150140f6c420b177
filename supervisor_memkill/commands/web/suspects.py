"""The suspects as HTML: which job classes most likely make memory grow. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from supervisor_memkill.commands.suspects_of import PoolSuspects, SeenClass, Suspect
from supervisor_memkill.commands.suspects_screen import MOST_CLASSES, basis
from supervisor_memkill.commands.suspects_values import Shown
from supervisor_memkill.commands.terminal import Cell, Style, number
from supervisor_memkill.commands.web import parts, pictures
from supervisor_memkill.commands.web.html import Html, element, joined
from supervisor_memkill.commands.web.parts import Heading
from supervisor_memkill.units import format_duration, format_size

MAX_POOLS = 50
CLASS = Heading("Job class", "name")
SEEN_HEADINGS = (CLASS, Heading("Ran for", "took"), Heading("Runs", "jobs"))


def suspects(made: Shown) -> Html:
    """A card for each pool with a result; what is not known of the others are notes."""
    known = sorted((one for one in made.pools if one.since is not None), key=lambda one: not one.suspects)
    content = [_pool(one) for one in known[:MAX_POOLS]]
    notes = list(made.notes[:MAX_POOLS])
    left = len(known[MAX_POOLS:]) + len(made.notes[MAX_POOLS:])
    if left:
        notes.append(f"{left} more: supervisor-memkill suspects")
    if notes:
        lines = [element("li", f"{one[:1].upper()}{one[1:]}.") for one in notes]
        content.append(element("ul", *lines, class_="nothing"))
    return parts.section("suspects", "Suspects: which job classes make memory grow?", *content)


def _pool(pool: PoolSuspects) -> Html:
    cell = Cell(pool.verdict.words, Style.CARE if pool.suspects else Style.PLAIN)
    content = [element("h3", pool.pool), element("p", parts.chip(cell))]
    if pool.suspects:
        headings = (
            CLASS,
            Heading(f"Per {pool.unit.value}", "figure"),
            Heading("Share of the growth", "memory"),
            Heading("Sure", "sure"),
        )
        rows = [_suspect(one) for one in pool.suspects]
        content.append(parts.table(f"Suspects of the pool {pool.pool}", headings, rows))
    elif pool.classes:
        content.append(_classes(pool))
    content += [element("p", text, class_="nothing") for text in basis(pool)]
    return element("article", *content, class_="card suspects")


def _suspect(one: Suspect) -> Sequence[str]:
    least, most = format_size(one.least_bytes_per_unit), format_size(one.most_bytes_per_unit)
    share = f"{one.share:.0%}"
    return (
        one.job_class,
        joined(
            [
                element("strong", format_size(one.bytes_per_unit)),
                element("span", f"between {least} and {most}", class_="beside"),
            ]
        ),
        joined([element("span", share, class_="size"), pictures.part(one.share, f"{share} of the growth")]),
        f"{one.certainty:.0%}",
    )


def _classes(pool: PoolSuspects) -> Html:
    shown = pool.classes[:MOST_CLASSES]
    left = len(pool.classes) - len(shown)
    title = f"The job classes that were seen ({len(pool.classes)})"
    content = [parts.table(title, SEEN_HEADINGS, [_seen(one) for one in shown])]
    if left:
        command = element("code", f"supervisor-memkill suspects {pool.pool} --json")
        content.append(element("p", f"{left} classes are not shown; ", command, class_="left-out"))
    summary = element("summary", title)
    return element("details", summary, *content, id=f"classes-{parts.anchor(pool.pool)}")


def _seen(one: SeenClass) -> Sequence[str]:
    return one.job_class, format_duration(one.running_seconds), number(one.runs)
