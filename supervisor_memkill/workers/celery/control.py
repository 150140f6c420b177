"""Celery's remote control from outside: questions to nodes through the broker, and their answers.

The protocol is that of kombu/pidbox.py (5.3 to 5.7): a command goes to a fanout exchange, and each node that
it names answers to our reply queue. It is implemented here with plain declares, publishes and gets, because
kombu's own client retries without end, accepts any reply as its own, and leaves a blocking read behind.

A reply queue lives as long as one call. Redis drops a late answer to a deleted queue, unless the node has
looked the queue up just before: then a list with this answer stays there. A process that is killed during a
call leaves the binding of its queue (which expires from kombu 5.7 on).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field
from typing import Any, Protocol

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import Unknown
from supervisor_memkill.world.redis_client import TIMEOUT_SECONDS
from supervisor_memkill.world.redis_url import masked

MOST_TRIES = 2
"""Of brokers in a list that are connected to in one look: each may take `TIMEOUT_SECONDS`."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.002, 0.02
"""The pause between two looks for answers."""

QUESTION_ARGUMENTS: Mapping[str, Mapping[str, Any]] = {"active": {"safe": True}}
"""By question: what makes its answer short (celery/worker/control.py). A task's arguments may be huge, and
objects in them cannot be sent as JSON: such an answer never comes. Safe is a short text of the arguments."""

Answers = Mapping[str, Sequence[tuple[str, Any]]]
"""For each command, all answers that arrived: the node's name and its value."""


