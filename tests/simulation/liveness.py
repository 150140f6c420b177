"""After all faults are over: what must come about, and within which time.

Judged by what is, again, and by what the journals and Redis hold at the end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

from supervisor_memkill.processes import STOPPED_STATES
from supervisor_memkill.rules.drain import Drain, State
from supervisor_memkill.rules.evidence import END_SECONDS
from supervisor_memkill.rules.requests import Act, OperatorRequest, RunningProcess, encode
from supervisor_memkill.rules.step import OnTimeout
from tests.simulation.machine import Machine
from tests.simulation.promises.judge import BrokenPromise
from tests.simulation.promises.slots_and_peers import backs_off
from tests.simulation.shape import LIMIT, LONGEST_CLOSED_MINUTES, PoolShape
from tests.simulation.supervisord import Worker

if TYPE_CHECKING:
    from tests.simulation.world import World

LOOK_SECONDS = 4.0
LONGEST_START_PAUSE_SECONDS = 60.0


def demand(world: World) -> None:
    """End all faults, and check that every drain finishes in time. Raises BrokenPromise."""
    heal(world)
    until = world.engine.now + _bound_seconds(world)
    while unmet := list(_unmet(world)):
        if world.engine.now >= until:
            world.trace.say("", f"BROKEN {unmet[0]}")
            raise BrokenPromise("; ".join(unmet))
        world.engine.run_until(world.engine.now + LOOK_SECONDS)


def heal(world: World) -> None:
    """End all faults; the operator repairs his own changes. A machine may be gone for good."""
    world.trace.say("", "all faults are over")
    world.weather.clear_up()
    if world.shape.shares and len(world.machines) > 2 and world.rng.random() < 0.4:
        _lose(world, world.rng.choice(world.machines))
    starts = world.rng.random() < 0.7
    for machine in world.machines:
        _forget_ages(world, machine)
        _unpause(world, machine)
        for worker in machine.supervisord.workers.values():
            _mend(world, machine, worker, starts=starts)
    if world.shape.shares:
        for pool in world.shape.pools:
            unpause = OperatorRequest(f"{world.rng.getrandbits(64):016x}", Act.UNPAUSE, ("*",))
            world.requests.make(pool.config.name, unpause)
    world.promises.peers.orderly_from = world.engine.now + world.shape.slot_ttl + 4 * world.shape.heartbeat


def _forget_ages(world: World, machine: Machine) -> None:
    """The operator takes max_age out of the configuration: otherwise a drain is always under way."""
    for name, config in machine.pools.items():
        if config.max_age_seconds is not None:
            machine.pools[name] = dataclasses.replace(config, max_age_seconds=None)
            world.weather.kill(machine)


def _unpause(world: World, machine: Machine) -> None:
    """The operator ends all pauses."""
    unpause = encode(OperatorRequest(f"{world.rng.getrandbits(64):016x}", Act.UNPAUSE, ("*",), 60.0))
    machine.mail.append(unpause)


def _lose(world: World, machine: Machine) -> None:
    world.trace.say(machine.name, "the machine is gone for good")
    machine.is_gone = True
    world.weather.kill(machine)
    machine.supervisord.go_down()
    for worker in machine.supervisord.workers.values():
        worker.removed = True


def _mend(world: World, machine: Machine, worker: Worker, *, starts: bool) -> None:
    worker.fails, worker.habits = "", worker.habits.without_endless()
    process = worker.process
    if process is not None:
        process.hung_at = None
        process.end_jobs(world.engine.now, 5.0)
        process.habits = worker.habits
    standing = world.standings.of(worker)
    if process is not None and process.quiet_at is not None and not standing.owed and not worker.removed:
        world.operator(machine, worker, "stop")  # He had quieted it.
        world.engine.after(30.0, lambda: world.operator(machine, worker, "start"))
    if starts and worker.state in STOPPED_STATES and not standing.owed and not worker.removed:
        world.operator(machine, worker, "start")


def _bound_seconds(world: World) -> float:
    """More seconds than it takes to drain every worker, one after another."""
    one = sum(_drain_seconds(world, pool) * pool.workers for pool in world.shape.pools)
    deaf = max(machine.ears.longest_silence_seconds for machine in world.machines)
    closed = 60.0 * LONGEST_CLOSED_MINUTES * sum(pool.workers for pool in world.shape.pools)
    return (
        closed + deaf + LONGEST_START_PAUSE_SECONDS * 2 + 3 * world.shape.slot_ttl + one * len(world.machines)
    )


def _drain_seconds(world: World, pool: PoolShape) -> float:
    config, habits = pool.config, pool.habits
    wait = config.idle_within_seconds + habits.job[1] + 4 * habits.beat + 30  # a quiet sent again
    stop = 2 * pool.stop_wait + habits.boots + pool.start_secs + config.settle_seconds + habits.orphan_seconds
    ask = config.strikes * world.shape.tick + config.cooldown_seconds + 2 * world.shape.heartbeat
    evidence = config.before_stop_timeout_seconds + END_SECONDS if config.before_stop else 0.0
    return wait + evidence + stop + ask + config.min_uptime_seconds


def _unmet(world: World) -> Iterator[str]:
    """What is still missing, with the name of its promise."""
    stuck = {
        drain.pool
        for machine in world.machines
        for drain in machine.disk.drains.values()
        if waits_for_ever(machine, drain)
    }
    for machine in world.machines:
        if machine.is_gone:
            continue
        if machine.ears.is_deaf:
            yield f"deaf: the listener of {machine.name} is sent no events, and goes on without"
        for worker in machine.supervisord.workers.values():
            if world.standings.is_owed(worker):
                yield f"L2: {worker.id} is {worker.state.name}, because of us, and does not come back"
            if worker.pool not in stuck and must_go(world, machine, worker):
                yield f"L1: {worker.id} has to go, and is not drained though its peers allow it"
        for name, drain in machine.disk.drains.items() if not machine.is_unsaved else ():
            if drain.pool not in stuck:
                yield f"L2: a drain of {machine.name}/{name} stands in the journal still"
    yield from world.requests.not_taken()
    for slot in world.redis.slots() if world.shape.shares else ():
        if not any(f"{{{pool}}}" in slot for pool in stuck):
            yield f"L3: a slot is taken still: {slot}"


def waits_for_ever(machine: Machine, drain: Drain) -> bool:
    """`on_timeout = wait` waits without end, also for a lost quiet that nothing can confirm."""
    config = machine.pools[drain.pool]
    lost = drain.state is State.DRAINING and not drain.quiet_acknowledged and config.worker == "custom"
    return lost and config.on_timeout is OnTimeout.WAIT


def must_go(world: World, machine: Machine, worker: Worker) -> bool:
    """Whether it is over its limit, or a request names it, and nothing holds its drain forever."""
    process, config = worker.process, machine.pools[worker.pool]
    if process is None or not world.standings.takes_jobs(worker):
        return False
    wanted = RunningProcess(process.pid, worker.start)
    is_named = any(one.workers.get(worker.name) == wanted for one in machine.disk.requests.values())
    if process.memory <= LIMIT and not is_named:
        return False
    if backs_off(machine, worker):
        return False  # A restart gave nothing back: it grew again before it had settled.
    if config.on_timeout is OnTimeout.RESUME and process.habits.job[1] > config.idle_within_seconds:
        return False  # It is given up again and again.
    if not _looks_settled(machine, worker):
        return False
    there = [
        peer
        for peer in world.standings.stand_ins(worker)
        if world.standings.in_service(peer) and _looks_settled(world.machine(peer.host), peer)
    ]
    return len(there) >= config.min_available


def _looks_settled(machine: Machine, worker: Worker) -> bool:
    """It has run for long enough, whatever happened to the clock of its supervisord."""
    config, process = machine.pools[worker.pool], worker.process
    age = machine.engine.now - process.created if process is not None else 0.0
    return age >= max(config.min_uptime_seconds, config.settle_seconds)
