"""A message says what happened, where, how often, and what to do."""

from __future__ import annotations

import pytest

from supervisor_memkill.notices.catalogue import CATALOGUE
from supervisor_memkill.notices.choice import DELIVERABLE
from supervisor_memkill.notices.delivery import Delivery
from supervisor_memkill.notices.digest import Batch
from supervisor_memkill.notices.events import CoordinationBack, SupervisordAway
from supervisor_memkill.notices.messages import MAX_LINE_CHARACTERS, message, sample_message


def batch(count: int = 1, shown: int = 1, error: str = "refused") -> Batch:
    return Batch("supervisord.away", [Delivery(SupervisordAway(error), 0.0)] * shown, count)


def test_message_about_one_event() -> None:
    made = message(batch(), "web-1")
    assert (made.title, made.type) == ("supervisor-memkill: supervisord.away on web-1", "failure")
    lines = made.body.splitlines()
    assert lines[0].endswith("supervisord.away error=refused")
    assert lines[-2].startswith("supervisord does not answer.")
    assert lines[-1] == f"What to do: {SupervisordAway.hint}."


def test_storm_is_counted() -> None:
    made = message(batch(count=37, shown=10), "web-1")
    assert made.title == "supervisor-memkill: supervisord.away (37 times) on web-1"
    assert "... and 27 more: see the log" in made.body


def test_lines_of_other_hosts_are_named() -> None:
    others = ["web-2: one", "web-2: two", "web-3: three"]
    made = message(batch(), "web-1", others)
    assert made.title.endswith("on web-1 and 2 other hosts")
    assert "On other hosts:\nweb-2: one\n" in made.body
    assert message(Batch("supervisord.away", (), 0), "web-1", others[:1]).title.endswith("on 1 other host")


def test_end_of_an_outage_is_good_news() -> None:
    made = message(Batch("coordination.back", [Delivery(CoordinationBack(65.0), 0.0)], 1), "web-1")
    assert made.type == "success"
    assert "after=1m05s" in made.body


def test_line_is_bounded() -> None:
    made = message(batch(error="x" * 9999), "web-1")
    assert len(made.body.splitlines()[0]) == MAX_LINE_CHARACTERS


@pytest.mark.parametrize("name", DELIVERABLE)
def test_every_event_has_its_meaning_in_its_message(name: str) -> None:
    made = message(Batch(name, (), 0), "here", ["there: line"])
    assert len(made.body) > 20 and "`" not in made.body
    assert ("What to do: " in made.body) == bool(CATALOGUE[name].hint)


def test_test_message_names_its_host() -> None:
    assert "on web-1." in sample_message("web-1").body
