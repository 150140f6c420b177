"""``python -m tests.chaos``: a long run, a line per round, and a summary. Status 1: a promise was broken."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.chaos.plan import make_plan
from tests.chaos.run import run


def say(words: str) -> None:
    print(words, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--calm-every", type=int, default=20, metavar="ROUNDS")
    parser.add_argument("--plan", action="store_true", help="show the plan and do nothing")
    parser.add_argument("--keep", type=Path, metavar="DIRECTORY", help="copy all logs there at the end")
    arguments = parser.parse_args()
    if arguments.plan:
        for todo in make_plan(arguments.seed, arguments.rounds):
            say(todo.words())
        return 0
    summary = run(arguments.seed, arguments.rounds, arguments.calm_every, say, arguments.keep)
    say(summary.words())
    return 1 if summary.broken else 0


if __name__ == "__main__":
    sys.exit(main())
