"""How the metrics reach Prometheus: a file for node_exporter, and a small HTTP server."""

from __future__ import annotations

import io
import queue
import threading
from functools import partial
from pathlib import Path
from typing import Any, TextIO
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import prometheus_client

from supervisor_memkill.notices.background import Background
from supervisor_memkill.notices.delivery import Outcomes
from supervisor_memkill.notices.delivery_events import MetricsFailed
from supervisor_memkill.notices.event import Event, Notifier
from supervisor_memkill.notices.metrics import MetricsSink
from supervisor_memkill.notices.pool_events import PoolLooked
from supervisor_memkill.world.bounded_server import SILENT_SECONDS, BoundedServer

MAX_CONNECTIONS = 16
"""Prometheus needs one; each one is a thread and a file of the listener."""


class _Handler(WSGIRequestHandler):
    timeout = SILENT_SECONDS

    def log_message(self, *arguments: object) -> None:
        """stderr is the listener's log."""

    def get_stderr(self) -> TextIO:
        """For tracebacks: a header that nobody understands is enough for one, and the client gets 500."""
        return io.StringIO()


class _Server(BoundedServer, WSGIServer):
    most_connections = MAX_CONNECTIONS

    def server_bind(self) -> None:
        super().server_bind()
        self.setup_environ()


def start_server(host: str, port: int, registry: Any) -> WSGIServer:
    """Serve the metrics in threads of their own. Raises OSError."""
    server = _Server((host, port), _Handler)
    server.set_app(prometheus_client.make_wsgi_app(registry))
    threading.Thread(target=server.serve_forever, args=(0.2,), name="metrics-http", daemon=True).start()
    return server


class ExpositionWorker:
    """Writes the file after each look, and begins to listen at the first one."""

    def __init__(
        self, registry: Any, outcomes: Outcomes, textfile: Path | None, listen: tuple[str, int] | None
    ) -> None:
        self._registry = registry
        self._outcomes = outcomes
        self._textfile = textfile
        self._listen = listen
        self._server: WSGIServer | None = None

    def take(self, _: object) -> None:
        if self._listen is not None and self._server is None:
            self._try("metrics_listen", self._begin_to_listen)
        if self._textfile is not None:
            self._try("metrics_textfile", self._write)

    def _begin_to_listen(self) -> None:
        assert self._listen is not None
        self._server = start_server(*self._listen, self._registry)

    def _write(self) -> None:
        """Whole or not at all: node_exporter may read at any moment."""
        prometheus_client.write_to_textfile(str(self._textfile), self._registry)

    def _try(self, key: str, do: Any) -> None:
        try:
            do()
        except Exception as error:  # noqa: BLE001 - the thread would end
            words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self._outcomes.put(partial(Notifier.report, event=MetricsFailed(key, words)))
        else:
            self._outcomes.put(partial(_forget, key=key))

    def wait_seconds(self) -> float | None:
        return None

    def go_on(self) -> None:
        pass

    def finish(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def give_up(self) -> None:
        pass


class Metrics:
    """The sink with its thread. It serves and writes from the first look on, so that no stand-by does."""

    def __init__(
        self,
        version: str,
        host: str,
        textfile: Path | None,
        listen: tuple[str, int] | None,
        notifier: Notifier,
    ) -> None:
        self._outcomes: Outcomes = queue.SimpleQueue()
        self._notifier = notifier
        self.sink = MetricsSink(version, host, self._publish)
        worker = ExpositionWorker(self.sink.registry, self._outcomes, textfile, listen)
        # One that waits is enough: it writes what is known when its turn comes.
        self._background = Background("metrics", worker, capacity=1)
        self._has_looked = False

    def take(self, event: Event) -> None:
        self._has_looked |= isinstance(event, PoolLooked)
        self.sink.take(event)
        self._report()

    def _publish(self) -> None:
        if self._has_looked:
            self._background.put(None)

    def _report(self) -> None:
        while not self._outcomes.empty():
            self._outcomes.get_nowait()(self._notifier)

    def end(self) -> None:
        self._background.end()

    def close(self, seconds: float) -> None:
        self._background.join(seconds, 0.0)
        self._report()


def _forget(notifier: Notifier, key: str) -> None:
    notifier.forget(MetricsFailed, key)
