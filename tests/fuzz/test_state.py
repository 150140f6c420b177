"""The state file, whatever became of it: it is read and shown, or it is one error in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supervisor_memkill.commands.status_of import status_of
from supervisor_memkill.commands.status_screen import screen
from supervisor_memkill.commands.status_values import as_json
from supervisor_memkill.commands.terminal import Terminal, width
from supervisor_memkill.listener import state_file
from supervisor_memkill.listener.state_file import StateError
from supervisor_memkill.listener.state_format import to_json
from tests.commands.status_values import EVIDENCE, NOW, OUTAGE, PAUSE, REQUEST, WAITING, found, listener, pool
from tests.fuzz.effort import tries
from tests.fuzz.values import DEEP, JSON, LONE_HALVES, assert_one_line, near, near_json
from tests.harness import short_directory

WHOLE = to_json(
    listener(pool(EVIDENCE, WAITING), requests=(REQUEST,), pauses=(PAUSE,), away={"journal": OUTAGE})
)
COLUMNS = 80


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    with short_directory() as directory:
        yield directory / "x.state"


def assert_shown_or_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        state = state_file.read(path)
    except StateError as error:
        assert_one_line(str(error))
        return
    shown = status_of(found(state), NOW)
    json.loads(as_json(shown))
    for line in screen(shown, Terminal(COLUMNS)):
        assert line.isprintable() and width(line) <= COLUMNS


@tries(100)
@given(near(st.just(json.dumps(WHOLE))))
@example(DEEP)
@example("")
def test_text_with_errors(path: Path, text: str) -> None:
    assert_shown_or_refused(path, text.encode(errors="surrogatepass"))


@tries(200)
@given(near_json(WHOLE, st.one_of(JSON, LONE_HALVES)))
def test_values_of_other_types(path: Path, value: object) -> None:
    assert_shown_or_refused(path, json.dumps(value).encode())


@tries(50)
@given(st.binary(max_size=200))
def test_any_bytes(path: Path, data: bytes) -> None:
    assert_shown_or_refused(path, data)
