"""The time that a listener needs to start, and its memory after many looks."""

from __future__ import annotations

import os
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmark.usage import private_bytes
from tests.command_line import UNDER_SUPERVISORD
from tests.harness import wait_for
from tests.real.listener_process import AnsweringSupervisord, listener_under

STARTS = 5
WARM_LOOKS = 200


@dataclass(frozen=True)
class Growth:
    """Private memory of one listener after some looks, after half of all looks, and after all."""

    warm_looks: int
    warm_bytes: int
    half_bytes: int
    """In the first half, tables of Python itself may still be enlarged once."""
    looks: int
    bytes: int


def measure_growth(looks: int) -> Growth:
    """Each TICK is one look at two workers."""
    here = Path(tempfile.mkdtemp(prefix="mk"))
    supervisord = AnsweringSupervisord()
    try:
        with listener_under(supervisord, here, settings="log_level = error") as listener:
            warm = half = 0
            for number in range(1, looks + 1):
                listener.say()
                wait_for(lambda: supervisord.checks >= number, every=0.001, message="a look")  # noqa: B023
                if number == WARM_LOOKS:
                    warm = private_bytes(listener.popen.pid)
                if number == looks // 2:
                    half = private_bytes(listener.popen.pid)
            return Growth(WARM_LOOKS, warm, half, looks, private_bytes(listener.popen.pid))
    finally:
        supervisord.close()
        shutil.rmtree(here)


def measure_starts() -> dict[str, float]:
    """Milliseconds from the start of the process to its first READY, medians."""
    here = Path(tempfile.mkdtemp(prefix="mk"))
    supervisord = AnsweringSupervisord()
    memmon = [sys.executable, "-c", "from superlance.memmon import main; main()", "-a", "1024GB"]
    ours = [sys.executable, "-m", "supervisor_memkill", "--config", str(here / "memkill.conf")]
    (here / "memkill.conf").write_text(
        f"[memkill]\njournal = {here}/own/memkill.journal\n[memkill:job]\nmax_rss = 1TB\n"
    )
    environment = {**os.environ, **UNDER_SUPERVISORD, "SUPERVISOR_SERVER_URL": supervisord.url}
    found: dict[str, list[float]] = {"supervisor-memkill": [], "memmon": []}
    try:
        for _ in range(STARTS):
            for name, words in (("supervisor-memkill", ours), ("memmon", memmon)):
                found[name].append(_start_ms(words, environment))
    finally:
        supervisord.close()
        shutil.rmtree(here)
    return {name: statistics.median(times) for name, times in found.items()}


def _start_ms(words: Sequence[str], environment: Mapping[str, str]) -> float:
    began = time.monotonic()
    pipe = subprocess.PIPE
    process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        ready = select.select([process.stdout], [], [], 60)[0]
        assert ready, f"{words} says nothing"
        assert os.read(process.stdout.fileno(), 6) == b"READY\n"
        return (time.monotonic() - began) * 1000
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
