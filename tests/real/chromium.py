"""A real headless Chromium that the test steers through two pipes, by the DevTools protocol."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import require_program

TO_BROWSER, FROM_BROWSER = 3, 4
"""The descriptors that Chromium reads from and writes to."""
BEHIND_THEM = 10
EVENT_SECONDS = 60
RUN = (
    f"import os, sys; os.dup2(int(sys.argv[1]), {TO_BROWSER}); os.dup2(int(sys.argv[2]), {FROM_BROWSER});"
    "os.execv(sys.argv[3], sys.argv[3:])"
)
WORDS = (
    "--headless",
    "--no-sandbox",  # Tests may run as root.
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
    # The browser asks its maker for many things of its own accord.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


class Chromium:
    """One browser."""

    def __init__(self, process: subprocess.Popen[bytes], write: int, read: int) -> None:
        self._process = process
        self._write, self._read = write, read
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.trusts_any_certificate = False
        self.asked = list[str]()
        """The addresses that the page asked for, in their order; never those of the browser itself."""
        self.complaints = list[str]()
        """What the console shows, such as a break of the page's policy."""

    def call(self, method: str, **parameters: Any) -> Any:
        """The result of a call; meanwhile events are noted."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                return answer["result"]

    def wait_for_event(self, method: str) -> None:
        """The next event of this kind. Fails the test if none comes in time."""
        end = time.monotonic() + EVENT_SECONDS
        while self._next().get("method") != method:
            if time.monotonic() > end:
                pytest.fail(f"waited {EVENT_SECONDS} s in vain for {method}")

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + EVENT_SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            if not ready or not (chunk := os.read(self._read, 65536)):
                pytest.fail("Chromium does not answer")
            self._buffer += chunk
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        self._note(message.get("method"), message.get("params") or {})
        return message

    def _note(self, method: str | None, parameters: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.asked.append(parameters["request"]["url"])
        elif method == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(parameters["exceptionDetails"]))

    # --- what a test does ---------------------------------------------------------------------------

    def open(self, url: str, *, script: bool = True, width: int = 1280, dark: bool = False) -> None:
        """Open the page in a new tab, and wait until it is loaded."""
        self._session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime", "DOM"):
            self.call(f"{domain}.enable")
        self.asked.clear()
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Security.setIgnoreCertificateErrors", ignore=self.trusts_any_certificate)
        self.call("Page.navigate", url=url)
        self.wait_for_event("Page.loadEventFired")

    def dom(self) -> str:
        """The document as it is now."""
        root = self.call("DOM.getDocument", depth=0)["root"]["nodeId"]
        text: str = self.call("DOM.getOuterHTML", nodeId=root)["outerHTML"]
        return text

    def let_pass(self, seconds: float) -> None:
        """Let the page's own clock run for so long, at once, and wait for its requests. Then it stops."""
        self.call(
            "Emulation.setVirtualTimePolicy", policy="pauseIfNetworkFetchesPending", budget=seconds * 1000
        )
        self.wait_for_event("Emulation.virtualTimeBudgetExpired")

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    def picture(self, path: Path) -> None:
        """The whole page as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        answer = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer["data"]))


@contextlib.contextmanager
def chromium() -> Iterator[Chromium]:
    """A browser, of which nothing is left afterwards."""
    program = require_program("chromium")
    with tempfile.TemporaryDirectory(prefix="mk-chromium-", ignore_cleanup_errors=True) as profile:
        (commands, write), (read, answers) = _pipe(), _pipe()
        words = [program, *WORDS, f"--user-data-dir={profile}"]
        with (Path(profile) / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", RUN, str(commands), str(answers), *words],
                pass_fds=(commands, answers),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        os.close(commands)
        os.close(answers)
        try:
            yield Chromium(process, write, read)
        finally:
            os.close(write)
            os.close(read)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _pipe() -> tuple[int, int]:
    """Reading end and writing end, out of the way of the browser's numbers."""
    ends = os.pipe()
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, BEHIND_THEM) for end in ends]
    for end in ends:
        os.close(end)
    return moved[0], moved[1]