@dataclass(frozen=True)
class Command:
    """One command of Celery's remote control (celery/worker/control.py)."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


class Control(Protocol):
    """Reaches nodes; tests pass a fake."""

    def ask(
        self, names: Sequence[str], nodes: Collection[str] | None, seconds: float, *, whole: bool = False
    ) -> Answers:
        """The answers that arrive in that time to these commands; every node runs them in this order.

        `nodes` None asks all nodes. Returns as soon as each node gave each answer; `whole` waits for the
        whole time, to find a second node of the same name. Raises Unknown if the broker is away.
        """
        ...

    def tell(self, node: str, commands: Sequence[Command]) -> None:
        """Send commands without waiting for answers. Raises Unknown if they may not have been sent."""
        ...


class Broker:
    """The broker, over one connection that is opened at first use and reopened after an error.

    Of a list of brokers the next one is tried after an error, as Celery's workers do.
    """

    def __init__(
        self,
        makers: Sequence[Callable[[], Any]],
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        *,
        namespace: str = "celery",
    ) -> None:
        """For each broker of the list, `makers` make a kombu.Connection, not connected yet.

        `namespace` is Celery's control_exchange, which names both exchanges.
        """
        self._makers = makers
        self._at = 0
        """The broker of the list that is used."""
        self._namespace = namespace
        self._monotonic = monotonic
        self._sleep = sleep
        self._connection: Any = None
        self._channel: Any = None

    def ask(
        self, names: Sequence[str], nodes: Collection[str] | None, seconds: float, *, whole: bool = False
    ) -> Answers:
        with self._connected() as channel:
            mailbox = _mailbox(self._namespace)
            key = str(uuid.uuid4())
            queue = _reply_queue(mailbox, key, channel)
            queue.declare()
            try:
                tickets = {str(uuid.uuid4()): name for name in names}
                reply_to = {"exchange": mailbox.reply_exchange.name, "routing_key": key}
                for ticket, name in tickets.items():
                    command = Command(name, QUESTION_ARGUMENTS.get(name, {}))
                    _publish(channel, mailbox, command, nodes, {"ticket": ticket, "reply_to": reply_to})
                return self._collect(queue, tickets, None if whole else nodes, seconds)
            finally:
                with suppress(
                    Exception
                ):  # an earlier error is already raised; the queue is for one call only
                    queue.delete()

    def tell(self, node: str, commands: Sequence[Command]) -> None:
        with self._connected() as channel:
            mailbox = _mailbox(self._namespace)
            for command in commands:
                _publish(channel, mailbox, command, [node], {})

    def _collect(
        self, queue: Any, tickets: Mapping[str, str], nodes: Collection[str] | None, seconds: float
    ) -> Answers:
        end, pause = self._monotonic() + seconds, FIRST_PAUSE_SECONDS
        answers: dict[str, list[tuple[str, Any]]] = {name: [] for name in tickets.values()}
        while True:
            message = queue.get(no_ack=True, accept=["json"])
            if message is not None:
                name = tickets.get(message.headers.get("ticket"))
                if name is not None:
                    answers[name] += _answers_in(message)
                pause = FIRST_PAUSE_SECONDS
            elif _is_all(answers, nodes) or self._monotonic() >= end:
                return answers
            else:
                self._sleep(pause)
                pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """A channel. Every failure raises Unknown, and closes the connection."""
        try:
            if self._channel is None:
                self._connect_to_one()
            yield self._channel
        except Unknown:
            raise
        except Exception as error:  # kombu's transports raise the errors of their libraries
            self._drop()
            raise Unknown(f"broker: {masked(str(error)) or type(error).__name__}") from error

    def _connect_to_one(self) -> None:
        for tries_left in reversed(range(min(MOST_TRIES, len(self._makers)))):
            try:
                self._connect()
            except Exception:
                if not tries_left:
                    raise
                self._drop()
            else:
                return

    def _connect(self) -> None:
        self._connection = self._makers[self._at]()
        # One try: without max_retries kombu retries without end.
        self._connection.ensure_connection(max_retries=0, timeout=TIMEOUT_SECONDS / 20)
        self._channel = self._connection.channel()

    def _drop(self) -> None:
        self._at = (self._at + 1) % len(self._makers)
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            with suppress(Exception):  # it is broken already
                connection.collect(socket_timeout=0.1)


def _kombu() -> Any:
    """The package; most of it has no annotations."""
    import kombu.pidbox

    return kombu


def _mailbox(namespace: str) -> Any:
    """The names and declarations of the exchanges."""
    return _kombu().pidbox.Mailbox(namespace, type="fanout")


def _reply_queue(mailbox: Any, key: str, channel: Any) -> Any:
    """As kombu declares it (Mailbox.get_reply_queue): RabbitMQ deletes it even if this process is killed."""
    return _kombu().Queue(
        f"{key}.{mailbox.reply_exchange.name}",
        exchange=mailbox.reply_exchange,
        routing_key=key,
        durable=False,
        exclusive=True,
        auto_delete=True,
        expires=10.0,
    )(channel)


def _publish(
    channel: Any,
    mailbox: Any,
    command: Command,
    nodes: Collection[str] | None,
    reply: Mapping[str, Any],
) -> None:
    message = {
        "method": command.name,
        "arguments": dict(command.arguments),
        "destination": None if nodes is None else list(nodes),
        "pattern": None,
        "matcher": None,
        **reply,
    }
    _kombu().Producer(channel, auto_declare=False).publish(
        message,
        exchange=mailbox.exchange.name,
        declare=[mailbox.exchange],
        headers={"clock": 0},
        serializer="json",
        retry=False,
    )


def _answers_in(message: Any) -> list[tuple[str, Any]]:
    """The answer of a node: ``{node: value}``; empty if it cannot be read."""
    from kombu.exceptions import KombuError

    try:
        payload = message.payload
    except (KombuError, ValueError):
        return []  # pickled (task_serializer): reading it could run anybody's code
    return list(payload.items()) if isinstance(payload, dict) else []


def _is_all(answers: Answers, nodes: Collection[str] | None) -> bool:
    """Every node gave every answer; always False if all nodes were asked: their number is unknown."""
    if nodes is None:
        return False
    return all(set(nodes) <= {node for node, _ in given} for given in answers.values())
