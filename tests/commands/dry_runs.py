"""One dry run in a world of the tests' own."""

from __future__ import annotations

from typing import Any

from supervisor_memkill.commands.dry_run_report import Report, Row, check
from supervisor_memkill.config.values import PoolConfig
from supervisor_memkill.coordination.in_process import InProcessCoordinator
from supervisor_memkill.listener.findings import Pool
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.survey import Surveyor
from supervisor_memkill.workers.contract import Tools
from tests.listener_world import LIMIT, QuietKind, World, WorldTable, pool_config


def report_on(
    world: World,
    config: PoolConfig | None = None,
    contents: Contents | None = None,
    coordinator: Any = None,
    **settings: Any,
) -> Report:
    """One dry run in the world; nothing may have happened in it. `settings` are for `check`."""
    tools = Tools(redis=lambda: None, signal=world.signal, clock=world.clock, host="here")
    supervisord: Any = world
    surveyor = Surveyor(
        supervisord,
        [Pool(config or pool_config(), QuietKind({}, tools, world))],
        world.clock,
        own_group="",
        process_table=lambda: WorldTable(world),
        machine_bytes=lambda: 10 * LIMIT,
    )
    coordinator = coordinator or InProcessCoordinator(world.clock)
    report = check(surveyor, coordinator, contents or Contents(), world.clock, **settings)
    assert world.happened == []
    return report


def row(report: Report, name: str) -> Row:
    return next(one for one in report.rows if one.worker == f"jobs:{name}")
