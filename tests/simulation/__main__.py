"""``python -m tests.simulation``: run thousands of seeds, or show one of them."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.simulation.simulation import Result, run

PROGRESS_SECONDS = 5.0


@dataclass
class Summary:
    """The results of all seeds."""

    seeds: Counter[str] = field(default_factory=Counter)
    virtual_seconds: float = 0.0
    cpu_seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    broken: list[Result] = field(default_factory=list)

    def add(self, result: Result) -> None:
        self.seeds[result.mode] += 1
        self.virtual_seconds += result.virtual_seconds
        self.cpu_seconds += result.cpu_seconds
        self.counts += result.counts
        if result.broken:
            self.broken.append(result)

    def lines(self, seconds: float) -> Iterator[str]:
        modes = ", ".join(f"{count} {mode}" for mode, count in sorted(self.seeds.items()))
        yield f"seeds: {modes}; broken promises: {len(self.broken)}"
        virtual = f"virtual time: {self.virtual_seconds / 3600:.1f} h"
        yield f"{virtual}; real time: {seconds:.0f} s; CPU: {self.cpu_seconds:.0f} s"
        acts = {name: count for name, count in sorted(self.counts.items()) if name.startswith("act: ")}
        yield "acts: " + ", ".join(f"{name.removeprefix('act: ')} {count}" for name, count in acts.items())
        faults = [(name, count) for name, count in sorted(self.counts.items()) if name not in acts]
        yield f"faults: {sum(count for _, count in faults)}"
        yield from (f"  {count:8} {name}" for name, count in faults)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--safety", type=int, default=0, metavar="N", help="so many seeds for safety")
    parser.add_argument("--liveness", type=int, default=0, metavar="M", help="so many for liveness")
    parser.add_argument("--first-seed", type=int, default=0, metavar="K")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--seed", type=int, help="one seed alone, with all that happens")
    parser.add_argument("--mode", choices=("safety", "liveness"), default="safety", help="of that one")
    given = parser.parse_args(arguments)
    if given.seed is not None:
        return replay(given.seed, given.mode)
    work = [("safety", given.first_seed + number) for number in range(given.safety)]
    work += [("liveness", given.first_seed + number) for number in range(given.liveness)]
    return run_all(work, given.jobs)


def replay(seed: int, mode: str) -> int:
    """Show one seed with every event."""
    result = run(seed, mode)
    for line in result.trace.lines():
        print(line)
    print(result.broken or "every promise was kept")
    return 1 if result.broken else 0


def run_all(work: Sequence[tuple[str, int]], jobs: int) -> int:
    """Run all seeds with a line of progress; then show each broken promise with its trace and the figures."""
    summary, began, said = Summary(), time.monotonic(), 0.0
    with multiprocessing.Pool(jobs, _stay_on_one_core) as pool:
        for number, result in enumerate(pool.imap_unordered(_run, work, chunksize=8), 1):
            summary.add(result)
            if result.broken:
                print(f"\r{_told(result)}", file=sys.stderr, flush=True)
            if time.monotonic() - said > PROGRESS_SECONDS or number == len(work):
                said = time.monotonic()
                line = f"{number} of {len(work)} seeds, {len(summary.broken)} broken, {said - began:.0f} s"
                print(f"\r{line}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    for result in sorted(summary.broken, key=lambda one: len(list(one.trace.lines())))[:1]:
        print("\n".join(result.trace.lines()))
    for result in summary.broken:
        print(_told(result))
    print("\n".join(summary.lines(time.monotonic() - began)))
    return 1 if summary.broken else 0


def _told(result: Result) -> str:
    again = f"python -m tests.simulation --seed {result.seed} --mode {result.mode}"
    return f"BROKEN {result.broken}\n  {again}"


def _run(task: tuple[str, int]) -> Result:
    mode, seed = task
    result = run(seed, mode)
    if not result.broken:
        result.trace.forget()
    return result


def _stay_on_one_core() -> None:
    """The threads run in turn: a switch on one core costs a third of a switch between two."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        place = multiprocessing.current_process()._identity[0]
        os.sched_setaffinity(0, {cores[place % len(cores)]})


if __name__ == "__main__":
    sys.exit(main())
