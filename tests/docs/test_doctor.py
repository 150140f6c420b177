"""The page on the doctor names every finding, every severity and every key of the JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from supervisor_memkill.commands.doctor.catalogue import FAULTS, examine
from supervisor_memkill.commands.doctor.finding import Severity
from supervisor_memkill.commands.doctor.report import as_json
from tests.commands.doctor import facts_with
from tests.docs.pages import DOCS, table

PAGE = DOCS / "doctor.rst"


def test_every_finding_is_on_the_page_with_its_severity() -> None:
    rows = re.findall(r"\* - ``([a-z-]+)``\n     - (error|warning|note)\n", PAGE.read_text())
    assert dict(rows) == {name: fault.severity.value for name, fault in FAULTS.items()}


def test_severities_are_those_of_the_code() -> None:
    assert [tuple(row) for row in table(PAGE, "Severities")] == [(one.value, one.words) for one in Severity]


def test_every_key_of_the_json_is_on_the_page() -> None:
    facts = facts_with.redis(policy="allkeys-lru")
    rows = table(PAGE, "Keys of the JSON")
    documented = set(re.findall(r"[a-z_]+", " ".join(" ".join(row[:1]) for row in rows)))
    text = " ".join(" ".join(row) for row in rows)
    for key in _keys(json.loads(as_json(examine(facts), facts))):
        assert key in documented or re.search(rf"\b{key}\b", text), key


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)
