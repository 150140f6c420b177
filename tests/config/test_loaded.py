"""The configuration as a listener loaded it: what changed in the files since."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from supervisor_memkill.config.loaded import changes, loaded
from supervisor_memkill.config.sections import read_file

TEXT = "[memkill]\nhost = a\n[memkill:jobs]\nmax_rss = 1GB\nstrikes = 2\n"


def changes_to(path: Path, text: str) -> list[str]:
    path.write_text(TEXT)
    before = loaded(read_file(path), path)
    path.write_text(text)
    return list(changes(before, loaded(read_file(path), path)))


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"; a comment\n{TEXT}[program:jobs]\ncommand = other\n",
        "[memkill:jobs]\nstrikes=2 ; a comment\nmax_rss   =  1GB\n\n[memkill]\nhost = a\n",
    ],
)
def test_what_means_the_same_is_no_change(tmp_path: Path, text: str) -> None:
    assert changes_to(tmp_path / "x.conf", text) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TEXT.replace("1GB", "2GB"), "[memkill:jobs] was changed in {}"),
        (TEXT.replace("strikes = 2\n", ""), "[memkill:jobs] was changed in {}"),
        (TEXT + "[memkill:more]\nmax_rss = 1GB\n", "[memkill:more] was added in {}"),
        (TEXT.partition("[memkill:jobs]")[0], "[memkill:jobs] was removed from {}"),
    ],
)
def test_each_changed_section_is_named_with_its_file(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "x.conf"
    assert changes_to(path, text) == [words.format(path)]


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path: path.write_text("redis://:new@h"), ["redis_file {} was written anew"]),
        (lambda path: path.with_name("new").rename(path), ["redis_file {} was written anew"]),
        (lambda path: path.unlink(), ["redis_file {} is gone"]),
        (lambda path: path.chmod(0o400), []),
        (lambda path: path.read_text(), []),
    ],
    ids=["written", "replaced", "removed", "mode", "read"],
)
def test_secret_written_anew_is_a_change(
    tmp_path: Path, write: Callable[[Path], object], words: list[str]
) -> None:
    config, secret, new = tmp_path / "x.conf", tmp_path / "url", tmp_path / "new"
    config.write_text(TEXT)
    for path in (secret, new):
        path.write_text("redis://:s3cret@h")
        os.utime(path, (1, 1))
    before = loaded(read_file(config), config, [str(secret)])
    write(secret)
    assert list(changes(before, loaded(read_file(config), config, before.secrets))) == [
        one.format(secret) for one in words
    ]


def test_what_is_kept_of_a_secret_says_nothing_about_it(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("redis://:s3cret@h")
    os.utime(secret, (1, 1))
    config = tmp_path / "x.conf"
    config.write_text(TEXT)
    kept = loaded(read_file(config), config, [str(secret)]).secrets
    secret.write_text("redis://:another-and-longer@h")
    os.utime(secret, (1, 1))
    assert loaded(read_file(config), config, [str(secret)]).secrets == kept


def test_secret_of_a_directory_that_is_closed_is_no_change(tmp_path: Path) -> None:
    config, before = tmp_path / "x.conf", "1:1"
    config.write_text(TEXT)
    path = str(config / "url")  # no answer, as from a closed directory
    known = replace(loaded(read_file(config), config), secrets={path: before})
    assert list(changes(known, loaded(read_file(config), config, known.secrets))) == []


def test_file_is_known_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.conf").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    found = loaded(read_file(Path("x.conf")), Path("x.conf"))
    assert (found.named, found.files) == (str(tmp_path / "x.conf"), (str(tmp_path / "x.conf"),))
    assert loaded(read_file(Path("x.conf")), None).named == ""
