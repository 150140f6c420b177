"""What may import what."""

from __future__ import annotations

import subprocess
import sys

import pytest

from supervisor_memkill.processes import ProcessState

CORE = ("rules.drain", "rules.decision", "rules.policy", "coordination.rules", "coordination.in_process")


@pytest.mark.parametrize("module", CORE)
def test_core_imports_nothing_that_reaches_the_world(module: str) -> None:
    program = (
        f"import sys, supervisor_memkill.{module};"
        "print(*{'psutil', 'redis', 'xmlrpc', 'http', 'socket', 'subprocess'} & sys.modules.keys())"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


def test_listener_loads_redis_and_the_demo_only_where_they_are_used() -> None:
    program = (
        "import sys, supervisor_memkill.cli, supervisor_memkill.listener.serve;"
        "import supervisor_memkill.commands.context;"
        "print(*[name for name in sys.modules if name.partition('.')[0] in ('redis', 'supervisor')"
        " or 'memkill.demo' in name])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


def test_every_process_state_is_known() -> None:
    from supervisor.states import ProcessStates

    theirs = {name: value for name, value in vars(ProcessStates).items() if not name.startswith("_")}
    assert theirs == {state.name: state.value for state in ProcessState}
