"""The state file: what a listener writes is read, and what is damaged is an error in words."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from supervisor_memkill.clock import boot_clock
from supervisor_memkill.config.loaded import Loaded, LoadedSection
from supervisor_memkill.config.values import Config
from supervisor_memkill.listener import state_file
from supervisor_memkill.listener.journal_format import Contents
from supervisor_memkill.listener.state import UNCHANGED_SECONDS, StateKeeper
from supervisor_memkill.listener.state_file import StateError
from supervisor_memkill.listener.state_format import from_json, parts_of_text, to_json
from supervisor_memkill.listener.state_values import MAX_SAMPLES, ListenerState, Origin
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.requests import Act, OperatorRequest, encode
from supervisor_memkill.world.supervisord import SupervisordError
from tests.listener_world import FRESH, Life, World, pool_config


@pytest.fixture
def life(world: World, path: Path) -> Life:
    return Life(world, path, has_state=True)


def read(life: Life) -> ListenerState:
    return state_file.read(state_file.path_beside(life.journal.path))


def test_reader_sees_workers_drains_requests_and_pauses(world: World, life: Life) -> None:
    name = life.run_to(State.DRAINING)
    life.listener.request(encode(OperatorRequest("ab" * 8, Act.RESTART, ("jobs:three",), 3600.0)))
    life.listener.request(encode(OperatorRequest("cd" * 8, Act.PAUSE, ("jobs",), None)))
    life.run(6)
    state = read(life)
    (pool,) = state.pools
    assert [one.worker for one in pool.workers] == list(world.workers)
    assert (pool.name, pool.min_available, pool.max_draining) == ("jobs", 1, 1)
    drained = state.worker(name)
    assert drained is not None and drained.drain is not None
    assert (drained.drain.state, drained.drain.reason, drained.busy) == ("draining", "max_rss", 1)
    waiting = state.worker("jobs:three")
    assert waiting is not None and waiting.drain is None and "person paused" in waiting.verdict
    request = state.request("ab" * 8)
    assert request is not None and list(request.workers) == ["jobs:three"]
    assert [(pause.pool, pause.until) for pause in state.pauses] == [("jobs", None)]
    assert state.ticked_at is not None and state.is_alive


def test_state_of_a_process_that_is_gone_is_that_of_a_dead_listener(life: Life) -> None:
    life.run(6)
    state = read(life)
    assert state.is_alive
    assert not dataclasses.replace(state, pid=2**22 + 1).is_alive
    assert not dataclasses.replace(state, created=state.created - 1).is_alive
    assert not dataclasses.replace(state, boot_id="another").is_alive


def test_new_listener_shows_the_last_looks_until_it_looks_itself(
    world: World, path: Path, life: Life
) -> None:
    life.run(6)
    before = read(life).pools
    keeper = StateKeeper(path, Config("here", pools=(pool_config(),)), world.clock)
    keeper.write(life.journal.load().contents, {})
    assert read(life).pools == before


def test_damaged_file_is_one_error_wherever_it_is_cut(life: Life) -> None:
    life.run(6)
    path = state_file.path_beside(life.journal.path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(StateError, match="damaged, or another version"):
            state_file.read(path)


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": 2}', '"x"', "null"])
def test_file_of_another_version_is_an_error_in_words(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.state"
    path.write_text(text)
    with pytest.raises(StateError, match="another version"):
        state_file.read(path)


def test_wrong_types_are_refused(life: Life) -> None:
    life.run(6)
    values = to_json(read(life))
    for key in values:
        with pytest.raises((ValueError, TypeError, KeyError)):
            from_json({**values, key: [None]})


def test_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="no listener of this supervisord has written"):
        state_file.read(tmp_path / "none.state")


def test_state_has_the_cause_the_reason_and_the_peers_of_each_worker(world: World, life: Life) -> None:
    """The first worker drains; the second waits for its slot, with one peer; the third is below its limit."""
    world.workers["jobs:three"].memory = FRESH
    drained = life.run_to(State.DRAINING)
    life.run(6)
    state = read(life)
    (waiting,) = [one for one in ("jobs:one", "jobs:two") if one != drained]
    found = {one.worker: (one.reason, one.cause, one.peers, one.quiet) for one in state.pools[0].workers}
    assert found == {
        drained: ("", "under_way", 2, True),
        waiting: ("max_rss", "slots_taken", 1, False),
        "jobs:three": ("", "under_limit", 1, False),
    }


def test_running_jobs_of_a_drain_are_those_of_its_last_step(world: World, life: Life) -> None:
    """Between two looks the drain reads them: a person who waits for it sees the present number."""
    name = life.run_to(State.DRAINING)
    looked_at = read(life).pools[0].looked_at
    world.workers[name].jobs = 3
    life.listener.turn(ticked=False)
    state = read(life)
    worker = state.worker(name)
    assert worker is not None and (worker.busy, state.pools[0].looked_at) == (3, looked_at)


def test_samples_are_one_a_minute_bounded_and_outlast_the_listener(
    world: World, path: Path, life: Life
) -> None:
    for worker in world.workers.values():
        worker.memory = FRESH
    life.run(60 * 25)
    (first, *_) = read(life).pools[0].workers
    assert first.samples == (FRESH,) * MAX_SAMPLES
    world.workers[first.worker].memory = 2 * FRESH
    life.die()
    later = Life(world, path, has_state=True)
    later.run(90)
    assert read(later).pools[0].workers[0].samples == (*(FRESH,) * (MAX_SAMPLES - 2), *(2 * FRESH,) * 2)


def test_state_is_written_again_only_when_something_changed_or_it_grows_old(world: World, life: Life) -> None:
    life.run_to(State.DRAINING)
    path = state_file.path_beside(life.journal.path)

    def is_written_by_a_turn() -> bool:
        before = path.stat().st_ino
        life.listener.turn(ticked=False)
        return path.stat().st_ino != before

    is_written_by_a_turn()
    assert not is_written_by_a_turn()
    world.advance(UNCHANGED_SECONDS)
    assert is_written_by_a_turn()
    life.listener.request(encode(OperatorRequest("cd" * 8, Act.PAUSE, ("jobs",), None)))
    assert is_written_by_a_turn()
    path.unlink()
    life.listener.turn(ticked=False)
    assert path.exists()


def test_outage_is_shown_with_its_beginning(world: World, life: Life) -> None:
    life.run(6)
    began_at = world.now
    world.away = SupervisordError("no answer")
    life.run(6)
    away = read(life).away
    assert list(away) == ["supervisord"]
    assert (away["supervisord"].error, away["supervisord"].since) == ("no answer", began_at)


def test_origin_comes_back_as_it_was_written(world: World, path: Path) -> None:
    section = LoadedSection("/etc/memkill.conf", "0a1b")
    files, secrets = ("/etc/memkill.conf",), {"/etc/url": "1:2"}
    configuration = Loaded("/etc/memkill.conf", files, {"memkill:jobs": section}, secrets)
    origin = Origin("memkill:memkill", 812, ("TICK_60",), 60.0, configuration)
    keeper = StateKeeper(path, Config("here", pools=(pool_config(),)), world.clock, origin)
    keeper.named("here/supervisor")
    keeper.write(Contents(), {})
    state = state_file.read(state_file.path_beside(path))
    assert (state.origin, state.fleet_name) == (origin, "here/supervisor")


def test_state_of_another_pid_namespace_is_judged_by_its_age(life: Life) -> None:
    life.run(6)
    origin = Origin(tick_seconds=60.0)
    other = dataclasses.replace(read(life), namespace="pid:[1]", pid=2**22 + 1, origin=origin)
    assert dataclasses.replace(other, written_at=boot_clock() - 100).is_alive
    assert not dataclasses.replace(other, written_at=boot_clock() - 200).is_alive


@pytest.mark.parametrize("kind", ["fifo", "link", "directory"])
def test_what_is_no_file_is_an_error_and_nobody_waits_for_it(tmp_path: Path, kind: str) -> None:
    """Somebody may have put a FIFO there, which would be waited for without an end."""
    path, other = tmp_path / "x.journal.state", tmp_path / "other"
    other.write_text("secret")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(other)
    else:
        path.mkdir()
    with pytest.raises(StateError, match="cannot be read") as refused:
        state_file.read(path)
    assert "secret" not in str(refused.value)


def test_file_is_private(life: Life) -> None:
    life.run(6)
    assert state_file.path_beside(life.journal.path).stat().st_mode & 0o777 == 0o600


def test_text_of_a_state_is_its_json(life: Life) -> None:
    """It is made worker by worker, those with a drain included."""
    life.run_to(State.DRAINING)
    state = read(life)
    assert [one for one in state.pools[0].workers if one.drain is not None]
    two = dataclasses.replace(state, pools=(*state.pools, dataclasses.replace(state.pools[0], workers=())))
    for one in (state, two, dataclasses.replace(state, pools=())):
        assert json.loads("".join(parts_of_text(one))) == json.loads(json.dumps(to_json(one)))
