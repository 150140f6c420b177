"""A worker that takes some megabytes more in each tenth of a second, in its first process alone.

``leaks_memory.py MARK MEGABYTES``: the directory MARK is made by the first process. TERM ends it.
"""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

MEGABYTE = 1024 * 1024


def main(mark: str, megabytes: str) -> None:
    leaks = False
    with contextlib.suppress(FileExistsError):
        Path(mark).mkdir()
        leaks = True
    kept = []
    while True:
        if leaks:
            kept.append(b"x" * (int(megabytes) * MEGABYTE))
        time.sleep(0.1)


if __name__ == "__main__":
    main(*sys.argv[1:])
