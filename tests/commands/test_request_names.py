"""Which names a request may name: each one must name something, or nothing is requested at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from supervisor_memkill.commands.context import Context, put_together
from supervisor_memkill.commands.fleet_request import FleetRequester
from supervisor_memkill.commands.prepared import Settled
from supervisor_memkill.commands.request import Requester
from supervisor_memkill.config.values import Config, PoolConfig
from supervisor_memkill.coordination.contract import Offer, PoolView, Report
from supervisor_memkill.errors import MemkillError
from supervisor_memkill.listener import state_file
from supervisor_memkill.listener.journal_place import JournalPlace
from supervisor_memkill.listener.state_values import ListenerState, PoolState
from supervisor_memkill.rules.requests import Act, OperatorRequest, RunningProcess, TakenRequest, encode
from supervisor_memkill.world.supervisord import Supervisord
from tests.commands.status_values import worker
from tests.commands.test_found_listener import state
from tests.small_world import World

DAY_SECONDS = 86400.0


class Sent(MemkillError):
    """The request left the command."""


class Receiving(World):
    """Has the workers jobs:one, jobs:two and jobs:three."""

    url = "unix:///s.sock"

    def send_event(self, kind: str, payload: str) -> None:
        raise Sent(payload)


def context_of(world: World, path: Path) -> Context:
    config = Config(host="here", pools=(PoolConfig(name="pool", programs=("jobs",)),))
    settled = Settled(config, (), None, frozenset(), (JournalPlace(path),))
    return put_together(settled, cast(Supervisord, world), {})


def restart_of(*names: str) -> OperatorRequest:
    return OperatorRequest("0123456789abcdef", Act.RESTART, names, DAY_SECONDS)


def write_state(path: Path, *workers: str, requests: tuple[TakenRequest, ...] = ()) -> None:
    seen = tuple(worker(name, 1.0) for name in workers)
    pool = PoolState("pool", 1.0, None, None, 1, 1, seen)
    assert state_file.write(path, state(pools=(pool,) if workers else (), requests=requests))


def send(path: Path, act: Act, *names: str) -> None:
    made = Requester(context_of(Receiving(), path), path)
    with pytest.raises(Sent):
        made.send(act, names, lasts_seconds=DAY_SECONDS)


def refused(path: Path, act: Act, *names: str) -> str:
    made = Requester(context_of(Receiving(), path), path)
    with pytest.raises(MemkillError) as raised:
        made.send(act, names, lasts_seconds=DAY_SECONDS)
    assert not isinstance(raised.value, Sent)
    return str(raised.value)


def test_worker_that_was_added_since_the_last_look_is_known(tmp_path: Path) -> None:
    """`supervisorctl update`, then a restart of all: the listener looks again up to a minute later."""
    path = tmp_path / "state"
    write_state(path, "jobs:one")
    send(path, Act.RESTART, "jobs:one", "jobs:two", "jobs:*", "pool")
    assert "has the name jobs:four" in refused(path, Act.RESTART, "jobs:one", "jobs:four")


@pytest.mark.parametrize("is_written", [True, False])
def test_name_that_names_nothing_is_refused_also_before_the_first_look(
    tmp_path: Path, is_written: bool
) -> None:
    path = tmp_path / "state"
    if is_written:
        write_state(path)
    send(path, Act.RESTART, "jobs", "jobs:two")
    assert "has the name nobody" in refused(path, Act.RESTART, "jobs", "nobody")


def test_request_for_workers_that_have_gone_can_be_withdrawn(tmp_path: Path) -> None:
    """A script that withdraws what it requested is not refused because of a worker that was removed."""
    path = tmp_path / "state"
    taken = TakenRequest(restart_of("old:*"), 1.0, 9.0, {"former:one": RunningProcess(5, 6)})
    write_state(path, "jobs:one", requests=(taken,))
    send(path, Act.CANCEL, "jobs:one", "old:*")
    send(path, Act.CANCEL, "former", "former:one")
    assert "has the name old:*" in refused(path, Act.RESTART, "jobs:one", "old:*")
    assert "has the name nobody" in refused(path, Act.CANCEL, "jobs:one", "nobody")


class OfAnotherUser(Requester):
    """The state of the listener belongs to another user."""

    def state(self) -> ListenerState:
        raise state_file.HiddenState("/run/x.state belongs to the user root")


def test_request_is_not_called_lost_by_a_user_who_cannot_see_whether_it_was_taken(tmp_path: Path) -> None:
    """Whoever may control supervisord may request, and need not be the user of the listener."""
    world = Receiving()
    world.send_event = lambda kind, payload: None  # type: ignore[method-assign]
    made = OfAnotherUser(context_of(world, tmp_path / "state"), tmp_path / "state")
    with pytest.raises(MemkillError) as raised:
        made.send(Act.RESTART, ("jobs:one",), lasts_seconds=DAY_SECONDS)
    assert str(raised.value) == (
        "the request was sent; this user cannot see whether the listener took it "
        "(/run/x.state belongs to the user root)"
    )


def _report(worker_id: str) -> Report:
    return Report(worker_id, 5, 6, None, 0, in_service=True, state="RUNNING", busy=None, urgency=None)


class Redis:
    """One pool in Redis, with the worker jobs:one of one host and open requests."""

    def __init__(self, *texts: str) -> None:
        self.put = list[str]()
        offers = tuple(Offer(f"{number:08x}", text, 1.0, 9.0) for number, text in enumerate(texts))
        self._view = PoolView((_report("a/supervisor/jobs:one"),), requests=offers)

    def view(self, pool: str) -> PoolView:
        return self._view if pool == "pool" else PoolView(())

    def request(self, pool: str, *values: Any, **others: Any) -> bool:
        self.put.append(pool)
        return True


def fleet_of(redis: Redis) -> FleetRequester:
    return FleetRequester(cast(Any, redis), ["pool", "other"], answers_within_seconds=1.0)


def test_request_for_workers_of_a_host_that_is_off_can_be_withdrawn() -> None:
    redis = Redis(encode(restart_of("far:*")), "of another version")
    fleet_of(redis).send(Act.CANCEL, ("far:*",), lasts_seconds=DAY_SECONDS)
    assert redis.put == ["pool"], "the cancel stands where the request stands"
    fleet_of(redis).send(Act.CANCEL, ("jobs:one", "far:*"), lasts_seconds=DAY_SECONDS)
    for act, name in ((Act.RESTART, "far:*"), (Act.CANCEL, "nobody")):
        with pytest.raises(MemkillError, match=r"no worker that is known has the name"):
            fleet_of(redis).send(act, ("jobs:one", name), lasts_seconds=DAY_SECONDS)
    assert redis.put == ["pool", "pool"]
