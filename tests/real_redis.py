"""A real Redis for a test."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.harness import StartedProcess, free_port, require_program, wait_for


class RealRedis(StartedProcess):
    """A Redis server of its own, on a port and a unix socket, that keeps nothing on disk."""

    def __init__(self, directory: Path, *arguments: str, program: Sequence[str] = ()) -> None:
        """`program`: the words that start the server, if it is not this machine's redis-server."""
        self.directory = directory
        self.port = free_port()
        self.socket = directory / "r.sock"
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.unix_url = f"unix://{self.socket}?db=0"
        self._program = list(program) or [require_program("redis-server")]
        self._arguments = arguments

    def start(self) -> RealRedis:
        """Start it, empty, and wait until it answers."""
        command = [
            *self._program,
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self.directory),
        ]
        command += ["--unixsocket", str(self.socket), "--save", "", "--appendonly", "no", *self._arguments]
        with (self.directory / "redis.out").open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        wait_for(self._answers, message=lambda: f"Redis does not answer:\n{self.output()}")
        return self

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            pytest.fail(f"Redis ended:\n{self.output()}")
        try:
            with contextlib.closing(self.client(protocol=2)) as client:  # A test may have disabled HELLO.
                return bool(client.ping())
        except redis.RedisError:
            return False

    def client(self, **options: Any) -> redis.Redis:
        """A client of its own connections, with decoded strings."""
        return redis.Redis.from_url(self.url, decode_responses=True, socket_timeout=5, **options)

    def output(self) -> str:
        path = self.directory / "redis.out"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self) -> None:
        """Connections are refused from now on; its data is gone."""
        self.kill()

    def restart(self) -> None:
        self.stop()
        self.start()
