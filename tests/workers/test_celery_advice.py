"""Settings of a Celery program that are refused, and settings that get a hint."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.testing.fakes import program_info
from supervisor_memkill.workers.celery.advice import advice_on

GOOD = replace(program_info("celery -A app worker -n one@%h", stopwaitsecs=300), stopasgroup=False)


def advice(program: ProgramInfo) -> list[tuple[str, bool]]:
    return [(one.text, one.refuses) for one in advice_on(program)]


def test_good_settings_need_no_advice() -> None:
    assert advice(GOOD) == []
    assert advice(replace(GOOD, stopsignal=2)) == [], "INT does what TERM does"
    for pool in ("threads", "solo"):
        assert advice(replace(GOOD, command=f"{GOOD.command} -P {pool}", stopasgroup=True)) == []


@pytest.mark.parametrize(
    ("changes", "expected", "is_refused"),
    [
        ({"stopsignal": 3}, "stopsignal=QUIT must be INT or TERM", True),
        ({"stopasgroup": True}, "remove stopasgroup=true", True),
        ({"stopasgroup": None}, "stopasgroup is unknown", True),
        ({"stopwaitsecs": 10}, "stopwaitsecs=10 must be above", False),
        ({"command": "sh -c 'celery -A app worker; true'"}, "a shell without exec", False),
    ],
)
def test_settings_that_cut_tasks_are_refused_and_others_give_a_hint(
    changes: dict[str, Any], expected: str, is_refused: bool
) -> None:
    ((text, refuses),) = advice(replace(GOOD, **changes))
    assert expected in text and refuses is is_refused
