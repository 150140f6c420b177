"""States, promises, figures and events are those of the code, and the picture is of a real run."""

from __future__ import annotations

import dataclasses
import itertools
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from supervisor_memkill.coordination.contract import Cause
from supervisor_memkill.notices.catalogue import CATALOGUE
from supervisor_memkill.rules.back_off import BACK_OFF_SECONDS, MAX_BACK_OFF_SECONDS, NEAR_LIMIT
from supervisor_memkill.rules.drain import OVER, TRANSITIONS, State
from supervisor_memkill.units import format_duration
from tests.docs.pages import DOCS, PAGES, README, ROOT, blocks, script, table

DRAIN_PAGE = DOCS / "how-a-drain-proceeds.rst"


def test_states_and_transitions_are_those_of_the_code() -> None:
    rows = table(DRAIN_PAGE, "States of a drain")
    documented = {
        State(state): {State(word) for word in re.findall(r"\w+", leads_to)} for state, _, leads_to in rows
    }
    assert documented == {state: set(ends) for state, ends in TRANSITIONS.items()}
    assert all(not documented[state] for state in OVER)


def test_every_arrow_of_the_diagram_is_a_transition() -> None:
    """Along its first line, and at its branches; states that end a drain early are left out there."""
    (diagram,) = [block for block in blocks(DRAIN_PAGE) if block.startswith("asking")]
    first = [State(word) for word in diagram.splitlines()[0].split(" --> ")]
    assert all(then in TRANSITIONS[now] for now, then in itertools.pairwise(first))
    branches = {
        (State.DRAINING, State.QUIETING): "it takes jobs again",
        (State.SETTLING, State.DRAINING): "draining: the quiet arrived late",
        (State.QUIETING, State.RESUMING): "resuming (on_timeout = resume)",
        (State.DRAINING, State.RESUMING): "resuming (on_timeout = resume)",
        (State.RESUMING, State.STOPPING): "stopping: it cannot be resumed",
        (State.ASKING, State.STOPPING): "stopping: the kind drains by stopping, or over hard_max_rss",
    }
    for (now, then), words in branches.items():
        assert then in TRANSITIONS[now]
        assert words in diagram


def test_promises_are_those_of_the_simulation() -> None:
    """Each is judged there under its name; S3, S5 and L3 too."""
    named = {row[0] for row in table(DOCS / "promises.rst", "The promises by name")}
    judges = "".join(path.read_text() for path in (ROOT / "tests" / "simulation").rglob("*.py"))
    assert named == set(re.findall(r"[\"(]([SL]\d)\b", judges))


def test_delays_are_those_of_the_code() -> None:
    text = " ".join(DRAIN_PAGE.read_text().split())
    assert format_duration(BACK_OFF_SECONDS) == "10m00s"
    assert format_duration(MAX_BACK_OFF_SECONDS) == "1d00h"
    assert (
        text.count("is not drained again for 10 minutes, and the delay doubles each time, up to a day") == 2
    )
    assert f"({NEAR_LIMIT * 100:.0f} % or more)" in text


@pytest.mark.parametrize("page", [README, DOCS / "log-and-events.rst"], ids=["README", "page"])
def test_log_of_the_page_is_that_of_the_recorded_drain(page: Path) -> None:
    """As the log shows it, with time and level."""
    (shown,) = [block for block in blocks(page) if "drain.quieting" in block]
    assert shown.splitlines() == first_drain()


def first_drain() -> list[str]:
    """All that the listener logged about the first drain of the record."""
    lines = (DOCS / "drain.log").read_text().splitlines()
    assert " drain.quieting " in lines[0]
    last = next(number for number, line in enumerate(lines) if " drain.done " in line)
    return lines[: last + 1]


def test_lines_of_the_recorded_drain_are_those_of_the_code() -> None:
    """Each has the name and the fields of an event of the catalogue, at its level."""
    for line in (DOCS / "drain.log").read_text().splitlines():
        _, _, level, name, *fields = line.split()
        event = CATALOGUE[name]
        known = [re.sub("_(bytes|seconds)$", "", one.name) for one in dataclasses.fields(event)]
        assert level == event.level.name
        assert {field.partition("=")[0] for field in fields} <= set(known), line


def test_picture_is_drawn_from_the_record() -> None:
    """Otherwise run scripts/draw-drain.py."""
    text = (DOCS / "drain.svg").read_text()
    assert text == script("draw-drain.py")["picture"]()
    assert ElementTree.fromstring(text).tag.endswith("svg")


def test_never_are_two_workers_out_in_the_recorded_run() -> None:
    """Neither by the listener's log, nor as seen from outside."""
    draining: set[str] = set()
    for line in (DOCS / "drain.log").read_text().splitlines():
        event, worker = re.findall(r"drain\.(\w+) worker=(\S+)", line)[0]
        (draining.discard if event == "done" else draining.add)(worker)
        assert len(draining) <= 1, line
    samples: dict[str, set[str]] = {}
    for row in (DOCS / "drain.csv").read_text().splitlines()[1:]:
        time, worker, _, status = row.split(",")
        samples.setdefault(time, set()).update({worker} if status != "in service" else ())
    since_all_were_up = itertools.dropwhile(bool, samples.values())
    assert {len(out) for out in since_all_were_up} == {0, 1}


EVENT_TABLES = ("Events that need a person, or a thought", "Other events", "Events of log_level = debug")


def test_events_of_the_page_are_those_of_the_catalogue() -> None:
    """Every event once, and no other."""
    page = DOCS / "log-and-events.rst"
    named = [row[0] for title in EVENT_TABLES for row in table(page, title)]
    assert sorted(named) == sorted(CATALOGUE)


def test_events_that_other_pages_name_exist() -> None:
    prefixes = "|".join(sorted({name.partition(".")[0] for name in CATALOGUE if "." in name}))
    for path in PAGES:
        for name in re.findall(rf"``((?:{prefixes})\.(?!py`|conf`)[a-z_]+)``", path.read_text()):
            assert name in CATALOGUE, (path, name)


def test_causes_of_a_refusal_are_those_of_the_code() -> None:
    rows = table(DOCS / "log-and-events.rst", "Why a slot is refused")
    assert [row[0] for row in rows] == [cause.value for cause in Cause]
