"""The catalogue is whole: each event can be documented, and each is reported by the program."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import supervisor_memkill
from supervisor_memkill.notices.catalogue import CATALOGUE
from supervisor_memkill.notices.event import Event, Level

PACKAGE = Path(supervisor_memkill.__file__).parent
EVENTS = sorted(CATALOGUE.values(), key=lambda kind: kind.name)


def named_in_the_program() -> set[str]:
    """Every name that the package uses outside of the two modules that define events."""
    return {name for path in PACKAGE.rglob("*.py") if not _defines(path) for name in _names(path)}


def _defines(path: Path) -> bool:
    return path.name.endswith("events.py") and path.parent.name == "notices"


def _names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Name):
            yield node.id


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: str(kind.name))
def test_event_has_a_name_a_level_and_a_meaning(kind: type[Event]) -> None:
    assert re.fullmatch(r"[a-z_]+(\.[a-z_]+)?", kind.name)
    assert isinstance(kind.level, Level)
    meaning = " ".join((kind.__doc__ or "").split())
    assert meaning.endswith(".") and not meaning.startswith(f"{kind.__name__}(")
    assert not kind.hint.endswith(".")


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: str(kind.name))
def test_fields_by_which_an_event_is_compared_exist(kind: type[Event]) -> None:
    fields = {field.name for field in dataclasses.fields(kind)}
    assert {*(kind.once_per or ()), *(kind.compared or ())} <= fields


def test_a_person_must_act_on_an_error_and_is_told_how() -> None:
    assert [kind.name for kind in EVENTS if kind.level is Level.ERROR and not kind.hint] == []


def test_every_event_is_reported_somewhere() -> None:
    used = named_in_the_program()
    assert [kind.__name__ for kind in EVENTS if kind.__name__ not in used] == []


def test_no_two_events_have_one_name() -> None:
    named = [
        kind.name for kind in _all(Event) if "name" in vars(kind) and kind.__module__.startswith("super")
    ]
    assert sorted(named) == sorted(CATALOGUE)


def _all(kind: type[Event]) -> Iterator[type[Event]]:
    for one in kind.__subclasses__():
        yield one
        yield from _all(one)
