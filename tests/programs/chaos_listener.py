"""The listener with a trap: at the place of a drain that a file names, it kills or freezes itself.

MEMKILL_TEST_TRAP names the file. It holds a place and a signal (``stopping.saved KILL``). Before the signal
the file is renamed to ``.sprung``, so that each trap springs once.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from watched import run


def spring(place: str) -> None:
    trap = Path(os.environ["MEMKILL_TEST_TRAP"])
    try:
        wanted, name = trap.read_text().split()
        if wanted != place:
            return
        trap.rename(trap.with_suffix(".sprung"))
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.Signals[f"SIG{name}"])


if __name__ == "__main__":
    sys.exit(run(spring))
