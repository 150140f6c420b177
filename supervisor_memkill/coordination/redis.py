"""Coordination through Redis: the same rules for any number of hosts, on Redis's clock.

``lua/common.lua`` describes the data in Redis. Each call is one round trip, and may be repeated with the
same effect. Every call names the last state that this listener saw, so that lost data, or an older copy,
is noticed: then no slot is granted until all listeners have had time to report again.
"""

from __future__ import annotations

import contextlib
import json
import math
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources
from typing import Any, Protocol

from supervisor_memkill import checked
from supervisor_memkill.coordination.contract import (
    MAX_SILENT_HEARTBEATS,
    UNNAMED,
    Answer,
    Cause,
    CoordinationUnknown,
    ListenerRules,
    PoolView,
    Published,
    Report,
    Request,
    Rules,
    SlotClaim,
)
from supervisor_memkill.errors import MemkillError, one_line
from supervisor_memkill.world.redis_client import ask

VERSION = 1
"""The version of the protocol. It is part of the data, not of the key: listeners of different versions must
see each other."""
EVENTS_KEPT = 1000
"""The approximate maximum length of a pool's event stream."""


class Processes(Protocol):
    """Recognises the processes of listeners on this machine."""

    def own(self) -> Mapping[str, str]:
        """The process of this listener, to be compared by a later one; empty if the system cannot tell."""
        ...

    def has_ended(self, process: Mapping[str, Any]) -> bool:
        """The process ran on this machine and has surely ended."""
        ...


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
        self._scripts: dict[str, Any] = {}

    @property
    def name(self) -> str:
        return self._listener

    def publish(
        self, pool: str, rules: Rules, reports: Sequence[Report], slot_claims: Sequence[SlotClaim]
    ) -> Published:
        found = self._run(
            "publish",
            pool,
            process={} if self._processes is None else self._processes.own(),
            **_rules(rules),
            workers=[self._worker(report) for report in reports],
            holdings=[
                [self._id(one.worker), one.token, int(one.is_out), one.not_back] for one in slot_claims
            ],
        )
        with _understood():
            held = found["held"] if found["held"] != {} else []  # Lua's JSON of an empty table
            return Published(
                frozenset(map(checked.text, checked.items(held))),
                checked.flag(found["taken"]),
                self._former_seconds(found),
                checked.text(found.get("epoch", "")),
            )

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
            return _view(dict(zip(flat[::2], flat[1::2], strict=True)), int(now))

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
            "fresh_epoch": secrets.token_hex(8),
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
            if "epoch" in found and not values.get("dry"):
                self._known[pool] = {
                    "epoch": checked.text(found["epoch"]),
                    "seq": checked.number(found["seq"]),
                    "at": checked.number(found["at"]),
                }
            return found

    def _script(self, redis: Any, name: str) -> Any:
        if name not in self._scripts:
            folder = resources.files("supervisor_memkill.coordination") / "lua"
            text = "\n".join((folder / f"{part}.lua").read_text() for part in ("common", name))
            # EVALSHA; SCRIPT LOAD goes before it when Redis does not know the script (any more).
            self._scripts[name] = redis.register_script(text)
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


def _view(fields: Mapping[str, str], now_ms: int) -> PoolView:
    meta = json.loads(fields.get("meta", "{}"))
    workers = {name[2:]: json.loads(text) for name, text in fields.items() if name.startswith("w:")}
    slots = {name[2:]: json.loads(text) for name, text in fields.items() if name.startswith("s:")}
    released = meta.get("released") or None
    return PoolView(
        reports=tuple(_report(name, values) for name, values in sorted(workers.items())),
        holders=tuple(sorted(name for name, slot in slots.items() if slot["expires"] > now_ms)),
        not_back={
            name: one_line(checked.text(slot["not_back"]))
            for name, slot in slots.items()
            if slot["expires"] > now_ms and slot.get("not_back")
        },
        silent=frozenset(
            name for name, values in workers.items() if values["seen"] + values["until_after"] < now_ms
        ),
        rules=tuple(_live_rules(fields, meta, now_ms)),
        drain_ended_seconds_ago=None
        if released is None
        else max(0, now_ms - checked.number(released)) / 1000,
        settling_seconds=max(0, checked.number(meta.get("settle", 0)) - now_ms) / 1000,
        settling_cause=_settling_cause(meta),
        is_new="meta" not in fields,
    )


def _settling_cause(meta: Mapping[str, Any]) -> Cause:
    """Why the pool waits; SETTLING if a listener of another version began the wait."""
    if meta.get("settle_of") != meta.get("settle"):
        return Cause.SETTLING
    return next((cause for cause in Cause if cause.value == meta.get("settle_cause")), Cause.SETTLING)


def _live_rules(fields: Mapping[str, str], meta: Mapping[str, Any], now_ms: int) -> Iterator[ListenerRules]:
    """The rules of the live listeners; those of listeners of an older version stand in the meta alone."""
    named = set[str]()
    for name, text in sorted(fields.items()):
        listener = json.loads(text) if name.startswith("l:") else {}
        if "rules" in listener and listener["until"] >= now_ms:
            pair = checked.text(listener["rules"])
            named.add(pair)
            yield ListenerRules(name[2:], *_pair(pair))
    for pair, till in sorted(dict(meta.get("rules") or {}).items()):
        if till >= now_ms and pair not in named:
            yield ListenerRules(UNNAMED, *_pair(pair))


def _pair(text: str) -> tuple[int, int]:
    least, most = map(int, text.split("/")[:2])
    return least, most


def _report(name: str, values: Mapping[str, Any]) -> Report:
    return Report(
        worker=name,
        pid=checked.whole(values["pid"]),
        start=checked.whole(values["start"]),
        memory_bytes=checked.or_none(checked.whole)(values["memory"]),
        limit_bytes=checked.whole(values["limit"]),
        in_service=checked.flag(values["in_service"]),
        state=checked.text(values["state"]),
        busy=checked.or_none(checked.whole)(values["busy"]),
        urgency=checked.or_none(checked.number)(values["urgency"]),
        queues=frozenset(values["queues"].split("\n")) - {""},
    )
