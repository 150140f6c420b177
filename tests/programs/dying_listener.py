"""The listener for tests of its death: it kills itself, once, at a place of a drain.

MEMKILL_TEST_DIE_AT names the place (none: it never does), MEMKILL_TEST_DIED the file that says that
it did.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from watched import run


def die_once(place: str) -> None:
    if place != os.environ.get("MEMKILL_TEST_DIE_AT"):
        return
    died = Path(os.environ["MEMKILL_TEST_DIED"])
    if not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(run(die_once))
