"""The figures as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.benchmark.stage import MEMMON, TITLES

_MEGABYTE = 1024 * 1024
HEAD = (
    "processes",
    "listener",
    "CPU an hour",
    "memmon's is",
    "supervisord blocked",
    "own memory",
    "wake-ups",
    "Redis",
)


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield "Idle, a check each minute, heartbeat 10 s (by the hour or the minute; TICK_5 stands for TICK_60):"
    yield from _aligned([HEAD, *cells(found["idle"])])
    yield ""
    for one in found["gaps"]:
        title = TITLES[one["listener"]]
        yield (
            f"restart, {title}: stopped to start {one['stopped_to_start_ms']:.0f} ms,"
            f" RUNNING to the end without settle {one['running_to_done_ms']:.0f} ms"
        )
    for one in found["under_way"]:
        yield (
            f"a drain that waits, {TITLES[one['listener']]}: {one['own_cpu_ms']:.1f} ms of its CPU and"
            f" {one['supervisord_ms']:.1f} ms of supervisord's each second"
        )
    starts = ", ".join(f"{name} {taken:.0f} ms" for name, taken in found["starts_ms"].items())
    yield f"from its start to READY: {starts}"
    growth = found["growth"]
    yield (
        f"private memory after {growth['warm_looks']} looks {growth['warm_bytes'] / _MEGABYTE:.2f} MB,"
        f" after {growth['looks'] // 2} looks {growth['half_bytes'] / _MEGABYTE:.2f} MB,"
        f" after {growth['looks']} looks {growth['bytes'] / _MEGABYTE:.2f} MB;"
        f" in the second half {(growth['bytes'] - growth['half_bytes']) / 1024:+.0f} KB"
    )
    yield f"the benchmark took {found['seconds']} s"


def cells(idle: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """The rows of the table, without its head."""
    costs = {(one["listener"], one["processes"]): _cpu_seconds_an_hour(one) for one in idle}
    for one in idle:
        own = costs[one["listener"], one["processes"]]
        theirs = costs[MEMMON, one["processes"]]
        times = "" if one["listener"] == MEMMON else f"{theirs / own:.0f} times that" if own else "-"
        redis = f"{one['redis_calls']:.0f} calls, {one['redis_bytes'] / 1024:.1f} KB a minute"
        yield (
            str(one["processes"]),
            TITLES[one["listener"]],
            f"{own:.1f} s",
            times,
            f"{one['supervisord_ms']:.1f} ms a minute",
            f"{one['private_bytes'] / _MEGABYTE:.1f} MB",
            f"{one['wake_ups']} a minute",
            redis if one["redis_calls"] else "",
        )


def _cpu_seconds_an_hour(one: Mapping[str, Any]) -> float:
    return float(one["own_cpu_ms"] + one["supervisord_ms"]) * 60 / 1000


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
