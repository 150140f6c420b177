"""What is not configured costs nothing, and a dry run delivers nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from supervisor_memkill.commands.deliveries import attach
from supervisor_memkill.config.values import Config
from supervisor_memkill.notices.delivery_events import HookMissing
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.events import SupervisordAway
from tests.notices.test_event import Kept

WITHOUT = """
import sys, threading
from supervisor_memkill.commands.deliveries import attach
from supervisor_memkill.config.values import Config
from supervisor_memkill.notices.event import Notifier
from supervisor_memkill.notices.events import SupervisordAway

notifier = Notifier([])
deliveries = attach(Config("here"), notifier)
notifier.report(SupervisordAway("refused"))
deliveries.close()
print(len(notifier._sinks), threading.active_count(), *sorted(sys.modules))
"""
COSTLY = {
    "apprise",
    "prometheus_client",
    "supervisor_memkill.notices.background",
    "supervisor_memkill.notices.delivery",
    "supervisor_memkill.notices.hooks",
}


def test_nothing_is_loaded_and_no_thread_begins_where_nothing_is_configured() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    sinks, threads, *modules = done.stdout.split()
    assert (sinks, threads) == ("0", "1")
    assert not COSTLY & set(modules)


def test_dry_run_delivers_nothing(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    notifier = Notifier([])
    deliveries = attach(Config("here", dry_run=True, hook=("touch", str(ran))), notifier)
    notifier.report(SupervisordAway("refused"))
    deliveries.close()
    assert not ran.exists()


def test_configured_hook_runs(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    notifier = Notifier([])
    deliveries = attach(Config("here", hook=("/bin/sh", "-c", f"cat > {ran}")), notifier)
    notifier.report(SupervisordAway("refused"))
    deliveries.close()
    assert '"event": "supervisord.away"' in ran.read_text()


def test_words_of_a_hook_reach_it_as_they_are_because_no_shell_reads_them(tmp_path: Path) -> None:
    got, words = tmp_path / "got", ("$HOME", "`id`", "a; b > c", "*", "")
    program = f"import sys; open({str(got)!r}, 'w').write(repr(tuple(sys.argv[1:])))"
    notifier = Notifier([])
    deliveries = attach(Config("here", hook=(sys.executable, "-c", program, *words)), notifier)
    notifier.report(SupervisordAway("refused"))
    deliveries.close()
    assert got.read_text() == repr(words)


def test_missing_command_is_reported_at_the_start() -> None:
    log = Kept()
    attach(Config("here", hook=("/nope/tell", "word")), Notifier([log])).close()
    assert log.events == [HookMissing("/nope/tell")]
