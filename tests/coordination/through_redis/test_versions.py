"""Versions side by side, any character in a name, the view and the stream."""

from __future__ import annotations

import dataclasses
import itertools
import json

import pytest

from supervisor_memkill.coordination.contract import Cause
from tests.builders import report
from tests.coordination.servers import (
    FRESH,
    POOL,
    Fleet,
    Host,
    key,
    over,
    stored,
)

pytestmark = pytest.mark.real


def test_data_of_a_later_version_is_understood_and_kept(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    one, two = pair
    one.ask("a")
    client = fleet.redis
    later = {"zones": {"west": [1, 2]}, "nothing": None, "text": "ü"}
    fields = {name: {**json.loads(text), **later} for name, text in stored(client).items()}
    fields["meta"]["version"] = 2
    fields["meta"]["rules"]["1/1/zones=2"] = (fleet.clock.now + FRESH) * 1000
    client.hset(key(), mapping={name: json.dumps(value) for name, value in fields.items()})
    client.hset(key(), "z:another kind of field", "not even JSON")
    assert two.ask("c").refused is Cause.SLOTS_TAKEN
    assert one.beat().held
    assert len(two.coordinator.view(POOL).reports) == 4
    one.release("a")
    assert two.ask("c", urgency=9.0).granted
    after = stored(client)
    meta = json.loads(after["meta"])
    assert {name: meta[name] for name in later} == later
    assert meta["version"] == 2
    assert "1/1/zones=2" in meta["rules"]
    assert json.loads(after[f"w:{two('d')}"])["zones"] == {"west": [1, 2]}
    assert after["z:another kind of field"] == "not even JSON"


def test_names_and_tokens_may_hold_any_character(fleet: Fleet) -> None:
    odd = 'jobs:ü "x" \\ {y} %s\n/*'
    one = fleet.host(
        "höst", over(odd, queues=frozenset({"a b", "ü"})), report("b", queues=frozenset({"ü", "a b"}))
    )
    fleet.settled(one)
    assert one.ask(odd, queues=frozenset({"a b", "ü"})).granted
    assert one.beat().held
    assert one.coordinator.view(POOL).holders == (one(odd),)
    (seen,) = [worker for worker in one.coordinator.view(POOL).reports if worker.worker == one(odd)]
    assert seen.queues == {"a b", "ü"}


def test_view_shows_what_was_told(pair: tuple[Host, Host]) -> None:
    one, two = pair
    told = {worker.worker: worker for worker in two.coordinator.view(POOL).reports}
    for host, seen in itertools.chain(
        itertools.product([one], one.reports), itertools.product([two], two.reports)
    ):
        assert told[host(seen.worker)] == dataclasses.replace(seen, worker=host(seen.worker))


def test_view_of_a_pool_that_nobody_told_of_is_empty(fleet: Fleet) -> None:
    view = fleet.host("one").coordinator.view("another")
    assert (view.reports, view.holders, view.rules) == ((), (), ())


def test_events_are_kept_up_to_a_number(fleet: Fleet, pair: tuple[Host, Host]) -> None:
    one, _ = pair
    for number in range(1300):
        one.coordinator.record(POOL, "drain.done", {"worker": "a", "number": str(number)})
    entries = fleet.redis.xrange(key(part=":events"))
    assert 1000 <= len(entries) < 1300
    assert entries[-1][1] == {"event": "drain.done", "host": "one/s", "worker": "a", "number": "1299"}
