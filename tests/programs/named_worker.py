"""Waits under a command line of the test's choice, and handles the signals that a framework's worker does.

    named_worker.py WORDS...

It replaces itself by an interpreter that has these words as its command line; the second one is a script,
below NAMED_WORKER_DIRECTORY.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

CODE = "import signal; [signal.signal(n, lambda *_: exit()) for n in (15, 18)]; signal.pause()"


def main() -> None:
    os.chdir(os.environ["NAMED_WORKER_DIRECTORY"])
    script = Path(sys.argv[2])
    script.parent.mkdir(parents=True, exist_ok=True)
    own = script.with_name(f"{script.name}.{os.getpid()}")
    own.write_text(CODE)
    own.replace(script)  # another one may read it now
    os.execv(sys.executable, sys.argv[1:])


if __name__ == "__main__":
    main()
