"""The whole page from what was read. Pure.

The page loads nothing: its style and its script stand in it, and the policy that is sent with it allows those
two by their digests and nothing else.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import time
from collections.abc import Iterator
from importlib.resources import files

from supervisor_memkill import __version__
from supervisor_memkill.commands import status_screen
from supervisor_memkill.commands.status_values import Status
from supervisor_memkill.commands.terminal import Style, size
from supervisor_memkill.commands.web import parts, pictures
from supervisor_memkill.commands.web.fleet import fleet
from supervisor_memkill.commands.web.html import Html, element, joined
from supervisor_memkill.commands.web.past import history
from supervisor_memkill.commands.web.pools import pools
from supervisor_memkill.commands.web.read import Seen
from supervisor_memkill.commands.web.suspects import suspects

REFRESH_SECONDS = 10
MAX_PROBLEMS = 30
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect width='16' height='16' rx='4' fill='%23{colour}'/%3E"
    "%3Cpath d='M3 11l3-3 2 2 5-6' fill='none' stroke='white' stroke-width='2'/%3E%3C/svg%3E"
)


def page(seen: Seen) -> str:
    """The HTML document."""
    content = list(_content(seen))
    return _document(_title(seen), "b42318" if seen.all_problems else "1f7a4d", content)


def message(title: str, words: str) -> str:
    """A page that only says why there is no other one."""
    first = element("header", _headline(title, Style.BAD), class_="first")
    return _document(title, "b42318", [first, element("p", words, class_="card")])


@functools.cache
def policy() -> str:
    """The Content-Security-Policy of the page."""
    return (
        f"default-src 'none'; style-src '{_digest(_file('page.css'))}';"
        f" script-src '{_digest(_file('page.js'))}';"
        " connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


@functools.cache
def _file(name: str) -> Html:
    return Html((files("supervisor_memkill.commands.web") / name).read_text(encoding="utf-8"))


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _document(title: str, colour: str, content: list[Html]) -> str:
    again = element("meta", http_equiv="refresh", content=str(REFRESH_SECONDS))
    head = [
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="robots", content="noindex"),
        element("noscript", again),
        element("title", title),
        element("link", rel="icon", href=Html(ICON.replace("{colour}", colour))),
        element("style", _file("page.css")),
    ]
    body = [
        element("p", id="lost", role="status", hidden="hidden"),
        element("main", *content, id="page"),
        pictures.PATTERNS,
        element("script", _file("page.js")),
    ]
    whole = element("html", element("head", *head), element("body", *body), lang="en")
    return f"<!DOCTYPE html>\n{whole}\n"


def _title(seen: Seen) -> str:
    host = seen.status.listener.host if seen.status is not None else ""
    count = len(seen.all_problems)
    state = "all is well" if not count else f"{count} {'problem' if count == 1 else 'problems'}"
    return " - ".join(filter(None, [state, host, "supervisor-memkill"]))


def _content(seen: Seen) -> Iterator[Html]:
    yield _first(seen)
    yield from _said("problems", "What is wrong", seen.all_problems, Style.BAD)
    if seen.status is not None:
        yield from _said("notes", "Worth knowing", seen.status.notes, Style.CARE)
        yield _figures(seen, seen.status)
        yield _links(seen)
        if seen.status.listener.pid is not None or seen.status.pools:
            yield pools(seen.status.pools)
        if seen.suspects is not None:
            yield suspects(seen.suspects)
        if seen.status.fleet:
            yield fleet(seen.status.fleet)
    for made in (seen.history, seen.fleet_history):
        if made is not None:
            yield history(made)
    yield _end(seen)


# --- the first lines ------------------------------------------------------------------------------------


def _headline(words: str, style: Style) -> Html:
    return element("h1", parts.sign(style), element("span", words), class_=parts.KINDS[style])


def _first(seen: Seen) -> Html:
    """Is the listener alive, when was the last TICK, is the configuration on disk in force."""
    if seen.status is None:
        return element("header", _headline("listener not seen", Style.BAD), class_="first")
    listener = seen.status.listener
    word, style = status_screen.life(listener)
    stand = [element("span", one) for one in status_screen.tick_and_configuration(listener)]
    about = status_screen.about(listener)
    return element(
        "header",
        _headline(f"listener {word}", style),
        element("p", *stand, class_="stand"),
        element("p", about, class_="about") if about else "",
        class_="first",
    )


def _said(name: str, title: str, lines: tuple[str, ...], style: Style) -> Iterator[Html]:
    if lines:
        items = [element("li", one) for one in lines[:MAX_PROBLEMS]]
        if lines[MAX_PROBLEMS:]:
            items.append(
                element(
                    "li", f"{len(lines) - MAX_PROBLEMS} more; ", element("code", "supervisor-memkill status")
                )
            )
        yield element(
            "section",
            element("h2", parts.sign(style), title, id=f"{name}-title"),
            element("ul", *items),
            id=name,
            class_=f"said {parts.KINDS[style]}",
            aria_labelledby=f"{name}-title",
        )


def _figures(seen: Seen, status: Status) -> Html:
    """The few numbers that a glance is for."""
    given = element("dl", *_figure_pairs(seen, status), class_="figures")
    return element("section", given, aria_label="In figures")


def _figure_pairs(seen: Seen, status: Status) -> Iterator[Html]:
    everywhere = status.fleet or status.pools
    where = "on all hosts" if status.fleet else "here"
    in_service, in_all = (
        sum(one.in_service for one in everywhere),
        sum(one.workers_in_all for one in everywhere),
    )
    yield _figure("Workers in service", str(in_service), f"of {in_all} {where}")
    if status.fleet:
        draining = sum(len(one.slots) for one in status.fleet)
        waiting = sum(one.asks and not one.silent for pool in status.fleet for one in pool.workers)
    else:
        workers = [one for pool in status.pools for one in pool.workers]
        draining = sum(one.drain is not None for one in workers)
        waiting = sum(one.waits for one in workers)
    yield _figure("Draining", str(draining), where, "care" if draining else None)
    yield _figure("Waiting for a drain", str(waiting), where, "care" if waiting else None)
    paused = sum(one.pause is not None for one in status.pools)
    if paused:
        yield _figure("Paused", str(paused), "pool" if paused == 1 else "pools", "care")
    made = seen.fleet_history or seen.history
    if made is not None:
        totals = made.totals
        days = "in the last 7 days"
        yield _figure("Drains", str(totals.drains), days)
        yield _figure("Memory given back", size(totals.given_back_bytes), days)
        more = "; of some it is unknown" if totals.killed_unknown else ""
        yield _figure("Jobs cut", str(totals.jobs_cut), f"{days}{more}", "bad" if totals.jobs_cut else None)


def _figure(name: str, value: str, beside: str, kind: str | None = None) -> Html:
    shown = element("dd", value, element("span", beside), class_=kind)
    return element("div", element("dt", name), shown)


def _links(seen: Seen) -> Html:
    """To the sections that the page has."""
    assert seen.status is not None
    there = {
        "pools": "Pools",
        "suspects": "Suspects" if seen.suspects is not None else "",
        "fleet": "All hosts" if seen.status.fleet else "",
        "history": "History" if seen.history is not None else "",
        "fleet-history": "History of all hosts" if seen.fleet_history is not None else "",
    }
    links = [element("a", title, href=f"#{name}") for name, title in there.items() if title]
    return element("nav", *links, aria_label="Sections of this page")


def _end(seen: Seen) -> Html:
    at = time.localtime(seen.at)
    made_at = element(
        "time", time.strftime("%Y-%m-%d %H:%M:%S %Z", at), datetime=time.strftime("%Y-%m-%dT%H:%M:%S%z", at)
    )
    return element(
        "footer",
        joined(["As of ", made_at, f"; loaded anew every {REFRESH_SECONDS} seconds. The page only shows: "]),
        joined(["to change something, use ", element("code", "supervisor-memkill"), " in a terminal. "]),
        f"supervisor-memkill {__version__}",
    )
