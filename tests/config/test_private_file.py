"""A file with one secret line: what is read, and what is refused. Who may read it: test_redis_file.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supervisor_memkill.config.private_file import MAX_BYTES, read_line
from tests.command_line import run
from tests.harness import PROGRAMS

HINT = "ask somebody"
OPEN = Path("/proc/self/fd")


def read(path: Path) -> str:
    return read_line(path, os.geteuid(), "the word", HINT)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ValueError, match=r"\w") as error:
        read(path)
    return str(error.value)


@pytest.mark.parametrize(
    "text", ["word", "  word\n\n", "\ufeffword\n", "# a comment\n; another\n\nword\n", "word\r\n"]
)
def test_line_beside_comments_is_read(file: Path, text: str) -> None:
    file.write_text(text)
    assert read(file) == "word"


@pytest.mark.parametrize(("text", "lines"), [("", 0), ("# word\n", 0), ("; word\n", 0), ("one\ntwo\n", 2)])
def test_another_number_of_lines_is_refused(file: Path, text: str, lines: int) -> None:
    file.write_text(text)
    assert refusal(file) == f"must hold one line, the word (beside comments with #), not {lines} lines"


def test_longest_file(file: Path) -> None:
    file.write_text("a" * MAX_BYTES)
    assert len(read(file)) == MAX_BYTES
    file.write_text("a" * (MAX_BYTES + 1))
    assert "must hold one line" in refusal(file)


def test_what_is_no_text_is_refused(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    assert refusal(file) == "must hold text in UTF-8"


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    """A FIFO would be waited for."""
    os.mkfifo(tmp_path / "fifo", 0o600)
    assert refusal(tmp_path / "fifo") == "must be a regular file"
    (tmp_path / "folder").mkdir(mode=0o700)
    assert refusal(tmp_path / "folder") == "must be a regular file"
    assert refusal(tmp_path / "none") == "cannot be read: No such file or directory"


def test_nothing_stays_open(file: Path) -> None:
    file.write_text("word")
    before = len(list(OPEN.iterdir()))
    for _ in range(20):
        read(file)
    assert len(list(OPEN.iterdir())) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_user_without_rights_gets_the_hint(file: Path) -> None:
    file.write_text("a long word")
    done = run(
        file.parent,
        *("serve", "--web-password-file", str(file)),
        program=(str(PROGRAMS / "without_rights.py"),),
    )
    assert done.returncode == 2
    assert done.stderr.strip().endswith("cannot be read: Permission denied; run this as its owner or as root")
