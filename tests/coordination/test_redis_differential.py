"""Random histories: Redis answers as the rules in process do, and several hosts break no promise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor_memkill.coordination.contract import Answer, Report, Request, Rules, SlotClaim
from supervisor_memkill.coordination.in_process import InProcessCoordinator
from tests.builders import report
from tests.coordination.servers import (
    FRESH,
    HEARTBEAT,
    POOL,
    TTL,
    ClockedRedis,
    FakeClock,
    Fleet,
    Host,
    listening,
    redis_server,
    rules,
)

pytestmark = pytest.mark.real

LISTENER = "here/s"
WORKERS = [f"jobs:{number}" for number in range(5)]
QUEUES = [frozenset[str](), frozenset({"a"}), frozenset({"a", "b"})]
FOR_EVER = 1_000_000.0


@pytest.fixture(scope="module")
def client() -> Iterator[redis.Redis]:
    with redis_server() as server:
        yield server.client()


# --- one listener, two coordinators -------------------------------------------------------------

urgencies = st.sampled_from([1.0, 1.5, 2.5])


@st.composite
def reports(draw: st.DrawFn) -> list[Report]:
    return [
        report(
            worker,
            in_service=draw(st.booleans()),
            urgency=draw(st.one_of(st.none(), urgencies)),
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
        draw(urgencies),
        draw(st.sampled_from(QUEUES)),
        hard=draw(st.booleans()),
        already_out=draw(st.booleans()),
    )


operations = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), reports()),
        st.tuples(st.just("acquire"), requests()),
        st.tuples(st.just("consider"), requests()),
        st.tuples(st.just("release"), st.tuples(st.sampled_from(WORKERS), st.booleans())),
        st.tuples(st.just("wait"), st.sampled_from([1.0, 50.0, 2000.0])),
    ),
    min_size=3,
    max_size=25,
)


@settings(max_examples=500, deadline=None)
@given(
    steps=operations,
    rule=st.builds(Rules, st.integers(0, 2), st.integers(1, 3), st.sampled_from([0.0, 60.0])),
)
def test_same_operations_get_the_same_answers(
    client: redis.Redis, steps: list[tuple[str, Any]], rule: Rules
) -> None:
    """Some thousands of operations in all."""
    client.flushall()
    clock = FakeClock()
    shared = listening(
        ClockedRedis(client, clock),
        LISTENER,
        heartbeat_seconds=FOR_EVER,
        slot_ttl_seconds=FOR_EVER,
        settle_seconds=0,
    )
    alone = InProcessCoordinator(clock)
    held: set[str] = set()
    for name, value in steps:
        if name == "wait":
            clock.now += value
            continue
        ours, theirs = (_do(coordinator, name, value, rule, held) for coordinator in (alone, shared))
        assert theirs == ours
        if name == "release":
            held.discard(value[0])
        elif name == "acquire" and ours[0] is None:
            held.add(value.worker)


def _do(coordinator: Any, name: str, value: Any, rule: Rules, held: set[str]) -> Any:
    """One operation; what its answer says, in the words of a coordinator that knows no listeners."""
    if name == "publish":
        # A worker in service needs no reason why it is not back.
        back = {report.worker for report in value if report.in_service}
        slot_claims = [
            SlotClaim(worker, f"token-{worker}", not_back="" if worker in back else "it was not seen running")
            for worker in sorted(held)
        ]
        return coordinator.publish(POOL, rule, value, slot_claims).held
    if name == "release":
        worker, drained = value
        return coordinator.release(POOL, worker, f"token-{worker}", drained=drained)
    answer: Answer = getattr(coordinator, name)(POOL, rule, value)
    detail = "" if answer.detail.endswith("s left") else answer.detail.replace(f"{LISTENER}/", "")
    return answer.refused, answer.others_in_service, answer.min_available, answer.draining, detail


# --- several hosts ------------------------------------------------------------------------------

HOSTS = ["east", "north", "west"]
MOST, LEAST = 2, 2


@dataclass
class Ledger:
    """What the hosts told and were granted, kept by the test with no eye on how Redis keeps it."""

    told: dict[str, tuple[float, list[Report]]] = field(default_factory=dict)
    leases: dict[str, float] = field(default_factory=dict)
    """The time when each slot expires, by the id of its worker."""

    def tell(self, host: Host, now: float) -> None:
        self.told[host.name] = (now, list(host.reports))
        for worker in host.drains:
            if self.is_held(host(worker), now):
                self.leases[host(worker)] = now + TTL

    def is_held(self, worker: str, now: float) -> bool:
        return self.leases.get(worker, 0.0) > now

    def held(self, now: float) -> set[str]:
        return {worker for worker in self.leases if self.is_held(worker, now)}

    def in_service(self, now: float) -> set[str]:
        """By what the hosts told within three heartbeats."""
        return {
            f"{name}/s/{one.worker}"
            for name, (seen, reports) in self.told.items()
            if now - seen <= FRESH
            for one in reports
            if one.in_service
        } - self.held(now)


turns = st.lists(
    st.tuples(
        st.sampled_from(HOSTS),
        st.sampled_from(
            ["beat", "beat", "ask", "ask", "release", "restart", "fall silent", "wait", "toggle"]
        ),
        st.sampled_from(["a", "b"]),
    ),
    min_size=20,
    max_size=80,
)


@settings(max_examples=150, deadline=None)
@given(turns=turns)
def test_several_hosts_never_take_out_too_many(
    client: redis.Redis, turns: list[tuple[str, str, str]]
) -> None:
    """S1 and S2, while they beat, fall silent, restart, and their workers leave and come back.

    Never more than max_draining slots, and none granted unless min_available others are in service by
    what was told of late. A host that falls silent comes back with what it believes that it holds, and
    drops whatever it is not told that it holds.
    """
    client.flushall()
    fleet, ledger = Fleet(client), Ledger()
    hosts = {name: _host(fleet, name) for name in HOSTS}
    fleet.settled(*hosts.values())
    for host in hosts.values():
        ledger.tell(host, fleet.clock.now)
    for name, turn, worker in turns:
        host = hosts[name]
        if turn == "wait":
            fleet.clock.now += HEARTBEAT
        elif turn == "fall silent":
            _live_without(host, hosts, fleet, ledger)
        elif turn == "restart":
            hosts[name] = _host(fleet, name)
            hosts[name].drains, hosts[name].reports = host.drains, host.reports
        elif turn == "toggle":
            host.reports = [
                report(one.worker, in_service=one.in_service != (one.worker == worker), urgency=one.urgency)
                for one in host.reports
            ]
        elif turn == "release" and worker in host.drains:
            host.release(worker)
            ledger.leases.pop(host(worker), None)
        elif turn == "beat":
            _beat(host, fleet, ledger)
        elif turn == "ask":
            _ask(host, worker, fleet, ledger)
        assert len(ledger.held(fleet.clock.now)) <= MOST


def _host(fleet: Fleet, name: str) -> Host:
    urgency = 1.0 + HOSTS.index(name)
    told = [report("a", urgency=urgency), report("b", urgency=urgency + 0.5)]
    return fleet.host(name, *told, rule=rules(LEAST, MOST))


def _beat(host: Host, fleet: Fleet, ledger: Ledger) -> None:
    """Its drains have not taken their workers out yet: a slot that was lost must be asked for anew."""
    host.drains = {worker: SlotClaim(worker, one.token, False) for worker, one in host.drains.items()}
    ledger.tell(host, fleet.clock.now)
    held = host.beat().held
    for worker, one in list(host.drains.items()):
        assert (one.token in held) is ledger.is_held(host(worker), fleet.clock.now)
        if one.token not in held:
            del host.drains[worker]


def _ask(host: Host, worker: str, fleet: Fleet, ledger: Ledger) -> None:
    now, had = fleet.clock.now, ledger.is_held(host(worker), fleet.clock.now)
    if not host.ask(worker).granted:
        assert not had
        return
    assert had or len(ledger.in_service(now) - {host(worker)}) >= LEAST
    ledger.leases[host(worker)] = now + TTL


def _live_without(silent: Host, hosts: dict[str, Host], fleet: Fleet, ledger: Ledger) -> None:
    """Long enough for its slot to expire, while the others beat."""
    for _ in range(int(TTL / HEARTBEAT) + 1):
        fleet.clock.now += HEARTBEAT
        for host in hosts.values():
            if host is not silent:
                _beat(host, fleet, ledger)
