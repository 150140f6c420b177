"""How a supervisord is addressed, and the states that it knows."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor_memkill.errors import UsageError
from supervisor_memkill.processes import STOPPED_STATES, ProcessInfo, ProcessState
from supervisor_memkill.world.supervisord import Supervisord, Unreachable, from_environment
from tests.harness import free_port


def test_process_states_are_supervisords() -> None:
    import supervisor.states as theirs

    numbers = {name: number for name, number in vars(theirs.ProcessStates).items() if name.isupper()}
    assert numbers == {state.name: state.value for state in ProcessState}
    assert {*STOPPED_STATES, ProcessState.UNKNOWN} == set(theirs.STOPPED_STATES)


def test_supervisor_itself_is_never_imported() -> None:
    """It costs memory and time, and 4.2 wants pkg_resources."""
    script = "import sys, supervisor_memkill.world.supervisord; print('supervisor' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_environment_that_supervisord_sets_is_enough() -> None:
    assert from_environment({"SUPERVISOR_SERVER_URL": "unix:///run/s.sock"}).url == "unix:///run/s.sock"


@pytest.mark.parametrize("env", [{}, {"SUPERVISOR_SERVER_URL": ""}])
def test_without_a_server_section_the_missing_section_is_named(env: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"\[unix_http_server\]"):
        from_environment(env)


def test_address_without_its_scheme_is_refused_with_the_address_to_write() -> None:
    for url, meant in (("/run/s.sock", "unix:///run/s.sock"), ("localhost:9001", "http://localhost:9001")):
        with pytest.raises(UsageError, match=rf"\(write {meant}\)"):
            Supervisord(url)


@pytest.mark.parametrize(
    "url", ["", "s.sock", "https://h:1", "http://", "http://h:x", "http://[::1", "ftp://h"]
)
def test_another_kind_of_address_is_a_wrong_use(url: str) -> None:
    with pytest.raises(UsageError, match="unix:///path or http://host:port"):
        Supervisord(url)


def test_nobody_there_is_unreachable(short_path: Path) -> None:
    refusing = short_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(refusing))
    urls = [f"unix://{short_path}/none.sock", f"unix://{refusing}", f"unix://{'x' * 200}"]
    urls += [f"http://127.0.0.1:{free_port()}", "http://" + "x" * 70 + ".invalid:80"]
    for url in urls:
        with pytest.raises(Unreachable, match="cannot be reached"):
            Supervisord(url).pid()


def test_a_worker_is_named_by_group_and_name() -> None:
    process = ProcessInfo("g", "n", ProcessState.RUNNING, pid=1, start=10, stop=0, now=15)
    assert (process.worker, process.uptime_seconds) == ("g:n", 5)


def test_address_with_a_password_in_it_is_shown_without() -> None:
    """supervisorctl uses no such password, either; errors and JSON show the address."""
    address = f"127.0.0.1:{free_port()}"
    supervisord = Supervisord(f"http://me:s3cret@{address}")
    assert supervisord.url == f"http://{address}"
    with pytest.raises(Unreachable, match=address) as away:
        supervisord.pid()
    with pytest.raises(UsageError, match="not an address of supervisord") as refused:
        Supervisord("https://me:s3cret@web-1")
    assert "s3cret" not in f"{away.value}{refused.value}"
