"""The findings on a terminal and as JSON."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from supervisor_memkill.commands.doctor.catalogue import FAULTS, examine
from supervisor_memkill.commands.doctor.facts import Facts, SupervisordFacts
from supervisor_memkill.commands.doctor.finding import Severity
from supervisor_memkill.commands.doctor.report import Style, as_json, as_text
from tests.commands.doctor import facts_with
from tests.commands.doctor.facts_with import looked_at
from tests.commands.doctor.planted import PLANTED


def shown(facts: Facts, **style: object) -> str:
    return as_text(examine(facts), facts, Style(**style))  # type: ignore[arg-type]


def everything() -> list[str]:
    """The text of each planted fault, for a terminal of 80 columns."""
    return [shown(plant(), columns=80) for plant, _ in PLANTED.values()]


def test_where_all_is_well_one_line_says_so() -> None:
    assert shown(looked_at()) == "all is well: 1 pool with 3 workers\n"


def test_notes_alone_are_no_fault_and_the_last_line_counts_them() -> None:
    text = shown(facts_with.state(dry_run=True))
    assert text.splitlines()[-1] == "nothing wrong was found: 1 pool with 3 workers; 1 note"
    assert json.loads(as_json(examine(facts_with.state(dry_run=True)), looked_at()))["well"] is True


def test_finding_says_what_is_so_what_would_happen_and_what_to_change() -> None:
    assert shown(facts_with.redis(policy="allkeys-lru"), columns=80) == (
        "warning redis-evicts  redis://localhost:6379/0\n"
        "  maxmemory-policy is allkeys-lru, maxmemory: none is set yet\n"
        "  then:   it may evict jobs of a framework; or the data of a pool: then no drain\n"
        "          begins for slot_ttl\n"
        "  change: set maxmemory-policy noeviction or volatile-lru\n"
        "\n"
        "1 warning\n"
    )


def test_section_stands_below_the_change() -> None:
    facts = dataclasses.replace(looked_at(min_available=3), places={"[memkill:jobs]": "/etc/a.conf:9"})
    assert "  change: set min_available = 0 " in shown(facts)
    assert shown(facts).splitlines()[-3] == "  in:     /etc/a.conf:9"


def test_last_line_counts_by_severity() -> None:
    facts = facts_with.configuration(problems=("/a:1: one", "/a:2: two"), unread=("/b: gone",))
    assert shown(facts).splitlines()[-1] == "2 errors, 1 warning"


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_no_line_is_longer_than_the_terminal(columns: int) -> None:
    facts = facts_with.configuration(problems=(f"/etc/{'x' * 300}:7: {'word ' * 60}", f"{'y' * 300}"))
    for text in (shown(facts, columns=columns), *everything()):
        assert max(map(len, text.splitlines())) <= max(columns, 80)
    assert max(map(len, shown(facts, columns=columns).splitlines())) <= max(columns, 40)


def test_width_of_a_file_is_fixed() -> None:
    facts = facts_with.configuration(problems=("word " * 60,))
    assert 80 < max(map(len, shown(facts).splitlines())) <= 100


def test_colour_marks_the_severity_alone_and_only_if_it_is_asked_for() -> None:
    facts = facts_with.redis(policy="allkeys-lru")
    plain, coloured = shown(facts), shown(facts, has_colour=True)
    assert "\x1b" not in plain
    assert coloured.startswith("\x1b[33;1mwarning\x1b[0m redis-evicts")
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain


@pytest.mark.parametrize("severity", Severity)
def test_every_severity_has_a_colour(severity: Severity) -> None:
    name = next(name for name, fault in FAULTS.items() if fault.severity is severity)
    assert re.match(r"\x1b\[[\d;]+m", shown(PLANTED[name][0](), has_colour=True))


def test_nothing_reaches_the_terminal_unescaped() -> None:
    """Names of workers, values of a file and answers of Redis may hold anything."""
    hostile = "\x1b]0;title\x07\x1b[2J\nnext\rline\u202e"
    facts = facts_with.configuration(problems=(f"/a:1: {hostile}",), unread=(hostile,))
    for text in (
        shown(facts, columns=80),
        shown(facts_with.redis(away=hostile)),
        as_json(examine(facts), facts),
    ):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", text)
        assert "next\n" not in text


def test_json_has_every_finding_with_its_texts() -> None:
    facts = facts_with.redis(policy="allkeys-lru", away="refused")
    found = json.loads(as_json(examine(facts), facts))
    assert found["well"] is False
    assert [one["name"] for one in found["findings"]] == ["redis-away", "redis-evicts"]
    assert set(found["findings"][0]) == {"severity", "name", "at", "what", "consequence", "change", "place"}
    assert found["asked"]["pools"] == [{"name": "jobs", "workers": 3}]
    assert found["asked"]["redis"] == [{"url": "redis://localhost:6379/0", "version": "7.0.15"}]


def test_json_of_a_supervisord_that_is_away_has_null_for_what_is_unknown() -> None:
    facts = Facts(looked_at().configuration, SupervisordFacts("unix:///s", silence="connection refused"))
    asked = json.loads(as_json(examine(facts), facts))["asked"]
    assert asked["supervisord"] == {"url": "unix:///s", "version": None, "pid": None}
    assert asked["listener"] == {"version": None, "pid": None}
    assert asked["memory"] == {"bytes": None, "file": None}
