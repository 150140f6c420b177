"""What a page is made of is read anew each time, and is what the other commands show."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor_memkill.clock import boot_clock
from supervisor_memkill.commands import history_values, status_read, status_values
from supervisor_memkill.commands.web.page import page
from supervisor_memkill.commands.web.read import SUSPECTS_SECONDS, Reader, Seen
from supervisor_memkill.listener import history_file, interval_file, state_file
from supervisor_memkill.notices.intervals import to_line as interval_line
from supervisor_memkill.notices.records import to_line
from tests.command_line import run
from tests.commands.observed import Made
from tests.commands.status_values import listener, pool
from tests.commands.web.document import Document
from tests.harness import free_port
from tests.notices.record_values import drain
from tests.real.listener_process import AnsweringSupervisord


class Clock:
    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> float:
        return boot_clock() + self.passed


class Place:
    """A configuration, and the files of a listener that this process stands for."""

    def __init__(self, directory: Path, url: str) -> None:
        self.config = directory / "memkill.conf"
        self.journal = directory / "own" / "x.journal"
        self.journal.parent.mkdir(mode=0o700)
        self.url = url
        self.clock = Clock()
        self.configure()

    def configure(self, **main: object) -> None:
        lines = "".join(f"{key} = {value}\n" for key, value in main.items())
        self.config.write_text(
            f"[memkill]\njournal = {self.journal}\n{lines}[memkill:sidekiq]\nmax_rss = 2GB\n"
        )

    def write_state(self, **values: Any) -> None:
        now = boot_clock()
        written = listener(pool(looked_at=now), started_at=now, written_at=now, ticked_at=now, **values)
        origin = dataclasses.replace(written.origin, supervisord_pid=os.getpid())
        written = dataclasses.replace(written, origin=origin)
        assert state_file.write(state_file.path_beside(self.journal, is_dry_run=False), written)

    def write_history(self, *lines: bytes) -> None:
        self._write(history_file.paths_beside(self.journal)[0], *lines)

    def write_intervals(self, *lines: bytes) -> None:
        self._write(interval_file.paths_beside(self.journal).present, *lines)

    def _write(self, path: Path, *lines: bytes) -> None:
        path.write_bytes(b"".join(lines))
        path.chmod(0o600)

    def arguments(self) -> argparse.Namespace:
        given = {"config": self.config, "serverurl": self.url, "username": None, "password": None}
        return argparse.Namespace(**given, dry_run=False, names=[])

    def reader(self) -> Reader:
        return Reader(self.arguments(), {}, self.clock)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    supervisord = AnsweringSupervisord()
    yield Place(tmp_path, supervisord.url)
    supervisord.close()


def text(seen: Seen) -> str:
    return Document(page(seen)).text


def without_times(value: Any) -> Any:
    """Two looks are never at the same moment."""
    if isinstance(value, dict):
        kept = {key: one for key, one in value.items() if "seconds" not in key and key != "since"}
        return {key: without_times(one) for key, one in kept.items()}
    return [without_times(one) for one in value] if isinstance(value, list) else value


def test_page_and_commands_show_the_same_values(place: Place, tmp_path: Path) -> None:
    place.write_state()
    place.write_history(to_line(drain(at=a_minute_ago())))
    seen = place.reader().read()
    assert seen.status is not None and seen.history is not None
    of_page = json.loads(status_values.as_json(seen.status))
    of_command = json.loads(status_values.as_json(status_read.read_here(place.arguments(), {})))
    assert without_times(of_page) == without_times(of_command)
    words = ("--config", str(place.config), "--serverurl", place.url, "--json")
    done = run(tmp_path, "history", *words)
    assert done.returncode == 0, done
    history = json.loads(history_values.as_json(seen.history))
    assert without_times(history) == without_times(json.loads(done.stdout))
    assert seen.fleet_history is None and seen.status.fleet is None


def a_minute_ago() -> float:
    return time.time() - 60


def test_each_page_is_read_anew(place: Place) -> None:
    reader = place.reader()
    assert "no listener of this supervisord" in text(reader.read())
    place.write_state()
    assert "listener alive" in text(reader.read())
    place.write_state(host="another")
    assert "on another" in text(reader.read())


def test_supervisord_that_is_away_is_a_problem_and_the_history_stays(place: Place) -> None:
    place.write_history(to_line(drain(at=a_minute_ago())))
    place.url = f"http://127.0.0.1:{free_port()}"
    shown = text(place.reader().read())
    assert "listener not seen" in shown and "What is wrong supervisord" in shown
    assert "1 drain since" in shown


def test_redis_that_is_away_is_said_once(place: Place) -> None:
    place.configure(redis=f"redis://127.0.0.1:{free_port()}/0")
    place.write_state()
    seen = place.reader().read()
    assert seen.fleet_history is None
    assert len([one for one in seen.all_problems if one.startswith("Redis")]) == 1
    assert "listener alive" in text(seen)


def test_configuration_that_is_wrong_is_a_problem(place: Place) -> None:
    place.write_state()
    place.config.write_text(place.config.read_text() + "min_available = lots\n")
    assert "no listener would start with the configuration on disk" in text(place.reader().read())
    place.config.unlink()
    shown = text(place.reader().read())
    assert "What is wrong" in shown and f"{place.config}: " in shown


def test_history_and_suspects_that_cannot_be_read_are_problems(place: Place) -> None:
    place.write_state()
    history_file.paths_beside(place.journal)[0].mkdir()
    interval_file.paths_beside(place.journal).present.mkdir()
    seen = place.reader().read()
    assert seen.history is None and seen.suspects is None
    assert len(seen.problems) == 2 and "listener alive" in text(seen)


def test_suspects_are_kept_for_a_while(place: Place) -> None:
    """The calculation takes long."""
    place.write_state()
    reader = place.reader()
    first = reader.read().suspects
    assert first is not None and first.pools[0].since is None
    place.write_intervals(*map(interval_line, Made({"Report": 60.0}).observe()))
    place.clock.passed = SUSPECTS_SECONDS - 5
    assert reader.read().suspects is first
    place.clock.passed = SUSPECTS_SECONDS + 5
    later = reader.read().suspects
    assert later is not None and later.pools[0].suspects[0].job_class == "Report"
