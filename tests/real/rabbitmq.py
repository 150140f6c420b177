"""A RabbitMQ of a test's own: its ports, its directory, its epmd, all gone with it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import free_port, missing, require_program, short_directory, wait_for

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Debian's; the one on the PATH goes to another user's directories."""


class RealRabbitMQ:
    """One node, on the loopback interface, that needs no rights and leaves nothing."""

    def __init__(self, directory: Path) -> None:
        if not SERVER.exists():
            missing("rabbitmq-server is not installed")
        self.directory = directory
        self.port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self._epmd_port = free_port()
        self._epmd_program = require_program("epmd")
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> RealRabbitMQ:
        """Start it, empty, and wait until it takes connections."""
        (self.directory / "plugins").write_text("[].")
        self._run("epmd", [self._epmd_program, "-port", str(self._epmd_port), "-address", "127.0.0.1"])
        # Else the node would start one itself, which nobody ends.
        wait_for(self._epmd_listens, message=self.output)
        self._run("rabbitmq", [str(SERVER)])
        wait_for(self._answers, 300, lambda: f"RabbitMQ does not answer:\n{self.output()}", every=0.3)
        return self

    def _run(self, name: str, command: list[str]) -> None:
        with (self.directory / f"{name}.out").open("ab") as output:
            self._processes.append(
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=self._environment(),
                    cwd=self.directory,
                    start_new_session=True,
                )
            )

    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ_")}
        return {
            **own,
            "HOME": str(self.directory),
            "RABBITMQ_NODENAME": f"mk{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.directory / "none"),
            "RABBITMQ_CONF_ENV_FILE": str(self.directory / "none.env"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def _epmd_listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._epmd_port), 1).close()
        except OSError:
            return False
        return True

    def _answers(self) -> bool:
        if any(process.poll() is not None for process in self._processes):
            pytest.fail(f"RabbitMQ ended:\n{self.output()}")
        from kombu.exceptions import KombuError

        connection = self.connection()
        try:
            connection.ensure_connection(max_retries=0, timeout=0.1)
        except (KombuError, OSError):
            return False
        finally:
            connection.release()
        return True

    def connection(self) -> Any:
        """A kombu.Connection."""
        import kombu

        new_connection: Any = kombu.Connection  # type: ignore[attr-defined]
        return new_connection(self.url.replace("amqp://", "pyamqp://"), connect_timeout=5)

    def output(self) -> str:
        found = [path.read_text(errors="replace") for path in sorted(self.directory.glob("*.out"))]
        return "\n".join(found)[-4000:]

    def stop(self) -> None:
        """The node with all that it started, then its epmd."""
        for process in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def running_rabbitmq() -> Iterator[RealRabbitMQ]:
    with short_directory() as directory:
        server = RealRabbitMQ(directory)
        try:
            yield server.start()
        finally:
            server.stop()
