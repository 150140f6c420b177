"""The journal's format: its contents as JSON, and back.

Each field has a reader here, so that a value of the wrong type never gets into a drain. Journals of format 1
are read, too.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from supervisor_memkill.checked import count, flag, items, mapping, seconds, text
from supervisor_memkill.dataclass import dataclass
from supervisor_memkill.listener import journal_format_1
from supervisor_memkill.processes import ProcessId, ProcessInfo
from supervisor_memkill.rules.back_off import BackOff, BackOffCause
from supervisor_memkill.rules.causes import Reason, StepCause
from supervisor_memkill.rules.drain import Drain, State, Stop, StopAnswer
from supervisor_memkill.rules.evidence import Evidence, EvidenceState
from supervisor_memkill.rules.requests import Act, OperatorRequest, Pause, RunningProcess, TakenRequest

FORMAT = 2
LONG_AGO_SECONDS = 2.0**40
"""Longer than any machine runs: the default age of something that never happened."""

Reader = Callable[[Any], Any]
"""Converts a JSON value; raises ValueError, TypeError or KeyError for a wrong one."""


@dataclass(frozen=True)
class Contents:
    """The contents of the journal."""

    drains: Mapping[str, Drain] = field(default_factory=dict)
    """By worker."""
    drain_ended_at: Mapping[str, float] = field(default_factory=dict)
    """When each pool's last drain ended, on the boot clock."""
    back_offs: Mapping[str, BackOff] = field(default_factory=dict)
    """By worker."""
    instance: str = ""
    """A random id of this journal: by it other hosts recognise the listener after a restart."""
    listener: str = ""
    """The listener's last name in coordination."""
    listener_since: float = -LONG_AGO_SECONDS
    """When this name replaced another one, on the boot clock."""
    requests: Mapping[str, TakenRequest] = field(default_factory=dict)
    """What a person requested, by the request's id, in the order in which it came."""
    ended_requests: tuple[str, ...] = ()
    """The ids of the last requests that are over: such a request may come once more, and must not count."""
    pauses: Mapping[str, Pause] = field(default_factory=dict)
    """By pool."""
    doubtful: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By worker, the pid and start of a process that may be quiet since the journal was damaged."""
    late_quiets: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By worker, the pid and start of a process that may turn quiet yet, although its drain has ended."""
    adopts: bool = False
    """The journal was damaged: quiet workers may be quiet because of a drain, and some are not examined."""
    epochs: Mapping[str, str] | None = field(default_factory=dict)
    """The pools that this listener saw in Redis, each with the epoch of its data, "" if that is unknown.

    None: which pools it saw is unknown, because an older version wrote the journal or it was damaged.
    """

    def wants_restart(self, process: ProcessInfo) -> bool:
        """A person requested the restart of this very process."""
        return any(taken.wants(process) for taken in self.requests.values())

    def with_epoch(self, pool: str, epoch: str) -> Contents:
        """The same, and the listener saw the pool with this epoch."""
        return dataclasses.replace(self, epochs={**(self.epochs or {}), pool: epoch})


def encode(contents: Contents, boot_id: str, now: float) -> str:
    """The journal's text; `now` is on the boot clock."""
    body = {
        "format": FORMAT,
        "boot_id": boot_id,
        "saved_at": now,
        "drains": [drain_to_json(drain) for drain in contents.drains.values()],
        "drain_ended_at": dict(contents.drain_ended_at),
        "back_offs": {worker: _back_off_to_json(one) for worker, one in contents.back_offs.items()},
        "instance": contents.instance,
        "listener": contents.listener,
        "listener_since": contents.listener_since,
        "requests": [taken_to_json(taken) for taken in contents.requests.values()],
        "ended_requests": list(contents.ended_requests),
        "pauses": {pool: dataclasses.asdict(pause) for pool, pause in contents.pauses.items()},
        "doubtful": {worker: list(life) for worker, life in contents.doubtful.items()},
        "late_quiets": {worker: list(life) for worker, life in contents.late_quiets.items()},
        "adopts": contents.adopts,
        "epochs": None if contents.epochs is None else dict(contents.epochs),
    }
    return json.dumps({"crc32": _checksum(body), "body": body}) + "\n"


