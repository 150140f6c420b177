"""``restart`` from the keyboard: what Ctrl-C says is so."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

from supervisor_memkill.commands import restart
from tests.command_line import environment
from tests.commands.test_found_listener import ByHand, state
from tests.harness import PATIENCE_SECONDS
from tests.real.listener_process import AnsweringSupervisord
from tests.signals import none_ignored


def test_ctrl_c_before_the_listener_confirmed_it_does_not_claim_that_the_restart_goes_on(
    tmp_path: Path,
) -> None:
    """The listener never takes this request. A name with * is quoted, for the shell of whoever copies it."""
    supervisord, sent = AnsweringSupervisord(), threading.Event()

    def send(kind: object, payload: object) -> bool:
        sent.set()
        return True

    supervisord._server.register_function(send, "supervisor.sendRemoteCommEvent")
    by_hand = ByHand(tmp_path, supervisord.url)
    by_hand.write(state())
    words = ["restart", "jo*", "--wait", "--config", str(by_hand.config), "--serverurl", supervisord.url]
    with none_ignored():
        process = subprocess.Popen(
            [sys.executable, "-m", "supervisor_memkill", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment({}),
        )
    with process:
        assert sent.wait(PATIENCE_SECONDS)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=PATIENCE_SECONDS)
    supervisord.close()
    assert (process.returncode, errors) == (130, "")
    assert restart.NOT_CONFIRMED in out and restart.STOPPED_WATCHING not in out
    assert out.endswith("supervisor-memkill restart --cancel 'jo*'\n")
