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
    TOUCH_SECONDS,
    Journal,
    JournalError,
    hidden_by,
    make_private_directory,
    peek_problem,
)
from supervisor_memkill.listener.journal_format import Contents, decode
from supervisor_memkill.rules.back_off import BackOff, BackOffCause
from supervisor_memkill.rules.drain import State
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
        (b'{"body": {}, "crc32": 1}', "its checksum is wrong"),
        (b'{"body": {}}', "the field 'crc32' is missing"),
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


def test_journal_in_the_private_directory_of_another_user_is_named(short_path: Path) -> None:
    path = short_path / "own" / "here.journal"
    assert hidden_by(path) is None
    Journal(path, "boot").save(CONTENTS)
    assert hidden_by(path) is None
    code = (
        "import os, pathlib, sys; from supervisor_memkill.listener.journal import hidden_by;"
        "os.geteuid() or os.setuid(65534); print(hidden_by(pathlib.Path(sys.argv[1])))"
    )
    short_path.chmod(0o755)
    path.parent.chmod(0o700 if os.geteuid() == 0 else 0)
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    path.parent.chmod(0o700)
    assert done.stdout.strip() == str(os.geteuid())


# --- where others remove old files --------------------------------------------------------------


def sweep(directory: Path) -> None:
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()


def test_lock_and_journal_survive_a_sweep(path: Path) -> None:
    """systemd-tmpfiles and tmpwatch remove what is old in /tmp."""
    journal = Journal(path, "boot")
    journal.lock()
    journal.save(CONTENTS)
    assert not journal.keep()
    sweep(path.parent)
    assert journal.keep(), "the journal must be saved again"
    journal.save(CONTENTS)
    assert not journal.keep()
    with pytest.raises(JournalError, match="held by another listener"):
        Journal(path, "boot").lock()
    assert Journal(path, "boot").load().contents == CONTENTS


def test_lock_that_another_listener_took_meanwhile_is_lost(path: Path) -> None:
    journal, other = Journal(path, "boot"), Journal(path, "boot")
    journal.lock()
    sweep(path.parent)
    other.lock()
    with pytest.raises(JournalError, match="held by another listener"):
        journal.keep()
    other.unlock()
    assert not journal.keep()
    with pytest.raises(JournalError, match="held by another listener"):
        other.lock()


def test_files_stay_young(path: Path) -> None:
    """So a sweep leaves them alone."""
    now = 0.0
    journal = Journal(path, "boot", lambda: now)
    journal.lock()
    journal.save(CONTENTS)
    kept = [path, path.parent, path.with_name(f"{path.name}.lock")]
    for one in kept:
        os.utime(one, (1.0, 1.0))
    now = TOUCH_SECONDS - 1
    journal.keep()
    assert {one.stat().st_mtime for one in kept} == {1.0}
    now = TOUCH_SECONDS
    journal.keep()
    assert all(one.stat().st_mtime > 1.0 for one in kept)


def test_journal_that_is_not_locked_is_not_kept(path: Path) -> None:
    journal = Journal(path, "boot")
    assert not journal.keep()
    assert not path.parent.exists()


# --- at a former place --------------------------------------------------------------------------


@pytest.fixture
def former(tmp_path: Path) -> Path:
    path = tmp_path / "former" / "there.journal"
    path.parent.mkdir(mode=0o700)
    return path


def test_journal_at_a_former_place_is_taken_over(path: Path, former: Path) -> None:
    Journal(former, "boot").save(CONTENTS)
    journal = Journal(path, "boot", former=[former])
    journal.lock()
    assert journal.load().contents == CONTENTS
    assert not former.exists(), "later it could be taken for the newest"
    journal.unlock()
    assert Journal(path, "boot", former=[former]).load().contents == CONTENTS


def test_former_place_that_is_the_same_place_is_no_other_journal(path: Path, tmp_path: Path) -> None:
    """/var/run is a link to /run."""
    Journal(path, "boot").save(CONTENTS)
    (tmp_path / "link").symlink_to(tmp_path)
    same = tmp_path / "link" / path.relative_to(tmp_path)
    journal = Journal(path, "boot", former=[same])
    journal.lock()
    assert journal.load().contents == CONTENTS
    assert path.exists()
    assert not journal.keep()
    journal.unlock()
    Journal(path, "boot", former=[same]).lock()


def test_newer_journal_counts(path: Path, former: Path) -> None:
    Journal(path, "boot").save(CONTENTS)
    Journal(former, "boot").save(Contents(instance="older"))
    os.utime(former, (1.0, 1.0))
    journal = Journal(path, "boot", former=[former])
    journal.lock()
    assert journal.load().contents == CONTENTS
    assert not former.exists()
    journal.unlock()
    Journal(former, "boot").save(Contents(instance="newer"))
    os.utime(path, (1.0, 1.0))
    journal.lock()
    assert journal.load().contents.instance == "newer"


def test_listener_that_holds_the_former_journal_is_waited_for(path: Path, former: Path) -> None:
    """An update of the program, while the former listener still works."""
    old = Journal(former, "boot")
    old.lock()
    old.save(CONTENTS)
    journal = Journal(path, "boot", former=[former])
    with pytest.raises(JournalError, match="held by another listener"):
        journal.lock()
    old.unlock()
    journal.lock()
    assert journal.load().contents == CONTENTS


def test_former_journal_that_cannot_be_saved_at_its_new_place_stays(path: Path, former: Path) -> None:
    Journal(former, "boot").save(CONTENTS)
    journal = Journal(path, "boot", former=[former])
    journal.lock()
    path.with_name(path.name + ".new").mkdir()
    with pytest.raises(JournalError, match="cannot be written"):
        journal.load()
    assert Journal(former, "boot").load().contents == CONTENTS


@pytest.mark.parametrize("fault", ["open to others", "link"])
def test_former_journal_that_anybody_can_have_put_there_is_left_alone(
    path: Path, former: Path, fault: str
) -> None:
    Journal(former, "boot").save(CONTENTS)
    if fault == "link":
        former.rename(former.with_name("real"))
        former.symlink_to("real")
    else:
        former.parent.chmod(0o777)
    journal = Journal(path, "boot", former=[former])
    journal.lock()
    assert journal.load().contents == Contents()
    assert former.exists()


def test_former_journal_that_is_damaged_is_set_aside(path: Path, former: Path) -> None:
    former.write_bytes(b"damaged")
    journal = Journal(path, "boot", former=[former])
    journal.lock()
    assert str(former) in journal.load().damaged
    assert former.with_name("there.journal.damaged").exists()
