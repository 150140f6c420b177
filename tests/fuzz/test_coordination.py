"""What the Redis that coordinates may answer, and what may stand in it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import redis
from hypothesis import example, given
from hypothesis import strategies as st

from supervisor_memkill.coordination.contract import (
    Answer,
    Cause,
    CoordinationUnknown,
    Offer,
    PoolView,
    Published,
    SlotClaim,
)
from supervisor_memkill.coordination.read_only import ReadOnlyCoordinator
from tests.builders import report
from tests.coordination.servers import FakeClock, ask, listening, over, redis_server, rules
from tests.fuzz.effort import tries
from tests.fuzz.redis_answers import ERRORS, HOSTILE_JSON
from tests.fuzz.values import (
    DEEP,
    JSON,
    LONE_HALVES,
    NUMBERS,
    SCALARS,
    TEXTS,
    assert_one_line,
    is_number,
    is_whole,
    near,
    near_json,
    to_text,
)

POOL = "jobs"
EPOCH_MS = 1_700_000_000_000
KNOWN = {"epoch": "0a1b", "seq": 7, "at": EPOCH_MS}
PUBLISHED = {"taken": False, "held": ["t1"], "lost": False, **KNOWN}
OFFERING = {**PUBLISHED, "open": ["ab" * 8], "offers": [["ab" * 8, "{}", 5000, -1]]}
GRANTED = {
    "detail": "",
    "others": 2,
    "min_available": 1,
    "max_draining": 1,
    "draining": 0,
    "lost": False,
    **KNOWN,
}
REFUSED = {**GRANTED, "refused": "slots_taken", "detail": "here/s/jobs:two", "draining": 1}
RELEASED = {"released": True, **KNOWN}
ANSWERS = st.one_of(
    st.sampled_from([PUBLISHED, OFFERING, GRANTED, REFUSED, RELEASED]).map(to_text),
    st.sampled_from([PUBLISHED, OFFERING, GRANTED, REFUSED]).flatmap(near_json).map(to_text),
    near(st.sampled_from([PUBLISHED, OFFERING, GRANTED, REFUSED]).map(to_text)),
    HOSTILE_JSON,
    JSON,
)

META = {
    "version": 1,
    "epoch": "0a1b",
    "seq": 7,
    "at": EPOCH_MS,
    "settle": 0,
    "released": EPOCH_MS - 5000,
    "rules": {"1/1": EPOCH_MS + 30_000},
    "sigs": [""],
    "slots": ["there/s/jobs:two"],
}
WORKER = {
    "host": "there",
    "program": "jobs:two",
    "pid": 5,
    "start": 1_700_000,
    "memory": 100,
    "limit": 200,
    "in_service": True,
    "state": "RUNNING",
    "busy": None,
    "urgency": None,
    "queues": "a\nb",
    "instance": "x",
    "until_after": 30_000,
    "seen": EPOCH_MS,
}
SLOT = {"token": "t9", "since": EPOCH_MS, "renewed": EPOCH_MS, "expires": EPOCH_MS + 60_000}
LIVE = {
    "instance": "y",
    "until": EPOCH_MS + 30_000,
    "seen": EPOCH_MS,
    "workers": ["there/s/jobs:two"],
    "version": 1,
    "answers": {
        "ab" * 8: {"workers": 2, "replaced": 1, "lines": [["jobs:two", "draining", "draining", 12.5]]},
        "cd" * 8: {"refused": "it is of another version"},
    },
}
REQUESTS = [["ab" * 8, EPOCH_MS - 5000, 0, "pause"], ["cd" * 8, EPOCH_MS - 5000, EPOCH_MS + 60_000, "x"]]


def stored(value: Mapping[str, Any] | list[Any]) -> st.SearchStrategy[str]:
    """What stands in a field: right, nearly right, written by a newer listener, or anything."""
    newer = {**value, "version": 2, "more": {"x": [1]}} if isinstance(value, dict) else [*value, {"x": [1]}]
    return st.one_of(
        st.just(to_text(value)),
        st.just(to_text(newer)),
        near_json(value).map(to_text),
        near(st.just(to_text(value))),
        st.one_of(HOSTILE_JSON, TEXTS),
    )


IDS = st.sampled_from(["there/s/jobs:two", "one/s/jobs:one", "one/s/jobs:three", "x"]) | TEXTS
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "meta": stored(META),
        "w:there/s/jobs:two": stored(WORKER),
        "w:one/s/jobs:three": stored({**WORKER, "host": "one", "urgency": 1.4}),
        "s:there/s/jobs:two": stored(SLOT),
        "s:one/s/jobs:one": stored({**SLOT, "token": "t1"}),
        "requests": stored(REQUESTS),
        f"q:{'ab' * 8}": stored({"version": 1, "id": "ab" * 8, "act": "pause", "names": ["jobs"]}),
        f"q:{'cd' * 8}": TEXTS,
        "l:there/s": stored(LIVE),
        "l:one/s": stored({**LIVE, "instance": "first life"}),
    },
).flatmap(lambda known: st.dictionaries(TEXTS, HOSTILE_JSON, max_size=2).map(lambda more: {**more, **known}))


class Says:
    """A client whose scripts answer whatever they are told to."""

    def __init__(self, answers: Iterator[Any]) -> None:
        self._answers = answers

    def register_script(self, text: str) -> Callable[..., Any]:
        return lambda keys, args=(): self._answer()

    def xadd(self, *arguments: Any, **options: Any) -> Any:
        return self._answer()

    def _answer(self) -> Any:
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def assert_answer_is_right(answer: Answer) -> None:
    assert all(map(is_whole, (answer.others_in_service, answer.min_available, answer.draining)))
    assert isinstance(answer.detail, str)
    assert answer.allows in (True, False)
    if not answer.granted:
        assert_one_line(answer.words)


def every_call(coordinator: Any) -> Iterator[Callable[[], object]]:
    asked = ask("jobs:one", token="t1")
    yield lambda: coordinator.publish(POOL, rules(), [over("jobs:one")], [SlotClaim("jobs:one", "t1")])
    yield lambda: coordinator.consider(POOL, rules(), asked)
    yield lambda: coordinator.acquire(POOL, rules(), asked)
    yield lambda: coordinator.release(POOL, "jobs:one", "t1", drained=True)
    yield lambda: coordinator.record(POOL, "drain.done", {"worker": "jobs:one"})
    yield lambda: coordinator.request(POOL, "ef" * 8, "{}", lasts_seconds=60.0, place="restart")
    yield lambda: coordinator.view(POOL)


def assert_right_or_unknown(call: Callable[[], object]) -> None:
    try:
        found = call()
    except CoordinationUnknown as error:
        assert_one_line(str(error))
        return
    if isinstance(found, Answer):
        assert_answer_is_right(found)
    elif isinstance(found, Published):
        assert all(isinstance(token, str) for token in found.held) and isinstance(found.name_is_taken, bool)
        assert all(isinstance(identity, str) for identity in found.open_requests)
        assert_offers_are_right(found.offers)
    elif isinstance(found, PoolView):
        assert_view_is_right(found)


def assert_offers_are_right(offers: Sequence[Offer]) -> None:
    for offer in offers:
        assert isinstance(offer.id, str) and isinstance(offer.text, str)
        assert is_number(offer.age_seconds) and offer.age_seconds >= 0
        assert offer.left_seconds is None or is_number(offer.left_seconds)


def assert_view_is_right(view: PoolView) -> None:
    assert_offers_are_right(view.requests)
    for host in view.listeners:
        for answer in (host.answers or {}).values():
            assert is_whole(answer.workers) and is_whole(answer.replaced)
            assert_one_line(answer.refused or "-")
            for line in answer.lines:
                assert_one_line(f"-{line.worker}{line.words}")
                assert isinstance(line.standing, str)
                assert line.age_seconds is None or is_number(line.age_seconds)
    for one in view.reports:
        assert is_whole(one.pid) and is_whole(one.start) and is_whole(one.limit_bytes)
        assert one.memory_bytes is None or is_whole(one.memory_bytes)
        assert one.busy is None or is_whole(one.busy)
        assert isinstance(one.in_service, bool) and isinstance(one.state, str)
        assert one.urgency is None or is_number(one.urgency)
    for rule in view.rules:
        assert is_whole(rule.min_available) and is_whole(rule.max_draining) and isinstance(rule.listener, str)
    assert isinstance(view.settling_cause, Cause)
    assert view.drain_ended_seconds_ago is None or is_number(view.drain_ended_seconds_ago)
    assert is_number(view.settling_seconds)


def flat(fields: Mapping[str, str]) -> list[str]:
    return [str(EPOCH_MS), *(text for pair in fields.items() for text in pair)]


def grant(**values: Any) -> str:
    return to_text({**GRANTED, **values})


@tries(150)
@example([DEEP])
@example(["{}"])
@example(["[]"])
@example(["5"])
@example([to_text(PUBLISHED)])
@example([to_text({**PUBLISHED, "held": None})])
@example([to_text({**PUBLISHED, "held": [1]})])
@example([to_text({**REFUSED, "refused": "a newer cause"})])
@example([grant(others="2")])
@example([grant(min_available=None)])
@example([grant(others=float("nan"))])
@example([to_text({**REFUSED, "detail": ["x"]})])
@example([to_text({**REFUSED, "detail": "two\nlines"})])
@example([[]])
@example([5])
@example([[str(EPOCH_MS), "meta"]])
@example([flat({"meta": to_text({**META, "settle": 1e400})})])
@example([flat({"w:x": to_text({**WORKER, "urgency": "1"})})])
@example([flat({"w:x": to_text({**WORKER, "in_service": "no"})})])
@example([flat({"w:x": DEEP})])
@given(st.lists(st.one_of(ANSWERS, FIELDS.map(flat), ERRORS), min_size=1, max_size=3))
def test_any_answer_is_read_rightly_or_unknown(answers: list[Any]) -> None:
    coordinator = listening(Says(itertools.cycle(answers)))
    for _ in range(2):  # what one answer left behind goes with the next question
        for call in every_call(coordinator):
            assert_right_or_unknown(call)


@tries(75)
@example({"w:x": to_text({**WORKER, "urgency": "1"})})
@example({"w:x": to_text({**WORKER, "in_service": "no"})})
@given(FIELDS)
def test_a_dry_run_among_others_judges_whatever_they_shared(fields: Mapping[str, str]) -> None:
    shared = listening(Says(itertools.repeat(flat(fields))))
    looking = ReadOnlyCoordinator(shared, "one/s", FakeClock())
    try:
        looking.publish(POOL, rules(), [over("jobs:one"), report("jobs:three")], [])
    except CoordinationUnknown as error:
        assert_one_line(str(error))
        return
    for answer in (
        looking.consider(POOL, rules(), ask("jobs:one", token="t1")),
        looking.acquire(POOL, rules(), ask("jobs:one", token="t1")),
    ):
        assert_answer_is_right(answer)


@tries(30)
@example(to_text({**PUBLISHED, "at": "x"}))
@example(to_text({**PUBLISHED, "seq": {}, "epoch": []}))
@given(ANSWERS)
def test_what_a_foreign_redis_once_said_is_not_sent_to_the_right_one(foreign: Any) -> None:
    """Or it would be refused by the scripts for as long as this listener lives."""
    sent: list[Mapping[str, Any]] = []

    class Listens(Says):
        def register_script(self, text: str) -> Callable[..., Any]:
            def run(keys: Sequence[str], args: Sequence[str] = ()) -> Any:
                sent.append(json.loads(args[0]) if args else {})
                return self._answer()

            return run

    coordinator = listening(Listens(itertools.repeat(foreign)))
    for call in list(every_call(coordinator))[:4] * 2:
        assert_right_or_unknown(call)
    for request in sent:
        known = request.get("known", KNOWN)
        assert isinstance(known["epoch"], str)
        assert is_number(known["seq"]) and is_number(known["at"])


# --- the scripts that ship, on a real Redis that holds anything ----------------------------------------


@pytest.fixture(scope="module")
def client() -> Iterator[redis.Redis]:
    with redis_server() as server:
        yield server.client()


SCORES = st.dictionaries(IDS, st.one_of(st.floats(allow_nan=False), st.integers(-5, 10**13)), max_size=4)
KEYS = [f"t:{{{POOL}}}{suffix}" for suffix in ("", ":up", ":ask", ":wait")]
WRONG_KINDS = st.sampled_from([None, None, None, None, *KEYS])


def is_strictly_free(fields: Mapping[str, str]) -> bool:
    """By an own reading of the hash: it is one that lets somebody drain, without the sorted sets' word."""
    try:
        meta = json.loads(fields["meta"])
        return bool(is_number(meta["settle"]) and isinstance(meta["slots"], list))
    except (KeyError, TypeError, ValueError, RecursionError):
        return False


