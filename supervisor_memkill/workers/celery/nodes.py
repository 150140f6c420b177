"""The names of Celery's nodes and their answers, as values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import Unknown
from supervisor_memkill.workers.celery.control import Answers
from supervisor_memkill.workers.command_line import has_words, option_text, program_in
from supervisor_memkill.workers.ownership import Began, is_left_behind
from supervisor_memkill.world.memory import ProcessTable

QUESTIONS = ("stats", "active_queues", "reserved", "active")
"""A node runs them in this order, and takes no task in between (celery/worker/control.py). A task moves from
`reserved` to `active`, so that no running task is missed."""

LAST_QUESTIONS = ("scheduled", "reserved", "active")
"""Asked only before the stop: `scheduled` lists every task with an ETA, and a worker may hold thousands. A
task that becomes due in between is in `reserved` or `active` by then."""

UNSENT_TASKS = (
    ": it may have fetched very many tasks, or tasks with arguments that JSON cannot hold; if it stays so, "
    "set drain = stop"
)
"""The answer to `reserved` holds all arguments of each task (celery/worker/request.py: info)."""

_TITLE = re.compile(r"\[celeryd: (\S+):MainProcess\]")
"""With setproctitle (celery/platforms.py: set_mp_process_title)."""
_PROGRAM = re.compile(r"(?:^|[/\s])celery\s")
_COMMAND = re.compile(
    "worker|beat|events|flower|multi|amqp|call|control|inspect|graph|list|logtool|migrate|purge|report|result"
    "|shell|status|upgrade"
)
"""celery/bin/celery.py, and flower's own."""
_VALUE_OPTIONS = frozenset(
    {"-A", "--app", "-b", "--broker", "--result-backend", "--loader", "--config", "--workdir"}
)
"""Celery's options before its command whose value may be the next word."""
AIRFLOW_NAME, AIRFLOW_QUEUES = ("--celery-hostname", "-H"), ("--queues", "-Q", "-q")
"""The options of ``airflow celery worker``."""


@dataclass(frozen=True)
class NodeState:
    """The answers of one node."""

    name: str
    pid: int
    queues: tuple[Mapping[str, Any], ...]
    """The queues that it takes tasks from, each with the arguments that `add_consumer` needs."""
    shared_queues: frozenset[str]
    """The names of the queues that other nodes may take from as well."""
    jobs: tuple[str, ...]
    """The names of the running tasks, without those that wait for an ETA, which the stop gives back."""
    runs: Mapping[str, int] | None = None
    """How many tasks of each name the node has begun since its start; None: unknown."""


def is_worker(title: str) -> bool:
    """The command line is that of a worker's main process, and not of beat, flower or a pool's process."""
    return _TITLE.search(title) is not None or _runs_worker(title) or _is_sentry(title)


def _runs_worker(command: str) -> bool:
    """``celery -A app worker``, also in a shell's script; not ``celery -A worker beat -S worker``."""
    parts = (_PROGRAM.search(part) for part in re.split(r"[;&|]+(?=\s|$)", command))
    return any(one is not None and _command_in(one.string[one.end() :]) == "worker" for one in parts)


def _is_sentry(command: str) -> bool:
    """``sentry run worker``, which runs Celery in its own process (src/sentry/runner/commands/run.py).

    With ``--autoreload`` it runs the worker as its child, and does not pass the stop signal on. Its node name
    cannot be told from the command line: Sentry gives Celery the name as it is, with its %h.
    """
    is_worker = program_in(command) == "sentry" and has_words(command, "run worker")
    return is_worker and not has_words(command, "--autoreload")


def is_airflow(title: str) -> bool:
    """``airflow celery worker``, which has option names of its own (airflow/providers/celery/cli).

    With setproctitle, which Airflow installs, the title has these words without ``airflow``.
    """
    return has_words(title, "airflow celery worker") or "(celery worker" in title


def _command_in(arguments: str) -> str:
    """Celery's command: the first word that is one, and is not the value of an option."""
    words = iter(arguments.split())
    for word in words:
        if word in _VALUE_OPTIONS:
            next(words, "")
        elif _COMMAND.fullmatch(name := word.rstrip(")\"'")):
            return name
    return ""


def name_in(title: str, hostname: str) -> str | None:
    """The node name by a command line; None if it is not a worker's, or does not show the name.

    As celery/bin/worker.py and celery/utils/nodenames.py make it (5.3 to 5.7).
    """
    titled = _TITLE.search(title)
    if titled is not None:
        return titled[1]
    if not _runs_worker(title):
        return None
    names = AIRFLOW_NAME if is_airflow(title) else ("--hostname", "-n")
    given = (option_text(title, *names) or "").rstrip(";&|)")  # from a shell script
    name, _, host = given.partition("@") if "@" in given else ("", "", given)
    return _expanded(f"{name or 'celery'}@{host or hostname}", hostname)


def _expanded(name: str, hostname: str) -> str | None:
    """The name with %h (host), %n and %d (its parts), and %i and %I of a main process replaced."""
    first, _, domain = hostname.partition(".")
    known = {"h": hostname, "n": first, "d": domain, "i": "0", "I": "", "%": "%"}
    holes = re.findall(r"%(.?)", name)
    if any(hole not in known for hole in holes):
        return None
    return re.sub(r"%(.)", lambda hole: known[hole[1]], name)


def host_of(node: str) -> str:
    """The host that the node is named after: pids of another host, or container, mean nothing here."""
    return node.partition("@")[2]


