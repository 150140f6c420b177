"""With each shipped example as it stands, nothing is found."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.commands.doctor import gather
from supervisor_memkill.commands.doctor.catalogue import examine
from supervisor_memkill.commands.doctor.facts import ConfigurationFacts, Facts
from supervisor_memkill.commands.doctor.report import Style, as_text
from supervisor_memkill.config import program_files
from supervisor_memkill.config.load import examine as examine_configuration
from supervisor_memkill.config.sections import read_file
from supervisor_memkill.config.values import Config, PoolConfig
from supervisor_memkill.coordination.contract import PoolView
from supervisor_memkill.coordination.in_process import InProcessCoordinator
from supervisor_memkill.listener.findings import Pool
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.rivals import OURS
from supervisor_memkill.listener.survey import Surveyor
from supervisor_memkill.processes import MemorySize, ProcessId, ProcessInfo, ProcessState, ProgramInfo
from supervisor_memkill.workers.contract import Reading, Target, Tools
from supervisor_memkill.workers.registry import load_kind
from supervisor_memkill.world.machine import MemoryLimit
from supervisor_memkill.world.memory import ProcessTable
from tests.builders import report
from tests.commands.doctor import facts_with
from tests.docs.pages import EXAMPLES, name_of

EPOCH = 1_800_000_000
GB = 1024**3
MACHINE = MemoryLimit(64 * GB)


class Supervisord:
    """Runs the programs of an example, each for an hour now."""

    def __init__(self, programs: Sequence[ProgramInfo]) -> None:
        self._programs = programs

    def programs(self) -> Sequence[ProgramInfo]:
        return self._programs

    def all_processes(self) -> list[ProcessInfo]:
        return [
            ProcessInfo(one.group, one.name, ProcessState.RUNNING, 1000 + number, EPOCH - 3600, 0, EPOCH)
            for number, one in enumerate(self._programs)
        ]


class Table(ProcessTable):
    """Each process has 100 MB, and the title that its command gives it."""

    def __init__(self, programs: Sequence[ProgramInfo]) -> None:
        self._titles = {1000 + number: one.command for number, one in enumerate(programs)}

    def tree(self, pid: int) -> tuple[ProcessId, ...]:
        return (ProcessId(pid, 1.0),)

    def title(self, pid: int) -> str:
        return self._titles[pid]

    def age_seconds(self, pid: int) -> float:
        return 3600.0

    def measured(self, pid: int, measure: str = "rss", with_children: bool = False) -> MemorySize:
        return MemorySize(100 * 1024**2, 100 * 1024**2)


class Fleet(InProcessCoordinator):
    """Five more hosts, with a worker of each pool."""

    def view(self, pool: str) -> PoolView:
        return PoolView(tuple(report(f"h{number}/supervisor/sidekiq:sidekiq_0") for number in range(6)))


def recognising(kind: Any) -> Any:
    """The kind, with readings of workers in service. What it says about settings is its own."""

    def read(self: Any, targets: Sequence[Target], table: ProcessTable) -> Mapping[str, Reading]:
        return {one.process.worker: Reading(True, True, False, 0) for one in targets}

    nothing = staticmethod(lambda supervised, table: ())
    return type(kind.__name__, (kind,), {"read": read, "left_behind": nothing})


def look_at(path: Path) -> Facts:
    """The facts on a machine with this example alone, beside the listener's shipped section."""
    examined = examine_configuration(read_file(path), {}, "here", load_kind)
    shipped = path.with_name("memkill.conf")
    paths = [path] if path.stem in ("memkill", "fleet", "reference") else [path, shipped]
    files = program_files.read(paths, {}, "here")
    programs = [
        one for one in files.programs if one.group not in files.events and not OURS.search(one.command)
    ]
    if not programs:  # An example of the listener's file alone.
        programs = [_sidekiq(pool, number) for pool in examined.config.pools for number in range(1)]
    facts = facts_with.surroundings()
    return dataclasses.replace(
        facts,
        configuration=ConfigurationFacts(examined.config, problems=examined.problems),
        listener=dataclasses.replace(
            facts.listener, in_files=gather.groups_in_files(files), events=files.events
        ),
        memory=MACHINE,
        **_pools(examined.config, programs),
    )


def _sidekiq(pool: PoolConfig, number: int) -> ProgramInfo:
    """A worker as conf.d/sidekiq.conf has it, for a pool of another example."""
    return ProgramInfo(
        pool.programs[0], f"sidekiq_{number}", "bundle exec sidekiq -t 25", 15, 35, True, 999, False
    )


def _pools(config: Config, programs: Sequence[ProgramInfo]) -> dict[str, Any]:
    tools = Tools(redis=lambda: None, signal=lambda *_: None, clock=lambda: 0.0, host="here")
    pools = [Pool(one, recognising(load_kind(one.worker))(one.kind_values, tools)) for one in config.pools]
    supervisord: Any = Supervisord(programs)
    surveyor = Surveyor(
        supervisord,
        pools,
        lambda: 10_000.0,
        own_group="",
        process_table=lambda: Table(programs),
        machine_bytes=lambda: MACHINE.size_bytes,
        stop_as_group=lambda: (
            lambda group, name: next(
                one.stopasgroup for one in programs if (one.group, one.name) == (group, name)
            )
        ),
    )
    survey = surveyor.check(Contents())
    seen = gather.pools(survey.pools, Fleet(lambda: 10_000.0))
    return {"pools": tuple(seen), "oddities": survey.oddities}


@pytest.mark.parametrize("path", EXAMPLES, ids=name_of)
def test_shipped_example_is_silent_but_for_one_line(path: Path) -> None:
    facts = look_at(path)
    assert [pool.survey.failure for pool in facts.pools] == [None]
    assert all(pool.survey.findings for pool in facts.pools)
    findings = examine(facts)
    text = as_text(findings, facts, Style(80))
    assert findings == (), text
    assert text.startswith("all is well: 1 pool with ") and text.count("\n") == 1


def test_examples_setting_that_is_made_wrong_is_found(tmp_path: Path) -> None:
    """The silence is no blindness."""
    (sidekiq,) = [path for path in EXAMPLES if path.stem == "sidekiq"]
    for path in EXAMPLES:
        text = path.read_text()
        if path == sidekiq:
            text = text.replace("stopwaitsecs = 35", "stopwaitsecs = 10").replace("= 2GB", "= 90GB")
        (tmp_path / path.name).write_text(text)
    names = [one.name for one in examine(look_at(tmp_path / "sidekiq.conf"))]
    assert names == ["settings-cut-jobs", "limit-above-memory", "limits-above-memory"]
