"""Read by ``rq worker -c chaos_rq_settings`` in the worker's own process: it grows when it is told to.

A file in APP_BLOAT_DIRECTORY, named by the process's pid, makes it grow by APP_BLOAT_MEGABYTES or a
little more.
"""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

REDIS_URL = os.environ["APP_REDIS_URL"]
HELD: list[bytes] = []


def bloat_when_told() -> None:
    told = Path(os.environ["APP_BLOAT_DIRECTORY"]) / str(os.getpid())
    while not told.exists():
        time.sleep(0.25)
    megabytes = int(os.environ["APP_BLOAT_MEGABYTES"]) + random.randrange(20)
    HELD.append(b"x" * (megabytes * 1024 * 1024))


threading.Thread(target=bloat_when_told, daemon=True).start()
