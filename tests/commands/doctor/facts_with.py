"""Facts in which all is well, and the same with a part of them changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from supervisor_memkill import __version__
from supervisor_memkill.commands.doctor import gather
from supervisor_memkill.commands.doctor.catalogue import examine
from supervisor_memkill.commands.doctor.facts import (
    ConfigurationFacts,
    Facts,
    ListenerFacts,
    RedisFacts,
    SupervisordFacts,
)
from supervisor_memkill.config.supervisord_sections import SupervisordSections
from supervisor_memkill.config.values import Config
from supervisor_memkill.coordination.in_process import InProcessCoordinator
from supervisor_memkill.listener.findings import Pool
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.recognition import Recognition
from supervisor_memkill.listener.rivals import Rival, RivalKind
from supervisor_memkill.listener.state_values import (
    ListenerState,
    Origin,
)
from supervisor_memkill.listener.survey import Surveyor
from supervisor_memkill.rules.back_off import BackOff, BackOffCause
from supervisor_memkill.workers.contract import Advice, Reading, Target, Tools
from supervisor_memkill.world.machine import MemoryLimit
from tests.builders import info
from tests.listener_world import EPOCH, FRESH, LIMIT, QuietKind, World, WorldTable, pool_config

NOW = 1000.0
LISTENER = "memkill:memkill"
SHIPPED_EVENTS = frozenset({"TICK_60", "REMOTE_COMMUNICATION", "PROCESS_STATE"})


class Kind(QuietKind):
    """A kind that reads what the test says."""

    reads: Callable[[Reading, Target], Reading] = staticmethod(lambda reading, target: reading)

    def read(self, targets: Any, table: Any) -> Mapping[str, Reading]:
        found = super().read(targets, table)
        return {one.process.worker: self.reads(found[one.process.worker], one) for one in targets}

    def find_others(self, targets: Any, table: Any) -> str:
        return "3 Sidekiq records are in database 1 (set redis to that database)"


def fresh_world(names: tuple[str, ...] = ("one", "two", "three")) -> World:
    world = World(names)
    for worker in world.workers.values():
        worker.memory = FRESH
    return world


def looked_at(
    world: World | None = None, contents: Contents | None = None, kind: type[Kind] = Kind, **settings: Any
) -> Facts:
    """The facts about a pool in this world; `settings` are those of the pool."""
    world, contents = world or fresh_world(), contents or Contents()
    tools = Tools(redis=lambda: None, signal=world.signal, clock=world.clock, host="here")
    supervisord: Any = world
    surveyor = Surveyor(
        supervisord,
        [Pool(pool_config(**settings), kind({}, tools, world))],
        world.clock,
        own_group="",
        process_table=lambda: WorldTable(world),
        machine_bytes=lambda: 10 * LIMIT,
        recognition=Recognition(world.clock, booted_seconds=0, unknown_looks=1),
    )
    survey = surveyor.check(contents)
    assert world.happened == []
    pools = tuple(gather.pools(survey.pools, InProcessCoordinator(world.clock)))
    return dataclasses.replace(surroundings(), pools=pools, oddities=survey.oddities, contents=contents)


def surroundings() -> Facts:
    """All that is not a pool, and well."""
    return Facts(
        configuration=ConfigurationFacts(Config(host="here"), files=(Path("/etc/memkill.conf"),)),
        supervisord=SupervisordFacts(
            "unix:///run/supervisor.sock",
            version="4.3.0",
            pid=1,
            sections=SupervisordSections(
                {"supervisord": {}, "unix_http_server": {"file": "/run/supervisor.sock"}}
            ),
        ),
        listener=ListenerFacts(
            processes=(info(group="memkill", name="memkill"),),
            in_files=("memkill",),
            events={"memkill": SHIPPED_EVENTS},
            state=STATE,
            is_alive=True,
            user="root",
            asking_user="root",
            now=NOW,
        ),
        redis=(RedisFacts("redis://localhost:6379/0", is_ours=True, version="7.0.15", policy="noeviction"),),
        memory=MemoryLimit(10 * LIMIT),
    )


STATE = ListenerState(
    version=__version__,
    pid=100,
    created=1.0,
    boot_id="boot",
    host="here",
    dry_run=False,
    started_at=NOW - 600,
    written_at=NOW - 30,
    ticked_at=NOW - 30,
    origin=Origin(LISTENER, 1, tuple(SHIPPED_EVENTS), 60.0),
)


INET = {"file": "/run/supervisor.sock"}
BELOW = BackOff(until=NOW + 600, seconds=600.0, cause=BackOffCause.BELOW_BASELINE, limit_bytes=LIMIT)

# --- a part changed -----------------------------------------------------------------------------


def listener(**values: Any) -> Facts:
    facts = looked_at()
    return dataclasses.replace(facts, listener=dataclasses.replace(facts.listener, **values))


def state(**values: Any) -> Facts:
    return listener(state=dataclasses.replace(STATE, **values))


def configuration(**values: Any) -> Facts:
    facts = looked_at()
    return dataclasses.replace(facts, configuration=dataclasses.replace(facts.configuration, **values))


def supervisord(**values: Any) -> Facts:
    facts = looked_at()
    return dataclasses.replace(facts, supervisord=dataclasses.replace(facts.supervisord, **values))


def sections(**values: Mapping[str, str]) -> Facts:
    return supervisord(sections=SupervisordSections({"supervisord": {}, **values}))


def redis(**values: Any) -> Facts:
    facts = looked_at()
    return dataclasses.replace(facts, redis=(dataclasses.replace(facts.redis[0], **values),))


def rival(kind: RivalKind, command: str) -> Facts:
    return dataclasses.replace(looked_at(), rivals=(Rival(kind, "other:other", command),))


def advised(**values: Any) -> Facts:
    world = fresh_world()
    world.advice = (Advice("stopsignal=TERM must be INT", **values),)
    return looked_at(world)


def reading(change: Callable[[Reading, Target], Reading], world: World | None = None) -> Facts:
    return looked_at(world, kind=type("Changed", (Kind,), {"reads": staticmethod(change)}))


def young_world() -> World:
    world = fresh_world()
    for worker in world.workers.values():
        worker.start = EPOCH + int(world.now) - 30
    return world


def changed_world(change: Callable[[World], object], **settings: Any) -> Facts:
    world = fresh_world()
    change(world)
    return looked_at(world, **settings)


def names(facts: Facts) -> list[str]:
    """The names of the faults that the doctor finds."""
    return [finding.name for finding in examine(facts)]


def whats(facts: Facts) -> list[str]:
    return [finding.what for finding in examine(facts)]
