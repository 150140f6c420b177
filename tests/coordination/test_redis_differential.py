"""The same random sequence of operations gets the same answers in process and from a real Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor_memkill.coordination.contract import Answer, Holding, Report, Request, Rules
from supervisor_memkill.coordination.in_process import InProcessCoordinator
from supervisor_memkill.coordination.redis import RedisCoordinator
from tests.builders import report
from tests.harness import RealRedis

WORKERS = [f"jobs:{number}" for number in range(5)]
QUEUES = [frozenset(), frozenset({"a"}), frozenset({"a", "b"})]


def urgencies(worker: str) -> st.SearchStrategy[float]:
    """No two workers ask with the same: who asked first depends on two clocks here."""
    return st.sampled_from([1.5, 2.0, 2.5]).map(lambda urgency: urgency + WORKERS.index(worker) / 100)


@st.composite
def reports(draw: st.DrawFn) -> list[Report]:
    return [
        report(
            worker,
            in_service=draw(st.booleans()),
            urgency=draw(st.one_of(st.none(), urgencies(worker))),
            queues=draw(st.sampled_from(QUEUES)),
        )
        for worker in draw(st.lists(st.sampled_from(WORKERS), unique=True))
    ]




@st.composite
def requests(draw: st.DrawFn) -> Request:
    worker = draw(st.sampled_from(WORKERS))
    return Request(
        worker,
        f"token-{worker}",
        draw(urgencies(worker)),
        draw(st.sampled_from(QUEUES)),
        hard=draw(st.booleans()),
        already_out=draw(st.booleans()),
    )


rules = st.builds(Rules, st.integers(0, 2), st.integers(1, 3), st.sampled_from([0.0, 3600.0]))
operations = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), reports()),
        st.tuples(st.just("acquire"), requests()),
        st.tuples(st.just("consider"), requests()),
        st.tuples(st.just("release"), st.tuples(st.sampled_from(WORKERS), st.booleans())),
    ),
    min_size=3,
    max_size=20,
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    server = RealRedis(tmp_path_factory.mktemp("redis"))
    server.start()
    try:
        yield redis.Redis.from_url(server.url, decode_responses=True)
    finally:
        server.stop()


@pytest.mark.real
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=operations, rule=rules)
def test_same_operations_get_the_same_answers(client: redis.Redis, steps: list[object], rule: Rules) -> None:
    client.flushall()
    shared = RedisCoordinator(
        lambda: client, "here/s", "me", prefix="t", heartbeat_seconds=600, slot_ttl_seconds=3600, settle_seconds=0
    )
    alone = InProcessCoordinator(lambda: 0.0)
    holding: set[str] = set()
    for name, value in steps:  # type: ignore[misc]
        for coordinator in (alone, shared):
            if name == "publish":
                held = [Holding(worker, f"token-{worker}") for worker in sorted(holding)]
                coordinator.publish("jobs", rule, value, held)
            elif name == "release":
                worker, drained = value
                coordinator.release("jobs", worker, f"token-{worker}", drained=drained)
        if name == "release":
            holding.discard(value[0])
        elif name in ("acquire", "consider"):
            ours: Answer = getattr(alone, name)("jobs", rule, value)
            theirs: Answer = getattr(shared, name)("jobs", rule, value)
            assert seen(theirs) == seen(ours)
            if name == "acquire" and ours.granted:
                holding.add(value.worker)


def seen(answer: Answer) -> tuple[object, ...]:
    return answer.refused, answer.others_in_service, answer.min_available, answer.draining
