"""``python -m tests.benchmark``: the running listener beside superlance's memmon, in one run.

By default 10, 100 and 500 processes of ``sleep`` in one pool, and 2,000 in 50 pools. An idle minute takes 5
s: TICK_5 stands for TICK_60, and the heartbeat is 12 times as fast, so that what a run counts is what a
minute costs. Figures are medians. memmon with many processes gets one real minute: one look takes it longer
than 5 s. The package is compiled first, as pip does when it installs it: a process that compiles for itself
has a larger heap.
"""

from __future__ import annotations

import argparse
import compileall
import dataclasses
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import supervisor_memkill
from tests.benchmark import drains, endurance, idle
from tests.benchmark.chart import chart
from tests.benchmark.page import put_into
from tests.benchmark.report import lines
from tests.benchmark.stage import ALONE, SHARED, TICKS_ALONE, Stage
from tests.benchmark.warm import Warm

MANY_POOLS_FROM, MANY_POOLS = 2000, 50
"""So many processes are in so many pools."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark", description=__doc__)
    parser.add_argument("processes", nargs="*", type=int, default=[10, 100, 500, 2000])
    parser.add_argument("--runs", type=int, default=3, help="minutes of 5 s, of which the median counts")
    parser.add_argument("--looks", type=int, default=10_000, help="after which own memory is compared")
    parser.add_argument("--idle", action="store_true", help="measure no drains")
    parser.add_argument(
        "--keep-warm", action="store_true", help="on a machine that takes idle memory away (see warm.py)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="a chart")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the table into docs/cost.rst")
    given = parser.parse_args(arguments)
    compileall.compile_dir(Path(supervisor_memkill.__file__).parent, quiet=1)
    began = time.monotonic()
    found: dict[str, Any] = {"idle": [], "gaps": [], "under_way": []}
    warm = Warm() if given.keep_warm else None
    if warm:
        warm.start()
    for count in given.processes:
        _on_stage(found, count, given.runs, warm, with_drains=not given.idle and count == given.processes[0])
    found["starts_ms"] = endurance.measure_starts()
    found["growth"] = dataclasses.asdict(endurance.measure_growth(given.looks))
    found["seconds"] = round(time.monotonic() - began)
    print("\n".join(lines(found)))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    if given.svg:
        given.svg.write_text(chart(found["idle"]))
    if given.page:
        put_into(given.page, found)
    return 0


def _on_stage(found: dict[str, Any], count: int, runs: int, warm: Warm | None, *, with_drains: bool) -> None:
    here = Path(tempfile.mkdtemp(prefix="mk"))
    stage = Stage(here, count, MANY_POOLS if count >= MANY_POOLS_FROM else 1, warm)
    try:
        stage.start()
        with stage.kept_warm(stage.supervisord.pid):
            _measure(found, stage, count, runs, with_drains=with_drains)
    finally:
        stage.stop()
        shutil.rmtree(here, ignore_errors=True)


def _measure(found: dict[str, Any], stage: Stage, count: int, runs: int, *, with_drains: bool) -> None:
    print(f"{count} processes run", file=sys.stderr, flush=True)
    found["idle"] += [dataclasses.asdict(one) for one in idle.measure(stage, count, runs)]
    if with_drains:
        print("idle is measured; now drains", file=sys.stderr, flush=True)
        for name in (ALONE, TICKS_ALONE):
            found["gaps"].append(dataclasses.asdict(drains.measure_gaps(stage, name)))
        for name in (ALONE, SHARED):
            found["under_way"].append(dataclasses.asdict(drains.measure_under_way(stage, name, runs)))


if __name__ == "__main__":
    sys.exit(main())
