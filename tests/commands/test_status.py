"""``status`` on a terminal of its own: drawn again and again, and nothing of it is left when it ends."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor_memkill.commands.status import BEGIN_SCREEN, END_SCREEN, frame
from tests.command_line import environment, run
from tests.commands.test_found_listener import ByHand, state
from tests.harness import PATIENCE_SECONDS, free_port
from tests.real.listener_process import AnsweringSupervisord
from tests.signals import none_ignored


def test_frame_overwrites_what_was_there_and_is_cut_to_the_window() -> None:
    assert frame(["one", "two"], None) == "\x1b[Hone\x1b[K\r\ntwo\x1b[K\x1b[J"
    assert frame(["one", "two"], 2) == frame(["one", "two"], None)
    shown = frame(["one", "two", "three"], 2)
    assert "one" in shown and "two" not in shown and "(2 more lines" in shown


@pytest.fixture
def by_hand(tmp_path: Path) -> Iterator[ByHand]:
    supervisord = AnsweringSupervisord()
    made = ByHand(tmp_path, supervisord.url)
    made.write(state())
    yield made
    supervisord.close()


class OnTerminal:
    """The command, with a pseudo-terminal as its output."""

    def __init__(self, by_hand: ByHand, *words: str, **changes: str) -> None:
        self._ours, theirs = pty.openpty()
        given = {"TERM": "xterm", "COLUMNS": "80", "LINES": "24", **changes}
        with none_ignored():
            self._popen = subprocess.Popen(
                [
                    *(sys.executable, "-m", "supervisor_memkill", "status", *words),
                    *("--config", str(by_hand.config), "--serverurl", by_hand.url),
                ],
                stdin=subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
                env=environment(given),
                start_new_session=True,
            )
        os.close(theirs)
        self.text = ""

    def read_until(self, words: str, times: int = 1) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        while self.text.count(words) < times and time.monotonic() < until and self._read():
            pass
        assert self.text.count(words) >= times, self.text

    def _read(self) -> bool:
        ready, _, _ = select.select([self._ours], [], [], PATIENCE_SECONDS)
        with contextlib.suppress(OSError):  # The other end is closed.
            if ready and (chunk := os.read(self._ours, 65536)):
                self.text += chunk.decode(errors="replace")
                return True
        return False

    def signal(self, number: int) -> None:
        self._popen.send_signal(number)

    def end(self) -> int:
        """Read what is left; the exit status."""
        while self._read():
            pass
        status = self._popen.wait(PATIENCE_SECONDS)
        os.close(self._ours)
        return status


def test_status_on_a_terminal_has_colour_unless_no_color_is_set(by_hand: ByHand) -> None:
    for changes, has_colour in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
        shown = OnTerminal(by_hand, **changes)
        assert shown.end() == 0, shown.text
        assert shown.text.startswith("listener ")
        assert ("\x1b[32m" in shown.text) is has_colour
        assert BEGIN_SCREEN not in shown.text


def test_status_in_a_pipe_fits_the_width_that_the_environment_names(by_hand: ByHand, tmp_path: Path) -> None:
    """As ``watch supervisor-memkill status`` runs it."""
    words = ("status", "--config", str(by_hand.config), "--serverurl", by_hand.url)
    wide = run(tmp_path, *words).stdout.splitlines()
    narrow = run(tmp_path, *words, changes={"COLUMNS": "40", "TERM": "xterm"}).stdout.splitlines()
    assert max(map(len, wide)) > 40 >= max(map(len, narrow))
    assert "\x1b" not in "".join(narrow)


def test_status_with_an_unreadable_configuration_names_that_beside_the_address_that_does_not_answer(
    tmp_path: Path,
) -> None:
    done = run(tmp_path, "status", "--config", "none.conf", "--serverurl", f"http://127.0.0.1:{free_port()}")
    first, second = done.stderr.splitlines()
    assert "none.conf: cannot be read" in first and "supervisord cannot be reached" in second
    assert done.returncode == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watched_status_leaves_the_terminal_as_it_was(by_hand: ByHand, number: int) -> None:
    shown = OnTerminal(by_hand, "--watch")
    shown.read_until("\x1b[Hlistener ", times=2)
    shown.signal(number)
    assert shown.end() == 0
    assert shown.text.startswith(BEGIN_SCREEN) and shown.text.endswith(END_SCREEN)


def test_dumb_terminal_gets_no_escape_sequence(by_hand: ByHand) -> None:
    shown = OnTerminal(by_hand, "--watch", TERM="dumb")
    shown.read_until("listener alive", times=2)
    shown.signal(signal.SIGINT)
    assert shown.end() == 0
    assert "\x1b" not in shown.text


def test_watched_json_is_one_object_per_line_also_while_supervisord_is_away(tmp_path: Path) -> None:
    """A restart of supervisord is no reason for a program that reads the lines to fail."""
    supervisord = AnsweringSupervisord()
    by_hand = ByHand(tmp_path, supervisord.url)
    by_hand.write(state())
    shown = OnTerminal(by_hand, "--watch", "--json")
    shown.read_until("\n")
    supervisord.close()
    shown.read_until("cannot be reached")
    shown.signal(signal.SIGINT)
    assert shown.end() == 1
    objects = [json.loads(line) for line in shown.text.splitlines()]
    assert not objects[0]["problems"] and objects[0]["listener"]["alive"]
    assert "cannot be reached" in objects[-1]["problems"][0] and not objects[-1]["listener"]["alive"]
