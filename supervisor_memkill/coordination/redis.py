"""Coordination through Redis: the same rules for any number of hosts, on Redis's clock.

``lua/common.lua`` describes the data in Redis. Each call is one round trip, and may be repeated with the
same effect. Every call names the last write of this listener, so that lost data, or an older copy, is
noticed: then no slot is granted until all listeners have had time to report again.
"""

from __future__ import annotations

import contextlib
import json
import math
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from supervisor_memkill import checked
from supervisor_memkill.coordination.contract import (
    MAX_SILENT_HEARTBEATS,
    Age,
    Answer,
    Cause,
    CoordinationUnknown,
    PoolView,
    Published,
    Report,
    Request,
    RequestAnswers,
    Rules,
    SlotClaim,
    no_age,
)
from supervisor_memkill.coordination.pool_data import answers_to_json, offers_of, view_of
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.errors import MemkillError, one_line
from supervisor_memkill.fresh import fresh_token
from supervisor_memkill.world.redis_client import ask

VERSION = 1
"""The version of the protocol. It is part of the data, not of the key: listeners of different versions must
see each other."""
EVENTS_KEPT = 1000
"""The approximate maximum length of a pool's event stream."""
MAX_OPEN_REQUESTS = 50
"""Requests to all listeners of a pool that are open at a time; further ones are refused."""


class Processes(Protocol):
    """Recognises the processes of listeners on this machine."""

    def own(self) -> Mapping[str, str]:
        """The process of this listener, to be compared by a later one; empty if the system cannot tell."""
        ...

    def has_ended(self, process: Mapping[str, Any]) -> bool:
        """The process ran on this machine and has surely ended."""
        ...


@dataclass(frozen=True)
class _Sent:
    """A report that Redis has."""

    number: str
    """Its id in Redis."""
    reports: Mapping[str, Report]
    """By worker."""


def _script_text(name: str) -> str:
    # importlib.resources would load tempfile, shutil and what they need.
    parts = [pkgutil.get_data(__package__, f"lua/{part}.lua") or b"" for part in ("common", name)]
    return b"\n".join(parts).decode()


def _is_news(report: Report, last: Report | None) -> bool:
    """The worker must be sent. One that asks for a slot is sent each time: others may clear its request."""
    return report.urgency is not None or (report is not last and report != last)