@pytest.mark.real
@tries(50)
@example({"meta": "[]"}, {}, {}, None)
@example({"meta": to_text({**META, "slots": "x"})}, {}, {}, None)
@example({"l:one/s": "5"}, {}, {}, None)
@given(FIELDS, SCORES, SCORES, WRONG_KINDS)
def test_whatever_stands_in_the_real_one_nothing_is_granted_on_what_is_not_right(
    client: redis.Redis,
    fields: Mapping[str, str],
    ups: Mapping[str, float],
    asks: Mapping[str, float],
    wrong: str | None,
) -> None:
    client.flushall()
    for key, value in fields.items():
        client.hset(KEYS[0], key, value.encode("utf-8", "replace"))
    for key, scores in ((KEYS[1], ups), (KEYS[2], asks), (KEYS[3], asks)):
        if scores:
            client.zadd(key, dict(scores))
    if wrong is not None:
        client.delete(wrong)
        client.set(wrong, "of another kind")
    coordinator = listening(client)
    for call in list(every_call(coordinator)) * 2:
        assert_right_or_unknown(call)
    others = listening(client, "two/s", "its life")
    try:
        answer = others.acquire(POOL, rules(), ask("jobs:one", token="own"))
    except CoordinationUnknown:
        return
    if answer.granted:
        assert is_strictly_free(fields), "what was lost or is not right settles first"


