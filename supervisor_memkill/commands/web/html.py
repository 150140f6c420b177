"""Builds HTML from values. Text is escaped unless it is `Html` already: no name can steer a page. Pure."""

from __future__ import annotations

import html
from collections.abc import Iterable

from supervisor_memkill.commands.terminal import clean

_VOID = ("meta", "link", "rect", "line", "circle", "polyline", "path", "use")
"""Elements without content: ``<rect ... />``, which both HTML and SVG take."""


class Html(str):
    """Text that is HTML already. All other text is escaped when it becomes part of a page."""

    __slots__ = ()


def escaped(text: str) -> Html:
    """The text as HTML shows it; what would turn its direction, or is no character, is shown as an escape."""
    return text if isinstance(text, Html) else Html(html.escape(clean(text)))


def joined(parts: Iterable[str]) -> Html:
    """The parts one after the other."""
    return Html("".join(map(escaped, parts)))


def element(name: str, /, *content: str, **attributes: str | float | None) -> Html:
    """``element("th", "Worker", scope="col", class_="wide")``. An attribute that is None is left out.

    In the name of an attribute ``_`` stands for ``-``, and at its end for nothing.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{given} />")
    return Html(f"<{name}{given}>{joined(content)}</{name}>")
