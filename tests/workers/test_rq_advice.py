"""RQ: advice on settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from supervisor_memkill.processes import ProgramInfo
from supervisor_memkill.testing.fakes import (
    program_info,
    tools,
)
from supervisor_memkill.workers.rq.advice import is_pool
from supervisor_memkill.workers.rq.kind import RQ

GOOD = replace(program_info("/srv/venv/bin/rq worker high", stopwaitsecs=600), stopasgroup=False)


def advice(program: ProgramInfo, drain_timeout: float = 600.0) -> list[tuple[str, bool]]:
    return [(one.text, one.refuses) for one in RQ({}, tools()).advice(program, drain_timeout)]


def test_good_settings_need_no_advice() -> None:
    assert advice(GOOD) == []
    assert advice(replace(GOOD, stopsignal=2)) == [], "INT does what TERM does"
    assert advice(replace(GOOD, stopasgroup=True)) == [], "a work horse has a process group of its own"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"stopsignal": 3}, "stopsignal=QUIT must be INT or TERM"),
        ({"stopwaitsecs": 10}, "stopwaitsecs=10 is below drain_timeout=10m00s"),
        ({"command": "sh -c 'rq worker; true'"}, "a shell without exec"),
        (
            {"command": "rq worker -w rq.worker.HerokuWorker high"},
            "rq.worker.HerokuWorker cuts the running job",
        ),
        ({"command": "rq worker --worker-class=rq.worker.HerokuWorker"}, "use rq.worker.Worker"),
    ],
)
def test_settings_that_would_cut_jobs_are_refused(changes: dict[str, Any], expected: str) -> None:
    ((text, refuses),) = advice(replace(GOOD, **changes))
    assert expected in text and refuses


@pytest.mark.parametrize("command", ["rq worker-pool -n 4 high", "rq worker -w rq.worker.SimpleWorker high"])
@pytest.mark.parametrize(
    ("stop_as_group", "expected"), [(True, "remove stopasgroup=true"), (None, "stopasgroup is unknown")]
)
def test_stopasgroup_gives_a_hint_where_jobs_are_in_the_process_group(
    command: str, stop_as_group: bool | None, expected: str
) -> None:
    ((text, refuses),) = advice(replace(GOOD, command=command, stopasgroup=stop_as_group))
    assert expected in text and not refuses


@pytest.mark.parametrize(
    ("command", "pool"),
    [
        ("rq worker-pool high", True),
        ("python manage.py rqworker-pool high --num-workers 4", True),
        ("python manage.py rqpool high", True),
        ("python manage.py rqworker high", False),
    ],
)
def test_pools_are_known_by_their_commands(command: str, pool: bool) -> None:
    assert is_pool(command) is pool
