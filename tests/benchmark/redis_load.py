"""What coordination, and a look at all hosts, cost Redis, by the size of the pool.

``python -m tests.benchmark.redis_load [WORKERS ...]``; by default 100, 1000 and 10000 workers in one pool,
20 to a listener. Times are Redis's own (INFO commandstats), so they hold no network and no Python. Only the
CPU of ``status --fleet`` is that of its own process, from its start to its end.
"""

from __future__ import annotations

import dataclasses
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from supervisor_memkill.coordination.contract import Report, Request, Rules
from supervisor_memkill.coordination.redis import RedisCoordinator
from supervisor_memkill.units import format_size
from tests.builders import report
from tests.real_redis import RealRedis

RULES = Rules(min_available=1, max_draining=1, cooldown_seconds=0.0)
QUEUES = frozenset({"default", "mail"})
WORKERS_EACH = 20
HEARTBEAT_SECONDS = 10
SHARE = 0.05


def main(sizes: list[int]) -> None:
    here = Path(tempfile.mkdtemp(prefix="mk"))
    server = RealRedis(here)
    server.start()
    try:
        print("cost to Redis     publish of 20    acquire, refused   acquire, granted   the pool's memory")
        publish = 0.0
        looks, quiet = [], []
        for size in sizes:
            publish = measure(server.client(), size)
            looks.append(look(server, size))
            quiet.append(measure_calm(server.client(), size))
        print("\n".join([*looks, *quiet]))
    finally:
        server.stop()
        shutil.rmtree(here, ignore_errors=True)
    hosts = SHARE * HEARTBEAT_SECONDS * 1000 / publish
    share = f"{SHARE:.0%} of one Redis"
    print(f"at a heartbeat of {HEARTBEAT_SECONDS}s, {share} carries about {hosts:.0f} listeners")


def measure(client: Any, size: int) -> float:
    """Prints one line; milliseconds of one publish."""
    client.flushall()
    listeners = [coordinator(client, number) for number in range(max(1, size // WORKERS_EACH))]
    for number, listener in enumerate(listeners):
        listener.publish("pool", RULES, reports(number), [])
    client.config_resetstat()
    before = client.info("stats")["total_net_input_bytes"]
    sample = listeners[:50]
    for number, listener in enumerate(sample):
        listener.publish("pool", RULES, reports(number), [])
    publish = milliseconds(client)
    received = (client.info("stats")["total_net_input_bytes"] - before) / len(sample)
    client.config_resetstat()
    for number in range(100):
        refused = listeners[0].acquire("pool", RULES, request(f"a{number}", urgency=1.01))
        assert size <= WORKERS_EACH or not refused.granted
    refusing = milliseconds(client)
    client.config_resetstat()
    for number in range(100):
        assert listeners[-1].acquire("pool", RULES, request(f"b{number}", urgency=9.0)).granted
        listeners[-1].release("pool", "jobs:1", f"b{number}", drained=False)
    granting = milliseconds(client)
    keys = ["t:{pool}", *(f"t:{{pool}}:{part}" for part in ("up", "ask", "wait"))]
    memory = sum(client.memory_usage(key) or 0 for key in keys)
    print(
        f"{size:6} workers   {publish:10.3f} ms   {refusing:14.3f} ms   {granting:14.3f} ms"
        f"   {format_size(memory):>12}   ({received / 1024:.1f} KB a heartbeat)"
    )
    return publish


def measure_calm(client: Any, size: int) -> str:
    """One heartbeat of a pool in which nobody asks: nothing has changed, one worker has, all are sent."""
    client.flushall()
    listeners = [coordinator(client, number) for number in range(max(1, size // WORKERS_EACH))]
    calm = [dataclasses.replace(one, urgency=None) for one in reports(0)]
    other = [dataclasses.replace(calm[0], memory_bytes=1), *calm[1:]]
    parts = []
    for name, sent in (("all workers", calm), ("no change", calm), ("one changed", other)):
        client.config_resetstat()
        for listener in listeners:
            listener.publish("pool", RULES, sent, [])
        stats, calls = client.info("stats"), len(listeners)
        parts.append(
            f"{name} {milliseconds(client):.3f} ms, {stats['total_net_input_bytes'] / calls:.0f} bytes there"
            f" and {stats['total_net_output_bytes'] / calls:.0f} back"
        )
    return f"publish of 20 of {size:6} calm workers: {'; '.join(parts)}"


def look(server: RealRedis, size: int) -> str:
    """What ``status --fleet`` costs itself and Redis, as one line."""
    config = server.directory / "memkill.conf"
    main = f"[memkill]\nredis = {server.url}\nkey_prefix = t\n"
    config.write_text(f"{main}[memkill:pool]\nmax_rss = 1GB\n")
    nobody = f"unix://{server.directory}/nobody.sock"
    words = ["status", "--fleet", "--config", str(config), "--serverurl", nobody]
    client = server.client()
    client.config_resetstat()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "supervisor_memkill", *words], capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert f" of {size} in service" in done.stdout, done
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    sent = format_size(client.info("stats")["total_net_output_bytes"])
    own = f"status --fleet of {size:6} workers: {seconds:.2f} s of its own CPU"
    return f"{own}, {milliseconds(client):.1f} ms of Redis, {sent} from it"


def coordinator(client: Any, number: int) -> RedisCoordinator:
    return RedisCoordinator(
        lambda: client,
        f"host{number}/supervisor",
        "benchmark",
        prefix="t",
        heartbeat_seconds=600,
        slot_ttl_seconds=3600,
        settle_seconds=0,
    )


def reports(number: int) -> list[Report]:
    """20 workers, half of them over their limit and asking."""
    return [
        report(
            f"jobs:{index}",
            queues=QUEUES,
            busy=3,
            urgency=1.1 + index / 100 + number / 100_000 if index % 2 else None,
        )
        for index in range(WORKERS_EACH)
    ]


def request(token: str, urgency: float) -> Request:
    return Request("jobs:1", token, urgency, QUEUES)


def milliseconds(client: Any) -> float:
    """Per script, as Redis measured it. A release counts with its acquire."""
    return float(client.info("commandstats")["cmdstat_evalsha"]["usec_per_call"]) / 1000


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [100, 1000, 10_000])
