"""Reading INI files: supervisord's syntax, with the place of everything, and nothing that is not ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from supervisor.options import UnhosedConfigParser

from supervisor_memkill.config.inifile import (
    DEFAULT_SERVERURL,
    Reading,
    find_supervisord_config,
    read_file,
    read_supervisord,
    server_address,
)
from supervisor_memkill.errors import ConfigError


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _read(directory: Path, text: str) -> Reading:
    return read_file(_write(directory / "memkill.conf", text))


def _values(reading: Reading) -> dict[str, dict[str, str]]:
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
    latin1 = tmp_path / "latin1.conf"
    latin1.write_bytes(b"[memkill]\nhost = gr\xfcn\n")
    for path, told in (
        (tmp_path / "missing.conf", "cannot be read: No such file"),
        (tmp_path, "cannot be read: Is a directory"),
        (latin1, "latin1.conf:2: not UTF-8"),
    ):
        with pytest.raises(ConfigError) as refused:
            read_file(path)
        (line,) = refused.value.problems
        assert told in line
        assert str(path) in line


def _supervisord(directory: Path, files: str, environ: Mapping[str, str] | None = None) -> Reading:
    path = _write(directory / "supervisord.conf", f"[supervisord]\n[include]\nfiles = {files}\n")
    return read_supervisord(path, environ or {}, "node")


def test_included_files_are_read_in_supervisords_order(tmp_path: Path) -> None:
    for name in ("conf.d/b.conf", "conf.d/a.conf", "conf.d/.hidden.conf", "other/c.ini", "conf.d/no.txt"):
        _write(tmp_path / name, f"[memkill:{Path(name).stem}]\njournal = %(here)s\n")
    (tmp_path / "conf.d/directory.conf").mkdir()
    reading = _supervisord(tmp_path, f"other/*.ini {tmp_path}/conf.d/*.conf conf.d/missing*")
    assert _values(reading) == {
        "memkill:c": {"journal": str(tmp_path / "other")},
        "memkill:a": {"journal": str(tmp_path / "conf.d")},
        "memkill:b": {"journal": str(tmp_path / "conf.d")},
    }


def test_the_names_in_files_are_filled_in(tmp_path: Path) -> None:
    for name in ("here", "node", "env"):
        _write(tmp_path / name / "x.conf", f"[memkill:{name}]\n")
    files = "%(here)s/here/*.conf %(host_node_name)s/*.conf\n  %(ENV_WHERE)s/x.conf"
    reading = _supervisord(tmp_path, files, {"WHERE": "env"})
    assert list(_values(reading)) == ["memkill:here", "memkill:node", "memkill:env"]


@pytest.mark.parametrize(
    ("files", "told"),
    [("%(ENV_NO)s/x", "[include] files: %(ENV_NO)s is not known here"), ("50%", "a lone %")],
)
def test_a_name_in_files_that_is_not_known_is_told(tmp_path: Path, files: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        _supervisord(tmp_path, files)
    assert f"{tmp_path}/supervisord.conf:3: " in str(refused.value)
    assert told in str(refused.value)


def test_an_included_file_includes_none(tmp_path: Path) -> None:
    _write(tmp_path / "a.conf", "[include]\nfiles = b.ini\n")
    _write(tmp_path / "b.ini", "[memkill]\n")
    assert _supervisord(tmp_path, "a.conf").sections == ()


def test_a_file_that_two_patterns_name_is_read_once(tmp_path: Path) -> None:
    _write(tmp_path / "a.conf", "[memkill]\nhost = a\n")
    assert _supervisord(tmp_path, "*.conf a.conf").problems == ()


def test_a_section_that_stands_in_two_files_is_a_problem_that_names_both(tmp_path: Path) -> None:
    first = _write(tmp_path / "a.conf", "\n[memkill]\n")
    second = _write(tmp_path / "b.conf", "[memkill]\n")
    assert _supervisord(tmp_path, "*.conf").problems == (
        f"{second}:1: [memkill] stands at {first}:2 already",
    )


def test_the_groups_of_all_event_listeners_are_known(tmp_path: Path) -> None:
    _write(
        tmp_path / "a.conf", "[eventlistener:memkill]\ncommand = x\n[program:y]\n[eventlistener:mon] ; z\n"
    )
    assert _supervisord(tmp_path, "a.conf").eventlistener_groups == {"memkill", "mon"}


def test_supervisorctls_section_is_read_as_supervisorctl_does(tmp_path: Path) -> None:
    text = "[supervisorctl]\nserverurl = unix://%(here)s/../s.sock\nusername = a%%b\npassword = %(ENV_PW)s\n"
    path = _write(tmp_path / "x/supervisord.conf", text)
    address = server_address(read_supervisord(path, {}, "node").supervisorctl, {"PW": "c"})
    assert (address.serverurl, address.username, address.password) == (
        f"unix://{tmp_path}/s.sock",
        "a%b",
        "c",
    )


@pytest.mark.parametrize("text", ["[supervisord]\n", "[supervisorctl]\nprompt = x\n"])
def test_without_an_address_it_is_supervisorctls_default(tmp_path: Path, text: str) -> None:
    address = server_address(_read(tmp_path, text).supervisorctl, {})
    assert (address.serverurl, address.username, address.password) == (DEFAULT_SERVERURL, None, None)


def test_a_name_in_supervisorctls_section_that_is_not_known_is_told_without_the_value(tmp_path: Path) -> None:
    section = _read(tmp_path, "[supervisorctl]\npassword = s3cret%(ENV_PW)s\n").supervisorctl
    with pytest.raises(ConfigError) as refused:
        server_address(section, {})
    assert "memkill.conf:2: [supervisorctl] password: %(ENV_PW)s is not known here" in str(refused.value)
    assert "s3cret" not in str(refused.value)


PLACES = [
    "/venv/etc/supervisord.conf",
    "/venv/supervisord.conf",
    "/srv/supervisord.conf",
    "/srv/etc/supervisord.conf",
    "/etc/supervisord.conf",
    "/etc/supervisor/supervisord.conf",
]


@pytest.mark.parametrize("first", range(len(PLACES)))
def test_supervisords_configuration_is_found_where_supervisorctl_finds_it(first: int) -> None:
    present = {Path(place) for place in PLACES[first:]}
    found = find_supervisord_config(Path("/venv/bin/supervisor-memkill"), Path("/srv"), present.__contains__)
    assert found == Path(PLACES[first])


def test_no_configuration_of_supervisord_is_none() -> None:
    assert find_supervisord_config(Path("bin/x"), Path("/srv"), lambda _: False) is None
