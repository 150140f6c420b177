"""Sidekiq: the timeout of the process that runs. On fakes."""

from __future__ import annotations

import os
from pathlib import Path

from supervisor_memkill.testing.fakes import (
    STARTED,
    process,
    program_info,
)
from tests.workers.sidekiq_machine import PID, Machine


def test_timeout_is_that_of_the_process_that_runs(tmp_path: Path) -> None:
    """Learnt once per process: what its file says later is not in force."""
    config = tmp_path / "config" / "sidekiq.yml"
    config.parent.mkdir()
    config.write_text(":timeout: 60\n")
    os.utime(config, (STARTED - 5, STARTED - 5))
    machine, program = Machine(), program_info("bundle exec sidekiq", stopwaitsecs=40)
    machine.beat()
    assert list(machine.kind.advice(program, 3600.0)) == [], "25 s by default, while nothing is known"
    machine.processes.directories[PID] = str(tmp_path)
    machine.read()
    (advice,) = machine.kind.advice(program, 3600.0)
    assert f"the timeout in {config} of 60 s" in advice.text and advice.cuts_jobs
    config.write_text(":timeout: 5\n")
    os.utime(config, (STARTED + 5, STARTED + 5))
    machine.read()
    assert list(machine.kind.advice(program, 3600.0)) == [advice]
    machine.supervised = process(PID, start=STARTED + 10)
    machine.now += 60
    machine.beat()
    machine.read()
    assert list(machine.kind.advice(program, 3600.0)) == []


def test_old_version_has_its_own_default() -> None:
    machine, program = Machine(title="sidekiq 5.2.10 myapp [0 of 2 busy]"), program_info("sidekiq", 10)
    assert [one.cuts_jobs for one in machine.kind.advice(program, 3600.0)] == [True]
    machine.beat()
    machine.read()
    assert list(machine.kind.advice(program, 3600.0)) == [], "8 s"
