"""What a call costs Redis is bound to the caller's own workers, and not to the size of the pool."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import redis

from tests.benchmark.redis_load import RULES, WORKERS_EACH, coordinator, reports, request

SMALL, LARGE = 5, 100
"""Listeners of WORKERS_EACH workers. A pool of 10,000 is measured by ``make benchmark``."""
NO_PART = ("cmdstat_config", "cmdstat_info", "cmdstat_flushall")


def costs(client: redis.Redis, listeners: int) -> dict[str, tuple[int, int]]:
    """For each call: the commands that Redis ran, and the bytes of its answer."""
    client.flushall()
    fleet = [coordinator(client, number) for number in range(listeners)]
    for number, one in enumerate(fleet):
        one.publish("pool", RULES, reports(number), [])
    last = fleet[-1]
    calm = [dataclasses.replace(one, urgency=None) for one in reports(listeners - 1)]
    changed = [dataclasses.replace(calm[0], memory_bytes=1), *calm[1:]]
    last.acquire("pool", RULES, request("warm", urgency=1.0))  # Redis gets its script.
    calls: dict[str, Callable[[], Any]] = {
        "refused": lambda: last.acquire("pool", RULES, request("a", urgency=1.0)),
        "all workers": lambda: last.publish("pool", RULES, calm, []),
        "no change": lambda: last.publish("pool", RULES, calm, []),
        "one change": lambda: last.publish("pool", RULES, changed, []),
        "granted": lambda: last.acquire("pool", RULES, request("b", urgency=9.0)),
        "considered": lambda: last.consider("pool", RULES, request("c", urgency=9.0)),
    }
    return {name: _cost(client, call) for name, call in calls.items()}


def _cost(client: redis.Redis, call: Callable[[], Any]) -> tuple[int, int]:
    client.config_resetstat()
    call()
    sent = client.info("stats")["total_net_output_bytes"]
    ran: dict[str, Any] = client.info("commandstats")
    return sum(one["calls"] for name, one in ran.items() if not name.startswith(NO_PART)), sent


def test_call_costs_redis_the_same_in_a_pool_of_any_size(client: redis.Redis) -> None:
    small, large = costs(client, SMALL), costs(client, LARGE)
    for name, (commands, answer) in small.items():
        assert abs(large[name][0] - commands) <= 1, f"{name}: calls take turns at the sweep of old sets"
        assert abs(large[name][1] - answer) < 20, f"{name}: the digits of some numbers"


def test_heartbeat_without_changes_sends_no_worker(client: redis.Redis) -> None:
    one = coordinator(client, 1)
    client.flushall()
    calm = [dataclasses.replace(worker, urgency=None) for worker in reports(1)]
    sent = []
    for _ in range(2):
        client.config_resetstat()
        one.publish("pool", RULES, calm, [])
        sent.append(client.info("stats")["total_net_input_bytes"])
    assert sent[1] < sent[0] / 4, f"{WORKERS_EACH} workers are the most of the first one"
