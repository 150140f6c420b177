"""Records a real drain for the README's picture: three Sidekiqs that leak, one Redis, one supervisord.

``.venv-test/bin/python scripts/record-drain.py`` from the root of the checkout takes about two minutes. It
needs redis-server and sidekiq, as the tests do. It writes docs/drain.csv (memory of each worker over time)
and docs/drain.log (what the listener logged about drains). scripts/draw-drain.py makes the picture from them.
"""

from __future__ import annotations

import csv
import datetime
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from supervisor_memkill.errors import Unknown  # noqa: E402
from supervisor_memkill.processes import ProcessState  # noqa: E402
from supervisor_memkill.world.memory import ProcessTable  # noqa: E402
from tests.harness import short_directory  # noqa: E402
from tests.real.repeating import repeating  # noqa: E402
from tests.real.sidekiq_fleet import Fleet, Sidekiq, running_fleet  # noqa: E402
from tests.real_redis import RealRedis  # noqa: E402

NAMES = ("sidekiq_0", "sidekiq_1", "sidekiq_2")
GROUP = f"[group:sidekiq]\nprograms = {','.join(NAMES)}"
JOB_SECONDS, JOB_EVERY_SECONDS = 8.0, 1.6
LEAK_MEGABYTES, LEAK_EVERY_SECONDS = 4, 0.9
SAMPLE_SECONDS = 0.5
RECORD_SECONDS = 110.0


def main() -> int:
    with short_directory() as directory:
        redis_server = RealRedis(directory).start()
        try:
            sidekiqs = [Sidekiq(name, concurrency=3, timeout_seconds=10) for name in NAMES]
            pools = {"sidekiq": {"max_rss": "100MB"}}
            with running_fleet(redis_server, *sidekiqs, pools=pools, others=GROUP) as fleet:
                rows, log = _record(fleet)
        finally:
            redis_server.stop()
    with (ROOT / "docs" / "drain.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["time", "worker", "memory_bytes", "status"], *rows])
    lines = [line for line in log.splitlines() if " drain." in line]
    (ROOT / "docs" / "drain.log").write_text("".join(f"{line}\n" for line in lines))
    return 0


def _record(fleet: Fleet) -> tuple[list[list[str]], str]:
    """The samples and the listener's log."""
    rows: list[list[str]] = []
    while any(status != "in service" for _, _, _, status in _sample(fleet)):
        time.sleep(SAMPLE_SECONDS)
    fleet.supervisord.proxy.start("memkill:memkill")
    end = time.monotonic() + RECORD_SECONDS
    with (
        repeating(lambda: fleet.push(JOB_SECONDS), JOB_EVERY_SECONDS),
        repeating(lambda: fleet.push(LEAK_MEGABYTES, "LeakJob"), LEAK_EVERY_SECONDS),
    ):
        while time.monotonic() < end:
            rows += _sample(fleet)
            time.sleep(SAMPLE_SECONDS)
    return rows, fleet.log()


def _sample(fleet: Fleet) -> Iterator[list[str]]:
    beats, clock, table = fleet.beats(), f"{datetime.datetime.now():%H:%M:%S.%f}"[:-3], ProcessTable()
    for process in fleet.supervisord.proxy.all_processes():
        if process.name not in NAMES:
            continue
        status = process.state.name
        if process.state is ProcessState.RUNNING and process.pid in beats:
            status = "quiet" if beats[process.pid].quiet else "in service"
        yield [clock, process.worker, str(_memory(table, process.pid)), status]


def _memory(table: ProcessTable, pid: int) -> int:
    try:
        return table.memory(pid) if pid else 0
    except Unknown:
        return 0


if __name__ == "__main__":
    sys.exit(main())
