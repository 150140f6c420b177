"""``python -m tests.soak --kind NAME --restarts N``: a line per progress, and a table at the end.

Status 0: no job was lost, run twice or cut. 1: one was. 2: it did not get on, or something is not installed.
"""

from __future__ import annotations

import argparse
import signal
import sys

from _pytest.outcomes import OutcomeException

from tests.signals import none_ignored
from tests.soak.run import Shape, soak
from tests.soak.workers import WORKERS


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--kind", required=True, choices=WORKERS, metavar="NAME", help=", ".join(WORKERS))
    parser.add_argument("--restarts", type=int, default=100)
    parser.add_argument("--seed", type=int, help="draws the number of workers and the length of the jobs")
    parser.add_argument(
        "--patience", type=float, default=600, metavar="SECONDS", help="ends when nothing gets on for so long"
    )
    arguments = parser.parse_args()
    shape = Shape() if arguments.seed is None else Shape.drawn(arguments.seed)
    say(f"{arguments.kind}: {shape.words()}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended
    try:
        with none_ignored():
            done = soak(WORKERS[arguments.kind], shape, arguments.restarts, arguments.patience, say)
    except OutcomeException as error:
        say(f"soak: {error.msg}")
        return 2
    if done.status:
        say(done.story)
    if done.stuck:
        say(f"soak: {done.stuck}")
    print(done.table(), flush=True)
    return done.status


if __name__ == "__main__":
    sys.exit(main())