class RedisCoordinator:
    """The coordinator of a listener that shares pools with other listeners."""

    is_shared = True

    def __init__(
        self,
        redis: Callable[[], Any],
        listener: str,
        instance: str,
        *,
        prefix: str,
        heartbeat_seconds: float,
        slot_ttl_seconds: float,
        settle_seconds: float | None = None,
        epochs: Mapping[str, str] | None = None,
        processes: Processes | None = None,
    ) -> None:
        """`redis` makes the client on first use.

        `listener` is the name of this listener among all, ``host/identifier``; `instance` is random, and
        kept in the journal, so that a restarted listener is recognised. `settle_seconds`: how long no slot
        is granted after data was lost; by default `slot_ttl_seconds`, after which all old slots have
        expired. `epochs`: the pools that this listener saw, by the journal, each with the epoch of its data,
        "" if unknown; with None it never ran before. `processes` recognises a former process of this
        listener; None: no process is recognised.
        """
        self._redis = redis
        self._listener = listener
        self._instance = instance
        self._prefix = prefix
        self._fresh_ms = _ms(MAX_SILENT_HEARTBEATS * heartbeat_seconds)
        self._ttl_ms = _ms(slot_ttl_seconds)
        self._settle_ms = _ms(slot_ttl_seconds if settle_seconds is None else settle_seconds)
        self._epochs = dict(epochs or {})
        self._processes = processes
        self._known: dict[str, Mapping[str, Any]] = {}
        self._sent: dict[str, _Sent] = {}
        """The last report of each pool, if it surely arrived."""
        self._scripts: dict[str, Any] = {}

    @property
    def name(self) -> str:
        return self._listener

    def publish(
        self,
        pool: str,
        rules: Rules,
        reports: Sequence[Report],
        slot_claims: Sequence[SlotClaim],
        answers: RequestAnswers | None = None,
        age: Age = no_age,
    ) -> Published:
        values = {
            "process": {} if self._processes is None else self._processes.own(),
            **_rules(rules),
            "holdings": [
                [self._id(one.worker), one.token, int(one.is_out), one.not_back] for one in slot_claims
            ],
            "answered": dict.fromkeys(answers or {}, True),
            "answers": _json(answers_to_json(answers or {})),
        }
        found = self._publish_changes(pool, reports, values, age)
        with _understood():
            held = found["held"] if found["held"] != {} else []  # Lua's JSON of an empty table
            return Published(
                frozenset(map(checked.text, checked.items(held))),
                checked.flag(found["taken"]),
                self._former_seconds(found),
                checked.text(found.get("epoch", "")),
                offers_of(found.get("offers", [])),
                frozenset(map(checked.text, checked.items(found.get("open", [])))),
            )

    def _publish_changes(
        self, pool: str, reports: Sequence[Report], values: Mapping[str, Any], age: Age
    ) -> dict[str, Any]:
        """Send what changed since the last report, or all workers if that report is not in Redis any more."""
        last, number = self._sent.pop(pool, None), fresh_token(8)
        present = {report.worker: report for report in reports}
        found: dict[str, Any] = {"again": True}
        if last is not None:
            changed = [one for one in reports if _is_news(one, last.reports.get(one.worker))]
            gone = [self._id(worker) for worker in last.reports if worker not in present]
            found = self._run(
                "publish",
                pool,
                report=number,
                base=last.number,
                workers=[self._worker(report) for report in changed],
                gone=gone,
                age=_ms(age()),
                **values,
            )
        if "again" in found:
            workers = [self._worker(report) for report in reports]
            found = self._run("publish", pool, report=number, workers=workers, age=_ms(age()), **values)
        if found.get("taken") is False:
            self._sent[pool] = _Sent(number, present)
        return found

    def request(
        self, pool: str, identity: str, text: str, *, lasts_seconds: float | None, place: str
    ) -> bool:
        """Put a person's request where all listeners of the pool find it. False: too many are open.

        A newer request of the same place replaces an older one. `lasts_seconds` None: it has no end.
        """
        found = self._run(
            "request",
            pool,
            id=identity,
            text=text,
            lasts=0 if lasts_seconds is None else max(1, _ms(lasts_seconds)),
            place=place,
            most=MAX_OPEN_REQUESTS,
        )
        return "refused" not in found

    def consider(self, pool: str, rules: Rules, request: Request) -> Answer:
        return self._acquire(pool, rules, request, dry=True)

    def acquire(self, pool: str, rules: Rules, request: Request) -> Answer:
        return self._acquire(pool, rules, request, dry=False)

    def _acquire(self, pool: str, rules: Rules, request: Request, *, dry: bool) -> Answer:
        found = self._run(
            "acquire",
            pool,
            dry=dry,
            **_rules(rules),
            cooldown=_ms(rules.cooldown_seconds),
            id=self._id(request.worker),
            token=request.token or "",
            queues=_signature(request.queues),
            urgency=request.urgency,
            hard=request.hard,
            already_out=request.already_out,
        )
        with _understood():
            cause, detail = None, one_line(checked.text(found.get("detail", "")))
            if "refused" in found:
                cause = _cause(found["refused"])
            former_seconds = self._former_seconds(found)
            if former_seconds is not None:
                cause, detail = Cause.FORMER_LISTENER, f"{math.ceil(former_seconds)}s left"
            return Answer(
                cause,
                checked.whole(found["others"]),
                checked.whole(found["min_available"]),
                checked.whole(found["draining"]),
                detail,
                self._owner(found.get("min_available_of", "")),
                checked.whole(found["max_draining"]),
                self._owner(found.get("max_draining_of", "")),
            )

    def _owner(self, listener: Any) -> str:
        """The listener whose setting holds. Its own former setting counts as long as its last report."""
        name = one_line(checked.text(listener))
        return f"{name} before its restart" if name == self._listener else name

    def _former_seconds(self, found: Mapping[str, Any]) -> float | None:
        """How long the record of an ended former process still counts; None: no such process has the name."""
        if "taken_by" not in found or self._processes is None:
            return None
        other = checked.mapping(found["taken_by"])
        has_ended = self._processes.has_ended(checked.mapping(other.get("process", {})))
        return max(0.0, checked.number(other["left"]) / 1000) if has_ended else None

    def release(self, pool: str, worker: str, token: str, *, drained: bool, seconds_ago: float = 0.0) -> None:
        self._run("release", pool, id=self._id(worker), token=token, drained=drained, ago=_ms(seconds_ago))

    def view(self, pool: str) -> PoolView:
        answer = self._ask(lambda redis: self._script(redis, "view")(keys=self._keys(pool)))
        with _understood():
            now, *flat = answer
            return view_of(dict(zip(flat[::2], flat[1::2], strict=True)), int(now))

    def record(self, pool: str, event: str, fields: Mapping[str, str]) -> None:
        entry = {"event": event, "host": self._listener, **fields}
        key = f"{self._keys(pool)[0]}:events"
        self._ask(lambda redis: redis.xadd(key, entry, maxlen=EVENTS_KEPT, approximate=True))

    def drain_ended_at(self) -> Mapping[str, float]:
        return {}

    def _run(self, script: str, pool: str, **values: Any) -> dict[str, Any]:
        """Run one script and return its answer. Raises CoordinationUnknown."""
        request = {
            "listener": self._listener,
            "instance": self._instance,
            "version": VERSION,
            "fresh_epoch": fresh_token(8),
            "settle": self._settle_ms,
            "fresh": self._fresh_ms,
            "ttl": self._ttl_ms,
            "is_new": pool not in self._known and pool not in self._epochs,
            **values,
        }
        if pool in self._known:
            request["known"] = self._known[pool]
        if epoch := self._known.get(pool, {}).get("epoch") or self._epochs.get(pool):
            request["epoch"] = epoch
        text = _json(request)
        answer = self._ask(lambda redis: self._script(redis, script)(keys=self._keys(pool), args=[text]))
        with _understood():
            found: dict[str, Any] = json.loads(answer)
            if not isinstance(found, dict):
                raise TypeError("it is no object")
            has_written = "epoch" in found and "taken_by" not in found and not values.get("dry")
            if has_written:
                self._known[pool] = {
                    "epoch": checked.text(found["epoch"]),
                    "seq": checked.number(found["seq"]),
                    "at": checked.number(found["at"]),
                }
            return found

    def _script(self, redis: Any, name: str) -> Any:
        if name not in self._scripts:
            # EVALSHA; SCRIPT LOAD goes before it when Redis does not know the script (any more).
            self._scripts[name] = redis.register_script(_script_text(name))
        return self._scripts[name]

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        try:
            return ask(self._redis, question)
        except MemkillError as error:
            raise CoordinationUnknown(str(error)) from error

    def _keys(self, pool: str) -> list[str]:
        # POOL in literal braces: a pool is one slot of a cluster.
        key = f"{self._prefix}:{{{pool}}}"
        return [key, f"{key}:up", f"{key}:ask", f"{key}:wait"]

    def _id(self, worker: str) -> str:
        return f"{self._listener}/{worker}"

    def _worker(self, report: Report) -> list[Any]:
        signature = _signature(report.queues)
        host = self._listener.partition("/")[0]
        values = {
            "host": host,
            "program": report.worker,
            "pid": report.pid,
            "start": report.start,
            "memory": report.memory_bytes,
            "limit": report.limit_bytes,
            "in_service": report.in_service,
            "state": report.state,
            "busy": report.busy,
            "urgency": report.urgency,
            "queues": signature,
            "instance": self._instance,
            "until_after": self._fresh_ms,
        }
        text = _json(values)
        urgency = -1 if report.urgency is None else report.urgency
        return [self._id(report.worker), text, int(report.in_service), signature, urgency]


@contextlib.contextmanager
def _understood() -> Iterator[None]:
    """Raises CoordinationUnknown for an answer that the scripts of this version do not give."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise CoordinationUnknown(f"Redis: what it answered is not understood: {error}") from error


def _json(value: Any) -> str:
    """JSON that Lua can read: it refuses half of a surrogate pair, which the name of a queue may contain."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()


def _cause(value: Any) -> Cause:
    look_up: Any = Cause  # mypy takes it for the constructor of a new member
    cause: Cause = look_up(value)
    return cause


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _rules(rules: Rules) -> dict[str, int]:
    return {"min_available": rules.min_available, "max_draining": rules.max_draining}


def _signature(queues: frozenset[str]) -> str:
    """A set of queues as one text; equal sets give equal texts."""
    return "\n".join(sorted(queues))
