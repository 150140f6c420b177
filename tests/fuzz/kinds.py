"""Every kind that is brought along, with a world in which every answer is drawn."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from supervisor_memkill.errors import Unknown
from supervisor_memkill.testing.fakes import Signals, tools
from supervisor_memkill.workers import registry
from supervisor_memkill.workers.contract import Kind
from tests.fuzz.redis_answers import NOW, PID, FuzzedRedis
from tests.fuzz.values import JSON, TEXTS, near, near_json

Draw = Callable[[st.SearchStrategy[Any]], Any]

VALUES: Mapping[str, Mapping[str, Any]] = {
    "custom": {"quiet_signal": "TSTP", "busy_key": "busy:%(pid)s", "resume_signal": "CONT"},
    "arq": {"job_completion_wait": 60.0, "health_check_key": "arq:%(name)s"},
}
"""What a kind cannot do without."""

NODE = f"celery@{socket.gethostname()}"
TASK = {"id": "1", "name": "app.work", "args": [], "hostname": NODE, "time_start": 1.5, "worker_pid": PID}
QUEUE = {
    "name": "celery",
    "exchange": {"name": "celery", "type": "direct", "durable": True},
    "routing_key": "celery",
    "no_ack": False,
}
RIGHT_ANSWERS: Mapping[str, Any] = {
    "stats": {"pid": PID, "uptime": 400, "pool": {"max-concurrency": 2}, "total": {}},
    "active_queues": [QUEUE],
    "reserved": [TASK],
    "active": [],
}


class FuzzedControl:
    """Celery's nodes, which answer anything."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw

    def ask(
        self, names: Sequence[str], nodes: Collection[str] | None, seconds: float, *, whole: bool = False
    ) -> Mapping[str, Sequence[tuple[str, Any]]]:
        self._may_fail()
        return {name: self._answers(RIGHT_ANSWERS.get(name)) for name in names}

    def tell(self, node: str, commands: Sequence[object]) -> None:
        self._may_fail()

    def _answers(self, right: Any) -> Sequence[tuple[str, Any]]:
        values = st.one_of(st.just(right), st.just(right), st.just([]), near_json(right), JSON)
        nodes = st.one_of(st.just(NODE), st.just(NODE), near(st.just(NODE)), TEXTS)
        answers: Sequence[tuple[str, Any]] = self._draw(
            st.lists(st.tuples(nodes, values), min_size=1, max_size=2)
        )
        return answers[:1] if self._draw(st.booleans()) else answers

    def _may_fail(self) -> None:
        if self._draw(st.integers(0, 19)) == 19:
            raise Unknown("the broker is away")


def make(name: str, draw: Draw, signals: Signals | None = None, redis: Any = None) -> Kind:
    """The kind `name`, its clocks at NOW; `redis`: the client, one that answers anything by default."""
    class_: Any = registry.load_kind(name)
    values = {key: option.default for key, option in class_.options.items()}
    known = tools(lambda: redis or FuzzedRedis(draw), signals)
    more: dict[str, Any] = {}
    if name in ("sidekiq", "resque", "rq"):
        more = {"wall": lambda: float(NOW)}
    if name == "celery":
        more = {"control": FuzzedControl(draw), "wall": lambda: float(NOW)}
    kind: Kind = class_({**values, **VALUES.get(name, {})}, known, **more)
    return kind
