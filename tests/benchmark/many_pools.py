"""What many pools of one listener cost with Redis: ``python -m tests.benchmark.many_pools``.

A listener with 1, 10 and 50 pools of 4 workers, and with 2,000 workers in 1, 10 and 50 pools. For each look:
round trips and bytes, the CPU of the listener, and how long it waits where each round trip takes longer. The
test plays supervisord, and sends TICKs alone, so the CPU is that of a listener which asks for all processes
at each look.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.benchmark.usage import usage
from tests.real.many_pools import many_pools

SIZES = ((1, 4), (10, 4), (50, 4), (1, 2000), (10, 200), (50, 40))
"""Pools, and the workers of each."""
DELAYS_MS = (1, 10, 50)
LOOKS = 2


def main() -> int:
    head = "pools  workers  kind      trips  bytes there  bytes back  CPU of a look  waits at 1, 10, 50 ms"
    print(head, flush=True)
    for kind in ("plain", "sidekiq"):
        for pools, each in SIZES:
            print(measure(pools, each, kind), flush=True)
    return 0


def measure(pools: int, workers_each: int, kind: str) -> str:
    with (
        tempfile.TemporaryDirectory(prefix="mk-") as directory,
        many_pools(Path(directory), pools, workers_each, worker=kind) as scene,
    ):
        pid = scene.listener.popen.pid
        scene.supervisord.look_after_next()
        first, before = len(scene.supervisord.looks), usage(pid)
        for _ in range(LOOKS):
            look = scene.supervisord.look_after_next()
        spent = usage(pid).since(before).cpu_seconds * 1000 / (len(scene.supervisord.looks) - first)
        waits = ", ".join(f"{look.round_trips * delay / 1000:.2f}" for delay in DELAYS_MS)
        return (
            f"{pools:5} {pools * workers_each:8}  {kind:8} {look.round_trips:6} {look.request_bytes:12}"
            f" {look.reply_bytes:11} {spent:11.1f} ms  {waits} s"
        )


if __name__ == "__main__":
    sys.exit(main())