def decode(data: bytes, now: float) -> tuple[Contents, str]:
    """The contents, and the id of the boot in which they were saved; `now` is on the boot clock.

    Raises ValueError when the journal is damaged or its format is unknown.
    """
    try:
        envelope = _parse(data)
        body = envelope["body"]
        if not _is_undamaged(envelope, body):
            raise ValueError("its checksum is wrong")
        return _contents(_in_present_format(body)), _boot(body, now)
    except KeyError as error:
        raise ValueError(f"damaged: the field {error.args[0]!r:.40} is missing") from error
    except ValueError as error:
        raise ValueError(f"damaged: {error}") from error
    except (TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError("damaged: a field has a value of the wrong type") from error


def _parse(data: bytes) -> Any:
    """The JSON value. Raises ValueError."""
    if not data.strip(b" \n\0"):
        raise ValueError("it is empty")
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None


def _in_present_format(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Raises ValueError for an unknown format."""
    if body["format"] == FORMAT:
        return body
    if body["format"] != 1:
        raise ValueError(f"its format {body['format']!r} is not known to this version")
    return journal_format_1.as_format_2(body)


def _contents(body: Mapping[str, Any]) -> Contents:
    return Contents(
        drains={drain.worker: drain for drain in map(drain_from_json, body["drains"])},
        drain_ended_at={pool: seconds(at) for pool, at in body["drain_ended_at"].items()},
        back_offs={
            worker: read_fields(BackOff, BACK_OFF_READERS, one) for worker, one in body["back_offs"].items()
        },
        instance=text(body["instance"]),
        listener=text(body.get("listener", "")),
        listener_since=seconds(body.get("listener_since", -LONG_AGO_SECONDS)),
        requests={taken.request.id: taken for taken in map(_taken, items(body.get("requests", [])))},
        ended_requests=tuple(map(text, items(body.get("ended_requests", [])))),
        pauses={
            pool: read_fields(Pause, PAUSE_READERS, one)
            for pool, one in mapping(body.get("pauses", {})).items()
        },
        doubtful=_lives(body.get("doubtful", {})),
        late_quiets=_lives(body.get("late_quiets", {})),
        adopts=flag(body.get("adopts", False)),
        epochs=_or_none(_epochs)(body.get("epochs")),
    )


def _lives(value: Any) -> Mapping[str, tuple[int, int]]:
    return {worker: (count(pid), count(start)) for worker, (pid, start) in mapping(value).items()}


def _epochs(value: Any) -> Mapping[str, str]:
    return {pool: text(epoch) for pool, epoch in _object(value).items()}


def _boot(body: Mapping[str, Any], now: float) -> str:
    """The id of the boot in which it was saved. Without one, a clock that went back shows another boot."""
    boot_id, saved_at = text(body["boot_id"]), seconds(body.get("saved_at", 0.0))
    return "an earlier one" if not boot_id and saved_at > now else boot_id


def _is_undamaged(envelope: Any, body: Any) -> bool:
    if "sha256" not in envelope:
        return bool(envelope["crc32"] == _checksum(body))
    import hashlib  # Former listeners wrote that. It loads OpenSSL, which is 0.6 MB of a listener.

    return bool(envelope["sha256"] == hashlib.sha256(_sorted_text(body)).hexdigest())


def _checksum(body: Any) -> int:
    """Finds damage. Against people, the directory's mode protects the journal."""
    return zlib.crc32(_sorted_text(body))


def _sorted_text(body: Any) -> bytes:
    return json.dumps(body, sort_keys=True).encode()


# --- drains and back-offs ----------------------------------------------------------------------


def drain_to_json(drain: Drain) -> dict[str, Any]:
    """The record of a drain as JSON values."""
    return {
        **dataclasses.asdict(drain),
        "reason": drain.reason.value,
        "state": drain.state.value,
        "evidence": _evidence_to_json(drain.evidence),
        "stop": _stop_to_json(drain.stop),
        "tree": [[one.pid, one.created] for one in drain.tree],
    }


def _evidence_to_json(evidence: Evidence | None) -> dict[str, Any] | None:
    return None if evidence is None else {**dataclasses.asdict(evidence), "state": evidence.state.value}


def _stop_to_json(stop: Stop) -> dict[str, Any]:
    cause = stop.cause.value if stop.cause is not None else None
    return {**dataclasses.asdict(stop), "answer": stop.answer.value, "cause": cause}


def drain_from_json(values: Any) -> Drain:
    """The record from JSON values. Raises ValueError, TypeError, KeyError or OverflowError for wrong ones."""
    drain: Drain = read_fields(Drain, DRAIN_READERS, values)
    return drain


def _back_off(values: Any) -> BackOff:
    back_off: BackOff = read_fields(BackOff, BACK_OFF_READERS, values)
    return back_off


def _back_off_to_json(back_off: BackOff) -> dict[str, Any]:
    return {**dataclasses.asdict(back_off), "cause": back_off.cause.value}


def taken_to_json(taken: TakenRequest) -> dict[str, Any]:
    """A request that was taken as JSON values."""
    values = dataclasses.asdict(taken)
    values["request"]["act"] = taken.request.act.value
    return values


def _taken(values: Any) -> TakenRequest:
    taken: TakenRequest = read_fields(TakenRequest, TAKEN_READERS, values)
    return taken


def read_fields(made: type, readers: Mapping[str, Reader], values: Any) -> Any:
    """An instance of the dataclass. An absent field gets its default; an unknown key is ignored."""
    if not isinstance(values, dict):
        raise ValueError(f"{values!r:.40} is not a JSON object")
    return made(**{name: read(values[name]) for name, read in readers.items() if name in values})


def _or_none(read: Reader) -> Reader:
    return lambda value: None if value is None else read(value)


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r:.40} is not a JSON object")
    return value


def _member(values: type[enum.Enum]) -> Reader:
    def read(value: Any) -> Any:
        for member in values:
            if member.value == value:
                return member
        raise ValueError(f"{value!r:.40} is not a known {values.__name__}")

    return read


def _cause_or_none(value: Any) -> StepCause | None:
    """A cause that only a newer version knows is none: it only explains, and no step depends on it."""
    return next((cause for cause in StepCause if cause.value == value), None)


def _evidence_state(value: Any) -> EvidenceState:
    """A state that only a newer version knows: the command is not run again, and nothing is known of it."""
    return next((state for state in EvidenceState if state.value == value), EvidenceState.LOST)


def _tree(value: Any) -> tuple[ProcessId, ...]:
    return tuple(ProcessId(count(pid), seconds(created)) for pid, created in value)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{value!r:.40} is not a list")
    return tuple(map(text, value))


def _processes(value: Any) -> Mapping[str, RunningProcess]:
    return {
        text(worker): read_fields(RunningProcess, PROCESS_READERS, one)
        for worker, one in mapping(value).items()
    }


STOP_READERS: Mapping[str, Reader] = {
    "wait_seconds": seconds,
    "attempts": count,
    "asked_epoch": count,
    "last_asked_epoch": count,
    "taken_up_epoch": count,
    "margin_seconds": seconds,
    "answer": _member(StopAnswer),
    "accepted_at": _or_none(seconds),
    "sent_at": _or_none(seconds),
    "busy": _or_none(count),
    "jobs": _or_none(_texts),
    "was_kill": flag,
    "cause": _cause_or_none,
}
EVIDENCE_READERS: Mapping[str, Reader] = {
    "state": _evidence_state,
    "began_at": seconds,
    "seconds": _or_none(seconds),
    "error": text,
    "was_suspended": flag,
}
DRAIN_READERS: Mapping[str, Reader] = {
    "worker": text,
    "pool": text,
    "token": text,
    "reason": _member(Reason),
    "pid": count,
    "start": count,
    "state": _member(State),
    "began_at": seconds,
    "since": seconds,
    "deadline": seconds,
    "created": _or_none(seconds),
    "memory_before_bytes": _or_none(count),
    "limit_bytes": count,
    "note": _object,
    "quiet_attempts": count,
    "quiet_sent_at": _or_none(seconds),
    "quiet_acknowledged": flag,
    "is_quiet": flag,
    "evidence": _or_none(lambda value: read_fields(Evidence, EVIDENCE_READERS, value)),
    "stop": lambda value: read_fields(Stop, STOP_READERS, value),
    "tree": _tree,
    "stopped_seen_at": _or_none(seconds),
    "stopped_start": _or_none(count),
    "stopped_stop": _or_none(count),
    "start_attempts": count,
    "next_start_at": seconds,
    "quiet_seconds": _or_none(seconds),
    "stopped_seconds": _or_none(seconds),
    "running_since": _or_none(seconds),
    "memory_after_bytes": _or_none(count),
}
REQUEST_READERS: Mapping[str, Reader] = {
    "id": text,
    "act": _member(Act),
    "names": lambda value: tuple(map(text, items(value))),
    "lasts_seconds": _or_none(seconds),
    "except_hard": flag,
}
PROCESS_READERS: Mapping[str, Reader] = {"pid": count, "start": count}
TAKEN_READERS: Mapping[str, Reader] = {
    "request": lambda value: read_fields(OperatorRequest, REQUEST_READERS, value),
    "taken_at": seconds,
    "ends_at": _or_none(seconds),
    "workers": _processes,
    "pools": lambda value: tuple(map(text, items(value))),
    "withdrawn": _processes,
    "fleet_pool": text,
    "was_served": flag,
}
PAUSE_READERS: Mapping[str, Reader] = {
    "since": seconds,
    "until": _or_none(seconds),
    "except_hard": flag,
    "fleet": flag,
}
BACK_OFF_READERS: Mapping[str, Reader] = {
    "until": seconds,
    "seconds": seconds,
    "cause": _member(BackOffCause),
    "limit_bytes": count,
    "memory_bytes": _or_none(count),
}
