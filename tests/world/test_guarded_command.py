"""A command in the background has a guard, which ends its whole tree in time and with whoever began it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from supervisor_memkill.world.commands import CommandEnd
from supervisor_memkill.world.guarded_command import GuardedCommand, _kill_if_it_runs
from tests.harness import PATIENCE_SECONDS, wait_for

LONG = 600.0


def shell(text: str) -> list[str]:
    return ["/bin/sh", "-c", text]


def end_of(command: GuardedCommand) -> CommandEnd:
    found = wait_for(command.end, message="the end of the command")
    assert found is not None
    return found


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def pids_in(path: Path, count: int) -> list[int]:
    """The pids that a command wrote, once there are so many."""
    wait_for(lambda: path.exists() and path.read_text().count("\n") == count, message="the pids")
    return [int(line) for line in path.read_text().split()]


def tree(path: Path) -> list[str]:
    """A command with a child in its own session; both ignore every signal they can, and write their pids."""
    stubborn = "trap '' TERM INT HUP;"
    child = f'setsid /bin/sh -c "{stubborn} echo \\$\\$ >> {path}; exec sleep {LONG:g}" &'
    return shell(f"{stubborn} {child} echo $$ >> {path}; sleep {LONG:g}")


def test_command_that_succeeds_ends_without_an_error_and_tells_how_long_it_took(tmp_path: Path) -> None:
    command = GuardedCommand(shell(f"cat; sleep 0.2; echo done > {tmp_path}/done"), LONG)
    end = end_of(command)
    assert end.error == ""
    assert 0.2 <= end.seconds < LONG
    assert (tmp_path / "done").read_text() == "done\n"
    assert command.end() == end


def test_words_reach_the_command_as_they_are(tmp_path: Path) -> None:
    end_of(
        GuardedCommand(
            [
                sys.executable,
                "-c",
                "import sys; open(sys.argv[1], 'w').write(sys.argv[2])",
                str(tmp_path / "got"),
                "a b; $HOME 'ä",
            ],
            LONG,
        )
    )
    assert (tmp_path / "got").read_text() == "a b; $HOME 'ä"


def test_failure_names_the_command_alone_its_status_and_its_last_words() -> None:
    end = end_of(GuardedCommand([*shell("echo no dump >&2; exit 3"), "secret"], LONG))
    assert end.error == "/bin/sh: status 3: no dump"


@pytest.mark.parametrize("words", [["/nope/tool"], ["\0"]], ids=["missing", "null"])
def test_command_that_cannot_be_run_has_ended_with_an_error(words: list[str]) -> None:
    assert end_of(GuardedCommand(words, LONG)).error


def test_error_is_short() -> None:
    assert len(end_of(GuardedCommand([f"/nope/{'x' * 5000}"], LONG)).error) == 300


def test_command_is_ended_with_its_whole_tree_when_its_time_is_over(tmp_path: Path) -> None:
    command = GuardedCommand(tree(tmp_path / "pids"), 5.0)
    pids = pids_in(tmp_path / "pids", 2)
    assert end_of(command).error == "/bin/sh: not done within 5 s"
    wait_for(lambda: not any(map(is_running, pids)), message="the end of the tree")


def test_command_that_is_given_up_is_ended_with_its_whole_tree_and_leaves_no_entry(tmp_path: Path) -> None:
    command = GuardedCommand(tree(tmp_path / "pids"), LONG)
    pids = pids_in(tmp_path / "pids", 2)
    (guard,) = [one for one in psutil.Process().children() if str(tmp_path) in " ".join(one.cmdline())]
    guard.suspend()
    resume = threading.Timer(PATIENCE_SECONDS, guard.resume)
    resume.start()
    command.give_up()
    assert resume.is_alive(), "it waited for the end of the guard"
    resume.cancel()
    guard.resume()
    wait_for(lambda: not any(map(is_running, pids)), message="the end of the tree")
    wait_for(lambda: not guard.is_running(), message="the end of the guard")


def test_command_ends_with_the_process_that_began_it_however_that_one_ends(tmp_path: Path) -> None:
    """By SIGKILL: that process cannot do anything itself."""
    text = (
        "import sys, time\n"
        "from supervisor_memkill.world.guarded_command import GuardedCommand\n"
        f"command = GuardedCommand(sys.argv[1:], {LONG})\n"
        "time.sleep(600)\n"
    )
    beginner = subprocess.Popen([sys.executable, "-c", text, *tree(tmp_path / "pids")])
    try:
        pids = pids_in(tmp_path / "pids", 2)
    finally:
        os.kill(beginner.pid, signal.SIGKILL)
        beginner.wait()
    wait_for(lambda: not any(map(is_running, pids)), message="the end of the tree")


def test_guard_that_is_killed_is_an_error_of_the_command(tmp_path: Path) -> None:
    command = GuardedCommand(shell(f"echo $PPID >> {tmp_path}/pids; exec sleep 30"), LONG)
    (guard,) = pids_in(tmp_path / "pids", 1)
    os.kill(guard, signal.SIGKILL)
    assert end_of(command).error == "the process that ran it ended with status -9"


@pytest.mark.parametrize("is_given_up", [False, True], ids=["asked for its end", "given up"])
def test_command_whose_guard_was_killed_is_ended_with_its_whole_tree(
    tmp_path: Path, is_given_up: bool
) -> None:
    command = GuardedCommand(tree(tmp_path / "pids"), LONG)
    pids = pids_in(tmp_path / "pids", 2)
    (guard,) = [one for one in psutil.Process().children() if str(tmp_path) in " ".join(one.cmdline())]
    guard.kill()
    if is_given_up:
        command.give_up()
    else:
        end_of(command)
    wait_for(lambda: not any(map(is_running, pids)), message="the end of the tree")


@pytest.mark.parametrize("written", ["", "null", "[1]", "[{pid}, 1.0]"])
def test_process_that_is_not_surely_the_command_is_not_ended(written: str) -> None:
    """The guard was killed before it could report the command, or its pid belongs to another process."""
    other = subprocess.Popen(["sleep", "30"])
    try:
        _kill_if_it_runs(written.format(pid=other.pid).encode())
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(0.2)
    finally:
        other.kill()
        other.wait()
