"""When the tests begin: the long ones first, and no real one while the machine has far too much to do.

Else a long test would run alone at the end while the other cores wait, and ten tests that start their servers
at once would each take as long as all of them.
"""

from __future__ import annotations

import os
import random
import time
import zlib
from collections.abc import Callable
from pathlib import Path

LONGEST = (
    "tests/chaos/",
    "tests/demo/",
    "tests/real/test_celery",
    "tests/real/test_contrib_workers.py",
    "tests/real/test_fleet",
    "tests/real/test_laravel.py",
    "tests/real/test_messenger.py",
    "tests/real/test_rq.py",
    "tests/real/test_sidekiq",
    "tests/real/test_suspects.py",
    "tests/simulation/test_simulation.py",
    "tests/test_packaging.py",
)
"""How the ids of those begin of which some take more than half a minute."""
LONG = ("tests/real/", "tests/workers/test_example_kind.py")
"""Likewise, some seconds or more. Many short tests follow, which fill what is left at the end."""


def place_of(test: str) -> tuple[int, int]:
    """The place of a test, by its id.

    Those of tests/real are mixed: the tests of one framework would all start their workers at the same
    moments. The others stay in the order of their files, whose tests share servers.
    """
    rank = 0 if test.startswith(LONGEST) else 1 if test.startswith(LONG) else 2
    return rank, zlib.crc32(test.encode()) if test.startswith("tests/real/") else 0


RUNNABLE_PER_CORE = 4
"""With more processes than that which want to run, a further test would only slow down the others."""
WAIT_AT_MOST_SECONDS = 60.0


def runnable() -> int:
    """How many processes of the machine run or want to; 0 where the kernel does not tell."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("procs_running ")), 0)


def wait_for_room(
    runnable: Callable[[], int] = runnable,
    sleep: Callable[[float], None] = time.sleep,
    at_most_seconds: float = WAIT_AT_MOST_SECONDS,
) -> None:
    """Return when the machine can take one more test, or after the limit: others may keep it busy."""
    room = RUNNABLE_PER_CORE * (os.cpu_count() or 1)
    while runnable() > room and at_most_seconds > 0:
        pause = random.uniform(0.1, 0.5)  # those that wait do not all begin at once
        sleep(pause)
        at_most_seconds -= pause
