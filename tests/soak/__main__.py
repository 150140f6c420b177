"""``python -m tests.soak --kind NAME --restarts N``: a line per progress, and a table at the end.

Status 0: no job was lost, run twice or cut. 1: one was. 2: it did not get on, somebody ended it, or something
is not installed. SIGINT and SIGTERM end it in good order, with its table; a second one ends it at once.
"""

from __future__ import annotations

import argparse
import signal
import sys
from dataclasses import replace
from pathlib import Path

from _pytest.outcomes import OutcomeException

from tests.signals import none_ignored
from tests.soak.run import End, Shape, soak
from tests.soak.workers import WORKERS


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--kind", required=True, choices=WORKERS, metavar="NAME", help=", ".join(WORKERS))
    parser.add_argument("--restarts", type=int, default=100)
    parser.add_argument("--seed", type=int, help="draws the number of workers and the length of the jobs")
    parser.add_argument("--fleets", type=int, help="so many side by side, each with its own listener")
    parser.add_argument("--job-seconds", type=float, help="how long a job takes")
    parser.add_argument("--minutes", type=float, help="ends in good order after so many, with fewer restarts")
    parser.add_argument(
        "--patience", type=float, default=600, metavar="SECONDS", help="ends when nothing gets on for so long"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keeps the logs there if a job was lost, run twice or cut"
    )
    arguments = parser.parse_args()
    shape = Shape() if arguments.seed is None else Shape.drawn(arguments.seed)
    given = {"fleets": arguments.fleets, "job_seconds": arguments.job_seconds}
    shape = replace(shape, **{name: value for name, value in given.items() if value is not None})
    say(f"{arguments.kind}: {shape.words()}")
    end = End(arguments.minutes)
    try:
        with none_ignored():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, end.call)
            done = soak(
                WORKERS[arguments.kind],
                shape,
                arguments.restarts,
                arguments.patience,
                say,
                end,
                arguments.keep,
            )
    except OutcomeException as error:
        say(f"soak: {error.msg}")
        return 2
    if done.status:
        say(done.story)
    if done.stuck:
        say(f"soak: {done.stuck}")
    print(done.table(), flush=True)
    return done.status or 2 * end.called


if __name__ == "__main__":
    sys.exit(main())