@pytest.mark.real
@tries(20)
@example("\ud800", ["a"])
@example("a", ["\ud800"])
@given(LONE_HALVES.filter(bool), st.lists(LONE_HALVES, max_size=3))
def test_whatever_a_worker_names_itself_and_its_queues_it_can_be_told_of(
    client: redis.Redis, name: str, queues: list[str]
) -> None:
    client.flushall()
    coordinator = listening(client)
    told = over(f"jobs:{name}", queues=frozenset(queues))
    published = coordinator.publish(POOL, rules(), [told], [])
    assert published == Published(frozenset(), epoch=published.epoch)
    answer = coordinator.acquire(POOL, rules(), ask(told.worker, queues=told.queues))
    assert answer.refused is not None and re.search("new", answer.words)


@pytest.mark.real
@tries(30)
@given(st.lists(st.one_of(NUMBERS, SCALARS), min_size=3, max_size=3))
def test_a_newer_listeners_worker_is_out_of_the_way_or_counts(client: redis.Redis, values: list[Any]) -> None:
    """One that asks, whatever is told of it, keeps nobody waiting without an answer."""
    client.flushall()
    clock = FakeClock(EPOCH_MS / 1000)
    seen, until_after, queues = values
    newer = {**WORKER, "seen": seen, "until_after": until_after, "queues": queues}
    coordinator = listening(client, settle_seconds=0.0)
    coordinator.publish(POOL, rules(0), [over("jobs:one")], [])
    client.hset(KEYS[0], "w:there/s/jobs:two", to_text(newer))
    client.zadd(KEYS[2], {"there/s/jobs:two": 9.0})
    client.zadd(KEYS[3], {"there/s/jobs:two": clock()})
    assert_right_or_unknown(lambda: coordinator.acquire(POOL, rules(0), ask("jobs:one")))
