"""The state file: what a listener writes is read, and what is damaged is an error in words."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from supervisor_memkill.config.options import Config
from supervisor_memkill.listener import state_file
from supervisor_memkill.listener.state import StateKeeper
from supervisor_memkill.listener.state_file import ListenerState, StateError
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.requests import Act, OperatorRequest, encode
from tests.listener_world import Life, World, pool_config


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
    values = state_file.to_json(read(life))
    for key in values:
        with pytest.raises((ValueError, TypeError, KeyError)):
            state_file.from_json({**values, key: [None]})


def test_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="no listener of this supervisord has written"):
        state_file.read(tmp_path / "none.state")


def test_file_is_private(life: Life) -> None:
    life.run(6)
    assert state_file.path_beside(life.journal.path).stat().st_mode & 0o777 == 0o600
