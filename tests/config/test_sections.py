"""The syntax of INI files is supervisord's; everything has its place, and other sections are ignored."""

from __future__ import annotations

from pathlib import Path

import pytest
from supervisor.options import UnhosedConfigParser

from supervisor_memkill.config.sections import ParsedFiles, read_file
from supervisor_memkill.errors import ConfigError


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _read(directory: Path, text: str) -> ParsedFiles:
    return read_file(_write(directory / "memkill.conf", text))


def _values(reading: ParsedFiles) -> dict[str, dict[str, str]]:
    return {
        section.name: {entry.key: entry.value for entry in section.entries} for section in reading.sections
    }


SYNTAX = """\
; a comment
# another

[memkill]
redis = redis://host/0   ; why
key_prefix: a;b#c
Host=here # there

  indented = part of host
[memkill:jobs] ; a pool, see [1]
programs = one,
    two
    ; not this

    three
max_rss = 80%
protect_jobs = %(ENV_X)s [x]
"""


def test_the_syntax_is_supervisords(tmp_path: Path) -> None:
    theirs = UnhosedConfigParser()
    theirs.read_string(SYNTAX)
    assert _values(_read(tmp_path, SYNTAX)) == {name: dict(theirs.items(name)) for name in theirs.sections()}


def test_every_key_and_section_knows_its_file_and_line(tmp_path: Path) -> None:
    main, jobs = _read(tmp_path, SYNTAX).sections
    path = tmp_path / "memkill.conf"
    assert str(main.place) == f"{path}:4"
    assert {entry.key: entry.place.line for entry in main.entries} == {
        "redis": 5,
        "key_prefix": 6,
        "host": 7,
    }
    assert {entry.key: str(entry.place) for entry in jobs.entries} == {
        "programs": f"{path}:11",
        "max_rss": f"{path}:16",
        "protect_jobs": f"{path}:17",
    }


ODD = """\
[DEFAULT]
max_rss = 1GB
[program:x]
command = a %(ENV_Y)s %
command = b
no equals sign
= no key
[program:x]
[a]b]
[memkill:jobs]
max_rss = 2GB
[group:x]
programs = x
  [program:y]
"""


def test_other_sections_may_hold_whatever_they_like(tmp_path: Path) -> None:
    reading = _read(tmp_path, ODD)
    assert _values(reading) == {"memkill:jobs": {"max_rss": "2GB"}}
    assert reading.problems == ()
    assert [name for name, _ in reading.others] == ["DEFAULT", "program:x", "program:x", "a]b", "group:x"]


def test_here_is_the_directory_of_the_file_and_nothing_else_is_filled_in(tmp_path: Path) -> None:
    reading = _read(tmp_path, "[memkill]\njournal = %(here)s/j\nhost = %(ENV_HOST)s %(pid)s 5%\n")
    assert _values(reading) == {"memkill": {"journal": f"{tmp_path}/j", "host": "%(ENV_HOST)s %(pid)s 5%"}}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[memkill]\nredis\n", "{path}:2: not KEY = VALUE"),
        ("[memkill]\n= 2\nhost = a\n", "{path}:2: not KEY = VALUE"),
        ("\nmax_rss = 2GB\n[memkill]\n", "{path}:2: text before the first [section]"),
        ("[memkill]\nhost = a\n [memkill:b]\n", "{path}:3: [memkill:b] is indented"),
        ("[memkill:jobs\nworker = rq\n", "{path}:1: [memkill:jobs]: the ] is missing"),
        ("[program:a]\nx = y\n[memkill:b\nx = 1\n", "{path}:3: [memkill:b]: the ] is missing"),
        ("[memkill:a]\nmax_rss = 1\n[memkill:b\nmax_rss = 1\n", "{path}:3: [memkill:b]: the ] is missing"),
        ("[program:a]\nx = y\n\n\t[memkill]\n", "{path}:4: [memkill] is indented"),
        ("[memkill]\nhost = a\nHOST = b\n", "{path}:3: [memkill] host stands at {path}:2 already"),
        ("[memkill:a]\n[memkill]\n[memkill:a]\n", "{path}:3: [memkill:a] stands at {path}:1 already"),
    ],
)
def test_what_cannot_be_read_as_meant_is_a_problem_with_its_place(
    tmp_path: Path, text: str, problem: str
) -> None:
    (found,) = _read(tmp_path, text).problems
    assert found.startswith(problem.format(path=tmp_path / "memkill.conf"))


def test_file_in_utf16_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "memkill.conf").write_text("[memkill]\nhost = a\n", "utf-16")
    with pytest.raises(ConfigError, match="is UTF-16: save it as UTF-8"):
        read_file(tmp_path / "memkill.conf")


def test_a_line_that_does_not_parse_hides_no_other(tmp_path: Path) -> None:
    reading = _read(tmp_path, "[memkill]\nlonely\nhost = a\n= 2\n[memkill:b]\nlonely\nmax_rss = 1\n")
    assert _values(reading) == {"memkill": {"host": "a"}, "memkill:b": {"max_rss": "1"}}
    assert len(reading.problems) == 3


@pytest.mark.parametrize("text", ["", "\n", "\ufeff[memkill]\r\nhost = a\r\n"])
def test_an_empty_file_and_one_from_windows_are_files_too(tmp_path: Path, text: str) -> None:
    path = tmp_path / "memkill.conf"
    path.write_bytes(text.encode())
    assert _values(read_file(path)) == ({"memkill": {"host": "a"}} if "host" in text else {})


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    for path, told in (
        (tmp_path / "missing.conf", "cannot be read: No such file"),
        (tmp_path, "cannot be read: Is a directory"),
    ):
        with pytest.raises(ConfigError) as refused:
            read_file(path)
        (line,) = refused.value.problems
        assert told in line
        assert str(path) in line


def test_another_encoding_is_refused_in_our_sections_alone(tmp_path: Path) -> None:
    """supervisord reads by the locale: a comment or a program in another encoding must not stop us."""
    path = tmp_path / "latin1.conf"
    path.write_bytes(b"[memkill]\nhost = gr\xfcn\n")
    assert read_file(path).problems == (f"{path}:2: not UTF-8",)
    path.write_bytes(b"; gr\xfcn\n[program:x]\ncommand = gr\xfcn\n[memkill]\nhost = green ; gr\xfcn\n")
    reading = read_file(path)
    assert not reading.problems
    assert reading.sections[0].get("host") == "green"
