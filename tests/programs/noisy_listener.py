"""The listener with a library that prints to standard output, in Python's way and in C's."""

from __future__ import annotations

import os
import sys

from watched import run


def print_much(place: str) -> None:
    print(f"noise at {place}", flush=True)
    os.write(1, b"READY\nRESULT 4\nFAIL")


if __name__ == "__main__":
    sys.exit(run(print_much))
