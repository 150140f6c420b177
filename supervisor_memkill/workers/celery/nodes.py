"""What Celery's nodes are called and what they answer, as values."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from supervisor_memkill.errors import Unknown
from supervisor_memkill.workers.celery.control import Answers
from supervisor_memkill.workers.settings import option_in

QUESTIONS = ("stats", "active_queues", "reserved", "active")
"""A node does them in this order, and takes no task in between (celery/worker/control.py): a task goes from
`reserved` to `active`, so that one that runs is missed by neither."""

LAST_QUESTIONS = ("scheduled", "reserved", "active")
"""Asked only before the stop: `scheduled` tells every task with an ETA, and a worker may hold thousands. One
that comes due in between is reserved or active by then."""

_TITLE = re.compile(r"\[celeryd: (\S+):MainProcess\]")
"""With setproctitle (celery/platforms.py: set_mp_process_title)."""
_WORKER = re.compile(r"(?:^|[/\s])celery\s(?:.*\s)?worker(?:\s|$)")


@dataclass(frozen=True)
class NodeState:
    """What one node said of itself."""

    name: str
    pid: int
    queues: tuple[Mapping[str, Any], ...]
    """What it takes tasks from, as `add_consumer` needs it: queue, exchange, exchange_type, routing_key."""
    shared_queues: frozenset[str]
    """Those of their names that are not its own alone."""
    jobs: tuple[str, ...]
    """The names of the tasks in hand; those with an ETA, which the stop puts back, are left out."""


def name_in(title: str, hostname: str) -> str | None:
    """The node name that a command line leads to; None where it is not a worker's, or tells nothing.

    As celery/bin/worker.py and celery/utils/nodenames.py make it (5.3 to 5.7).
    """
    titled = _TITLE.search(title)
    if titled is not None:
        return titled[1]
    if _WORKER.search(title) is None:
        return None
    given = (option_in(title, "--hostname", "-n") or "").rstrip(";&|)")  # of a shell's script
    name, _, host = given.partition("@") if "@" in given else ("", "", given)
    return _expanded(f"{name or 'celery'}@{host or hostname}", hostname)


def _expanded(name: str, hostname: str) -> str | None:
    """With %h (host), %n and %d (its parts), and %i and %I of a main process filled in."""
    first, _, domain = hostname.partition(".")
    known = {"h": hostname, "n": first, "d": domain, "i": "0", "I": "", "%": "%"}
    holes = re.findall(r"%(.?)", name)
    if any(hole not in known for hole in holes):
        return None
    return re.sub(r"%(.)", lambda hole: known[hole[1]], name)


def is_of_host(node: str, hostname: str) -> bool:
    """Named after this host: pids of another host, or container, mean nothing here."""
    return node.partition("@")[2] == hostname


def pids_of(node: str, answers: Answers) -> list[int]:
    """The pid of every process that answers to this name. Raises Unknown."""
    return [_pid_in(value, node) for name, value in answers["stats"] if name == node]


def nodes_in(pids: Collection[int], answers: Answers) -> list[str]:
    """The names of the nodes whose pid is one of these, by an answer that is readable."""
    found = []
    for name, value in answers["stats"]:
        try:
            pid = _pid_in(value, name)
        except Unknown:
            continue
        if pid in pids:
            found.append(name)
    return sorted(set(found))


def state_of(node: str, answers: Answers) -> NodeState:
    """What the node said. Raises Unknown while anything is missing, twice there, or no answer."""
    given = {}
    for question in QUESTIONS:
        values = [value for name, value in answers[question] if name == node]
        if len(values) != 1:
            told = "more than once" if values else "nothing in time"
            raise Unknown(f"{node} told {told} when asked for {question}")
        given[question] = values[0]
    queues = _queues_in(given["active_queues"], node)
    return NodeState(
        name=node,
        pid=_pid_in(given["stats"], node),
        queues=tuple(_saved(queue) for queue in queues),
        shared_queues=frozenset(queue["name"] for queue in queues if not _is_own(queue, node)),
        jobs=(*_jobs_in(given["reserved"], node), *_jobs_in(given["active"], node)),
    )


def is_calm(node: str, answers: Answers, until: float) -> bool:
    """By these answers it has no task in hand, and none with an ETA up to this epoch second."""
    given = [[value for name, value in answers[one] if name == node] for one in LAST_QUESTIONS]
    if any(len(values) != 1 or not isinstance(values[0], list) for values in given):
        return False
    (scheduled,), (reserved,), (active,) = given
    return not reserved and not active and not any(_is_due(task, until) for task in scheduled)


def _is_due(task: object, until: float) -> bool:
    """Its ETA is no later than this; so is one that cannot be read."""
    eta = task.get("eta") if isinstance(task, dict) else None
    try:
        # up to Python 3.10 fromisoformat does not take a Z
        moment = datetime.fromisoformat(re.sub("Z$", "+00:00", eta)) if isinstance(eta, str) else None
        return moment is None or _epoch(moment) <= until
    except (ValueError, OverflowError):
        return True


def _epoch(moment: datetime) -> float:
    """Without a zone it is UTC (enable_utc)."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def _pid_in(value: object, node: str) -> int:
    pid = value.get("pid") if isinstance(value, dict) else None
    if not isinstance(pid, int) or isinstance(pid, bool) or pid <= 0:
        raise Unknown(f"{node} tells no pid: {str(value)[:60]!r}")
    return pid


def _queues_in(value: object, node: str) -> Sequence[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(_is_named(one) for one in value):
        raise Unknown(f"{node} tells no queues: {str(value)[:60]!r}")
    return value


def _is_named(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("name"), str) and bool(value["name"])


def _saved(queue: Mapping[str, Any]) -> Mapping[str, Any]:
    exchange = queue.get("exchange")
    exchange = exchange if isinstance(exchange, dict) else {}
    return {
        "queue": queue["name"],
        "exchange": exchange.get("name"),
        "exchange_type": exchange.get("type"),
        "routing_key": queue.get("routing_key"),
    }


def _is_own(queue: Mapping[str, Any], node: str) -> bool:
    """Nobody else takes from it: its direct one (worker_direct), or its share of a broadcast."""
    return _saved(queue)["exchange_type"] == "fanout" or str(queue["name"]) == f"{node}.dq2"


def _jobs_in(value: object, node: str) -> Iterable[str]:
    if not isinstance(value, list) or not all(_is_named(one) for one in value):
        raise Unknown(f"{node} tells no tasks: {str(value)[:60]!r}")
    return [one["name"] for one in value]
