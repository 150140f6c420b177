"""In which order the tests begin, so that no long one runs alone at the end while the other cores wait."""

from __future__ import annotations

import zlib

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
