"""A drain in each state, an observation of its worker, and the step that follows."""

from __future__ import annotations

from typing import Any

from supervisor_memkill.processes import ProcessState
from supervisor_memkill.rules.decision import decide
from supervisor_memkill.rules.drain import (
    Action,
    Drain,
    Outcome,
    State,
    acknowledge,
)
from supervisor_memkill.rules.step import Seen, Step
from tests.builders import (
    EPOCH,
    START,
    drain,
    info,
    plan,
)

P, S, A = ProcessState, State, Action
NOW = 100.0


def step(record: Drain, seen: Seen, *, now: float = NOW, traits: Any = None, **settings: Any) -> Step:
    going_by = plan(traits, **settings) if traits else plan(**settings)
    return decide(record, seen, going_by, now)


def seen(state: ProcessState = P.RUNNING, **values: Any) -> Seen:
    """One observation; `pid`, `start`, `stop` and `now` are reported by supervisord."""
    words = {name: values.pop(name) for name in ("pid", "start", "stop", "now") if name in values}
    values.setdefault("memory_bytes", 300)
    return Seen(info(state, **words), **values)


def outcome(taken: Step) -> tuple[State, Action | None]:
    return taken.drain.state, taken.action


def acknowledged(record: Drain, action: Action, came: Outcome, before: Drain | None = None) -> Drain:
    return acknowledge(record, action, came, NOW, before=before or record)


def quieting(**values: Any) -> Drain:
    return drain(S.QUIETING, **{"quiet_attempts": 1, "quiet_sent_at": 90.0, **values})


def draining(**values: Any) -> Drain:
    return drain(S.DRAINING, **{"quiet_attempts": 1, "quiet_sent_at": 10.0, "is_quiet": True, **values})


def stopping(**values: Any) -> Drain:
    defaults: dict[str, Any] = {
        "quiet_attempts": 1,
        "is_quiet": True,
        "stop_attempts": 1,
        "stop_asked_epoch": EPOCH,
        "stop_sent_at": 90.0,
    }
    return drain(S.STOPPING, **{**defaults, **values})


def starting(**values: Any) -> Drain:
    defaults = {"stopped_start": START, "start_attempts": 1, "next_start_at": NOW, "stop_sent_at": 90.0}
    return drain(S.STARTING, **{**defaults, **values})


def settling(**values: Any) -> Drain:
    defaults = {"quiet_attempts": 1, "stop_attempts": 1, "running_since": 90.0, "start_attempts": 1}
    return drain(S.SETTLING, **{**defaults, **values})
