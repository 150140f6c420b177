"""The configuration as a listener loaded it: what changed in the files since."""

from __future__ import annotations

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


def test_file_is_known_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.conf").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    found = loaded(read_file(Path("x.conf")), Path("x.conf"))
    assert (found.named, found.files) == (str(tmp_path / "x.conf"), (str(tmp_path / "x.conf"),))
    assert loaded(read_file(Path("x.conf")), None).named == ""
