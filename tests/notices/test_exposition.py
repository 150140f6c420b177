"""The server of the metrics stands in the listener's process, and takes little of it whoever asks."""

from __future__ import annotations

import contextlib
import socket
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import prometheus_client
import pytest

from supervisor_memkill.notices.exposition import MAX_CONNECTIONS, start_server
from tests.harness import PATIENCE_SECONDS, free_port, wait_for


@pytest.fixture
def port() -> Iterator[int]:
    registry = prometheus_client.CollectorRegistry()
    prometheus_client.Gauge("one", "A metric.", registry=registry).set(1)
    server = start_server("127.0.0.1", free_port(), registry)
    yield int(server.server_port)
    server.shutdown()
    server.server_close()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_SECONDS) as answer:
        text: str = answer.read().decode()
        return text


def scraped(port: int) -> str:
    try:
        return scrape(port)
    except OSError:
        return ""


def test_many_clients_that_never_end_their_request_take_few_threads_and_files(port: int) -> None:
    """A listener without threads or files left could drain nothing."""
    threads, files = threading.active_count(), open_files()
    clients = 4 * MAX_CONNECTIONS
    with contextlib.ExitStack() as cleanup:
        for _ in range(clients):
            client = cleanup.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS))
            client.sendall(b"GET /metrics HTTP/1.1\r\n")
        text = wait_for(lambda: scraped(port), message="a scrape")
        # A thread needs a moment to end after its connection has gone.
        assert threading.active_count() <= threads + 2 * MAX_CONNECTIONS
        assert open_files() <= files + clients + MAX_CONNECTIONS
    assert "one 1.0" in text


def test_request_that_fails_leaves_the_log_alone(port: int, capfd: pytest.CaptureFixture[str]) -> None:
    """stderr is the listener's log, and anybody who reaches the port can send such a header."""
    for accept in ("application/openmetrics-text; version=abc", ";;;,,", "\xff"):
        request = f"GET /metrics HTTP/1.0\r\nAccept: {accept}\r\n\r\n".encode("latin-1")
        with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as client:
            client.sendall(request)
            assert client.makefile("rb").read().startswith(b"HTTP/1.0 ")
    assert capfd.readouterr().err == ""
