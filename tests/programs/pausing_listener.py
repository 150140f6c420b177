"""The listener for tests of a pause: it stops itself, once, at a place of a drain, until SIGCONT comes.

MEMKILL_TEST_PAUSE_AT names the place (none: it never does), MEMKILL_TEST_PAUSED the file that says that
it did.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from watched import run


def pause_once(place: str) -> None:
    if place != os.environ.get("MEMKILL_TEST_PAUSE_AT"):
        return
    paused = Path(os.environ["MEMKILL_TEST_PAUSED"])
    if not paused.exists():
        paused.touch()
        os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    sys.exit(run(pause_once))