@dataclass(frozen=True)
class Life:
    """The process that answers to a name, by its own words."""

    pid: int
    uptime_seconds: float
    """By the node's clock, in whole seconds; below 0 after that clock was set back."""
    children: frozenset[int]
    """The pids of a prefork pool's processes, without the node's own, which a solo pool names."""

    def is_of(self, began: Mapping[int, Began], wall: float) -> bool:
        """It is one of these processes, by its pid and by its start; `wall` is epoch seconds.

        A HUP starts Celery anew in the same process. Its start is late then; the pool's processes show it.
        """
        own = began.get(self.pid)
        if own is None:
            return False
        started = wall - self.uptime_seconds
        is_late = started > max(own.then, own.now)
        return own.fits(started) or (is_late and bool(self.children) and self.children <= began.keys())


def lives_of(node: str, answers: Answers) -> list[Life]:
    """All processes that answer to this name. Raises Unknown."""
    return [_life_in(value, node) for name, value in answers["stats"] if name == node]


def nodes_in(began: Mapping[int, Began], wall: float, answers: Answers) -> list[str]:
    """The names of the nodes that are one of these processes, by the readable answers."""
    found = set()
    for name, value in answers["stats"]:
        try:
            if _life_in(value, name).is_of(began, wall):
                found.add(name)
        except Unknown:
            continue
    return sorted(found)


def not_unique(name: str, left: Sequence[int] = ()) -> str:
    """Why a worker with this name is not drained; `left`: the pids of namesakes that nobody supervises."""
    if left:
        pids = " and ".join(map(str, left))
        return f"more than one worker has the name {name}: nobody supervises {pids} any more, end it"
    hint = "give each program its own, such as -n %(program_name)s@%%h"
    return f"more than one worker has the name {name}: {hint}"


def left_among(lives: Iterable[Life], began: Mapping[int, Began], table: ProcessTable) -> list[int]:
    """The pids of those lives that are none of these processes, and that nobody supervises."""
    others = [life.pid for life in lives if life.pid not in began]
    return [pid for pid in others if is_left_behind(pid, began, table)]


def state_of(node: str, answers: Answers) -> NodeState:
    """The node's state. Raises Unknown if an answer is missing, duplicate or unreadable."""
    given = {}
    for question in QUESTIONS:
        values = [value for name, value in answers[question] if name == node]
        if len(values) != 1:
            count = "more than once" if values else "not in time"
            hint = UNSENT_TASKS if question == "reserved" and not values else ""
            raise Unknown(f"{node} answered {count} to {question}{hint}")
        given[question] = values[0]
    queues = _queues_in(given["active_queues"], node)
    return NodeState(
        name=node,
        pid=_pid_in(given["stats"], node),
        queues=tuple(_saved(queue) for queue in queues),
        shared_queues=frozenset(queue["name"] for queue in queues if not _is_own(queue, node)),
        jobs=(*_jobs_in(given["reserved"], node), *_jobs_in(given["active"], node)),
        runs=_runs_in(given["stats"]),
    )


def is_calm(node: str, answers: Answers, until: float) -> bool:
    """By these answers the node has no running task, and none with an ETA up to this epoch second."""
    given = [[value for name, value in answers[one] if name == node] for one in LAST_QUESTIONS]
    if any(len(values) != 1 or not isinstance(values[0], list) for values in given):
        return False
    (scheduled,), (reserved,), (active,) = given
    return not reserved and not active and not any(_is_due(task, until) for task in scheduled)


def _is_due(task: object, until: float) -> bool:
    """The ETA is no later than this epoch second, or cannot be read."""
    eta = task.get("eta") if isinstance(task, dict) else None
    try:
        # up to Python 3.10, fromisoformat does not take a Z
        moment = datetime.fromisoformat(re.sub("Z$", "+00:00", eta)) if isinstance(eta, str) else None
        return moment is None or _epoch(moment) <= until
    except (ValueError, OverflowError):
        return True


def _epoch(moment: datetime) -> float:
    """Epoch seconds; a time without a zone is UTC (enable_utc)."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def _pid_in(value: object, node: str) -> int:
    pid = value.get("pid") if isinstance(value, dict) else None
    if not isinstance(pid, int) or isinstance(pid, bool) or pid <= 0:
        raise Unknown(f"{node} answered without a pid: {str(value)[:60]!r}")
    return pid


def _runs_in(value: object) -> Mapping[str, int] | None:
    """`total` in an answer to `stats`: counted when a task begins (celery/worker/state.py: task_accepted)."""
    total = value.get("total") if isinstance(value, dict) else None
    if not isinstance(total, dict):
        return None
    return {
        name: runs for name, runs in total.items() if type(name) is str and type(runs) is int and runs > 0
    }


def _life_in(value: object, node: str) -> Life:
    """From an answer to `stats` (celery/worker/worker.py). Raises Unknown."""
    pid = _pid_in(value, node)
    given = value if isinstance(value, dict) else {}
    uptime: Any = given.get("uptime")
    pool = given.get("pool")
    if type(uptime) not in (int, float) or not -(2**40) < uptime < 2**40:
        raise Unknown(f"{node} answered without its uptime: {str(value)[:60]!r}")
    children = pool.get("processes") if isinstance(pool, dict) else None
    pids = children if isinstance(children, list) else []
    return Life(pid, float(uptime), frozenset(one for one in pids if type(one) is int) - {pid})


def _queues_in(value: object, node: str) -> Sequence[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(_is_named(one) for one in value):
        raise Unknown(f"{node} answered without queues: {str(value)[:60]!r}")
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
    """No other node takes from it: the node's direct queue (worker_direct), or its share of a broadcast."""
    return _saved(queue)["exchange_type"] == "fanout" or str(queue["name"]) == f"{node}.dq2"


def _jobs_in(value: object, node: str) -> Iterable[str]:
    if not isinstance(value, list) or not all(_is_named(one) for one in value):
        raise Unknown(f"{node} answered without tasks: {str(value)[:60]!r}")
    return [one["name"] for one in value]
