"""Each fault of the doctor, planted in facts in which all else is well."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from supervisor_memkill.commands.doctor.facts import (
    Facts,
)
from supervisor_memkill.listener.findings import Pool
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.rivals import RivalKind
from supervisor_memkill.listener.state_values import (
    OutageState,
    PoolState,
    WorkerState,
)
from supervisor_memkill.listener.survey import Surveyor
from supervisor_memkill.processes import ProcessState, ProgramInfo
from supervisor_memkill.rules.causes import Reason
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.policy import Hold
from supervisor_memkill.rules.requests import Pause
from supervisor_memkill.workers.base import source_away
from supervisor_memkill.workers.contract import LeftBehind, Reading, Target, Tools, unrecognised
from supervisor_memkill.world.machine import MemoryLimit
from tests.builders import drain, info
from tests.commands.doctor.facts_with import (
    INET,
    LISTENER,
    NOW,
    SHIPPED_EVENTS,
    Kind,
    advised,
    changed_world,
    configuration,
    fresh_world,
    listener,
    looked_at,
    reading,
    redis,
    rival,
    sections,
    state,
    supervisord,
    young_world,
)
from tests.listener_world import EPOCH, LIMIT, World, WorldTable, pool_config


def _bloat_young(world: World) -> None:
    worker = world.workers["jobs:one"]
    worker.start, worker.memory = EPOCH + int(world.now) - 1, int(0.95 * LIMIT)


def _quiet(world: World) -> None:
    world.workers["jobs:one"].quiet = True


def _fatal(world: World) -> None:
    world.end(world.workers["jobs:one"], ProcessState.FATAL)


def _leave_behind(world: World) -> None:
    world.left_behind = (LeftBehind(7, "here:7"),)


def _lose_measure(world: World) -> None:
    world.measure_lost = "pss of process 812 needs the capability SYS_PTRACE"


def _crash(reading: Reading, target: Target) -> Reading:
    raise ZeroDivisionError


def _unread(size: int | None) -> Facts:
    facts = looked_at()
    (pool,) = facts.pools
    one = pool.survey.findings[0]
    seen = dataclasses.replace(one.seen, memory_bytes=None, memory_why="docker run starts it out of sight")
    findings = (dataclasses.replace(one, seen=seen), *pool.survey.findings[1:])
    survey = dataclasses.replace(pool.survey, findings=findings)
    return dataclasses.replace(facts, pools=(dataclasses.replace(pool, survey=survey),))


def _stuck() -> Facts:
    stuck = drain(State.STARTING, start_attempts=99, since=NOW)
    return looked_at(contents=Contents(drains={stuck.worker: stuck}))


def _held() -> Facts:
    held = WorkerState(
        "jobs:one",
        7,
        1,
        "RUNNING",
        9,
        0,
        True,
        "over its limit, but not recognised",
        reason=Reason.MAX_RSS.value,
        cause=Hold.NOT_RECOGNISED.value,
    )
    return state(pools=(PoolState("jobs", NOW, LIMIT, None, 1, 1, (held,)),))


def _overlapping() -> Facts:
    world = fresh_world()
    tools = Tools(redis=lambda: None, signal=world.signal, clock=world.clock, host="here")
    fake: Any = world
    pools = [Pool(pool_config(name=name), Kind({}, tools, world)) for name in ("jobs", "again")]
    surveyor = Surveyor(
        fake,
        pools,
        world.clock,
        own_group="",
        process_table=lambda: WorldTable(world),
        machine_bytes=lambda: 10 * LIMIT,
    )
    return dataclasses.replace(looked_at(), oddities=surveyor.check(Contents()).oddities)


def _unrecognised_one(reading: Reading, target: Target) -> Reading:
    return unrecognised("no record of it") if target.process.name == "one" else reading


PLANTED: Mapping[str, tuple[Callable[[], Facts], str]] = {
    "configuration-wrong": (
        lambda: configuration(problems=("/etc/a.conf:7: [memkill:a] strike: unknown key",)),
        "unknown key",
    ),
    "key-misplaced": (
        lambda: configuration(misplaced=("/etc/a.conf:7: [program:a] max_rss = '1GB': has no effect",)),
        "[program:a] max_rss = '1GB': has no effect",
    ),
    "configuration-not-found": (lambda: configuration(is_found=False), "standard place"),
    "hook-missing": (lambda: configuration(hook_problem="/opt/tell does not exist"), "/opt/tell"),
    "configuration-unreadable": (lambda: configuration(unread=("/etc/x: cannot be read",)), "/etc/x"),
    "no-pools": (lambda: configuration(has_pools=False), "no section for a pool"),
    "supervisord-unreachable": (lambda: supervisord(silence="connection refused"), "refused"),
    "supervisord-refuses": (lambda: supervisord(refusal="wrong password"), "wrong password"),
    "supervisord-old": (lambda: supervisord(version="3.4.0"), "3.4.0"),
    "server-section-missing": (sections, "no server section"),
    "server-open-to-network": (
        lambda: sections(unix_http_server=INET, inet_http_server={"port": "*:9001"}),
        "port = *:9001",
    ),
    "socket-closed-to-listener": (lambda: listener(closed_socket="/run/s is srwx------"), "srwx------"),
    "password-missing-for-listener": (lambda: listener(lacks_password=True), "SUPERVISOR_PASSWORD"),
    "settings-not-reported": (lambda: supervisord(alerts=("write 2047MB or less",)), "2047MB"),
    "listener-missing": (lambda: listener(processes=(), in_files=()), "none of its event listeners"),
    "listener-not-loaded": (lambda: listener(processes=()), "does not know"),
    "listener-is-a-program": (
        lambda: listener(programs=(ProgramInfo("x", "x", "supervisor-memkill", 15, 10, False, 999),)),
        "supervisor-memkill",
    ),
    "listener-down": (
        lambda: listener(
            processes=(info(ProcessState.FATAL, group="memkill", name="memkill"),),
            last_lines={LISTENER: "listener.not_started"},
        ),
        "FATAL; its log ends with: listener.not_started",
    ),
    "listener-does-not-start": (
        lambda: listener(is_alive=False, last_lines={LISTENER: "ERROR listener.not_started error=x"}),
        "error=x",
    ),
    "listener-in-unknown-state": (lambda: listener(in_unknown_state=frozenset({LISTENER})), "protocol"),
    "listener-hears-no-ticks": (lambda: state(ticked_at=NOW - 200), "3m20s"),
    "listener-without-ticks": (
        lambda: listener(events={"memkill": SHIPPED_EVENTS - {"TICK_60"}}),
        "REMOTE_COMMUNICATION",
    ),
    "listener-with-rare-ticks": (
        lambda: listener(events={"memkill": SHIPPED_EVENTS - {"TICK_60"} | {"TICK_3600"}}),
        "TICK_3600",
    ),
    "listener-without-requests": (
        lambda: listener(events={"memkill": SHIPPED_EVENTS - {"REMOTE_COMMUNICATION"}}),
        "TICK_60",
    ),
    "listener-without-process-events": (
        lambda: listener(events={"memkill": SHIPPED_EVENTS - {"PROCESS_STATE"}}),
        "TICK_60",
    ),
    "configuration-not-in-force": (lambda: listener(changes=("[memkill:jobs] in /etc/a.conf",)), "/etc/a"),
    "listener-of-another-version": (lambda: state(version="0.0.1"), "0.0.1"),
    "listener-outage": (
        lambda: state(away={"coordination": OutageState("Redis: refused", NOW - 60)}),
        "1m00s: Redis: refused",
    ),
    "worker-held": (_held, "not recognised"),
    "listener-in-dry-run": (lambda: state(dry_run=True), "changes nothing"),
    "listener-hidden": (lambda: listener(hidden="it belongs to www-data"), "www-data"),
    "listener-state-unreadable": (lambda: listener(state=None, is_alive=False, unreadable="format 9"), "9"),
    "asked-as-another-user": (lambda: listener(user="www-data"), "the user root, and the listener"),
    "pool-matches-nothing": (lambda: looked_at(programs=("job",)), "did you mean jobs"),
    "worker-matched-twice": (_overlapping, "match equally well"),
    "pool-unrecognised": (
        lambda: reading(lambda _, target: unrecognised("no Sidekiq record of this process")),
        "no Sidekiq record of this process; 3 Sidekiq records are in database 1",
    ),
    "pool-booting": (
        lambda: reading(lambda _, target: unrecognised("no record of it"), young_world()),
        "no record of it",
    ),
    "worker-unrecognised": (lambda: reading(_unrecognised_one), "no record of it"),
    "readings-away": (
        lambda: reading(lambda _, target: source_away(ValueError("Redis is away"))),  # type: ignore[arg-type]
        "Redis is away",
    ),
    "pool-check-failed": (lambda: reading(_crash), "ZeroDivisionError"),
    "settings-lose-jobs": (lambda: advised(refuses=True), "must be INT"),
    "settings-cut-jobs": (lambda: advised(cuts_jobs=True), "must be INT"),
    "own-limit-comes-first": (lambda: advised(comes_first=True), "must be INT"),
    "own-limit-of-children": (lambda: advised(comes_first=True, is_note=True), "must be INT"),
    "settings-hint": (advised, "must be INT"),
    "worker-remark": (
        lambda: reading(lambda it, target: dataclasses.replace(it, remark="behind a wrapper")),
        "behind a wrapper",
    ),
    "pool-never-drains": (lambda: looked_at(min_available=3), "has only 3 workers in all"),
    "limit-below-baseline": (lambda: changed_world(_bloat_young), "190MB after 1s"),
    "memory-unknown": (lambda: _unread(None), "out of sight"),
    "measure-unreadable": (lambda: changed_world(_lose_measure), "SYS_PTRACE"),
    "worker-quiet": (lambda: changed_world(_quiet), "takes no new job"),
    "worker-down": (lambda: changed_world(_fatal), "FATAL"),
    "drain-stuck": (_stuck, "its start failed"),
    "worker-left-behind": (lambda: changed_world(_leave_behind), "process 7"),
    "pool-paused": (
        lambda: looked_at(contents=Contents(pauses={"jobs": Pause(NOW, None, False)})),
        "a person paused the pool, until unpause",
    ),
    "redis-away": (lambda: redis(away="connection refused"), "refused"),
    "redis-old": (lambda: redis(version="4.0.14"), "4.0.14"),
    "redis-cluster-by-plain-url": (lambda: redis(is_cluster=True), "cluster"),
    "redis-replica": (lambda: redis(is_replica=True), "replica"),
    "redis-forbidden": (lambda: redis(forbidden=("xadd", "hset")), "xadd, hset"),
    "redis-full": (lambda: redis(is_full=True, maxmemory_bytes=1024**2), "1MB"),
    "redis-evicts": (lambda: redis(policy="allkeys-lru"), "allkeys-lru"),
    "redis-clock": (lambda: redis(clock_ahead_seconds=-90.0), "1m30s behind"),
    "rival-by-memory": (lambda: rival(RivalKind.MEMORY, "memmon -a 1GB"), "memmon"),
    "second-listener": (lambda: rival(RivalKind.SECOND, "supervisor-memkill"), "supervisor-memkill"),
    "rival-by-health": (lambda: rival(RivalKind.HEALTH, "httpok -p jobs:one http://x"), "httpok"),
    "limit-above-memory": (
        lambda: dataclasses.replace(
            looked_at(max_total_rss=pool_config().max_rss), memory=MemoryLimit(LIMIT, Path("/sys/max"))
        ),
        "200MB are allowed by /sys/max",
    ),
    "limits-above-memory": (
        lambda: dataclasses.replace(looked_at(), memory=MemoryLimit(2 * LIMIT)),
        "3 workers may grow to 600MB",
    ),
    "check-failed": (lambda: dataclasses.replace(looked_at(), redis=(None,)), "AttributeError"),  # type: ignore[arg-type]
}
"""Each fault by its name: the facts with it, and a part of what the finding says."""
