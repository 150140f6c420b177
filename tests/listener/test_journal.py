"""The journal: always whole, private, one owner, and never a reason not to start."""

from __future__ import annotations

import dataclasses
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor_memkill.listener.journal import (
    Journal,
    JournalError,
    default_path,
    make_private_directory,
    peek_problem,
)
from supervisor_memkill.listener.journal_format import Contents, decode
from supervisor_memkill.rules.drain import State
from supervisor_memkill.rules.policy import BackOff, BackOffCause
from tests.builders import drain

FULL = Contents(
    drains={"jobs:one": drain(State.DRAINING, note={"b1": 1.5}), "jobs:two": drain(State.ASKING)},
    drain_ended_at={"jobs": 12.5},
    instance="i1",
    back_offs={"jobs:one": BackOff(10.0, 600.0, BackOffCause.AFTER_RESUME)},
)
CONTENTS = dataclasses.replace(FULL, drains={"jobs:one": FULL.drains["jobs:one"]})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "own" / "here.journal"


def test_saved_contents_are_loaded(path: Path) -> None:
    Journal(path, "boot").save(CONTENTS)
    assert Journal(path, "boot").load().contents == CONTENTS


def test_missing_journal_counts_as_empty(path: Path) -> None:
    loaded = Journal(path, "boot").load()
    assert (loaded.contents, loaded.damaged) == (Contents(), "")


def test_journal_is_private(path: Path) -> None:
    Journal(path, "boot").save(CONTENTS)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_directory_where_others_can_write_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o777)
    with pytest.raises(JournalError, match="other users can write"):
        Journal(path, "boot").save(CONTENTS)


def test_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(JournalError, match="not a directory"):
        make_private_directory(tmp_path / "link")


def test_truncated_journal_is_set_aside_and_reported(path: Path) -> None:
    Journal(path, "boot").save(CONTENTS)
    whole = path.read_bytes()
    for length in range(len(whole) - 1):
        path.write_bytes(whole[:length])
        loaded = Journal(path, "boot").load()
        assert loaded.contents == Contents(epochs=None)
        assert "damaged" in loaded.damaged
        assert not path.exists()
        aside = path.with_name(path.name + ".damaged")
        assert aside.read_bytes() == whole[:length]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0), byte=st.integers(0, 255))
def test_changed_byte_is_noticed_or_harmless(path: Path, position: int, byte: int) -> None:
    Journal(path, "boot").save(CONTENTS)
    whole = bytearray(path.read_bytes())
    whole[position % len(whole)] = byte
    path.write_bytes(whole)
    loaded = Journal(path, "boot").load()
    assert loaded.damaged or loaded.contents == CONTENTS


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(garbage=st.one_of(st.binary(), st.text().map(str.encode)))
def test_listener_starts_whatever_the_journal_holds(path: Path, garbage: bytes) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(garbage)
    assert Journal(path, "boot").load().contents == Contents(epochs=None)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty"),
        (b"\0\0\0\n", "it is empty"),
        (b"{", "it is not JSON"),
        (b"\xff\xfe", "it is not JSON"),
        (b"{}", "the field 'body' is missing"),
        (b"[1]", "a field has a value of the wrong type"),
        (b'{"body": {}, "sha256": ""}', "its checksum is wrong"),
    ],
)
def test_damage_is_named_in_plain_words(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=f"^damaged: {words}$"):
        decode(data, 0.0)


def test_unknown_format_is_set_aside(path: Path) -> None:
    Journal(path, "boot").save(CONTENTS)
    path.write_text(path.read_text().replace('"format": 2', '"format": 3'))
    assert Journal(path, "boot").load().damaged


def test_journal_of_an_earlier_boot_counts_as_empty(path: Path) -> None:
    Journal(path, "boot").save(CONTENTS)
    loaded = Journal(path, "another").load()
    assert (loaded.contents, loaded.other_boot, loaded.damaged) == (Contents(), True, "")


def test_failed_save_leaves_the_old_file(path: Path) -> None:
    Journal(path, "boot").save(CONTENTS)
    path.with_name(path.name + ".new").mkdir()
    with pytest.raises(JournalError, match="cannot be written"):
        Journal(path, "boot").save(Contents())
    assert Journal(path, "boot").load().contents == CONTENTS


def test_save_is_on_disk_before_it_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole file is synced before it replaces the old one; then the directory is synced."""
    Journal(path, "boot").save(Contents())
    done: list[object] = []
    fsync, replace = os.fsync, Path.replace

    def watched_fsync(fd: int) -> None:
        status = os.fstat(fd)
        done.append("directory" if stat.S_ISDIR(status.st_mode) else status.st_size)
        fsync(fd)

    def watched_replace(source: Path, target: Path) -> Path:
        done.append("replace")
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "replace", watched_replace)
    Journal(path, "boot").save(CONTENTS)
    assert done == [path.stat().st_size, "replace", "directory"]


def test_second_listener_learns_which_process_holds_the_journal(path: Path) -> None:
    journal = Journal(path, "boot")
    journal.lock()
    journal.lock()
    with pytest.raises(JournalError, match=rf"held by another listener .*pid {os.getpid()}"):
        Journal(path, "boot").lock()


def test_lock_ends_with_its_process(path: Path) -> None:
    program = (
        "import sys, pathlib; from supervisor_memkill.listener.journal import Journal\n"
        "Journal(pathlib.Path(sys.argv[1]), 'boot').lock(); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(JournalError):
            Journal(path, "boot").lock()
        holder.kill()
    Journal(path, "boot").lock()


def test_each_supervisord_has_its_own_file(tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    one = default_path("unix:///run/one.sock", environ, uid=1000)
    two = default_path("unix:///run/two.sock", environ, uid=1000)
    assert one != two
    assert one.parent == two.parent == tmp_path / "supervisor-memkill"
    assert default_path("unix:///run/one.sock", {}, uid=1000).parent.name == "supervisor-memkill-1000"


def test_problem_of_the_directory_is_found_without_creating_anything(tmp_path: Path) -> None:
    shared, own, file = tmp_path / "shared", tmp_path / "own", tmp_path / "file"
    shared.mkdir()
    shared.chmod(0o777)
    own.mkdir(mode=0o700)
    file.touch()
    assert "other users can write there" in peek_problem(shared / "journal")
    assert "is not a directory" in peek_problem(file / "journal")
    assert peek_problem(own / "journal") == peek_problem(tmp_path / "none" / "journal") == ""
    assert not (tmp_path / "none").exists()
