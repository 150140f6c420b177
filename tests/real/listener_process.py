"""The listener's process with the test in supervisord's place, at its pipes and at its socket."""

from __future__ import annotations

import contextlib
import os
import select
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

import pytest

from tests.command_line import UNDER_SUPERVISORD
from tests.harness import PATIENCE_SECONDS

START = int(time.time()) - 3600


class _Server(socketserver.ThreadingMixIn, SimpleXMLRPCServer):
    daemon_threads = True


class AnsweringSupervisord:
    """Answers like a supervisord with two workers, whose processes are this one; counts the checks.

    While `gate` is cleared, no check gets its answer.
    """

    def __init__(self) -> None:
        self.checks = 0
        self._checked = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self._server = _Server(("127.0.0.1", 0), SimpleXMLRPCRequestHandler, logRequests=False)
        calls: list[Callable[..., Any]] = [self.getPID, self.getIdentification, self.getProcessInfo]
        for call in (*calls, self.getAllProcessInfo, self.getAllConfigInfo):
            self._server.register_function(call, f"supervisor.{call.__name__}")
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()

    def is_checked_within(self, seconds: float) -> bool:
        """Whether another check comes in that time."""
        self._checked.clear()
        return self._checked.wait(seconds)

    def getPID(self) -> int:  # noqa: N802 - the names are supervisord's
        return os.getpid()

    def getIdentification(self) -> str:  # noqa: N802
        return "supervisor"

    def getAllProcessInfo(self) -> list[dict[str, Any]]:  # noqa: N802
        self.checks += 1
        self._checked.set()
        self.gate.wait(PATIENCE_SECONDS)
        return [self.getProcessInfo(f"job:{name}") for name in ("one", "two")]

    def getProcessInfo(self, worker: str) -> dict[str, Any]:  # noqa: N802
        group, _, name = worker.partition(":")
        times = {"start": START, "stop": 0, "now": int(time.time())}
        return {"group": group, "name": name, "state": 20, "pid": os.getpid(), **times}

    def getAllConfigInfo(self) -> list[dict[str, Any]]:  # noqa: N802
        numbers = {"stopsignal": 15, "stopwaitsecs": 10, "startsecs": 1, "group_prio": 999}
        return [
            {"group": "job", "name": name, "command": "job", "killasgroup": False, **numbers}
            for name in ("one", "two")
        ]


class ListenerProcess:
    """One listener; the test speaks supervisord's end of the protocol."""

    def __init__(self, config: Path, environment: Mapping[str, str]) -> None:
        self.log_path = config.with_suffix(".log")
        self._serial = 0
        self._heard = b""
        with self.log_path.open("wb") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "supervisor_memkill", "--config", str(config)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **environment},
            )

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def expect(self, words: bytes, seconds: float = PATIENCE_SECONDS) -> None:
        """Read these words and no others."""
        assert self.popen.stdout is not None
        end = time.monotonic() + seconds
        while len(self._heard) < len(words):
            ready, _, _ = select.select([self.popen.stdout], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                pytest.fail(f"waited for {words!r}, heard {self._heard!r}\n{self.log()}")
            chunk = os.read(self.popen.stdout.fileno(), 4096)
            if not chunk:
                pytest.fail(f"it ended before {words!r}\n{self.log()}")
            self._heard += chunk
        assert self._heard.startswith(words), self._heard
        self._heard = self._heard[len(words) :]

    def send(self, name: str = "TICK_5", *, age: float = 0, serial: int | None = None) -> int:
        """Send one event; its serial, by default a fresh one."""
        assert self.popen.stdin is not None
        if serial is None:
            self._serial += 1
            serial = self._serial
        payload = f"when:{int(time.time() - age)}"
        header = f"ver:3.0 server:supervisor serial:{serial} pool:memkill poolserial:{serial}"
        event = f"{header} eventname:{name} len:{len(payload)}\n{payload}"
        self.popen.stdin.write(event.encode())
        self.popen.stdin.flush()
        return serial

    def say(self, name: str = "TICK_5", *, age: float = 0, serial: int | None = None) -> int:
        """Send one event and hear it acknowledged."""
        serial = self.send(name, age=age, serial=serial)
        self.expect(b"RESULT 2\nOKREADY\n")
        return serial

    def end(self) -> None:
        self.popen.kill()
        self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


@contextlib.contextmanager
def listener_under(
    supervisord: AnsweringSupervisord,
    directory: Path,
    settings: str = "",
    pools: str = "",
    environment: Mapping[str, str] | None = None,
) -> Iterator[ListenerProcess]:
    """A listener of that supervisord, ready for its first event; nothing of it is left afterwards.

    `settings` are further lines of [memkill], `pools` further sections, `environment` further variables.
    """
    config = directory / "memkill.conf"
    config.write_text(
        f"[memkill]\njournal = {directory}/own/memkill.journal\n{settings}\n"
        f"[memkill:job]\nmax_rss = 1TB\n{pools}\n"  # nothing is ever over it
    )
    variables = {**UNDER_SUPERVISORD, "SUPERVISOR_SERVER_URL": supervisord.url, **(environment or {})}
    listener = ListenerProcess(config, variables)
    try:
        listener.expect(b"READY\n")
        yield listener
    finally:
        listener.end()
        print(listener.log())
