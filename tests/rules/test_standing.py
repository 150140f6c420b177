"""Where a worker stands that a request names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from supervisor_memkill.rules.requests import RunningProcess
from supervisor_memkill.rules.standing import Line, Present, Standing, line_of

WANTED = RunningProcess(100, 5)
HERE = Present(pid=100, start=5, busy=None, verdict="under its limit")


@pytest.mark.parametrize(
    ("seen", "is_wanted", "standing", "words"),
    [
        (None, True, Standing.REPLACED, "not in supervisord's configuration any more"),
        (
            replace(HERE, not_back="it was not seen running", drain="starting"),
            True,
            Standing.FAILED,
            "it was not seen running",
        ),
        (replace(HERE, drain="draining"), True, Standing.DRAINING, "draining"),
        (replace(HERE, drain="draining", busy=0), False, Standing.DRAINING, "draining, 0 running jobs"),
        (replace(HERE, drain="draining", busy=1), True, Standing.DRAINING, "draining, 1 running job"),
        (replace(HERE, pid=101), True, Standing.REPLACED, "runs as process 101"),
        (replace(HERE, start=6), True, Standing.REPLACED, "runs as process 100"),
        (replace(HERE, pid=0), True, Standing.REPLACED, "stopped"),
        (HERE, False, Standing.WITHDRAWN, "withdrawn, or its time is over"),
        (HERE, True, Standing.WAITING, "under its limit"),
    ],
)
def test_line_of_a_worker(seen: Present | None, is_wanted: bool, standing: Standing, words: str) -> None:
    line: Line = line_of("jobs:one", WANTED, seen, is_wanted=is_wanted)
    assert (line.worker, line.standing, line.words) == ("jobs:one", standing, words)
