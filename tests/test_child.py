"""A function that a child process calls, so that what it imports is not in this one."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from supervisor_memkill.child import in_child
from supervisor_memkill.errors import ConfigError, MemkillError, UsageError

# pytest-xdist has threads; the listener has none when it makes its child.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def test_result_comes_from_another_process() -> None:
    assert in_child(os.getpid) != os.getpid()
    assert in_child(os.getppid) == os.getpid()


def test_what_the_function_imports_stays_in_the_child() -> None:
    def work() -> bool:
        import this  # noqa: F401

        return "this" in sys.modules

    assert in_child(work)
    assert "this" not in sys.modules


@pytest.mark.parametrize("error", [UsageError("one word is wrong"), MemkillError("it failed")])
def test_error_of_the_child_is_raised_here(error: MemkillError) -> None:
    def work() -> None:
        raise error

    with pytest.raises(type(error), match=str(error)):
        in_child(work)


def test_each_problem_of_the_configuration_is_raised_here() -> None:
    def work() -> None:
        raise ConfigError(["one", "two"])

    with pytest.raises(ConfigError) as raised:
        in_child(work)
    assert raised.value.problems == ("one", "two")


def test_exit_of_the_child_is_the_exit_of_this_process(capfd: pytest.CaptureFixture[str]) -> None:
    """--help prints its text and ends the process. The text is printed once."""

    def work() -> None:
        print("the help")
        sys.exit(3)

    with pytest.raises(SystemExit) as raised:
        in_child(work)
    assert raised.value.code == 3
    assert capfd.readouterr().out == "the help\n"


PRINTS_AROUND = """
from supervisor_memkill.child import in_child
print("before")
in_child(lambda: print("in the child"))
print("after")
"""


def test_each_line_is_printed_once_and_in_order() -> None:
    """A pipe is written when its buffer is full: the child begins with a copy of the buffer."""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", PRINTS_AROUND], env=buffered, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("before\nin the child\nafter\n", "")


def test_process_without_standard_output_and_error_has_its_child() -> None:
    program = "import sys; from supervisor_memkill.child import in_child; sys.stdout = sys.stderr = None"
    done = subprocess.run([sys.executable, "-c", f"{program}; sys.exit(in_child(lambda: 7))"], check=False)
    assert done.returncode == 7


@pytest.mark.parametrize("ends", ["killed", "fails", "cannot be sent"])
def test_this_process_does_the_work_where_the_child_gives_no_answer(ends: str) -> None:
    here = os.getpid()

    def work() -> object:
        if os.getpid() == here:
            return "done here"
        if ends == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if ends == "fails":
            raise RuntimeError("in the child")
        return lambda: "a function cannot be pickled"

    assert in_child(work) == "done here"


def test_this_process_does_the_work_where_there_can_be_no_child() -> None:
    """The user may have as many processes as the system allows."""

    def fork() -> int:
        raise BlockingIOError("Resource temporarily unavailable")

    before = descriptors()
    assert in_child(os.getpid, fork=fork) == os.getpid()
    assert descriptors() == before


def descriptors() -> frozenset[str]:
    """Those that this process has open."""
    return frozenset(path.name for path in Path("/dev/fd").iterdir())


def test_no_descriptor_is_left_and_the_child_has_only_its_own_ends_of_the_pipes() -> None:
    before = descriptors()
    of_child = in_child(descriptors)
    assert descriptors() == before
    assert len(of_child - before) == 2, "one to answer, and one to know when this process ends"


def test_this_process_does_the_work_where_the_child_is_stopped() -> None:
    """It does not even see that nobody waits for it any more."""
    here = os.getpid()

    def work() -> str:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGSTOP)
        return "done here"

    assert in_child(work, limit_seconds=0.2) == "done here"


def test_this_process_does_the_work_where_the_child_hangs() -> None:
    """A thread of a library that comes with Python may hold a lock when the child is made."""
    here = os.getpid()

    def work() -> str:
        if os.getpid() != here:
            signal.pause()
        return "done here"

    assert in_child(work, limit_seconds=0.2) == "done here"
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_child_needs_no_parent_that_waits_for_it() -> None:
    """Whoever started this process may have told it to ignore SIGCHLD."""
    former = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert in_child(os.getpid) != os.getpid()
        test_this_process_does_the_work_where_the_child_gives_no_answer("killed")
        test_this_process_does_the_work_where_the_child_hangs()
    finally:
        signal.signal(signal.SIGCHLD, former)


def test_no_signal_goes_to_a_child_that_has_ended() -> None:
    """Nobody keeps its number for it where SIGCHLD is ignored: another process may have that number."""
    here = os.getpid()

    def work() -> str:
        if os.getpid() == here:
            return "done here"
        child = os.getpid()
        if os.fork() == 0:  # It holds the pipe open until the child has ended.
            end = time.monotonic() + 20.0
            while os.getppid() == child and time.monotonic() < end:
                time.sleep(0.001)
            os._exit(0)
        os._exit(0)

    former = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert in_child(work) == "done here"
    finally:
        signal.signal(signal.SIGCHLD, former)


def test_answer_is_whole_however_long_it_is() -> None:
    assert in_child(lambda: "x" * 1_000_000) == "x" * 1_000_000


def test_no_child_is_left() -> None:
    in_child(int)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


HANGS = """
import os, time
from supervisor_memkill.child import in_child
def work():
    print(os.getpid(), flush=True)
    time.sleep(600)
in_child(work)
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_child_that_hangs_ends_with_this_process(how: signal.Signals) -> None:
    """supervisord stops or kills a listener whose configuration is on a disk that does not answer."""
    with subprocess.Popen([sys.executable, "-c", HANGS], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(how)
        parent.wait()
        has_ended, _, _ = select.select([parent.stdout], [], [], 20.0)
        if not has_ended:
            os.kill(child, signal.SIGKILL)
        assert has_ended and parent.stdout.read() == b"", "nobody holds the pipe any more"
