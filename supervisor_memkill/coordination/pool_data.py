"""What stands in Redis about one pool, read. ``lua/common.lua`` describes it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from supervisor_memkill import checked
from supervisor_memkill.coordination.contract import (
    UNNAMED,
    AnswerLine,
    Cause,
    ListenerRules,
    ListenerView,
    Offer,
    PoolView,
    Report,
    RequestAnswer,
    RequestAnswers,
    SlotView,
)
from supervisor_memkill.errors import one_line

MAX_LINES = 30
"""Workers that an answer names one by one."""
MAX_WORDS = 200
"""Characters about one worker."""


def view_of(fields: Mapping[str, str], now_ms: int) -> PoolView:
    """The whole pool. Raises ValueError, TypeError or LookupError for what no version writes."""
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
        listeners=tuple(_listeners(fields, now_ms)),
        requests=tuple(_open_requests(fields, now_ms)),
        slots=tuple(
            SlotView(
                name,
                max(0.0, (now_ms - checked.number(slot["since"])) / 1000),
                (checked.number(slot["expires"]) - now_ms) / 1000,
            )
            for name, slot in sorted(slots.items())
            if slot["expires"] > now_ms
        ),
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


def _listeners(fields: Mapping[str, str], now_ms: int) -> Iterator[ListenerView]:
    for name, text in sorted(fields.items()):
        if not name.startswith("l:"):
            continue
        listener = json.loads(text)
        seen = checked.or_none(checked.number)(listener.get("seen"))
        yield ListenerView(
            name[2:],
            is_silent=checked.number(listener["until"]) < now_ms,
            seen_seconds_ago=None if seen is None else max(0.0, (now_ms - seen) / 1000),
            answers=_answers(listener["answers"]) if "answers" in listener else None,
        )


def _answers(values: Any) -> RequestAnswers:
    """What a newer version may have written in another way counts as no answer."""
    try:
        return answers_from_json(values)
    except (ValueError, TypeError):
        return {}


# --- requests to all listeners -----------------------------------------------------------------------


def offers_of(values: Any) -> tuple[Offer, ...]:
    """The open requests as the script returns them. Raises ValueError for wrong ones."""
    return tuple(_offer(*checked.items(one)) for one in checked.items(values))


def _offer(identity: Any, text: Any, age_ms: Any, left_ms: Any) -> Offer:
    left_seconds = checked.number(left_ms) / 1000
    return Offer(
        checked.text(identity),
        checked.text(text),
        max(0.0, checked.number(age_ms) / 1000),
        None if left_seconds < 0 else left_seconds,
    )


def _open_requests(fields: Mapping[str, str], now_ms: int) -> Iterator[Offer]:
    """Those whose time is not over. What a newer version may have written in another way is left out."""
    try:
        listed = checked.items(json.loads(fields.get("requests", "[]")))
    except (ValueError, RecursionError):
        return
    for entry in listed:
        try:
            identity, made, until, *_ = checked.items(entry)
            left_ms = checked.number(until) - now_ms if checked.number(until) > 0 else -1
            if until <= 0 or left_ms > 0:
                yield _offer(identity, fields[f"q:{identity}"], now_ms - checked.number(made), left_ms)
        except (ValueError, LookupError):
            continue


def answers_to_json(answers: RequestAnswers) -> dict[str, Any]:
    """The answers of one listener as JSON values, cut to a length that a heartbeat can carry."""
    return {identity: _answer_to_json(answer) for identity, answer in answers.items()}


def _answer_to_json(answer: RequestAnswer) -> dict[str, Any]:
    if answer.refused:
        return {"refused": answer.refused[:MAX_WORDS]}
    values: dict[str, Any] = {"workers": answer.workers, "replaced": answer.replaced}
    if answer.lines:
        values["lines"] = [
            [line.worker, line.standing, line.words[:MAX_WORDS], line.age_seconds]
            for line in answer.lines[:MAX_LINES]
        ]
    return values


def answers_from_json(values: Any) -> RequestAnswers:
    """Raises ValueError or TypeError for what no version writes."""
    return {identity: _answer(checked.mapping(one)) for identity, one in checked.mapping(values).items()}


def _answer(values: Mapping[str, Any]) -> RequestAnswer:
    return RequestAnswer(
        one_line(checked.text(values.get("refused", ""))),
        checked.count(values.get("workers", 0)),
        checked.count(values.get("replaced", 0)),
        tuple(_line(*checked.items(one)[:4]) for one in checked.items(values.get("lines", []))),
    )


def _line(worker: Any, standing: Any, words: Any, age_seconds: Any) -> AnswerLine:
    return AnswerLine(
        one_line(checked.text(worker)),
        checked.text(standing),
        one_line(checked.text(words)),
        checked.or_none(checked.seconds)(age_seconds),
    )
