"""What a person sees of a real listener: the state that it writes, by the commands that read it."""

from __future__ import annotations

import re

import pytest

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.drain import State
from tests.real.conftest import StartPool
from tests.real.pool import GATE, LISTENER, LeakyPool
from tests.real.test_requests import run

pytestmark = pytest.mark.real


def notes(pool: LeakyPool) -> str:
    """The notes of a dry run by hand, as one line."""
    done = run(pool, "--dry-run")
    assert done.returncode == 0, done.stderr
    return re.sub(r"\s+", " ", done.stdout)


def test_dry_run_says_who_drives_a_drain_and_with_which_configuration(start_pool: StartPool) -> None:
    """First the listener lives, then its configuration is changed on disk, then it is stopped."""
    pool = start_pool(pool=GATE)
    run(pool, "restart", pool.workers[0])
    pool.wait_for_drain(State.DRAINING)
    named = f"the listener {LISTENER} (pid {pool.listener_pid()})"
    shown = notes(pool)
    assert f"note: {named} drives the drain of {pool.workers[0]} (draining, for" in shown
    assert "older" not in shown

    pool.write_memkill("custom", {**GATE, "strikes": 3}, {})
    shown = notes(pool)
    assert f"{named} works with an older one: [memkill:job] was changed in {pool.directory}/memk" in shown
    assert f"supervisorctl restart {LISTENER}" in shown

    pool.supervisord.ctl("stop", LISTENER)
    pool.supervisord.wait_for_state(LISTENER, ProcessState.STOPPED)
    shown = notes(pool)
    assert f"supervisord shows {LISTENER} as STOPPED), and nobody drives the drain of" in shown
    assert f"{pool.workers[0]} (draining, for" in shown
    assert "its drain is unfinished, and no listener works (draining)" in shown
    pool.gate(0)
    pool.supervisord.ctl("start", LISTENER)
    pool.wait_for_event("drain.done")
