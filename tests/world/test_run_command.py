"""A command gets its text, and is bounded in time and in what is kept of its output."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from supervisor_memkill.errors import MemkillError, NotSent
from supervisor_memkill.world.commands import is_missing
from supervisor_memkill.world.run_command import MAX_OUTPUT_BYTES, feed_command, run_command
from tests.harness import wait_for


def script(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def shell(text: str) -> list[str]:
    return ["/bin/sh", "-c", text]


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_command_gets_the_text_whole_and_its_output_comes_back() -> None:
    text = "ä" * 300_000
    done = feed_command(script("import sys; print(len(sys.stdin.buffer.read()))"), text, 60)
    assert done == "600000\n"


def test_command_that_does_not_read_its_input_is_no_error() -> None:
    assert feed_command(shell("exit 0"), "x" * 300_000, 60) == ""


def test_failure_names_the_status_and_the_last_words() -> None:
    with pytest.raises(NotSent, match=r"status 3: two$"):
        feed_command(shell("echo one >&2; echo two >&2; exit 3"), "", 60)


def test_name_in_an_error_can_be_another_one() -> None:
    with pytest.raises(NotSent, match=r"^sender: status 1$"):
        feed_command(shell("exit 1 # secret"), "", 60, name="sender")


@pytest.mark.parametrize("words", [["/nope/tool"], [""], ["\0"]], ids=["missing", "empty", "null"])
def test_command_that_cannot_be_run_was_not_sent(words: list[str]) -> None:
    with pytest.raises(NotSent):
        feed_command(words, "", 60)


def test_flood_of_output_is_read_and_not_kept() -> None:
    flood = "import os\nfor _ in range(2000): os.write(1, b'x' * 10000); os.write(2, b'y' * 10000)"
    assert len(feed_command(script(flood), "", 60)) == MAX_OUTPUT_BYTES


def test_what_a_command_leaves_in_the_background_is_not_waited_for() -> None:
    began = time.monotonic()
    left = feed_command(shell("sleep 600 & echo $!; exit 0"), "", 300)
    psutil.Process(int(left)).kill()
    assert time.monotonic() - began < 200


@pytest.fixture(params=["run", "feed"])
def begin(request: pytest.FixtureRequest) -> Callable[[list[str], float], object]:
    if request.param == "run":
        return run_command
    return lambda words, limit: feed_command(words, "text", limit)


@pytest.mark.parametrize("start", ["sleep 600 &", "setsid sleep 600 &"], ids=["group", "own session"])
def test_command_that_hangs_is_ended_with_all_that_it_started(
    begin: Callable[[list[str], float], object], start: str, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    text = f"trap '' TERM INT HUP; {start} echo $! $$ > {pids}.part; mv {pids}.part {pids}; cat; sleep 600"
    with pytest.raises(MemkillError, match="not done within 5 s"):
        begin(shell(text), 5)
    for pid in pids.read_text().split():
        wait_for(lambda pid=pid: not is_running(int(pid)), message=f"{pid} is alive")  # type: ignore[misc]


def test_command_that_is_given_up_ends_before_its_limit() -> None:
    began = time.monotonic()
    with pytest.raises(MemkillError, match="given up"):
        feed_command(shell("exec sleep 600"), "", 500, lambda: True)
    assert time.monotonic() - began < 200


def test_command_that_closes_its_pipes_is_waited_for() -> None:
    assert feed_command(shell("exec <&- >&- 2>&-; sleep 0.3"), "", 60) == ""


def test_missing_command_is_known_without_running_it(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    assert is_missing(str(plain)) and is_missing("no-such-tool") and is_missing("/nope")
    plain.chmod(0o755)
    assert not is_missing(str(plain))
    assert not is_missing("sh") and not is_missing("%(here)s/tool")
